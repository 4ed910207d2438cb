"""Run named, repeatable studies: a question, a table, a finding, and the answer with an explanation.

>>> from neocog import experiments
>>> result = experiments.run("cnn-vs-mlp")
>>> print(result.finding)
TinyCNN classifies 100.0 % of the validation images correctly with 114 parameters, TinyMLP 100.0 % with
1227, 10.8 times as many.

The default parameters of every study are the textbook's protocol. A result holds the data of its figures;
``seeds=10`` repeats the study with other seeds and shows the spread.
"""

from neocog.experiments import (
    architecture,
    classes,
    comparison,
    digits,
    features,
    optimisation,
    pytorch,
    transfer,
)
from neocog.experiments.run_study import experiments_table, list_experiments, run
from neocog.experiments.study import Outcome, Study, find_study, study
from neocog.experiments.study_result import Result

__all__ = [
    "Outcome",
    "Result",
    "Study",
    "architecture",
    "classes",
    "comparison",
    "digits",
    "experiments_table",
    "features",
    "find_study",
    "list_experiments",
    "optimisation",
    "pytorch",
    "run",
    "study",
    "transfer",
]
