"""Exercises of chapter 9: explanations."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import attributions
from neocog.inspection import Inquiry, integrated_gradients, trace
from neocog.layers import Dense, Flatten, ReLU, Sequential
from neocog.models import digits_cnn


def terms_of_conv2() -> int:
    """Count the terms of a number of conv2, in the middle of the map, for an image without zeros."""
    x = np.random.default_rng(0).uniform(0.5, 1, size=(1, 1, 8, 8))
    inquiry = Inquiry(trace(digits_cnn(seed=0, dtype="float64"), x))
    return len(inquiry.ask("conv2", (0, 0, 1, 1)).terms)


exercise(
    "9.1",
    1,
    "A number of `conv2` in the digits' network lies in the middle of its map. Of how many terms is it the "
    "sum, counting the bias?",
    answer=terms_of_conv2,
    hint="how many numbers of the layer before it does one position of the kernel cover?",
    solution="Eight maps times 3 x 3, and a bias. At the border some of the terms are products with padding, "
    "and are zero.",
)

exercise(
    "9.2",
    1,
    "Three logits are (2, 1, 0). All three rise by 5. By how much does the probability of the first class "
    "change?",
    answer=lambda: 0.0,
    hint="write softmax, and take a common factor out.",
    solution="Each exponential is multiplied by $e^5$, numerator and denominator alike. Only differences of "
    "logits count, so an explanation of a decision explains a difference.",
)


def two_terms() -> float:
    """Compute the difference of the logits of exercise 9.3."""
    h, w, b = np.array([2.0, 0.0, 1.0]), np.array([[1.0, 2], [5, -5], [-1, 1]]), np.array([0.5, 0])
    z = h @ w + b
    return float(z[1] - z[0])


exercise(
    "9.3",
    2,
    "Before the last dense layer stands h = (2, 0, 1); its weights are w = [[1, 2], [5, -5], [-1, 1]] (one "
    "row for each h) and b = (0.5, 0). By how much does class 1 lead class 0? Which h speaks loudest?",
    answer=two_terms,
    hint="subtract the columns first.",
    solution="The terms are 2 (2 - 1) = 2, 0 (-5 - 5) = 0 and 1 (1 + 1) = 2, the biases give -0.5. The first "
    "and the third speak equally; the middle one has by far the largest weights and says nothing, since its "
    "h is 0. A weight alone explains nothing.",
)


def relu_share() -> float:
    """Compute the integrated gradient of exercise 9.4 with the library."""
    network = Sequential(Flatten(), Dense(1, 1, dtype="float64"), ReLU())
    network.params["1.weight"][:], network.params["1.bias"][:] = 1.0, -1.0
    return float(integrated_gradients(network, np.full((1, 1, 1, 1), 2.0), 0, steps=100)[0, 0, 0, 0])


exercise(
    "9.4",
    2,
    "A network of one pixel is $z = \\max(0, x - 1)$. At $x = 2$, with the baseline $x^0 = 0$: what is the "
    "integrated gradient? And what does gradient times input give? (Answer the first.)",
    answer=relu_share,
    hint="for which part of the way is the slope 0, and for which 1?",
    solution="Half of the way the ReLU is closed: $2 \\cdot \\tfrac12 = 1 = z(2) - z(0)$, as completeness "
    "demands. Gradient times input gives 2: it counts the slope at the end as if it had been there all the "
    "way.",
)

exercise(
    "9.5",
    2,
    "The same network at $x = 0.5$: its saliency is 0. Does the pixel not matter? Say in one sentence what "
    "saliency has measured, and name a method that answers better.",
    hint="saliency looks at a neighbourhood only.",
    solution="A small change of the pixel changes nothing, that is all that a slope can say; a change by 1 "
    "would. The function is *saturated*: integrated gradients from a baseline of 2, or a change of the pixel "
    "itself, would show that it matters.",
)


def contributions(h: Any, w: Any, b: Any, s: int, t: int) -> Any:
    """Return the terms of z_s - z_t, and what the biases add."""
    return h * (w[:, s] - w[:, t]), b[s] - b[t]


exercise(
    "9.6",
    3,
    "Write `contributions(h, w, b, s, t)`, which returns the terms of $z_s - z_t$, one for each entry of "
    "`h`, and what the biases add; `w` has the shape (in, classes). Use it for another mistake of the "
    "network.",
    program=contributions,
    judge=attributions.contributions,
    solution="The sum of both parts is the difference of the logits, whatever the network before them.",
)


def my_integrated_gradients(gradient: Any, x: Any, baseline: Any, steps: int) -> Any:
    """Add up the gradients at the middles of equal steps."""
    total = np.zeros_like(x)
    for s in (np.arange(steps) + 0.5) / steps:
        total += gradient(baseline + s * (x - baseline))
    return (x - baseline) * total / steps


exercise(
    "9.7",
    3,
    "Paper is one baseline of many. Extend the program of this chapter to any: write "
    "`integrated_gradients(gradient, x, baseline, steps)` for one image; `gradient(x)` returns the "
    "derivative of the logit with respect to the image.",
    program=my_integrated_gradients,
    judge=attributions.integrated_gradients,
    solution="Where the gradient is smooth, the error falls with the square of the number of steps if their "
    "middles are taken, and only in proportion with their ends. Where a ReLU makes the gradient jump, it "
    "falls in proportion with both.",
)


def my_occlusion(logit: Any, x: Any, patch: int) -> Any:
    """Cover each patch with zeros and measure what the logit loses."""
    before = logit(x)
    losses = np.zeros((x.shape[0] - patch + 1, x.shape[1] - patch + 1))
    for i, j in np.ndindex(losses.shape):
        covered = x.copy()
        covered[i : i + patch, j : j + patch] = 0
        losses[i, j] = before - logit(covered)
    return losses


exercise(
    "9.8",
    3,
    "Write `occlusion(logit, x, patch)` for an image `x` (H, W): what the logit loses if a patch of zeros "
    "covers the picture, for every position of the patch. `logit(x)` returns a number.",
    program=my_occlusion,
    judge=attributions.occlusion,
    solution="A copy each time, and positive where covering the patch lowers the logit.",
)


def my_grad_cam(maps: Any, gradients: Any) -> Any:
    """Weight each map with the mean of its gradient, and keep what is positive."""
    return np.maximum(np.einsum("f,fij->ij", gradients.mean(axis=(1, 2)), maps), 0)


exercise(
    "9.9",
    3,
    "Write `grad_cam(maps, gradients)`: the heat map of one image from the maps (F, H, W) of a convolution "
    "and the derivative of the logit with respect to them.",
    program=my_grad_cam,
    judge=attributions.grad_cam,
    solution="The mean comes before the product. For a network that ends in a global mean of its maps and "
    "one dense layer the weights are that layer's, divided by H W.",
)

exercise(
    "9.10",
    4,
    "Integrated gradients need a baseline. Repeat the erasing test of this chapter with other ones: ink "
    "instead of paper, the mean of all training pictures, a random picture. Which ranks pixels best, and is "
    "the test itself fair to all of them?",
    solution="Erasing means setting to paper, so a baseline of paper is measured by its own definition: it "
    "has an advantage. Replace the erased pixels by the mean picture as well, and compare again over ten "
    "networks.",
)
