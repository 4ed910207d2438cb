"""Convolve by one matrix product: copy the windows into columns (im2col), multiply, add back (col2im).

Only functions of the array API are used, so that any array of that standard is accepted: slices, ``matmul``,
``where``, no index arrays. NumPy's own arrays take one shortcut, a strided view of all windows.

Inside, the batch is the last axis, (C, H, W, N): then every slice of a window reads W_out N numbers in a row,
where batch-first would read W_out, and the product has the layout that the next kernel reads. Results are
returned as (N, C, H, W) views, so between two kernels nothing is copied.

Source: K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
processing", 2006; batch-last: A. Krizhevsky, cuda-convnet, 2012.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from neocog.kernels.geometry import NO_PADDING, Array, Counts, Padding, Pair, is_complex, output_sizes
from neocog.kernels.sampling import affine as affine  # the same with every NumPy array
from neocog.validation import pair, sides

_NUMPY = SimpleNamespace(
    **vars(np)
    | {"astype": np.ndarray.astype, "permute_dims": np.ndarray.transpose, "reshape": np.ndarray.reshape}
)
"""NumPy, whose functions in Python around these methods would cost a tenth of a small network's step."""


def _namespace(x: Array) -> Any:
    """Return the functions of an array's library."""
    return _NUMPY if type(x) is np.ndarray else x.__array_namespace__()


def _batch_last(x: Array, padding: Padding = NO_PADDING, value: float = 0.0) -> Array:
    """Pad and transpose (N, C, H, W) -> (C, top + H + bottom, left + W + right, N), contiguous."""
    xp = _namespace(x)
    N, C, H, W = x.shape
    x = xp.permute_dims(x, (1, 2, 3, 0))
    if padding == NO_PADDING:
        return np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x
    (top, bottom), (left, right) = padding
    shape = (C, top + H + bottom, left + W + right, N)
    padded = xp.full(shape, value, dtype=x.dtype) if value else xp.zeros(shape, dtype=x.dtype)
    padded[:, top : top + H, left : left + W, :] = x
    return padded


def _batch_first(x: Array, padding: Padding = NO_PADDING) -> Array:
    """Transpose (C, H, W, N) -> (N, C, H, W) without the padding; always a view."""
    (top, bottom), (left, right) = padding
    if padding != NO_PADDING:
        x = x[:, top : x.shape[1] - bottom, left : x.shape[2] - right, :]
    return _namespace(x).permute_dims(x, (3, 0, 1, 2))


def _zeros(like: Array, x_shape: tuple[int, ...], padding: Padding) -> Array:
    """Make a padded batch (C, H, W, N) of zeros, to add gradients into."""
    N, C, H, W = x_shape
    shape = (C, H + sum(padding[0]), W + sum(padding[1]), N)
    return _namespace(like).zeros(shape, dtype=like.dtype)


@lru_cache(maxsize=1024)
def _taps(kernel_size: Pair, stride: Pair, dilation: Pair, out: Pair) -> list[tuple[slice, slice]]:
    """List, tap by tap in row-major order, the strided slices that a tap reads at all output positions."""
    taps = []
    for p in range(kernel_size[0]):
        top = p * dilation[0]
        rows = slice(top, top + stride[0] * (out[0] - 1) + 1, stride[0])
        for q in range(kernel_size[1]):
            left = q * dilation[1]
            taps.append((rows, slice(left, left + stride[1] * (out[1] - 1) + 1, stride[1])))
    return taps


def _columns(x: Array, kernel_size: Pair, stride: Pair, dilation: Pair, groups: int, out: Pair) -> Array:
    """Copy the windows of a contiguous ``x`` (C, H, W, N) into (groups, C/groups kH kW, H_out W_out N)."""
    xp = _namespace(x)
    C, _, _, N = x.shape
    taps = kernel_size[0] * kernel_size[1]
    if isinstance(x, np.ndarray) and x.size:  # all windows as one view of x, copied at once by reshape
        c, h, w, n = x.strides
        strides = (c, h * dilation[0], w * dilation[1], h * stride[0], w * stride[1], n)
        columns = np.ndarray((C, *kernel_size, *out, N), x.dtype, x, strides=strides)
    else:  # the array API knows no strides: tap by tap
        columns = xp.empty((C, taps, *out, N), dtype=x.dtype)
        for k, (rows, across) in enumerate(_taps(kernel_size, stride, dilation, out)):
            columns[:, k, ...] = x[:, rows, across, :]
    return xp.reshape(columns, (groups, C // groups * taps, out[0] * out[1] * N))


def _rows(dy: Array, groups: int) -> Array:
    """Reshape (N, F, H_out, W_out) -> (groups, F/groups, H_out W_out N)."""
    N, F, H, W = dy.shape
    xp = _namespace(dy)
    return xp.reshape(xp.permute_dims(dy, (1, 2, 3, 0)), (groups, F // groups, H * W * N))


def im2col(
    x: Array, kernel_size: int | Pair, stride: int | Pair = 1, padding: int | Pair | Padding = 0
) -> Array:
    """Write the windows of images as the rows of a matrix.

    ``columns[(n H_out + i) W_out + j, (c kH + p) kW + q] = x[n, c, i s_h + p - top, j s_w + q - left]``, zero
    outside the image. With it a convolution is a matrix product:
    ``y = im2col(x, k, stride, padding) @ w.reshape(F, -1).T``, of shape (N H_out W_out, F).

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size : int or (int, int)
        kH and kW.
    stride : int or (int, int)
    padding : int, (int, int) or ((top, bottom), (left, right))

    Returns
    -------
    array (N H_out W_out, C kH kW)
        A row for each position of each image. A window of k x k pixels copies most pixels k^2 times.

    Raises
    ------
    ValueError, TypeError
        If ``x`` is not of rank 4, a size is no positive integer, or no window fits into the padded image.

    See Also
    --------
    col2im : The adjoint.

    Notes
    -----
    The name is MATLAB's: image to columns. Here, and in most programs today, windows are rows. PyTorch's
    ``unfold`` returns ``im2col(x, ...).reshape(N, H_out W_out, -1)`` with the last two axes exchanged.

    Source: K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
    processing", 2006.

    Examples
    --------
    >>> x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    >>> im2col(x, kernel_size=2)
    array([[1., 2., 4., 5.],
           [2., 3., 5., 6.],
           [4., 5., 7., 8.],
           [5., 6., 8., 9.]])
    """
    size, step, around, out = _geometry(x.shape, kernel_size, stride, padding)
    xp = _namespace(x)
    columns = _columns(_batch_last(x, around), size, step, (1, 1), 1, out)
    columns = xp.reshape(
        columns, (columns.shape[1], out[0] * out[1], x.shape[0])
    )  # (C kH kW, H_out W_out, N)
    return xp.reshape(xp.permute_dims(columns, (2, 1, 0)), (-1, columns.shape[0]))


def col2im(
    columns: Array,
    shape: tuple[int, ...],
    kernel_size: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair | Padding = 0,
) -> Array:
    """Add the rows of a matrix to the windows that :func:`im2col` read them from: its adjoint.

    ``x[n, c, u, v]`` is the sum of ``columns[(n H_out + i) W_out + j, (c kH + p) kW + q]`` over all i, p with
    ``i s_h + p - top = u`` and all j, q with ``j s_w + q - left = v``. For every ``x`` and ``a``,
    ``sum(a im2col(x)) = sum(col2im(a) x)``, so this is the backward pass of ``im2col``. It is not its
    inverse: a pixel that k windows read is counted k times.

    Parameters
    ----------
    columns : array (N H_out W_out, C kH kW)
    shape : (N, C, H, W)
        Of the images.
    kernel_size, stride, padding
        As in :func:`im2col`.

    Returns
    -------
    array (N, C, H, W)

    Raises
    ------
    ValueError, TypeError
        If ``columns`` does not have the shape that :func:`im2col` returns for images of this shape.

    See Also
    --------
    im2col : What it is the adjoint of.

    Examples
    --------
    How many windows read each pixel:

    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), kernel_size=2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    size, step, around, out = _geometry(shape, kernel_size, stride, padding)
    N, C = shape[:2]
    positions, taps = out[0] * out[1], size[0] * size[1]
    if tuple(columns.shape) != (N * positions, C * taps):
        raise ValueError(
            f"columns must have the shape {(N * positions, C * taps)} for images of {tuple(shape)}, got "
            f"{tuple(columns.shape)}."
        )
    xp = _namespace(columns)
    columns = xp.permute_dims(xp.reshape(columns, (N, positions, C * taps)), (2, 1, 0))
    return _fold(xp.reshape(columns, (C, taps, *out, N)), tuple(shape), size, step, around, (1, 1))


def _geometry(
    shape: tuple[int, ...], kernel_size: int | Pair, stride: int | Pair, padding: int | Pair | Padding
) -> tuple[Pair, Pair, Padding, Pair]:
    """Return kernel size, stride and padding as pairs, and height and width of the output."""
    if len(shape) != 4:
        raise ValueError(f"images must have the shape (N, C, H, W), got {tuple(shape)}.")
    size, step, around = pair("kernel_size", kernel_size), pair("stride", stride), sides("padding", padding)
    out = output_sizes(tuple(shape), size, step, around)
    if min(out) < 1:
        raise ValueError(
            f"a window of {size} does not fit into images of {tuple(shape)} with padding {padding}."
        )
    return size, step, around, out


def conv2d(
    x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Compute ``y = w columns(x) + b``."""
    xp = _namespace(x)
    F, kernel_size = w.shape[0], w.shape[2:]
    out = output_sizes(x.shape, kernel_size, stride, padding, dilation)
    columns = _columns(_batch_last(x, padding), kernel_size, stride, dilation, groups, out)
    y = xp.reshape(w, (groups, F // groups, columns.shape[1])) @ columns
    if b is not None:
        y += xp.reshape(b, (groups, F // groups, 1))
    return _batch_first(xp.reshape(y, (F, *out, x.shape[0])))


def conv2d_input(
    dy: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Compute ``dx = fold(w^T dy)``; fold, the adjoint of columns, adds each number where it was read."""
    xp = _namespace(dy)
    N, F, *out = dy.shape
    kernel_size = (w.shape[2], w.shape[3])
    taps = kernel_size[0] * kernel_size[1]
    w_rows = xp.reshape(w, (groups, F // groups, w.shape[1] * taps))
    columns = xp.matrix_transpose(w_rows) @ _rows(dy, groups)
    columns = xp.reshape(columns, (x_shape[1], taps, *out, N))
    return _fold(columns, x_shape, kernel_size, stride, padding, dilation)


def _fold(
    columns: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> Array:
    """Add columns (C, kH kW, H_out, W_out, N) to the pixels that :func:`_columns` read them from."""
    dx = _zeros(columns, x_shape, padding)
    out = (columns.shape[2], columns.shape[3])
    for k, (rows, across) in enumerate(_taps(kernel_size, stride, dilation, out)):
        dx[:, rows, across, :] += columns[:, k, ...]
    return _batch_first(dx, padding)


def conv2d_weight(
    x: Array,
    dy: Array,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Compute ``dw = dy columns(x)^T``."""
    xp = _namespace(x)
    out = (dy.shape[2], dy.shape[3])
    kernel_size = (w_shape[2], w_shape[3])
    columns = _columns(_batch_last(x, padding), kernel_size, stride, dilation, groups, out)
    return xp.reshape(_rows(dy, groups) @ xp.matrix_transpose(columns), w_shape)


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[Array, Array]:
    """Take the running maximum over the taps; only a larger value replaces it, so the first maximum wins.

    As in PyTorch, the last NaN wins of a window with any, and a pixel always wins before the padding, also
    where all are minus infinity.
    """
    xp = _namespace(x)
    out = output_sizes(x.shape, kernel_size, stride, padding, dilation)
    padded = _batch_last(x, padding, -float("inf"))
    compares_real_parts = is_complex(x)
    taps = _taps(kernel_size, stride, dilation, out)
    y = padded[:, taps[0][0], taps[0][1], :]
    argmax = xp.zeros(y.shape, dtype=xp.uint8 if len(taps) <= 256 else xp.int32)
    if padding[0][0] or padding[1][0]:  # the first tap of a window may lie in the padding
        down, right = (
            xp.asarray([max(0, -((i * s - before) // d)) for i in range(count)], dtype=argmax.dtype)
            for count, s, (before, _), d in zip(out, stride, padding, dilation, strict=True)
        )
        argmax += (down[:, None] * kernel_size[1] + right[None, :])[:, :, None]
    for k, (rows, across) in enumerate(taps[1:], start=1):
        candidate = padded[:, rows, across, :]
        if compares_real_parts:
            better = (xp.real(candidate) > xp.real(y)) | xp.isnan(candidate)
        else:
            better = candidate > y
        argmax = xp.maximum(argmax, xp.astype(better, argmax.dtype) * k)
        # maximum, unlike where, propagates NaN
        y = xp.where(better, candidate, y) if compares_real_parts else xp.maximum(y, candidate)
    if xp.any(xp.isnan(y)):
        for k, (rows, across) in enumerate(taps):
            last = xp.isnan(padded[:, rows, across, :])
            argmax = xp.where(last, xp.asarray(k, dtype=argmax.dtype), argmax)
    return _batch_first(y), _batch_first(argmax)


def max_pool2d_input(
    dy: Array,
    argmax: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> Array:
    """Add to each tap the ``dy`` of the windows whose maximum it is."""
    xp = _namespace(dy)
    dx = _zeros(dy, x_shape, padding)
    out = (dy.shape[2], dy.shape[3])
    dy, argmax = _batch_last(dy), _batch_last(argmax)
    reaches = (d * (k - 1) + 1 for d, k in zip(dilation, kernel_size, strict=True))
    overlapping = any(reach > s for reach, s in zip(reaches, stride, strict=True))
    for k, (rows, across) in enumerate(_taps(kernel_size, stride, dilation, out)):
        share = dy * xp.astype(argmax == k, dy.dtype)  # ``where`` would give the same in twice the time
        if overlapping:
            dx[:, rows, across, :] += share
        else:
            dx[:, rows, across, :] = share
    return _batch_first(dx, padding)


def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, counts: Counts | None
) -> Array:
    """Sum over the taps, then divide by the count."""
    out = output_sizes(x.shape, kernel_size, stride, padding, dilation)
    padded = _batch_last(x, padding)
    y = _zeros(x, (*x.shape[:2], *out), NO_PADDING)
    for rows, across in _taps(kernel_size, stride, dilation, out):
        y += padded[:, rows, across, :]
    return _batch_first(y / _divisor(x, kernel_size, counts))


def avg_pool2d_input(
    dy: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    counts: Counts | None,
) -> Array:
    """Add to each tap its share of every window."""
    dx = _zeros(dy, x_shape, padding)
    out = (dy.shape[2], dy.shape[3])
    share = _batch_last(dy) / _divisor(dy, kernel_size, counts)
    for rows, across in _taps(kernel_size, stride, dilation, out):
        dx[:, rows, across, :] += share
    return _batch_first(dx, padding)


def _divisor(like: Array, kernel_size: Pair, counts: Counts | None) -> Array:
    """Return the divisor of each window's mean: a number, or an array (H_out, W_out, 1)."""
    if counts is None:
        return kernel_size[0] * kernel_size[1]
    xp = _namespace(like)
    down, across = (xp.asarray(count, dtype=like.dtype) for count in counts)
    return (down[:, None] * across[None, :])[:, :, None]
