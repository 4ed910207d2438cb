"""Studies with the textbook's seeds alone, each run once for all tests."""

import functools

from neocog import experiments

run = experiments.run


@functools.cache
def textbook(name):
    return run(name, seeds=1)


def result(name, seeds=1):
    assert seeds == 1
    return textbook(name)
