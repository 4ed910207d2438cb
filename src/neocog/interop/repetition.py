"""Repeat arrays along axes of size 1, by layers that repeat the pixels of maps."""

from __future__ import annotations

from itertools import takewhile
from math import prod

from neocog.layers import Layer, Reshape, Upsample
from neocog.layers.base import Shape


def repetition(own: Shape, wanted: Shape) -> tuple[Layer, ...]:
    """Return layers that repeat an array along axes of size 1 to a shape of as many axes, without the batch.

    Axes that follow each other are repeated as those of a map.
    """
    if own == wanted:
        return ()
    start = next(k for k, size in enumerate(own) if size != wanted[k])
    end = start + sum(1 for _ in takewhile(lambda size: size == 1, own[start:]))
    shape = own[:start] + wanted[start:end] + own[end:]
    before, after = prod(own[:start]), prod(own[end:])
    last = end - 1 if after == 1 else end
    rows, columns = prod(wanted[start:last]), prod(wanted[last:end]) * after
    layers = (Reshape((0, before, 1, after)), Upsample(size=(rows, columns)), Reshape((0, *shape)))
    needless = own == (before, 1, after), shape == (before, rows, columns)
    return layers[needless[0] : 3 - needless[1]] + repetition(shape, wanted)
