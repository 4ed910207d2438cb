"""Accept the old names of arguments, which older scripts may still use."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["OLD_NAMES", "accepts_old_names"]

P = ParamSpec("P")
R = TypeVar("R")

OLD_NAMES = {"images": "x", "labels": "y", "t": "y", "target": "y", "weight": "sample_weight"}
"""The current name of each argument that has been renamed."""


def accepts_old_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function take its arguments by the names in :data:`OLD_NAMES`, with a DeprecationWarning.

    Raises
    ------
    TypeError
        When the function is called with an argument under both of its names.

    Examples
    --------
    >>> import warnings
    >>> @accepts_old_names
    ... def count(x, y):
    ...     return len(x) + len(y)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     count(images=[1], y=[2, 3])
    3
    >>> print(caught[0].message)
    count: the argument 'images' is now called 'x'.
    """
    parameters = inspect.signature(function).parameters
    old_names = {old: new for old, new in OLD_NAMES.items() if new in parameters and old not in parameters}

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for old in kwargs.keys() & old_names.keys():
            new = old_names[old]
            if new in kwargs:
                raise TypeError(f"{function.__name__} got {new!r} twice, also by its old name {old!r}.")
            message = f"{function.__name__}: the argument {old!r} is now called {new!r}."
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            kwargs[new] = kwargs.pop(old)
        return function(*args, **kwargs)

    return wrapper
