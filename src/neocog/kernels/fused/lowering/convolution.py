"""Lower convolutions and their gradients.

A convolution needs no im2col matrix. Its input is padded once; then tap (c, p, q) of output pixel (i, j) lies
at a fixed distance from tap (0, 0, 0), so one table of distances, as long as a kernel, describes all windows.
With a stride s the input is first split into s x s images of every s-th pixel (its phases), in each of which
the windows again advance by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neocog.kernels.fused.lowering import winograd
from neocog.kernels.fused.lowering.copies import bordered, copy, strides
from neocog.kernels.fused.lowering.products import (
    NARROW,
    Seen,
    add_correlation,
    add_product,
    bias_or_zeros,
    packed,
    rows_and_lanes,
    shifted,
)
from neocog.kernels.fused.lowering.windows import ConvolutionWindows
from neocog.kernels.fused.program import (
    NO_BORDER,
    UNBOUNDED,
    Border,
    Bounds,
    Maps,
    Program,
)
from neocog.kernels.fused.simd import VECTOR_BYTES
from neocog.kernels.geometry import Padding, Pair, output_sizes

__all__ = ["Convolution"]

_ALONE, _LOADS = 3.0, 1.2
"""Measured time over that of as many vector operations: of a filter that shares its input with no other; of
depthwise filters with the channels innermost."""


@dataclass(frozen=True)
class Convolution:
    """Lower a convolution of N images (C, H, W), and its gradients, into a program.

    Parameters
    ----------
    program : Program
    x_shape : (N, C, H, W)
    w_shape : (C_out, C / groups, kH, kW)
    stride, padding, dilation, groups
        As in :func:`neocog.kernels.conv2d`.
    channels_last : bool
        Whether the output has the channels innermost; see
        :mod:`~neocog.kernels.fused.lowering.pixels`. Then there is only the forward pass.
    winograd : bool
        Whether Winograd's method may be used.
    """

    program: Program
    x_shape: tuple[int, ...]
    w_shape: tuple[int, ...]
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int = 1
    channels_last: bool = False
    winograd: bool = True

    @property
    def depthwise(self) -> bool:
        """Whether each channel has one filter of its own."""
        return self.groups == self.x_shape[1] == self.w_shape[0]

    @property
    def paired(self) -> bool:
        """Whether, with the channels innermost, pairs of channels are rounded to bfloat16 and multiplied."""
        return self.program.bfloat and not self.depthwise and self.w_shape[1] % 2 == 0

    @property
    def kernel(self) -> Pair:
        """Height and width of a kernel."""
        return self.w_shape[2], self.w_shape[3]

    @property
    def out(self) -> Pair:
        """Height and width of the output."""
        return output_sizes(self.x_shape, self.kernel, self.stride, self.padding, self.dilation)

    def cost(self, channels_last: bool) -> float:
        """Estimate the vector operations of the forward pass, with the channels innermost or outermost."""
        (N, C, H, W), (F, per_group, kh, kw), (rows, columns) = self.x_shape, self.w_shape, self.out
        width = VECTOR_BYTES // self.program.size
        terms = float(per_group * kh * kw)
        if channels_last:
            sums = N * rows * columns * terms
            if self.depthwise:
                return _LOADS * sums * -(-F // width)
            share = 0.5 if self.paired else 1.0
            return share * sums * self.groups * -(-(F // self.groups) // width)
        if self._suits_winograd(self.out) and not self.program.bfloat:
            return self.groups * winograd.cost(self.program, self._shape, N, self.out)
        if columns * N < NARROW and rows > 1:
            vectors = -(-(columns + 2) * N * rows // width)  # as one long row, borders included
        else:
            vectors = rows * -(-columns * N // width)
        copied = N * C * H * W if self.stride != (1, 1) else 0
        return F * terms * vectors * (_ALONE if self.groups == F else 1) + copied

    # Borders

    @property
    def input_border(self) -> Border:
        """Border that the input should have; with a stride it is copied anyway, so none."""
        (top, bottom), (left, right) = self.padding
        if self.channels_last:
            return top, self._reach(0), left, self._reach(1)
        if self.stride != (1, 1):
            return NO_BORDER
        if self.by_winograd:  # whole tiles
            bottom, right = bottom + -self.out[0] % winograd.TILE, right + -self.out[1] % winograd.TILE
        return top, bottom, left, right

    def _reach(self, axis: int) -> int:
        """Return how far windows reach over the end of an axis; less than the padding, with a stride."""
        last = (self.out[axis] - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis]
        return max(0, last - self.padding[axis][0] - self.x_shape[2 + axis] + 1)

    @property
    def tile_border(self) -> Border:
        """Border that dy should have for the gradient in the weights: whole tiles of Winograd's method."""
        if not self.weights_by_winograd:
            return NO_BORDER
        return 0, -self.out[0] % winograd.TILE, 0, -self.out[1] % winograd.TILE

    @property
    def output_border(self) -> Border:
        """Border of zeros that dy should have, so that every pixel of x finds all its outputs."""
        sides = []
        for axis in range(2):
            before, after = 0, 0
            for first, count, taps in self._phases(axis):
                for a in taps if count > 0 else ():
                    lowest = first - a * self.dilation[axis] // self.stride[axis]
                    before = max(before, -lowest)
                    after = max(after, lowest + count - self.out[axis])
            if self.back_by_winograd:
                after += -self.x_shape[2 + axis] % winograd.TILE
            if self.weights_by_winograd:
                after = max(after, -self.out[axis] % winograd.TILE)
            sides += [before, after]
        return sides[0], sides[1], sides[2], sides[3]

    def _phases(self, axis: int) -> list[tuple[int, int, list[int]]]:
        """List for each phase of x's rows (or columns) its first q, its length and its taps.

        Row ``q s + phase - start`` sees output ``q - (tap d) // s`` by that tap.
        """
        size, stride, start = self.x_shape[2 + axis], self.stride[axis], self.padding[axis][0]
        phases = []
        for phase in range(stride):
            first = -((phase - start) // stride) if phase < start else 0
            last = (size - 1 + start - phase) // stride
            taps = [a for a in range(self.kernel[axis]) if a * self.dilation[axis] % stride == phase]
            phases.append((first, last - first + 1, taps))
        return phases

    # Winograd

    @property
    def _shape(self) -> Pair:
        """Filters and channels of a group."""
        return self.w_shape[0] // self.groups, self.w_shape[1]

    @property
    def by_winograd(self) -> bool:
        """Return whether to use Winograd's method: float32, 3 x 3 kernels, many channels and enough tiles."""
        return not self.channels_last and self._suits_winograd(self.out)

    @property
    def winograd_bytes(self) -> int:
        """Bytes by which the transformed kernels exceed the kernels; 0 if they are not transformed."""
        F, per_group = self.w_shape[:2]
        return winograd.growth(self.program, (F, per_group)) * self.by_winograd

    @property
    def back_by_winograd(self) -> bool:
        """Return whether to use it for the gradient in the input."""
        alone = self.groups == 1 and max(*self.padding[0], *self.padding[1]) < winograd.KERNEL
        return alone and self._suits_winograd(self.x_shape[2:])

    @property
    def weights_by_winograd(self) -> bool:
        """Return whether to use it for the gradient in the weights."""
        return self.by_winograd and self.groups == 1

    def _suits_winograd(self, out: tuple[int, ...]) -> bool:
        plain = self.stride == (1, 1) and self.dilation == (1, 1) and self.kernel == (winograd.KERNEL,) * 2
        return self.winograd and plain and winograd.suits(self.program, self._shape, self.x_shape[0], out)

    # Forward

    def windows(self, x: Maps, row: int = 0) -> ConvolutionWindows:
        """Prepare an input: pad it unless it is padded; with a stride, split it into phases.

        ``row``: elements of the output's rows; the rows of the phases are made as long if they are shorter
        (:func:`~neocog.kernels.fused.lowering.products.rows_and_lanes` says why).
        """
        if self.stride != (1, 1):
            return self._split_phases(x, row)
        x = bordered(self.program, x, self.input_border)
        down, across = (np.arange(k) * d for k, d in zip(self.kernel, self.dilation, strict=True))
        memory, origin = x.origin
        start = memory, origin - self.padding[0][0] * x.row - self.padding[1][0] * x.N
        offsets = np.arange(x.C)[:, None, None] * x.plane + down[:, None] * x.row + across * x.N
        return ConvolutionWindows(start, x.row, offsets, x.plane)

    def _split_phases(self, x: Maps, row: int) -> ConvolutionWindows:
        """Split the input into its phases."""
        C, H, W, N = x.shape
        (s, t), ((top, _), (left, _)) = self.stride, self.padding
        down, across = (np.arange(k) * d for k, d in zip(self.kernel, self.dilation, strict=True))
        rows = int((down // s).max()) + self.out[0]
        columns = int((across // t).max()) + self.out[1]
        phases = sorted({(int(a) % s, int(b) % t) for a in down for b in across})
        split = self.program.maps(len(phases) * C, rows, max(columns, row // N), N)
        # Pixel (i, j) of phase (a, b) is pixel (i s + a - top, j t + b - left) of the image.
        places = [
            (
                (max(0, -((a - top) // s)), min(rows, (H - 1 + top - a) // s + 1)),
                (max(0, -((b - left) // t)), min(columns, (W - 1 + left - b) // t + 1)),
            )
            for a, b in phases
        ]
        if any(place != ((0, rows), (0, split.W)) for place in places):
            self.program.clear(split)
        for k, ((a, b), ((i0, i1), (j0, j1))) in enumerate(zip(phases, places, strict=True)):
            if i1 <= i0 or j1 <= j0:
                continue
            source, target = x.origin, split.channels(k * C, C)
            copy(
                self.program,
                shifted(source, (i0 * s + a - top) * x.row + (j0 * t + b - left) * N),
                (x.plane, s * x.row, t * N, 1),
                shifted(target.origin, i0 * target.row + j0 * N),
                (C, i1 - i0, j1 - j0, N),
                strides(target),
            )
        begin = {phase: k * C * split.plane for k, phase in enumerate(phases)}
        taps = [
            [begin[a % s, b % t] + a // s * split.row + b // t * N for b in across.tolist()]
            for a in down.tolist()
        ]
        offsets = np.arange(C)[:, None, None] * split.plane + np.array(taps)
        return ConvolutionWindows(split.origin, split.row, offsets, split.plane)

    def forward(
        self,
        x: ConvolutionWindows,
        weight: Any,
        bias: Any,
        y: Maps,
        bounds: Bounds = UNBOUNDED,
        init: Maps | None = None,
        clean: bool = True,
        gated: int = 0,
    ) -> None:
        """Add ``y = conv(x, weight) + bias + init``, bounded; ``weight`` and ``bias`` are addresses.

        ``clean``: whether the border of y must be zero. ``gated``: the gate by which y is multiplied, if any;
        Winograd's method has none.
        """
        program = self.program
        F, per_group, kh, kw = self.w_shape
        K, filters = per_group * kh * kw, F // self.groups
        if self.by_winograd and init is None:
            for g in range(self.groups):
                part = replace(x, start=shifted(x.start, g * per_group * x.plane))
                begin, out = g * filters, y.channels(g * filters, filters)
                own = shifted(weight, begin * K), shifted(bias, begin)
                winograd.add_winograd(
                    program, part, own[0], (filters, per_group), (K, 9, 0), own[1], out, bounds
                )
            return
        rows, lanes = rows_and_lanes(y, x.row if init is None or init.row == y.row else 0)
        add_product(
            program,
            filters,
            x.offsets[:per_group],
            rows,
            lanes,
            groups=self.groups,
            x_group=per_group * x.plane,
            a=packed(program, weight, F, K, np.arange(K), filters, filters * K),
            x=x.start,
            x_row=x.row,
            y=y,
            bias=bias_or_zeros(program, bias, 0, F),
            bounds=bounds,
            init=init,
            gated=gated,
            seen=Seen(self._seen(0), self._seen(1), y.N),
        )
        if rows < y.H and clean:
            program.frame(y, always=True)

    def _seen(self, axis: int) -> np.ndarray:
        """Return whether each tap of each window sees a pixel, along one axis."""
        window = np.arange(self.out[axis])[:, None] * self.stride[axis] - self.padding[axis][0]
        at = window + np.arange(self.kernel[axis]) * self.dilation[axis]
        return (at >= 0) & (at < self.x_shape[2 + axis])

    # Backward

    def input_gradient(
        self,
        dy: Maps,
        weight: Any,
        dx: Maps,
        adding: bool = False,
        bias: Any = None,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        """Add the gradient in the input, a convolution of dy with the flipped kernel, plus ``bias``."""
        F, per_group = self.w_shape[:2]
        if self.back_by_winograd:
            (top, bottom), (left, right) = self.padding
            reach = winograd.KERNEL - 1
            back: Padding = ((reach - top, reach - bottom), (reach - left, reach - right))
            shape = (dy.N, F, dy.H, dy.W), (per_group, F, winograd.KERNEL, winograd.KERNEL)
            flipped = Convolution(self.program, *shape, (1, 1), back, (1, 1))
            strided = (9, 9 * per_group, 1)
            target = self.program.maps(*dx.shape) if adding else dx
            winograd.add_winograd(
                self.program, flipped.windows(dy), weight, (per_group, F), strided, bias, target, bounds
            )
            if adding:
                copy(self.program, target.origin, strides(target), dx.origin, dx.shape, strides(dx), adding)
            return
        dy = bordered(self.program, dy, self.output_border)
        if not adding and not all(taps for axis in (0, 1) for _, _, taps in self._phases(axis)):
            self.program.clear(dx)  # no tap reaches some pixels
            if bias is not None:
                copy(self.program, bias, (1, 0, 0, 0), dx.origin, dx.shape, strides(dx))
            if bounds != UNBOUNDED:
                limits: dict[str, Any] = {"slope": 1.0, "offset": 0.0, "low": bounds[0], "high": bounds[1]}
                self.program.add("clip", dx.C, x=dx, y=dx, C=dx.C, rows=dx.H, lanes=dx.lanes, **limits)
        for v, (i0, rows, p) in enumerate(self._phases(0)):
            for h, (j0, columns, q) in enumerate(self._phases(1)):
                if rows > 0 and columns > 0 and p and q:
                    places = (v, h), (i0, j0), (rows, columns), (p, q)
                    self._phase_gradient(dy, weight, dx, adding, bias, bounds, *places)

    def _phase_gradient(
        self,
        dy: Maps,
        weight: Any,
        dx: Maps,
        adding: bool,
        bias: Any,
        bounds: Bounds,
        phase: Pair,
        first: Pair,
        size: Pair,
        taps: tuple[list[int], list[int]],
    ) -> None:
        """Add the gradient in the pixels of one phase; with a stride of 1 there is only one."""
        program, (s, t), N = self.program, self.stride, dx.N
        F, per_group, kh, kw = self.w_shape
        filters, whole = F // self.groups, self.stride == (1, 1)
        f, a, b = np.arange(filters)[:, None, None], np.array(taps[0])[:, None], np.array(taps[1])
        i, j = first[0] - a * self.dilation[0] // s, first[1] - b * self.dilation[1] // t
        target = dx if whole else program.maps(dx.C, *size, N)
        rows, lanes = rows_and_lanes(target, dy.row)
        weights = f * per_group * kh * kw + a * kw + b
        rows_seen, columns_seen = (
            (n[:, None] >= -at.ravel()) & (n[:, None] < length - at.ravel())
            for n, at, length in ((np.arange(size[0]), i, dy.H), (np.arange(size[1]), j, dy.W))
        )
        add_product(
            program,
            per_group,
            f * dy.plane + i * dy.row + j * N,
            rows,
            lanes,
            groups=self.groups,
            x_group=filters * dy.plane,
            a=packed(program, weight, dx.C, kh * kw, weights, per_group, filters * per_group * kh * kw),
            x=dy,
            y=target,
            bias=bias_or_zeros(program, bias, 0, dx.C),
            bounds=bounds,
            init=target if adding and whole else None,
            seen=Seen(rows_seen, columns_seen, N),
        )
        if rows < target.H:
            program.frame(target, always=True)
        if not whole:
            down = first[0] * s + phase[0] - self.padding[0][0]
            across = first[1] * t + phase[1] - self.padding[1][0]
            place = shifted(dx.origin, down * dx.row + across * N)
            spread = (dx.plane, s * dx.row, t * N, 1)
            copy(program, target.origin, strides(target), place, target.shape, spread, adding)

    def weight_gradient(self, x: ConvolutionWindows, dy: Maps, d_weight: Any) -> None:
        """Add the gradient in the weights: the windows of x, each weighted by its dy, summed."""
        if self.weights_by_winograd:
            winograd.add_winograd_weights(self.program, x, dy, d_weight, self._shape)
            return
        F, per_group = self.w_shape[:2]
        filters = F // self.groups
        add_correlation(
            self.program,
            np.arange(filters) * dy.plane,
            x.offsets[:per_group],
            *rows_and_lanes(dy, x.row),  # the border of dy is zero
            groups=self.groups,
            a_group=filters * dy.plane,
            x_group=per_group * x.plane,
            a=dy,
            x=x.start,
            x_row=x.row,
            y=d_weight,
        )
