"""Compare the convolutional network with the fully connected one, and count both."""

from __future__ import annotations

from typing import Any

from neocog.experiments.protocol import FOUR, Lines, dead_units, held_out, histories
from neocog.experiments.study import Outcome, listed, percent, study
from neocog.layers import Conv2D, Dense
from neocog.models import tiny_cnn, tiny_mlp


@study(
    "cnn-vs-mlp",
    question="Does a CNN need fewer parameters than an MLP for the same accuracy?",
    answer="Yes against this MLP, but the factor is a choice: it depends on how wide the MLP is "
    "made. In ten of ten runs both classify everything correctly. Each made as narrow as ten "
    "of ten runs allow, the CNN has 77 and the MLP 275 (see filter-count).",
    explanation="A convolution uses one small kernel at every position, so its parameters do not grow "
    "with the image. The often quoted factor of ten, however, compares with an MLP of 18 hidden units; "
    "one with a single hidden unit does so in 8 of 10 runs (see mlp-capacity). What the CNN has is "
    "not a magic number but a structure: it need not learn the same detector anew for every position.",
)
def cnn_vs_mlp(
    repetition: int = 0, epochs: int = 80, lr: float = 0.12, batch_size: int = 18, hidden: int = 18
) -> Outcome:
    """Train both on patterns B."""
    protocol = Lines("b", repetition, epochs, lr, batch_size)
    data = protocol.data()
    cnn = protocol.train("TinyCNN", protocol.cnn(), data)
    mlp = protocol.train("TinyMLP", protocol.mlp(hidden=hidden), data, mlp=True)
    rows = [cnn.row(), mlp.row()]
    small, large = rows
    finding = (
        f"TinyCNN classifies {percent(small['val_accuracy'])} of the validation images correctly with "
        f"{small['parameters']} parameters, TinyMLP {percent(large['val_accuracy'])} with "
        f"{large['parameters']}, {large['parameters'] / small['parameters']:.1f} times as many."
    )
    return Outcome(rows, finding, {"histories": histories([cnn, mlp]), "labels": held_out(data)[1]})


@study(
    "mlp-capacity",
    question="How few hidden units does the MLP need?",
    answer="One is enough in 8 of 10 runs, two in 7, four or more in all; the textbook's seed alone "
    "would have said four.",
    explanation="The line patterns are easy: they are even linearly separable. An MLP with one hidden "
    "unit has 71 parameters, fewer than TinyCNN's 114: compared like this the CNN has no advantage. "
    "Where all runs must succeed the MLP takes four units and 275 parameters, a CNN two filters and 77 "
    "(see filter-count). Of the two runs in which one unit fails, one has lost its only ReLU: the "
    "textbook's. A dead unit passes no gradient.",
)
def mlp_capacity(
    repetition: int = 0,
    hidden: tuple[int, ...] = (1, 2, 4, 8, 18, 32, 64),
    epochs: int = 80,
    lr: float = 0.12,
    batch_size: int = 18,
) -> Outcome:
    """Train MLPs of growing width on patterns B."""
    protocol = Lines("b", repetition, epochs, lr, batch_size)
    data = protocol.data()
    rows, trained = [], []
    for h in hidden:
        one = protocol.train(f"{h} hidden", protocol.mlp(hidden=h), data, mlp=True)
        trained.append(one)
        rows.append(one.row(hidden=h, dead_units=dead_units(one.network, data.train[0])))
    perfect = [row for row in rows if row["val_accuracy"] == 1.0]
    if perfect:
        least = min(perfect, key=lambda row: int(row["parameters"]))
        finding = (
            f"The smallest MLP that classifies all validation images correctly has {least['hidden']} hidden "
            f"units and {least['parameters']} parameters; TinyCNN has {tiny_cnn().parameter_count}."
        )
    else:
        best = max(rows, key=lambda row: float(row["val_accuracy"]))
        finding = (
            f"No MLP classifies all validation images correctly; the best, with {best['hidden']} hidden "
            f"units, {percent(best['val_accuracy'])}."
        )
    failed = [f"{row['hidden']} ({percent(row['val_accuracy'])})" for row in rows if row not in perfect]
    if perfect and failed:
        finding = f"{finding[:-1]}; not enough are {listed(failed)}."
    return Outcome(rows, finding, {"histories": histories(trained)})


@study(
    "shapes-and-parameters",
    question="What shapes and how many parameters do these layers have, by formula and in fact?",
    answer="Conv2D(3->8, 5x5) makes 16 x 8 x 28 x 28 of 16 x 3 x 32 x 32 with 608 parameters; the MLP "
    "64-27-3 has 1839, TinyCNN 114.",
    explanation="A valid convolution leaves H - k + 1 rows. It has C_out (C_in k k + 1) parameters, "
    "whatever the size of the image; a dense layer has (inputs + 1) x outputs, so it grows with the "
    "image. A class more adds a whole column of weights and a bias: 27 + 1 = 28 parameters to TinyCNN "
    "(not 10, as is sometimes printed) and 18 + 1 = 19 to TinyMLP.",
    measure="by_layers",
    exercise=True,
    random=False,
)
def shapes_and_parameters(repetition: int = 0) -> Outcome:
    """Count by hand and by the layers."""
    N, C, size, F, k = 16, 3, 32, 8, 5
    conv, image = Conv2D(C, F, k, rng=0), (N, C, size, size)
    out = size - k + 1
    cnn, mlp, wide = tiny_cnn(), tiny_mlp(hidden=27), tiny_mlp()
    more_cnn = tiny_cnn(classes=len(FOUR)).parameter_count - cnn.parameter_count
    more_mlp = tiny_mlp(classes=len(FOUR)).parameter_count - wide.parameter_count
    checks: list[tuple[str, str, Any, Any]] = [
        (
            "shape of Conv2D(3->8, 5x5) on (16, 3, 32, 32)",
            "N, F, H-k+1, W-k+1",
            _shape((N, F, out, out)),
            _shape(conv.output_shape(image)),
        ),
        ("its parameters", "F (C k k + 1)", F * (C * k * k + 1), conv.parameter_count),
        ("its FLOPs", "2 N F H' W' C k k", 2 * N * F * out * out * C * k * k, conv.flops(image)),
        ("MLP 64-27-3", "(64+1) 27 + (27+1) 3", 65 * 27 + 28 * 3, mlp.parameter_count),
        ("TinyCNN", "3 (1*3*3 + 1) + (27+1) 3", 3 * 10 + 28 * 3, cnn.parameter_count),
        ("TinyMLP 64-18-3", "(64+1) 18 + (18+1) 3", 65 * 18 + 19 * 3, wide.parameter_count),
        ("a fourth class in TinyCNN", "27 + 1", 28, more_cnn),
        ("a fourth class in TinyMLP", "18 + 1", 19, more_mlp),
        ("Dense(64->512)", "(64+1) 512", 65 * 512, Dense(64, 512, rng=0).parameter_count),
        ("Conv2D(1->8, 3x3)", "8 (1*3*3 + 1)", 80, Conv2D(1, 8, 3, rng=0).parameter_count),
    ]
    rows = [
        {"quantity": quantity, "formula": formula, "by_formula": left, "by_layers": right}
        for quantity, formula, left, right in checks
    ]
    agree = sum(row["by_formula"] == row["by_layers"] for row in rows)
    finding = (
        f"Formula and layers agree in {agree} of {len(rows)} cases: the convolution gives "
        f"{rows[0]['by_layers']} with {rows[1]['by_layers']} parameters, and the MLP 64-27-3 has "
        f"{mlp.parameter_count} parameters, {mlp.parameter_count / cnn.parameter_count:.1f} times TinyCNN's "
        f"{cnn.parameter_count}."
    )
    return Outcome(rows, finding)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
