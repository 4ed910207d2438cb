"""Exercises of chapter 11: speed."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import speed
from neocog.initializers import zeros
from neocog.layers import Conv2D, Dense

exercise(
    "11.1",
    1,
    "A dense layer 4096 -> 1000 is used on one image. How many operations does it do for each of its weights "
    "(a multiplication and an addition are two)?",
    answer=lambda: round(Dense(4096, 1000, init=zeros).flops((1, 4096)) / (4096 * 1000)),
    hint="how often is each weight used?",
    solution="Each weight is multiplied once and added once. Four bytes are read for two operations: such a "
    "layer waits "
    "for memory, and a batch is the only remedy.",
)

exercise(
    "11.2",
    2,
    "A core does 250 billion operations a second and reads 15 billion bytes a second. How many images must "
    "a batch have, at "
    "least, before that dense layer (float32) is no longer bound by reading its weights?",
    answer=lambda: int(np.ceil(4 / (2 / (250e9 / 15e9)))),
    hint="N images do 2 N operations for each weight of four bytes.",
    solution="2 N / 4 operations per byte must reach 250 / 15 = 16.7: N = 33.3, so 34.",
)

exercise(
    "11.3",
    1,
    "How many operations does a 3 x 3 convolution with 64 channels in and out do on a 56 x 56 map with "
    "padding 1, without its "
    "bias?",
    answer=lambda: Conv2D(64, 64, 3, padding=1, bias=False, init=zeros).flops((1, 64, 56, 56)),
    hint="two operations for each weight at each position.",
    solution="2 x 64 x 64 x 9 x 56 x 56, 231 million: at 250 billion a second just under a millisecond.",
)

exercise(
    "11.4",
    2,
    "Winograd's F(4 x 4, 3 x 3) makes a tile of 4 x 4 outputs with 36 multiplications. How many does F(2 x "
    "2, 3 x 3) need for "
    "2 x 2 outputs, and how many the plain sum? (Answer as a pair.)",
    answer=lambda: ((2 + 3 - 1) ** 2, 2 * 2 * 3 * 3),
    hint="in one dimension, m outputs of r taps need m + r - 1.",
    solution="(m + r - 1)^2 = 16 against m^2 r^2 = 36: a saving of 2.25, where 4 x 4 tiles save 4. Larger "
    "tiles save more and "
    "lose more precision.",
)

exercise(
    "11.5",
    2,
    "The register tile has 8 filters times 48 pixels, float32, in vector registers of 16 numbers. How many "
    "of the machine's 32 "
    "registers hold the tile?",
    answer=lambda: 8 * 48 // 16,
    hint="count the numbers first.",
    solution="24, and eight remain for the pixels (three) and the weights. A larger tile would reuse more "
    "and no longer fit.",
)


def my_winograd(d: Any, g: Any) -> Any:
    """Compute two outputs of a kernel of three by four multiplications."""
    m1 = (d[0] - d[2]) * g[0]
    m2 = (d[1] + d[2]) * ((g[0] + g[1] + g[2]) / 2)
    m3 = (d[2] - d[1]) * ((g[0] - g[1] + g[2]) / 2)
    m4 = (d[1] - d[3]) * g[2]
    return m1 + m2 + m3, m2 - m3 - m4


exercise(
    "11.6",
    3,
    "Write `winograd(d, g)`, which returns the two numbers `d[0] g[0] + d[1] g[1] + d[2] g[2]` and `d[1] "
    "g[0] + d[2] g[1] + d[3] "
    "g[2]` with four multiplications of inputs. Divisions by 2 are free. (Your multiplications are counted.)",
    program=my_winograd,
    judge=speed.winograd,
    solution="The sums of g are made once for a kernel and used for all tiles.",
)


def my_offsets(C: int, H: int, W: int, k: int) -> Any:
    """List the addresses of a window's taps relative to its first."""
    return np.array([(c * H + p) * W + q for c in range(C) for p in range(k) for q in range(k)])


exercise(
    "11.7",
    3,
    "Write `offsets(C, H, W, k)`: the addresses of the taps of a k x k window relative to its first, in a "
    "flat image (C, H, W), "
    "channel by channel, row by row.",
    program=my_offsets,
    judge=speed.offsets,
    solution="Row p of channel c begins at (c H + p) W. The table is the same wherever the window stands.",
)


def my_fold(w: Any, b: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float) -> Any:
    """Fold batch norm into the convolution before it."""
    scale = gamma / np.sqrt(var + eps)
    return w * scale[:, None, None, None], (b - mean) * scale + beta


exercise(
    "11.8",
    3,
    "Write `fold(w, b, gamma, beta, mean, var, eps)`, which returns the kernels and biases of a single "
    "convolution that does what "
    "the convolution (w, b) and the batch norm after it do in evaluation.",
    program=my_fold,
    judge=speed.fold,
    solution="$\\gamma (w * x + b - \\mu)/\\sqrt{v + \\epsilon} + \\beta$ is again a convolution plus a "
    "bias. In training it is not: "
    "mean and variance then depend on the batch.",
)

exercise(
    "11.9",
    4,
    "Time the digits' network with the kernels `reference`, `im2col` and `fused`, for batches of 1, 16 and "
    "256, and write down the "
    "floor of each. Where is the gap largest, and what fills it?",
    solution="For a batch of one the calls dominate: no kernel is near the floor. For 256 images the matrix "
    "of `im2col` leaves the "
    "cache, and `fused` gains most.",
)
