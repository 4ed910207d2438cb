"""Named, repeatable studies: a question, a table, a finding, and the answer with its reasons.

>>> from neocog import experiments
>>> result = experiments.run("cnn-vs-mlp")
>>> print(result.finding)
TinyCNN classifies 100.0 % of the validation images correctly with 114 parameters, TinyMLP 100.0 % with 1227,
10.8 times as many.

Every study follows the textbook's protocol unless its settings are changed, and draws its figures' data along
the way; ``seeds=10`` repeats it with other seeds and shows the spread.
"""

from neocog.experiments import (
    architecture,
    classes,
    comparison,
    digits,
    looking,
    optimisation,
    pytorch,
    transfer,
)
from neocog.experiments.result import Result
from neocog.experiments.runner import experiments_table, list_experiments, run
from neocog.experiments.study import Outcome, Study, find_study, study

__all__ = [
    "Outcome",
    "Result",
    "Study",
    "architecture",
    "classes",
    "comparison",
    "digits",
    "experiments_table",
    "find_study",
    "list_experiments",
    "looking",
    "optimisation",
    "pytorch",
    "run",
    "study",
    "transfer",
]
