"""Make the parts of a report that prove numbers: one explained, and the gradients checked."""

from __future__ import annotations

import numpy as np

from neocog import figures
from neocog.gradcheck import check_gradients
from neocog.gradcheck.measurement import STEPS, LossFunction, input_names
from neocog.inspection import Inquiry, trace
from neocog.layers import Container
from neocog.losses.outputs import loss_of_kind
from neocog.report.material import Material
from neocog.report.page import Part, paragraph, table, text

MOST_PARAMETERS = 30_000_000  # of a network that is copied in float64, or in complex numbers
CHECKED_ENTRIES = 20  # of each array
CHECKED_IMAGES = 4
FEWEST_ENTRIES = 5
BUDGET = 2e9  # FLOPs of forward passes for the check of gradients, entry by entry
DIRECTIONAL = 1.5e8  # the most FLOPs of a forward pass of one image for the check along a direction
TOLERANCE = 1e-10  # of the derivative along a direction, a sum over all arrays


def explained(material: Material) -> list[Part]:
    """Explain the logit of the predicted class of image 0, and the first convolution's largest number."""
    if (words := _too_large(material)) is not None:
        return [words]
    images = np.asarray(material.held[0][[0]], float)
    inquiry = Inquiry(trace(material.network.astype("float64"), images))
    answer = inquiry.ask(inquiry.answer)
    parts: list[Part] = [
        paragraph(
            "Every number of the network can be explained. This is the sum behind the predicted class of "
            f"{material.name(0)}."
        ),
        figures.explanation(answer.explain()),
    ]
    name, layer = material.first_convolution
    if layer is not None:
        parts.append(paragraph(f"And the largest number of {name}, as a sum over pixels:"))
        parts.append(figures.explanation(inquiry.ask(name)))
    return parts


def gradients(material: Material) -> list[Part]:
    """Check the gradients of some images, by as many entries of each array as the budget allows."""
    if (words := _too_large(material)) is not None:
        return [words]
    flops = max(material.summary.flops, 1)  # of a forward pass of one image
    if flops > DIRECTIONAL:
        command = text(f"neocog check-gradients {material.directory.path}")
        return [
            f"<p>Left out, as it takes long for so large a network: <code>{command}</code> checks them.</p>"
        ]
    x = np.asarray(material.held[0][:CHECKED_IMAGES], float)
    # At the true labels the gradients of a trained network are almost zero, at wrong ones they are not.
    labels = material.held[1][:CHECKED_IMAGES]
    t = 1 - labels if material.multilabel else (labels + 1) % len(material.names)
    network = material.network.astype("float64")
    entries = int(min(CHECKED_ENTRIES, BUDGET // (flops * len(x) * (len(network.params) + 1))))
    if entries < FEWEST_ENTRIES:
        return [_directional(network, x[:2], t[:2])]
    loss = loss_of_kind(network.output_kind)
    report = check_gradients(network, x, t, loss=loss, max_entries=entries)
    rows = [[a.name, a.checked, f"{a.relative_error:.1e}"] for a in report.arrays]
    worst = f"the worst relative error is {report.max_relative_error:.1e}"
    if not report.max_relative_error:
        worst = "equal but for rounding"
    return [
        f"<p>Backward against a complex step in float64, {entries} entries of each array on {len(x)} "
        f"images with wrong labels: {_verdict(report.passed)}, {worst}.</p>",
        table(["array", "entries", "relative error"], rows, lambda k: k > 0, high=len(rows) > 30),
    ]


def _directional(network: Container, x: np.ndarray, t: np.ndarray) -> str:
    """Check all gradients at once, by the derivative of the loss along one random direction."""
    rng, loss, step = np.random.default_rng(0), loss_of_kind(network.output_kind), STEPS["complex"]
    z, cache = network.forward(x, training=True)
    dx, found = network.backward(loss(z, t)[1], cache)
    found = {**found, input_names(x)[0]: dx}
    measured = LossFunction(network, x, lambda z: loss(z, t), "complex", True)
    expected = 0.0
    for name, array in measured.arrays.items():
        direction = rng.normal(size=array.shape)
        expected += float((found[name] * direction).sum())
        array += 1j * step * direction
    value = float(measured().imag / step)
    error = abs(value - expected) / max(abs(value), abs(expected), 1e-300)
    return (
        "<p>Backward against a complex step in float64, along one random direction through all "
        f"{len(measured.arrays)} arrays, on {len(x)} images with wrong labels: "
        f"{_verdict(error < TOLERANCE)}, the relative error is {error:.1e}. Entry by entry it takes long "
        "for this network.</p>"
    )


def _verdict(passed: bool) -> str:
    return '<span class="good">passed</span>' if passed else '<span class="bad">failed</span>'


def _too_large(material: Material) -> str | None:
    """Say that a part is left out, if the network's copies would not fit into the memory of many machines."""
    count = material.network.parameter_count
    if count <= MOST_PARAMETERS:
        return None
    return paragraph(f"Left out, as it needs copies of all {count:,} parameters in double precision.")
