"""Compile the access to memory at an address, and to the counters that threads share."""

from __future__ import annotations

from numba import carray, njit, types
from numba.extending import intrinsic

from neocog.kernels.fused.simd.emitter import INT

__all__ = ["fetch_add", "number", "read", "size_of", "view"]


@intrinsic
def _address(_, address, like):
    """Convert a number into a pointer."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), generate


@intrinsic
def size_of(_, like):
    """Return the bytes of a number."""
    size = like.bitwidth // 8

    def generate(context, builder, signature, arguments):
        return INT(size)

    return types.int64(like), generate


@intrinsic
def number(_, value, like):
    """Return a number in the dtype of the array, where Numba would compute with it in float64."""

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[0], types.float64, like)

    return like(types.float64, like), generate


@intrinsic
def fetch_add(_, address, n):
    """Add to a shared counter; return what it was before."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], INT.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def read(_, address):
    """Read a shared counter; later reads see all that was written before it was raised (acquire)."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], INT.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@njit(nogil=True)
def view(address, count, like):
    """Return the array of ``count`` numbers at an address."""
    return carray(_address(address, like), (count,))
