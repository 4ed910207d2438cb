"""Convert norms and variances, and what divides by them, into the arithmetic that they are."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.nn import functional as F

from neocog.interop.torch.arithmetic import Arithmetic
from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError, known
from neocog.interop.torch.operators.arguments import axis_of, parameter
from neocog.interop.torch.operators.reduction import mean, sum_
from neocog.interop.torch.registry import Apply, combines
from neocog.layers import Clip, Sqrt


@combines("norm", torch.norm)
def norm(
    apply: Apply,
    input: TracedValue,  # noqa: A002 - PyTorch's name
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> TracedValue:
    """Convert the root of a sum of squares."""
    if p not in (2, "fro", None):
        raise UnsupportedError(f"the norm {p!r} has no counterpart; 2 is supported")
    square = Arithmetic(apply).power(input)
    return apply("sqrt", Sqrt(), apply("sum", sum_(square, dim, keepdim, dtype), square))


@combines(torch.linalg.vector_norm)
def vector_norm(
    apply: Apply,
    x: TracedValue,
    ord: Any = 2,  # noqa: A002 - PyTorch's name
    dim: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> TracedValue:
    return norm(apply, x, ord, dim, keepdim, dtype=dtype)


@combines(F.normalize)
def normalize(
    apply: Apply,
    input: TracedValue,  # noqa: A002
    p: Any = 2.0,
    dim: Any = 1,
    eps: float = 1e-12,
    out: Any = None,
) -> TracedValue:
    length = norm(apply, input, p, dim, keepdim=True)
    return Arithmetic(apply).divide(input, apply("clip", Clip(eps, None), length))


@combines(torch.var_mean)
def var_mean(
    apply: Apply,
    input: TracedValue,  # noqa: A002
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: int | None = None,
) -> tuple[TracedValue, TracedValue]:
    """Convert the variance, by ``n - 1`` unless told otherwise, and the mean."""
    compute = Arithmetic(apply)
    centre = apply("mean", mean(input, dim, keepdim=True), input)
    square = compute.power(compute.subtract(input, centre))
    variance = apply("mean", mean(square, dim, keepdim), square)
    less = int(unbiased) if correction is None else correction
    if less:
        axes = [axis_of(input, axis) for axis in (dim if isinstance(dim, tuple | list) else (dim,))]
        count = prod(known(input, "a variance")[axis - 1] for axis in axes)
        if count <= less:
            raise UnsupportedError(f"a variance of {count} numbers over {count} - {less} is not defined")
        variance = compute.multiply(variance, count / (count - less))
    return variance, centre if keepdim else apply("mean", mean(input, dim), input)


@combines("var", torch.var)
def var(apply: Apply, input: TracedValue, *args: Any, **kwargs: Any) -> TracedValue:  # noqa: A002
    return var_mean(apply, input, *args, **kwargs)[0]


@combines("std", torch.std)
def std(apply: Apply, input: TracedValue, *args: Any, **kwargs: Any) -> TracedValue:  # noqa: A002
    return apply("sqrt", Sqrt(), var(apply, input, *args, **kwargs))


@combines(torch.std_mean)
def std_mean(apply: Apply, *args: Any, **kwargs: Any) -> tuple[TracedValue, TracedValue]:
    variance, centre = var_mean(apply, *args, **kwargs)
    return apply("sqrt", Sqrt(), variance), centre


@combines(F.rms_norm)
def rms_norm(
    apply: Apply,
    input: TracedValue,  # noqa: A002
    normalized_shape: Any,
    weight: Any = None,
    eps: float | None = None,
) -> TracedValue:
    """Convert the quotient by the root of the mean square, along the last axes."""
    compute = Arithmetic(apply)
    square = compute.power(input)
    axes = tuple(range(-len(normalized_shape), 0))
    mean_square = apply("mean", mean(square, axes, keepdim=True), square)
    if eps is None:  # PyTorch's depends on the type of the numbers
        eps = torch.finfo(parameter("weight", weight).dtype).eps
    y = compute.multiply(input, compute.reciprocal_root(compute.add(mean_square, eps)))
    return y if weight is None else compute.multiply(y, weight)
