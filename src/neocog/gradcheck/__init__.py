"""Check gradients: compare ``backward`` with derivatives measured on ``forward``.

Two independent measurements of a derivative, with no formula in common with ``backward``:

central differences
    ``(f(w + e) - f(w - e)) / 2 e``: works on any function, accurate to about 1e-9.
complex step
    ``Im f(w + i h) / h`` with ``h = 1e-30``: nothing is subtracted, so nothing cancels, and the derivative
    is exact to the last digit. Every layer runs on complex numbers for this.

An entry that fails is measured again layer by layer (:mod:`neocog.kinks`), where each unit on a kink (a ReLU
at 0, two equal numbers in a pooling window) may have any slope between those of its two sides: several units
on a kink at once are no error, and a wrong gradient is one all the same.

Source: W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions", 1998.
"""

from neocog.gradcheck.comparison import check_gradients
from neocog.gradcheck.report import ArrayCheck, GradientReport

__all__ = ["ArrayCheck", "GradientReport", "check_gradients"]
