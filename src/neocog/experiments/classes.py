"""Study more classes for the same three filters."""

from __future__ import annotations

import numpy as np

from neocog.data import PATTERNS
from neocog.experiments.protocol import FOUR, Lines, Trained, after, held_out, histories
from neocog.experiments.study import Outcome, listed, percent, study
from neocog.inspection.predictions import count_pairs
from neocog.layers import Sequential


def confusion(one: Trained, images: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix: rows true, columns predicted."""
    return count_pairs(labels, one.network.predict(images), classes)


def class_responses(network: Sequential, images: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the mean pooled response of each filter to each class: (filters, classes)."""
    pooled = after(network, images, "pool1")
    return np.stack([pooled[labels == k].mean(axis=(0, 2, 3)) for k in range(classes)], axis=1)


@study(
    "fourth-class",
    question="What does a fourth class, the dot, cost the CNN and the MLP?",
    answer="28 parameters more in TinyCNN (142), 19 more in TinyMLP (1246); in ten of ten runs both "
    "still classify all images correctly.",
    explanation="Only the last layer grows, by one column of weights and one bias: 27 + 1 in the CNN, 18 "
    "+ 1 in the MLP. (It is sometimes printed that the CNN needs 10 more: that counts one "
    "pooled map of 3 x 3 instead of three.) The filters stay three: the head combines their "
    "responses at nine positions into any number of classes.",
)
def fourth_class(repetition: int = 0, epochs: int = 80, lr: float = 0.12, batch_size: int = 18) -> Outcome:
    """Train both networks on three and on four classes of patterns B."""
    protocol = Lines("b", repetition, epochs, lr, batch_size)
    trained, matrices = [], {}
    for names in (FOUR[:3], FOUR):
        data, n = protocol.data(names), len(names)
        for one in (
            protocol.train(f"TinyCNN with {n} classes", protocol.cnn(classes=n), data),
            protocol.train(f"TinyMLP with {n} classes", protocol.mlp(classes=n), data, mlp=True),
        ):
            trained.append(one)
            matrices[one.name.removeprefix("Tiny")] = confusion(one, *held_out(data), n)
    rows = [one.row() for one in trained]
    cnn3, mlp3, cnn4, mlp4 = rows
    finding = (
        f"The fourth class adds {cnn4['parameters'] - cnn3['parameters']} parameters to TinyCNN (now "
        f"{cnn4['parameters']}, {percent(cnn4['val_accuracy'])} correct) and "
        f"{mlp4['parameters'] - mlp3['parameters']} to TinyMLP (now {mlp4['parameters']}, "
        f"{percent(mlp4['val_accuracy'])} correct)."
    )
    panels = {
        words: {one.name.partition(" with ")[0]: one.history for one in pair}
        for words, pair in (("three classes", trained[:2]), ("four classes", trained[2:]))
    }
    data_out = {"histories": histories(trained), "panels": panels, "confusion": matrices, "classes": FOUR}
    return Outcome(rows, finding, data_out)


@study(
    "dot-class",
    question="Can TinyCNN tell a dot from the lines?",
    answer="Yes: 9 of 10 runs classify every validation image correctly, the other 98.3 %. It needs "
    "28 parameters more, and in those nine runs 23 epochs on average until 100 % instead of "
    "11.",
    explanation="Is a dot, being small, what each filter answers most weakly? No: of 30 filters 11 "
    "respond least to dots, 10 to horizontal, 8 to vertical and 1 to diagonal lines; 4 "
    "respond most to dots, one of them the textbook's filter 0. No dot detector is needed: "
    "the dense layer reads where, and how strongly, all three filters respond. With the "
    "shifts of patterns A, which wrap around, the dot may even be cut in two at the border.",
    exercise=True,
)
def dot_class(
    repetition: int = 0, patterns: str = "a", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN with and without the class dot."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    trained, rows, matrices = [], [], {}
    for names in (FOUR[:3], FOUR):
        data = protocol.data(names)
        one = protocol.train(f"{len(names)} classes", protocol.cnn(classes=len(names)), data)
        trained.append(one)
        matrices[one.name] = matrix = confusion(one, *held_out(data), len(names))
        row = one.row()
        if "dot" in names:
            responses = class_responses(one.network, *held_out(data), len(names))
            row |= {
                "dots_right": float(matrix[3, 3] / matrix[3].sum()),
                "dots_least": int((responses.argmin(axis=1) == 3).sum()),
                "dots_most": int((responses.argmax(axis=1) == 3).sum()),
            }
        rows.append(row)
    three, four = rows
    finding = (
        f"With the dot TinyCNN has {four['parameters']} instead of {three['parameters']} parameters and "
        f"classifies {percent(four['val_accuracy'])} of all validation images and "
        f"{percent(four['dots_right'])} of the dots correctly; its validation loss is "
        f"{four['val_loss']:.4f} against {three['val_loss']:.4f}. Of its three filters so many respond "
        f"least to dots: {four['dots_least']}; most: {four['dots_most']}."
    )
    data_out = {
        "histories": histories(trained),
        "confusion": matrices,
        "classes": FOUR,
        "kernels": {one.name: one.network.params["conv1.weight"].copy() for one in trained},
        "responses": responses,
    }
    return Outcome(rows, finding, data_out)


@study(
    "fifth-class",
    question="How many classes can three filters carry?",
    answer="More than there are filters: five in ten of ten runs, eight in nine and twelve in eight "
    "(99.7 % in the others). Two filters carry five in nine runs, a single one in two: "
    "filters are not classes.",
    explanation="A class is a direction in the 27 numbers that the head reads (3 filters at 9 places), "
    "not a filter; the number of filters does not bound the number of classes. Three filters begin to "
    "fail at eight classes, in one run of ten, on ten of 240 images. With a single filter only 9 "
    "numbers are left; in 8 of 10 runs that is not enough for five classes, and three of these stay "
    "near guessing (16 to 23 % correct). The cross is the union of two lines, and still a class of its "
    "own.",
    exercise=True,
    seeds=4,
    seconds=9,
)
def fifth_class(
    repetition: int = 0, patterns: str = "b", epochs: int = 80, lr: float = 0.12, batch_size: int = 18
) -> Outcome:
    """Train TinyCNN on three to twelve classes, then with fewer filters on five."""
    protocol = Lines(patterns, repetition, epochs, lr, batch_size)
    trained, rows = [], []
    for classes, filters in ((3, 3), (4, 3), (5, 3), (8, 3), (12, 3), (5, 2), (5, 1)):
        data = protocol.data(PATTERNS[:classes])
        name = f"{classes} classes with {filters} filter{'s' * (filters > 1)}"
        one = protocol.train(name, protocol.cnn(classes=classes, filters=filters), data)
        trained.append(one)
        rows.append(one.row(classes=classes, filters=filters))
        if classes == len(PATTERNS):
            matrix = confusion(one, *held_out(data), classes)
    carried = [row["classes"] for row in rows if row["filters"] == 3 and row["val_accuracy"] == 1.0]
    five = [row for row in rows if row["classes"] == 5]
    most = (
        f"up to {max(carried)} classes without an error" if carried else "no number of classes without error"
    )
    finding = (
        f"Three filters carry {most}; of the five classes' validation images "
        + listed([f"{row['filters']} filters classify {percent(row['val_accuracy'])}" for row in five])
        + " correctly."
    ).replace("1 filters classify", "1 filter classifies")
    panels = {
        "three filters": {one.name.partition(" with ")[0]: one.history for one in trained[:5]},
        "five classes": {one.name.partition(" with ")[2]: one.history for one in (trained[2], *trained[5:])},
    }
    data_out = {"histories": histories(trained), "panels": panels, "confusion": matrix, "classes": PATTERNS}
    return Outcome(rows, finding, data_out)
