"""Compute the exponential function, and others made of it, in a form that becomes vector instructions.

``math.exp`` and ``math.tanh`` are called for one number at a time, which costs ten times as much.
"""

from __future__ import annotations

import math

from numba import njit, types
from numba.extending import intrinsic

from neocog.kernels.fused.simd.emitter import INT

__all__ = ["exponential", "hyperbolic_tangent", "logistic", "normal_distribution"]

LOG2_E, LN_2, SQRT_HALF = 1 / math.log(2), math.log(2), math.sqrt(0.5)
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
def _shifted_bits(_, x):
    """Return the number whose bits are those of x, 52 places to the left."""

    def generate(context, builder, signature, arguments):
        bits = builder.shl(builder.bitcast(arguments[0], INT), INT(52))
        return builder.bitcast(bits, arguments[0].type)

    return types.float64(types.float64), generate


@njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
def exponential(x):
    """Return ``exp(x)`` in float64, to 1e-14 of it: ``2^n exp(r)``, the second factor by its series."""
    v = float(x)
    v = -LARGEST if v < -LARGEST else LARGEST if v > LARGEST else v  # a NaN stays one
    n = _nearest(v * LOG2_E)
    r = v - n * LN_2  # at most ln(2) / 2
    p = 1 / 39916800 + r * (1 / 479001600 + r * (1 / 6227020800))
    p = 1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * p))
    p = 1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * p))
    p = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * p))))
    return p * _shifted_bits(n + _EXPONENT_BITS)


@njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
def logistic(x):
    """Return ``1 / (1 + exp(-x))`` in float64."""
    return 1 / (1 + exponential(-x))


@njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
def hyperbolic_tangent(x):
    """Return ``tanh(x)`` in float64, near 0 by its series, where the difference would lose digits."""
    v = float(x)
    square = v * v
    series = v * (1 - square * (1 / 3 - square * (2 / 15 - square * (17 / 315))))
    return series if square < 4e-4 else 2 / (1 + exponential(-2 * v)) - 1


@njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
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
