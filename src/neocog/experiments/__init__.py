"""Run named, repeatable studies: a question, a table, a finding, and the answer with an explanation.

>>> from neocog import experiments
>>> result = experiments.run("cnn-vs-mlp", seeds=1)
>>> print(result.finding)
TinyCNN classifies 100.0 % of the validation images correctly with 114 parameters, TinyMLP 100.0 % with
1227, 10.8 times as many.

The default parameters of every study are the textbook's protocol. By default a study runs ten seeds, of which
the textbook's is the first: ``rows``, ``finding`` and ``data`` are the textbook's,
``over_seeds`` and ``cells()`` say what all of them found. A result holds the data of its figures.
"""

from neocog.experiments import (
    architecture,
    classes,
    comparison,
    depth,
    digits,
    features,
    generalisation,
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
    "depth",
    "digits",
    "experiments_table",
    "features",
    "find_study",
    "generalisation",
    "list_experiments",
    "optimisation",
    "pytorch",
    "run",
    "study",
    "transfer",
]
