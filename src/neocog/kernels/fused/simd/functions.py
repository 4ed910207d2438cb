"""Compute the exponential function, and others made of it, in a form that becomes vector instructions.

``math.exp`` and ``math.tanh`` are called for one number at a time, which costs ten times as much.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
from numba import types
from numba.extending import intrinsic

from neocog.kernels.fused.lean import lean
from neocog.kernels.fused.simd.emitter import INT

__all__ = [
    "exp",
    "expm1",
    "exponential",
    "hyperbolic_tangent",
    "library",
    "log1p",
    "logistic",
    "normal_distribution",
]

LOG2_E, LN_2, SQRT_HALF, SQRT_2 = 1 / math.log(2), math.log(2), math.sqrt(0.5), math.sqrt(2)
LARGEST = 700.0
"""Beyond it, the exponential is taken as that of this number, which is finite."""
_EXPONENT_BITS = 2.0**52 + 2.0**51 + 1023
"""Added to an integer n, it makes the last bits those of the exponent of ``2^n``."""


@intrinsic
def _nearest(_, x):
    """Round to the nearest integer."""

    def generate(context, builder, signature, arguments):
        function = builder.module.declare_intrinsic("llvm.rint", [arguments[0].type])
        return builder.call(function, arguments)

    return types.float64(types.float64), generate


@intrinsic
def _bits(_, x):
    """Return the bits of a number."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], INT)

    return types.int64(types.float64), generate


@intrinsic
def _of_bits(_, bits):
    """Return the number that has these bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


_compiled = lean(error_model="numpy", fastmath={"contract"}, forceinline=True)


@_compiled
def _factors(x):
    """Return ``2^n`` and ``exp(r) - 1`` by its series, with ``exp(x) = 2^n exp(r)``."""
    v = float(x)
    v = -LARGEST if v < -LARGEST else LARGEST if v > LARGEST else v  # a NaN stays one
    n = _nearest(v * LOG2_E)
    r = v - n * LN_2  # at most ln(2) / 2
    p = 1 / 39916800 + r * (1 / 479001600 + r * (1 / 6227020800))
    p = 1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * p))
    p = 1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * p))
    p = r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * p))))
    return _of_bits(_bits(n + _EXPONENT_BITS) << 52), p


@_compiled
def exponential(x):
    """Return ``exp(x)`` in float64, to 1e-14 of it."""
    power, rest = _factors(x)
    return power * (1 + rest)


@_compiled
def exp(x):
    """Return ``exp(x)`` in float64, to 1e-14 of it; 0 and infinity beyond what float64 holds."""
    half = exponential(0.5 * x)
    return half * half


@_compiled
def expm1(x):
    """Return ``exp(x) - 1`` in float64, to 1e-14 of it also near 0."""
    power, rest = _factors(0.5 * x)
    half = power * rest + (power - 1)
    return half * (half + 2)


@_compiled
def log1p(x):
    """Return ``log(1 + x)`` in float64, to 1e-15 of it also near 0.

    With ``1 + x = 2^n m`` it is ``n log 2 + 2 artanh s``, ``s = (m - 1) / (m + 1)``, that by its series.
    """
    v = float(x)
    u = 1 + v
    bits = _bits(u)
    n = _of_bits((bits >> 52) | 0x4330000000000000) - (2.0**52 + 1023)
    m = _of_bits((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000)
    large = m > SQRT_2
    m, n = 0.5 * m if large else m, n + 1 if large else n
    s = (m - 1) / (m + 1)
    z = s * s
    p = 1 / 15 + z * (1 / 17 + z * (1 / 19 + z * (1 / 21 + z * (1 / 23))))
    p = 1 / 7 + z * (1 / 9 + z * (1 / 11 + z * (1 / 13 + z * p)))
    p = 2 * s + 2 * s * z * (1 / 3 + z * (1 / 5 + z * p))
    y = n * LN_2 + (p + (v - (u - 1)) / u)  # the last: what rounding 1 + x has lost
    beyond = -math.inf if v == -1 else math.nan if v < -1 else v
    return y if v > -1 and v < math.inf else beyond


@_compiled
def logistic(x):
    """Return ``1 / (1 + exp(-x))`` in float64."""
    return 1 / (1 + exponential(-x))


@_compiled
def hyperbolic_tangent(x):
    """Return ``tanh(x)`` in float64, near 0 by its series, where the difference would lose digits."""
    v = float(x)
    square = v * v
    series = v * (1 - square * (1 / 3 - square * (2 / 15 - square * (17 / 315))))
    return series if square < 4e-4 else 2 / (1 + exponential(-2 * v)) - 1


@_compiled
def normal_distribution(x):
    """Return ``Phi(x) = erfc(-x / sqrt 2) / 2`` in float64, to 1e-14 of it up to ``|x| = 37``.

    With ``z = |x| / sqrt 2``, ``t = 1 / (1 + z / 3)`` the number ``erfc(z) exp(z^2) / (2 t)`` is smooth: p,
    fitted to it at Chebyshev's nodes, is a polynomial in ``u = 2 t - 1``.
    """
    v = float(x)
    t = 1 / (1 + abs(v) * (SQRT_HALF / 3))
    u = 2 * t - 1
    p = 8.321192713178452e-09 + u * (-3.05530130697096e-09 + u * (-5.9035111226578906e-10))
    p = -1.539381307345095e-07 + u * (-6.8616012706213019e-08 + u * (2.8243596704748718e-08 + u * p))
    p = -2.9119431337530154e-06 + u * (7.8227078566678774e-07 + u * (4.6130315261584614e-07 + u * p))
    p = 4.6128327454326264e-05 + u * (1.7926971128316083e-05 + u * (-5.0619752114434268e-06 + u * p))
    p = -0.00020206943622892801 + u * (-0.00050567676178865108 + u * (-9.1384960592756303e-05 + u * p))
    p = 0.051744543651214232 + u * (0.019921293547745349 + u * (0.0044712057467697292 + u * p))
    p = 0.17900115118138984 + u * (0.14723240886163119 + u * (0.098371392850690131 + u * p))
    tail = exponential(-0.5 * v * v) * t * p
    return 1 - tail if v > 0 else tail


@_compiled
def where(condition, x, y):
    """Return one of two numbers."""
    return x if condition else y


library = ModuleType("numpy")
"""NumPy, but for functions that Numba has for arrays only, or calls for one number at a time."""
vars(library).update(vars(np), exp=exp, expm1=expm1, log1p=log1p, tanh=hyperbolic_tangent, where=where)
