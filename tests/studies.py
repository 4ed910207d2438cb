"""Studies with the textbook's seeds, each run once for all tests."""

import functools

from neocog import experiments

result = functools.cache(experiments.run)
