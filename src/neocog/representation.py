"""Write the repr of objects that are described by their constructor's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


def constructor_call(instance: object, arguments: Mapping[str, Any]) -> str:
    """Write an object as the call that makes it.

    Required arguments come in order, others if they differ from the default; a pair of equal integers is
    written as one integer, except for a ``tuple[int, ...]``, whose length may vary.
    """
    required, optional = [], []
    for name, parameter in inspect.signature(type(instance)).parameters.items():
        if name not in arguments:
            continue
        value = arguments[name]
        if (
            isinstance(value, tuple)
            and "..." not in str(parameter.annotation)
            and len(value) == 2
            and isinstance(value[0], int)
            and value[0] == value[1]
        ):
            value = value[0]
        if parameter.default is parameter.empty:
            required.append(repr(value))
        elif value != parameter.default:
            optional.append(f"{name}={value!r}")
    return f"{type(instance).__name__}({', '.join(required + optional)})"
