"""Study features: the activations of one image, what filters detect, what a shift changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.experiments.protocol import (
    THREE,
    Lines,
    Trained,
    accuracy_of,
    after,
    held_out,
    histories,
    replaced,
)
from neocog.experiments.study import Outcome, TableRow, listed, percent, study
from neocog.layers import Dense, Layer
from neocog.layers.softmax import softmax
from neocog.training import KernelSnapshots


@study(
    "inference-trace",
    question="What does one image become on its way through TinyCNN?",
    answer="Three maps, rectified, pooled to 27 numbers, weighed into three logits and one clear "
    "probability.",
    explanation="The convolution answers with 3 x 6 x 6 numbers of either sign; the ReLU sets the "
    "negative ones to zero; pooling keeps the largest of each 2 x 2 window; the dense layer adds the 27 "
    "that are left up with the weights of each class. Softmax turns logits into probabilities without "
    "changing their order, so the class is decided before it.",
    measure="zeros",
)
def inference_trace(
    repetition: int = 0,
    patterns: str = "b",
    index: int = 0,
    epochs: int = 80,
    lr: float = 0.12,
    batch_size: int = 18,
) -> Outcome:
    """Record the activations of a validation image in the trained network."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    data = protocol.data()
    images, labels = held_out(data)
    if not 0 <= index < len(images):
        raise ValueError(f"index must be in 0..{len(images) - 1}, got {index}.")
    network = protocol.train("TinyCNN", protocol.cnn(), data).network
    arrays: dict[str, np.ndarray] = {"input": images[index : index + 1]}

    def visit(name: str, layer: Layer, x: Any) -> Any:
        arrays[name] = layer(x)
        return arrays[name]

    network.walk(visit, arrays["input"])
    arrays["softmax"] = softmax(arrays["dense"])
    rows: list[TableRow] = [
        {
            "layer": name,
            "shape": " x ".join(map(str, array.shape)),
            "min": float(array.min()),
            "max": float(array.max()),
            "mean": float(array.mean()),
            "zeros": float((array == 0).mean()),
        }
        for name, array in arrays.items()
    ]
    p = arrays["softmax"][0]
    best, second = np.argsort(-p)[:2]
    zeros = {row["layer"]: row["zeros"] for row in rows}
    finding = (
        f"Validation image {index}, a {data.class_names[labels[index]]} line, is called "
        f"{data.class_names[best]} with probability {p[best]:.4f}, {data.class_names[second]} with "
        f"{p[second]:.4f}; the ReLU sets {percent(zeros['relu1'])} of the maps to zero, after "
        f"pooling {percent(zeros['pool1'])} of the numbers are zero."
    )
    data_out = arrays | {"class_names": data.class_names, "label": int(labels[index])}
    return Outcome(rows, finding, data_out)


def _detectors(tables: list[list[TableRow]]) -> str:
    """Count what the filters of all runs detect."""
    detects = [row["detects"] for table in tables for row in table]
    alone = [f"{name} lines alone {detects.count(name)}" for name in THREE]
    return (
        f"of {len(detects)} trained filters {detects.count('nothing')} detect nothing, {listed(alone)}, all "
        f"three classes {detects.count('all')}, two classes {sum(', ' in name for name in detects)}."
    )


@study(
    "filters",
    question="What does each trained filter detect?",
    answer="Most detect more than one class: of 60 trained filters 25 respond to all three, 16 to "
    "two, 17 to one (8 vertical, 5 diagonal, 4 horizontal) and 2 to nothing.",
    explanation="It is tempting to give each of three filters one of three classes. Measured it is not "
    "so: a class counts as detected here if its mean pooled response is at least half of the "
    "filter's strongest. With the textbook's seeds no filter detects horizontal lines alone; "
    "on patterns A they leave all filters nearly silent and are recognised by that absence, "
    "through the bias of their class. Other seeds divide the work otherwise: no filter has a "
    "fixed meaning.",
    measure="horizontal",
    summary=_detectors,
)
def filters(repetition: int = 0, epochs: int = 80, lr: float = 0.12, batch_size: int = 18) -> Outcome:
    """Measure the filters' mean pooled answers to each class, for both protocols."""
    rows: list[TableRow] = []
    data_out: dict[str, Any] = {"class_names": THREE}
    biases = {}
    for patterns in ("a", "b"):
        protocol = Lines(patterns, repetition, epochs, lr, batch_size)
        data, snapshots = protocol.data(), KernelSnapshots()
        images, labels = held_out(data)
        network = protocol.train("TinyCNN", protocol.cnn(), data, callbacks=[snapshots]).network
        pooled = after(network, images, "pool1")
        kernels, bias = network.params["conv1.weight"], network.params["conv1.bias"]
        biases[patterns] = float(network.params["dense.bias"][THREE.index("horizontal")])
        for f in range(len(bias)):
            answers = {name: float(pooled[labels == k, f].mean()) for k, name in enumerate(THREE)}
            strong = [name for name, mean in answers.items() if 2 * mean >= max(answers.values()) > 0]
            rows.append(
                {"filter": f"{patterns.upper()} {f}"}
                | answers
                | {"kernel_sum": float(kernels[f].sum()), "bias": float(bias[f])}
                | {"detects": "nothing" if not strong else "all" if len(strong) == 3 else ", ".join(strong)}
            )
        data_out |= {
            f"kernels_{patterns}": kernels.copy(),
            f"snapshots_{patterns}": snapshots.snapshots,
            f"dense_{patterns}": network.params["dense.weight"].copy(),
            f"dense_bias_{patterns}": network.params["dense.bias"].copy(),
        }
    counts = [f"{name} lines {sum(row['detects'] == name for row in rows)}" for name in THREE]
    silence = max(row["horizontal"] for row in rows if row["filter"].startswith("A"))
    finding = (
        f"Of {len(rows)} trained filters so many detect one class alone: {listed(counts)}; on patterns A "
        f"horizontal lines get a mean answer of at most {silence:.3f} from any filter, and the bias of their "
        f"class is {biases['a']:+.2f}."
    )
    return Outcome(rows, finding, data_out)


SHIFTS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}


@study(
    "shift-invariance",
    question="Does pooling make TinyCNN invariant to a shift of one pixel?",
    answer="No: over ten runs and four directions 47.1 % of the pooled numbers stay the same (26.8 "
    "to 76.5 % in a single shift), and 88.9 % of the predictions (77.8 to 100 %).",
    explanation="A convolution is equivariant: shift the image and its maps shift along. Pooling "
    "forgives a shift only while the maximum stays in its window; and of the pooled numbers that do "
    "not change many were zero anyhow (58 % of all, 3 to 89 % in a run). The dense layer then reads "
    "fixed positions, so nothing in the network is invariant by construction; what tolerance there is "
    "was learned from shifted training images.",
    measure="predictions_unchanged",
)
def shift_invariance(
    repetition: int = 0, patterns: str = "b", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Shift the validation images by a pixel, filling with zeros, and compare the outputs."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    data = protocol.data()
    images, labels = held_out(data)
    network = protocol.train("TinyCNN", protocol.cnn(), data).network
    pooled, predicted = after(network, images, "pool1"), network.predict(images)
    rows: list[TableRow] = []
    for direction, (down, right) in SHIFTS.items():
        moved = shifted(images, down, right)
        after_shift, answers = after(network, moved, "pool1"), network.predict(moved)
        rows.append(
            {
                "shift": direction,
                "pooled_unchanged": float(np.isclose(after_shift, pooled, rtol=0, atol=1e-12).mean()),
                "zero_before_and_after": float(((after_shift == 0) & (pooled == 0)).mean()),
                "predictions_unchanged": float((answers == predicted).mean()),
                "accuracy": accuracy_of(network, (moved, labels)),
            }
        )
    means = {column: float(np.mean([row[column] for row in rows])) for column in list(rows[0])[1:]}
    first = rows[0]
    finding = (
        f"One pixel to the right leaves {percent(first['pooled_unchanged'])} of the pooled outputs (with "
        f"{percent(first['zero_before_and_after'])} that are zero both times) and "
        f"{percent(first['predictions_unchanged'])} of the predictions unchanged; on average over "
        f"the four directions {percent(means['pooled_unchanged'])} and "
        f"{percent(means['predictions_unchanged'])}."
    )
    return Outcome(rows, finding, {"pooled": pooled, "predicted": predicted, "labels": labels})


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Shift images by at most one pixel in each direction, filling with zeros."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    H, W = images.shape[2:]
    return padded[:, :, 1 - down : 1 - down + H, 1 - right : 1 - right + W]


@study(
    "pooling-and-shifts",
    question="Does pooling help to classify shifted images?",
    answer="A little: moved by a pixel, 88.9 % of the images are classified correctly with pooling "
    "(85.6 to 98.3 %), 86.2 % without (85.0 to 88.6 %) and 85.9 % by the MLP (85.6 to 86.9 "
    "%). Pooling is ahead of no pooling in 8 of 10 runs, behind in one.",
    explanation="Unmoved, all three classify every image correctly. The training images are shifted by up "
    "to a pixel themselves; one more brings lines where no network has seen any. The maximum "
    "of a window does not care where in the window it is, so some moves change nothing; but a "
    "move over the border of a window changes what the dense layer reads. With the textbook's "
    "seed alone pooling would have seemed useless: 85.6 % with it and without.",
    measure="shifted_accuracy",
)
def pooling_and_shifts(
    repetition: int = 0, patterns: str = "b", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN, TinyCNN without pooling, and TinyMLP; validate on images moved by one pixel."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    data = protocol.data()
    images, labels = held_out(data)
    wide = Dense(108, 3, rng=protocol.seed + 1, dtype="float64")
    networks = {
        "with pooling": protocol.cnn(),
        "without pooling": replaced(protocol.cnn(), pool1=None, dense=wide),
        "MLP": protocol.mlp(),
    }
    trained: list[Trained] = []
    rows: list[TableRow] = []
    for name, network in networks.items():
        one = protocol.train(name, network, data, mlp=name == "MLP")
        moved = {
            direction: accuracy_of(network, (shifted(images, *shift), labels))
            for direction, shift in SHIFTS.items()
        }
        trained.append(one)
        rows.append(
            {
                "network": name,
                "parameters": network.parameter_count,
                "val_accuracy": one.history.last["val_accuracy"],
                "shifted_accuracy": float(np.mean(list(moved.values()))),
            }
            | moved
        )
    parts = [f"{row['network']} {percent(row['shifted_accuracy'])}" for row in rows]
    finding = (
        f"Of the validation images moved by one pixel (mean of four directions) are classified correctly: "
        f"{listed(parts)}; unmoved {listed([percent(row['val_accuracy']) for row in rows])}."
    )
    return Outcome(rows, finding, {"histories": histories(trained)})
