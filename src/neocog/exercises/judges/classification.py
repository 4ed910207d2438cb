"""Judge softmax and cross-entropy, forward and backward, and what is measured about predictions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges import formulas
from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws
from neocog.exercises.judges.formulas import complex_step

ROWS = {
    "one image": (1, 3),
    "several images": (4, 3),
    "logits around 1000": (2, 4),
    "images with logits around 0 and 2000": (2, 3),
    "float32": (3, 4),
}


def logits(seed: int, count: int = 6) -> Iterator[tuple[Draw, Array, Array]]:
    """Yield draw, logits (N, K) and classes (N,)."""
    label = "{0} images, {1} classes"
    for draw in draws(seed, ROWS, lambda rng: (rng.integers(1, 6), rng.integers(2, 6)), label, count):
        z = draw.normal(*draw.sizes) * draw.dtype(1000 if "1000" in draw.label else 1)
        if "2000" in draw.label:  # where it is not enough to subtract the largest logit of all images
            z[1] += 2000
        yield draw, z, draw.rng.integers(0, z.shape[1], len(z))


@judge("softmax(z) -> p[nk]")
def softmax(seed: int) -> Iterator[Case]:
    """Judge ``softmax(z) -> p``: logits (N, K), around 1000 too, to probabilities of each row."""
    for draw, z, _ in logits(seed):
        p, z = formulas.softmax(z.astype(float)), z
        small = z - z.max(axis=1, keepdims=True)
        mistakes = {
            "the columns add up to 1, not the rows: sum over the classes, axis=1": formulas.softmax(
                z, axis=0
            ),
            "all numbers together add up to 1: sum over each image's classes, axis=1, keepdims=True": np.exp(
                z - z.max()
            )
            / np.exp(z - z.max()).sum(),
            "p is the logarithm of the probabilities": small
            - np.log(np.exp(small).sum(axis=1, keepdims=True)),
        }
        yield draw.case((z,), p, mistakes=mistakes)


@judge("softmax_backward(dy, p) -> dz[nk]")
def softmax_backward(seed: int) -> Iterator[Case]:
    """Judge ``softmax_backward(dy, p) -> dz``, from the probabilities p (N, K) of each row."""
    simple = {"one image": (1, 3), "several images": (4, 3), "float32": (3, 4)}
    label = "{0} images, {1} classes"
    for draw in draws(seed, simple, lambda rng: (rng.integers(1, 6), rng.integers(2, 6)), label):
        z, dy = draw.normal(*draw.sizes), draw.normal(*draw.sizes)
        p = formulas.softmax(z)
        mistakes = {
            "each p is differentiated by its own logit only: it depends on all logits of its row": dy
            * p
            * (1 - p),
            "the sum is over all images: each row has its own, axis=1, keepdims=True": p
            * (dy - (dy * p).sum()),
            "the sum is over the images: it must be over the classes, axis=1": p
            * (dy - (dy * p).sum(axis=0, keepdims=True)),
            "the mean of dy is subtracted: it must be the mean weighted by p, sum(dy p)": p
            * (dy - dy.mean(axis=1, keepdims=True)),
            "the factor p before the bracket is missing": dy - (dy * p).sum(axis=1, keepdims=True),
        }
        yield draw.case((dy, p), complex_step(formulas.softmax, (z,), dy)[0], mistakes=mistakes)


@judge("cross_entropy(p, t) -> loss[]")
def cross_entropy(seed: int) -> Iterator[Case]:
    """Judge ``cross_entropy(p, t) -> float``: the mean of ``-log p[n, t[n]]``; p (N, K), classes t (N,)."""
    simple = {"one image": (1, 3), "several images": (4, 3)}
    label = "{0} images, {1} classes"
    for draw in draws(seed, simple, lambda rng: (rng.integers(1, 6), rng.integers(2, 6)), label):
        n, classes = draw.sizes
        p = formulas.softmax(draw.normal(n, classes))
        t = draw.rng.integers(0, classes, n)
        picked = p[np.arange(n), t].astype(float)
        loss = -np.log(picked)
        mistakes = {
            "the losses are added up: take their mean over the images": loss.sum(),
            "the sign is wrong: the logarithm of a probability is negative, a loss is not": -loss.mean(),
            "the logarithm is to the base 2": loss.mean() / math.log(2),
            "the logarithm is to the base 10": loss.mean() / math.log(10),
            "it is the logarithm of the mean: take the mean of the logarithms": -np.log(picked.mean()),
            "the losses are divided by the number of classes, too": loss.mean() / classes,
        }
        yield draw.case((p, t), float(loss.mean()), mistakes=mistakes)


@judge("softmax_cross_entropy(z, t) -> loss[], dz[nk]")
def softmax_cross_entropy(seed: int) -> Iterator[Case]:
    """Judge ``softmax_cross_entropy(z, t) -> (loss, dz)``: the mean over the images, and its derivative."""
    for draw, z, t in logits(seed):

        def loss(z: Array, t: Array = t) -> Any:
            return formulas.cross_entropy(z, t)

        exact, n = z.astype(float), len(t)
        (dz,) = complex_step(loss, (exact,), 1.0)
        mistakes = {
            "the loss is a sum over the images: take the mean": (loss(exact) * n, None),
            "the sign of the loss is wrong": (-loss(exact), None),
            "dz is not divided by the number of images, but the loss is a mean": (None, dz * n),
            "dz is the probabilities: subtract 1 at the true class": (None, formulas.softmax(exact)),
        }
        yield draw.case((z, t), float(loss(exact)), dz, mistakes=mistakes)


def labels(seed: int) -> Iterator[tuple[Draw, Array, Array, int]]:
    """Yield draw, true and predicted classes (N,), and the number of classes."""
    simple = {"one image": (1, 3), "several images": (6, 3), "a class without images": (4, 7)}
    label = "{0} images, {1} classes"
    for draw in draws(seed, simple, lambda rng: (rng.integers(1, 12), rng.integers(2, 6)), label):
        n, classes = draw.sizes
        t = draw.rng.integers(0, classes, n)
        yield draw, t, np.where(draw.rng.random(n) < 0.5, t, draw.rng.integers(0, classes, n)), classes


@judge("one_hot(t, classes) -> y[nk]")
def one_hot(seed: int) -> Iterator[Case]:
    """Judge ``one_hot(t, classes) -> y``: classes (N,) -> (N, classes) of zeros and a one; any dtype."""
    for draw, t, _, classes in labels(seed):
        yield draw.case((t, classes), (t[:, None] == np.arange(classes)).astype(int))


@judge("accuracy(z, t) -> accuracy[]")
def accuracy(seed: int) -> Iterator[Case]:
    """Judge ``accuracy(z, t) -> float``: the fraction of rows of z (N, K) with their largest at t (N,)."""
    for draw, t, _, classes in labels(seed):
        z = draw.normal(len(t), classes)
        z[np.arange(len(t)), t] += 1
        hits = z.argmax(axis=1) == t
        mistakes = {
            "it is a number of images: divide by how many there are": hits.sum(),
            "it is a percentage: return a fraction of 1": 100 * hits.mean(),
            "it is the fraction of errors": 1 - hits.mean(),
        }
        yield draw.case((z, t), float(hits.mean()), mistakes=mistakes)


@judge("confusion_matrix(t, p, classes) -> matrix[tp]")
def confusion_matrix(seed: int) -> Iterator[Case]:
    """Judge ``confusion_matrix(t, p, classes) -> matrix``: the number of images by true and predicted class.

    t and p are arrays of classes (N,), true (rows) and predicted (columns).
    """
    for draw, t, p, classes in labels(seed):
        matrix = np.zeros((classes, classes), int)
        np.add.at(matrix, (t, p), 1)
        mistakes = {
            "rows and columns are exchanged: a row belongs to a true class": matrix.T,
            "each pair is counted once: matrix[t, p] += 1 adds one however often a pair occurs": np.minimum(
                matrix, 1
            ),
            "the rows are divided by their sums: count images": matrix
            / np.maximum(matrix.sum(axis=1, keepdims=True), 1),
        }
        yield draw.case((t, p, classes), matrix, mistakes=mistakes)


@judge("wilson_interval(successes, n, z) -> low[], high[]")
def wilson_interval(seed: int) -> Iterator[Case]:
    """Judge ``wilson_interval(successes, n, z=1.96) -> (low, high)``, Wilson's interval of a fraction."""
    simple: dict[str, tuple[Any, ...]] = {
        "30 of 40": (30, 40, 1.96),
        "437 of 450": (437, 450, 1.96),
        "0 of 20": (0, 20, 1.96),
        "20 of 20": (20, 20, 1.96),
        "z = 1": (30, 40, 1.0),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        n = int(rng.integers(1, 500))
        return int(rng.integers(0, n + 1)), n, float(rng.choice([1.0, 1.645, 1.96, 2.576]))

    for draw in draws(seed, simple, sizes, "{0} of {1}, z = {2}", 8):
        s, n, z = draw.sizes
        p = s / n

        def interval(centre: float, half: float) -> tuple[float, float]:
            return centre - half, centre + half

        scale = 1 + z * z / n
        half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = interval((p + z * z / (2 * n)) / scale, half)
        mistakes = {
            "it is p +- z sqrt(p (1 - p) / n), Wald's interval": interval(p, z * math.sqrt(p * (1 - p) / n)),
            "the middle is p: Wilson's interval lies around (p + z^2 / 2n) / (1 + z^2 / n)": interval(
                p, half
            ),
            "the numbers are percentages: return fractions": (100 * low, 100 * high),
            "the numbers are counts of n: return fractions": (n * low, n * high),
        }
        arguments = (s, n) if z == 1.96 and draw.seed is None and s == 30 else (s, n, z)
        case = draw.case(arguments, low, high, mistakes=mistakes)
        yield dataclasses.replace(case, tolerance=1e-6)
