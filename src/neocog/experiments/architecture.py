"""Study changes to TinyCNN's layers, one at a time."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from neocog.data import Split
from neocog.experiments.protocol import Lines, Trained, after, chain, dead_units, histories, replaced
from neocog.experiments.study import Outcome, TableRow, listed, percent, study
from neocog.layers import AvgPool2D, Conv2D, Dense, Flatten, Layer, ReLU, Sequential, Sigmoid, Tanh


def affine_error(network: Sequential, images: Any) -> float:
    """Measure how far a network is from affine: 0 (up to rounding) if ``f(a) + f(b) = f(a + b) + f(0)``.

    The largest difference, relative to the largest output.
    """
    a, b = np.asarray(images), np.asarray(images)[::-1]
    left, right = network(a) + network(b), network(a + b) + network(np.zeros_like(a[:1]))
    return float(np.abs(left - right).max() / np.abs(right).max())


def _verdicts(rows: list[dict[str, Any]]) -> str:
    return listed([f"{row['network']} {percent(row['val_accuracy'])}" for row in rows])


def _affine(rows: list[dict[str, Any]]) -> str:
    """Name the rows that are affine up to rounding."""
    names = [row["network"] for row in rows if row["affine_error"] < 1e-9]
    return f"affine {'are' if len(names) > 1 else 'is'} {listed(names)}" if names else "none is affine"


@study(
    "no-relu",
    question="What happens without the ReLU?",
    answer="Nothing bad: in ten of ten runs the network still learns everything, and as fast. It is "
    "not linear either.",
    explanation="It is often said that a network without ReLU is linear. Not this one: max pooling is not "
    "linear. Only with average pooling as well does the whole network become one affine map, "
    "which could not learn even XOR; these patterns it classifies without an error, because "
    "they are linearly separable. The ReLU earns its place in deep networks and on harder "
    "data, not here.",
    exercise=True,
)
def no_relu(
    repetition: int = 0, patterns: str = "a", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN with and without the ReLU, and without any nonlinearity."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    return _compare(
        protocol,
        {
            "with ReLU": protocol.cnn(),
            "without ReLU": replaced(protocol.cnn(), relu1=None),
            "average pooling without ReLU": replaced(protocol.cnn(), relu1=None, pool1=AvgPool2D(2)),
        },
    )


@study(
    "average-pooling",
    question="What if the pooling takes the mean instead of the maximum?",
    answer="It learns everything too, only later: 100 % after 17.9 epochs on average (11 to 28) "
    "against 11.0 (5 to 23), later in 9 of 10 runs. Without the ReLU it is affine and still "
    "gets 100 % in all.",
    explanation="The maximum keeps the strongest response of a window, the mean dilutes it with its "
    "neighbours, so a thin line gives a weaker signal. Backward, every place of a window gets "
    "dx = dy / (size * size); in max pooling the place of the maximum gets all of dy. Average "
    "pooling is linear: without ReLU the network is one affine map of 64 pixels, like the "
    "single dense layer in the last row, but with fewer parameters because its kernels are "
    "shared.",
    measure="first_at_100",
    exercise=True,
)
def average_pooling(
    repetition: int = 0, patterns: str = "a", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN with max and average pooling, without ReLU, and a lone dense layer."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    dense = Dense(64, 3, rng=protocol.seed, dtype="float64")
    return _compare(
        protocol,
        {
            "max pooling": protocol.cnn(),
            "average pooling": replaced(protocol.cnn(), pool1=AvgPool2D(2)),
            "average pooling without ReLU": replaced(protocol.cnn(), relu1=None, pool1=AvgPool2D(2)),
            "one dense layer": chain(protocol.cnn(), {"flatten": Flatten(), "dense": dense}),
        },
    )


def _compare(protocol: Lines, networks: dict[str, Sequential]) -> Outcome:
    data = protocol.data()
    trained = [protocol.train(name, network, data) for name, network in networks.items()]
    rows = [one.row(affine_error=affine_error(one.network, data.train[0])) for one in trained]
    finding = (
        f"Validation accuracy: {_verdicts(rows)}; of these {_affine(rows)} (the first departs from an "
        f"affine map by up to {percent(rows[0]['affine_error'])} of its largest output)."
    )
    return Outcome(rows, finding, {"histories": histories(trained)})


@study(
    "two-convolutions",
    question="Do two convolutions (1->3->6) do better than one?",
    answer="Not in accuracy: both classify everything correctly in ten of ten runs. The deeper one "
    "is surer: a validation loss of 0.0013 against 0.0080 on average, lower in all ten, for "
    "273 parameters against 114.",
    explanation="The second convolution sees 5 x 5 pixels through the first and can combine its "
    "responses, so it could learn corners or crossings. These patterns do not need that: "
    "accuracy was already at its limit. Without a ReLU between the two a second convolution "
    "would add nothing, because two convolutions in a row are one with a larger kernel.",
    measure="val_loss",
    exercise=True,
)
def two_convolutions(
    repetition: int = 0, patterns: str = "a", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN with a second convolution after the ReLU; weights from seed, seed + 1, seed + 2."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    data, one = protocol.data(), protocol.cnn()
    conv2 = Conv2D(3, 6, 3, rng=protocol.seed + 1, dtype="float64")
    dense = Dense(24, 3, rng=protocol.seed + 2, dtype="float64")
    two = chain(
        one,
        {
            "conv1": protocol.cnn()["conv1"],
            "relu1": ReLU(),
            "conv2": conv2,
            "relu2": ReLU(),
            "pool2": one["pool1"],
            "flatten": Flatten(),
            "dense": dense,
        },
    )
    trained = [protocol.train("1->3", one, data), protocol.train("1->3->6", two, data)]
    rows = [each.row() for each in trained]
    shallow, deep = rows
    finding = (
        f"One convolution ({shallow['parameters']} parameters) classifies {percent(shallow['val_accuracy'])} "
        f"correctly at a validation loss of {shallow['val_loss']:.4f}, two ({deep['parameters']}) "
        f"{percent(deep['val_accuracy'])} at {deep['val_loss']:.4f}."
    )
    return Outcome(rows, finding, {"histories": histories(trained)})


@study(
    "kernel-size",
    question="How large must the kernels be: 2x2, 3x3 or 5x5?",
    answer="All three classify everything correctly in ten of ten runs. The largest learn fastest: first "
    "100 % after 19.2, 14.0 and 6.2 epochs on average, 5x5 before 2x2 in 9 of 10 runs, 3x3 "
    "before 2x2 in 6.",
    explanation="A larger kernel has more weights but leaves a smaller map: 5x5 kernels leave 4x4, pooled "
    "to 2x2, so the head shrinks from 27 to 12 inputs and the whole network has 117 "
    "parameters against 114. In 4 of 10 runs, the textbook's among them, one of the three 2x2 "
    "filters is dead from the start: all its four weights were drawn negative, and an image "
    "has no negative numbers, so its response is never above zero, whatever the image. "
    "Without a gradient it stays as it was drawn, its bias at 0; the other two suffice. One "
    "in sixteen 2x2 filters is drawn like that, of 3x3 filters one in 512: a larger kernel "
    "seldom starts dead. The textbook's living 2x2 filters are a vertical edge (0) and a sum "
    "of ink (2); of its 5x5 filters only one (1) looks like a line.",
    measure="first_at_100",
    exercise=True,
)
def kernel_size(
    repetition: int = 0,
    patterns: str = "b",
    kernel_sizes: tuple[int, ...] = (2, 3, 5),
    epochs: int = 80,
    lr: float = 0.12,
    batch_size: int = 18,
) -> Outcome:
    """Train TinyCNN with other kernels."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    networks = {f"{k}x{k}": protocol.cnn(kernel_size=k) for k in kernel_sizes}
    return _sweep(protocol, networks, "kernel_size", kernel_sizes, "kernels")


def _by_width(tables: list[list[TableRow]]) -> str:
    """Say, width by width, in how many runs the CNN and the MLP were perfect."""
    cnn = _perfect(tables, "val_accuracy", "filter")
    mlp = _perfect(tables, "mlp_accuracy", "hidden unit")
    return f"all validation images are classified correctly with {cnn}; by MLPs with {mlp}."


def _perfect(tables: list[list[TableRow]], column: str, unit: str) -> str:
    """Say for which widths a column is 1 in how many runs; neighbours with the same count are joined."""
    widths = [row["filters"] for row in tables[0]]
    counts = [sum(table[i][column] == 1.0 for table in tables) for i in range(len(widths))]
    parts = []
    for count, group in groupby(range(len(widths)), key=counts.__getitem__):
        which = [widths[i] for i in group]
        words = str(which[0]) if len(which) == 1 else f"{which[0]} to {which[-1]}"
        parts.append(f"{words} {unit}{'s' * (which[-1] > 1)} in {count}")
    return f"{listed(parts)} runs"


@study(
    "filter-count",
    question="How many filters does TinyCNN need?",
    answer="Two are enough in ten of ten runs; a single one in six, the textbook's seed on patterns "
    "B among them. From two on the CNN is less sensitive to its width than an MLP, at one "
    "more.",
    explanation="One filter responds to the patterns at nine places, and the head may read place as well "
    "as strength, so one filter can carry several classes; but if it starts badly or dies "
    "there is no other. Beyond what is needed, more filters bring little but parameters: 37 "
    "each. Of MLPs, two hidden units fail in 3 of 10 runs and three in one; four or more "
    "always do. But a single hidden unit does in 8 of 10 runs, a single filter in 6. Each as "
    "narrow as ten of ten runs allow, the CNN has 77 parameters and the MLP 275.",
    exercise=True,
    summary=_by_width,
    seeds=4,
    seconds=10,
)
def filter_count(
    repetition: int = 0,
    patterns: str = "b",
    filters: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8),
    epochs: int = 80,
    lr: float = 0.12,
    batch_size: int = 18,
) -> Outcome:
    """Train TinyCNN with other numbers of filters, and MLPs of as many hidden units."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    networks = {f"{f} filter{'s' * (f > 1)}": protocol.cnn(filters=f) for f in filters}
    outcome, data = _sweep(protocol, networks, "filters", filters, ""), protocol.data()
    for row, width in zip(outcome.rows, filters, strict=True):
        mlp = protocol.train("MLP", protocol.mlp(hidden=width), data, mlp=True)
        row["mlp_accuracy"] = mlp.history.last["val_accuracy"]
    return outcome


def _sweep(
    protocol: Lines, networks: dict[str, Sequential], column: str, values: tuple[int, ...], noun: str
) -> Outcome:
    data = protocol.data()
    trained = [protocol.train(name, network, data) for name, network in networks.items()]
    rows = [
        one.row(**{column: value, "dead_units": dead_units(one.network, data.train[0])})
        for one, value in zip(trained, values, strict=True)
    ]
    parts = []
    for row in rows:
        when = "" if row["first_at_100"] is None else f" (first after epoch {row['first_at_100']})"
        parts.append(f"{row['network']} {percent(row['val_accuracy'])}{when}")
    finding = f"Validation accuracy{f' by {noun}' if noun else ''}: {listed(parts)}."
    kernels = {one.name: one.network.params["conv1.weight"].copy() for one in trained}
    data_out: dict[str, Any] = {"histories": histories(trained)}
    if noun:
        data_out |= {
            "kernels": kernels,
            "kernel_names": {one.name: _filter_names(one, data) for one in trained},
        }
    return Outcome(rows, finding, data_out)


def _filter_names(one: Trained, data: Split) -> list[str]:
    """Number the filters, and mark the dead ones."""
    alive = after(one.network, data.train[0], "relu1").max(axis=(0, 2, 3)) > 0
    return [f"filter {f}" if lives else f"filter {f}, dead" for f, lives in enumerate(alive)]


@study(
    "stride-instead-of-pooling",
    question="Can a convolution of stride 2 take the place of pooling?",
    answer="Yes, nearly: with 114 parameters as before and under a third of the arithmetic, 9 of 10 "
    "runs classify everything correctly and the other 97.8 %.",
    explanation="A stride of 2 computes only every second response in each direction, pooling computes "
    "all and keeps the strongest of four. The stride therefore saves three quarters of the "
    "convolution's work and gives up the choice of the best response. It reaches 100 % later "
    "than pooling in 8 of 10 runs, one of which never does. Both leave 3x3 maps, so the head "
    "is the same.",
    measure="first_at_100",
    exercise=True,
)
def stride_instead_of_pooling(
    repetition: int = 0, patterns: str = "b", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN with a strided convolution and no pooling, from the same weights."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    data, pooled = protocol.data(), protocol.cnn()
    conv = Conv2D(1, 3, 3, stride=2, rng=protocol.seed, dtype="float64")
    strided = replaced(protocol.cnn(), conv1=conv, pool1=None)
    trained = [protocol.train("pooling", pooled, data), protocol.train("stride 2", strided, data)]
    rows = [one.row(flops=one.network.flops((1, 1, 8, 8))) for one in trained]
    one, other = rows
    finding = (
        f"With pooling {percent(one['val_accuracy'])} are classified correctly after {epochs} epochs (first "
        f"100 % after epoch {one['first_at_100']}) at {one['flops']} FLOPs an image, with stride 2 "
        f"{percent(other['val_accuracy'])} (epoch {other['first_at_100']}) at {other['flops']}; parameters "
        f"{one['parameters']} and {other['parameters']}."
    )
    return Outcome(rows, finding, {"histories": histories(trained)})


ACTIVATIONS: dict[str, tuple[type[Layer], Any]] = {
    "ReLU": (ReLU, lambda z: z > 0),
    "sigmoid": (Sigmoid, lambda z: np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2),
    "tanh": (Tanh, lambda z: 1 - np.tanh(z) ** 2),
}
"""The activations of the study, each with its derivative."""


@study(
    "activations",
    question="ReLU, sigmoid or tanh: which trains fastest?",
    answer="The ReLU, then tanh: 100 % after 11.0 epochs on average (5 to 23) and 14.3 (7 to 25), "
    "the ReLU ahead in 6 of 10 runs and behind in 3. "
    "The sigmoid takes 48.6 (29 to 61) in 7 of 10 runs, and in 3 more than 80.",
    explanation="Backward, a gradient is multiplied by the slope of the activation: before training 0.56 "
    "on average for the ReLU (0 or 1), 0.79 for tanh, 0.23 for the sigmoid, whose slope is "
    "never above 1/4. A steeper slope is not all: tanh, steeper on average, is not faster "
    "than the ReLU. Only the ReLU gives exact zeros, here half of all numbers; and it is "
    "cheapest to compute, a comparison instead of an exponential.",
    measure="first_at_100",
)
def activations(
    repetition: int = 0, patterns: str = "a", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN with three activations, from the same weights.

    ``slope`` is the mean derivative of the activation over the training images before training, ``zeros`` the
    share of its outputs that are 0 after it.
    """
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    data = protocol.data()
    trained, rows = [], []
    for name, (activation, derivative) in ACTIVATIONS.items():
        network = replaced(protocol.cnn(), relu1=activation())
        before = derivative(after(network, data.train[0], "conv1"))
        one = protocol.train(name, network, data)
        z = after(network, data.train[0], "conv1")
        trained.append(one)
        rows.append(
            one.row(
                slope=float(before.mean()),
                slope_after=float(derivative(z).mean()),
                zeros=float((after(network, data.train[0], "relu1") == 0).mean()),
            )
        )
    parts = [
        f"{row['network']} after {row['first_at_100']} (mean slope before training {row['slope']:.2f})"
        if row["first_at_100"]
        else f"{row['network']} not in {epochs} (mean slope before training {row['slope']:.2f})"
        for row in rows
    ]
    finding = f"Epochs until all validation images are classified correctly: {listed(parts)}."
    return Outcome(rows, finding, {"histories": histories(trained)})
