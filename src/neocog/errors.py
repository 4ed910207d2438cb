"""Define the errors that several parts of neocog share."""

from __future__ import annotations

__all__ = ["UnsupportedError"]


class UnsupportedError(TypeError, ValueError):
    """Something has no counterpart where it is needed: no compiled form, no PyTorch module, no ONNX operator.

    The message names it, its place, and what to register or use instead. It is a TypeError and a
    ValueError, so that either ``except`` clause catches it.
    """
