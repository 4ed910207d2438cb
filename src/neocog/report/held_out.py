"""Make the parts of a report that show images: those trained on, and how those held out are classified."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neocog import figures
from neocog.figures.checks import shortened
from neocog.figures.trace import trace as draw_trace
from neocog.inspection import grad_cam, integrated_gradients, occlusion, saliency, trace
from neocog.inspection.predictions import LabelScores
from neocog.report.material import Material
from neocog.report.page import Part, paragraph, table, text, untitled

MOST_MISTAKES = 36  # drawn
MOST_LISTED = 200
MOST_PAIRS = 10
MOST_MAPS, MOST_LAYERS = 8, 12
SHOWN = 4  # images whose attributions are drawn
STEPS = 16  # of integrated gradients
BUDGET = 2e10  # FLOPs that attributions may cost
BACKWARD = 3  # a forward and a backward pass, in forward passes


def sample(material: Material) -> list[Part]:
    """Draw some of the training images."""
    chosen = np.array(material.config["sample"], int)
    images, labels = material.train
    drawn = material.pictures(images[chosen])
    (classes,), names = material.as_classes(labels[chosen])
    gallery = figures.image_gallery(drawn, classes, names, ink=material.ink)
    words = f"{len(chosen)} of the {len(labels):,} training images. {material.tone}"
    about = [paragraph(line) for line in material.config.get("data_summary") or ()]
    return [*about, paragraph(words), untitled(gallery)]


def results(material: Material) -> list[Part]:
    """Count the pairs of true and predicted classes; of several labels an image, each label's by itself."""
    found = material.scores
    if isinstance(found, LabelScores):
        return _labels(found)
    matrix, names = found.matrix, material.names
    header = ["", "class", "images", "recall", "precision"]
    rows = [
        [str(k), name, f"{images:,}", _percent(recall), _percent(precision)]
        for k, name, images, recall, precision in zip(
            range(len(names)),
            names,
            matrix.sum(axis=1).tolist(),
            found.per_class,
            found.precision,
            strict=True,
        )
    ]
    words = (
        "Recall is the fraction of a class's images that are classified as it, precision the fraction of the "
        "images classified as it that are of it. The balanced accuracy is the mean of the recalls."
    )
    parts = [
        untitled(figures.confusion_matrix(matrix, names)),
        "<h3>Each class</h3>",
        paragraph(words),
        table(header, rows, lambda k: k > 1, high=len(rows) > 12),
    ]
    wrong = np.argwhere((matrix > 0) & ~np.eye(len(matrix), dtype=bool))
    if len(names) > 2 and len(wrong) > 1:
        most = sorted(wrong.tolist(), key=lambda pair: -matrix[tuple(pair)])[:MOST_PAIRS]
        rows = [[names[t], names[p], str(matrix[t, p])] for t, p in most]
        parts += [
            "<h3>Most frequent mistakes</h3>",
            table(["is", "classified as", "images"], rows, lambda k: k > 1),
        ]
    return parts


def _labels(found: LabelScores) -> list[Part]:
    """Say of each label how often it is told rightly."""
    words = (
        "An image may have several labels, and each is told by itself: predicted where its probability is "
        "over one half. Accuracy is the fraction of images for which it is right; as most images lack most "
        "labels, it says little by itself. Recall is the fraction of the images with the label for which it "
        "is predicted, precision the fraction of those for which it is predicted that have it; F1 their "
        "harmonic mean."
    )
    header = ["label", "images with it", "predicted for", "accuracy", "recall", "precision", "F1"]
    rows = [
        [
            name,
            f"{found.having[k]:,}",
            f"{found.counts[k, :, 1].sum():,}",
            *map(_percent, (found.label_accuracy[k], found.recall[k], found.precision[k], found.f1[k])),
        ]
        for k, name in enumerate(found.class_names)
    ]
    return [paragraph(words), table(header, rows, lambda k: k > 0, high=len(rows) > 12)]


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1%}"


def mistakes(material: Material) -> list[Part]:
    """Draw the misclassified images of the highest probability, and list them by their files."""
    images, labels = material.held
    wrong = material.ranking[~material.right[material.ranking]]
    if not len(wrong):
        return [paragraph(f"All {len(labels):,} {material.kind} images are classified correctly.")]
    (labels, predicted), names = material.as_classes(labels, material.predicted)
    highest, few = material.certainty, wrong[:MOST_MISTAKES]
    words = f"{len(wrong):,} of {len(labels):,} {material.kind} images are misclassified."
    if len(wrong) > len(few):
        words += f" Drawn are the {len(few)} with the highest probability."
    own = [material.name(k).rpartition("/")[2].removeprefix("image ") for k in few]
    gallery = figures.image_gallery(
        material.pictures(images[few]),
        labels[few],
        names,
        predicted[few],
        highest[few],
        ink=material.ink,
        image_names=own,
    )
    rows = [
        [material.name(k), names[labels[k]], names[predicted[k]], f"{highest[k]:.1%}"]
        for k in wrong[:MOST_LISTED]
    ]
    if len(wrong) > len(rows):
        rows.append([f"and {len(wrong) - len(rows):,} more", "", "", ""])
    header = ["file" if hasattr(images, "paths") else "image", "is", "classified as", "probability"]
    return [
        paragraph(f"{words} {material.tone}"),
        untitled(gallery),
        table(header, rows, lambda k: k > 2, high=len(rows) > 12),
    ]


def attributions(material: Material) -> list[Part]:
    """Draw what the predictions of some images rest on, by four methods."""
    images, labels = material.held
    count, methods, left_out = _affordable(material)
    if not methods:
        return [paragraph(f"Left out: {left_out}")]
    chosen = _examples(material)[:count]
    x = np.asarray(images[chosen], dtype=material.network.dtype)
    maps = {name: method(x, material.attributed[chosen]) for name, method in methods.items()}
    captions = []
    (labels, predicted), names = material.as_classes(labels, material.predicted)
    for k in chosen:
        own = shortened(material.name(k).rpartition("/")[2], 20)
        true, found = (shortened(names[c], 16) for c in (labels[k], predicted[k]))
        captions.append(f"{own}: {true}" + (f" → {found}" if labels[k] != predicted[k] else ""))
    drawn = figures.attribution_grid(material.pictures(x), maps, captions, ink=material.ink)
    words = (
        f"Which pixels raise or lower the logit of {_of_what(material)}; an arrow leads to a wrong answer. "
        "Saliency is the largest absolute gradient of the channels; Grad-CAM weights the maps of the last "
        "convolution (all white: they speak for it nowhere); integrated gradients start from an image of "
        "zeros; occlusion covers patches of the image with its mean."
    )
    return [paragraph(words), paragraph(f"Left out: {left_out}") if left_out else "", untitled(drawn)]


def _of_what(material: Material) -> str:
    if material.multilabel:
        return "the most probable label"
    return f"class {material.names[1]}, the one output," if material.outputs == 1 else "the predicted class"


def _affordable(material: Material) -> tuple[int, dict[str, Callable[..., np.ndarray]], str]:
    """Return for how many images which methods fit into the budget, and what is left out and why."""
    network, (H, W) = material.network, material.held[0].shape[2:]
    patch = (max(1, H // 6), max(1, W // 6))
    stride = (min(patch[0], -(-H // 8)), min(patch[1], -(-W // 8)))

    def covered(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        found: np.ndarray = occlusion(network, x, y, patch=patch, stride=stride, value=float(x.mean()))
        return found

    places = (H // stride[0]) * (W // stride[1])
    prices: dict[str, tuple[float, Callable[..., np.ndarray]]] = {
        "saliency": (BACKWARD, lambda x, y: np.abs(saliency(network, x, y)).max(axis=1)),
        "Grad-CAM": (BACKWARD, lambda x, y: grad_cam(network, x, y)),
        "integrated gradients": (
            BACKWARD * STEPS,
            lambda x, y: integrated_gradients(network, x, y, steps=STEPS).sum(axis=1),
        ),
        "occlusion": (places, covered),
    }
    reasons = []
    if material.first_convolution[1] is None:
        del prices["Grad-CAM"]
        reasons.append("Grad-CAM, as the network has no convolution")
    passes = BUDGET / max(material.summary.flops, 1)  # forward passes of one image
    count = int(min(SHOWN, len(material.held[1]), max(1, passes // sum(cost for cost, _ in prices.values()))))
    dear = [name for name, (cost, _) in prices.items() if cost * count > passes]
    if dear:
        reasons.append(f"{' and '.join(dear)}, which would take long for so large a network")
    methods = {name: method for name, (_, method) in prices.items() if name not in dear}
    return count, methods, "; ".join(reasons) + "." if reasons else ""


def _examples(material: Material) -> np.ndarray:
    """Return images to look at: correct and wrong in turn, of many classes, the most probable first."""
    (labels,), _ = material.as_classes(material.held[1])
    order = material.ranking
    right = material.right[order]
    queues = [_spread(order[mask], labels) for mask in (right, ~right)]
    turns = [k for pair in zip(*queues, strict=False) for k in pair]
    rest = [k for queue in queues for k in queue if k not in turns]
    return np.array((turns + rest)[:SHOWN], int)


def _spread(order: np.ndarray, labels: np.ndarray) -> list[int]:
    """Return the first image of each class, then the others, a few of them."""
    _, first = np.unique(labels[order], return_index=True)
    places = [*sorted(first.tolist()), *(k for k in range(len(order)) if k not in set(first.tolist()))]
    return [int(order[k]) for k in places[:SHOWN]]


def layer_by_layer(material: Material) -> list[Part]:
    """Trace the correct and the wrong prediction of the highest probability through the network."""
    images, labels = material.held
    right = material.right[material.ranking]
    (labels,), names = material.as_classes(labels)
    parts: list[Part] = [paragraph(material.tone) if material.tone and images.shape[1] in (1, 3) else ""]
    for verdict, chosen in (("correctly", right), ("wrongly", ~right)):
        if chosen.any():
            index = int(material.ranking[chosen][0])
            seen = trace(material.network, np.asarray(images[[index]]))
            name = names[int(labels[index])]
            parts.append(f"<h3>{text(f'{material.name(index)}, {name}: classified {verdict}')}</h3>")
            drawn = draw_trace(
                seen, class_names=material.names, most=MOST_MAPS, ink=material.ink, layers=MOST_LAYERS
            )
            parts.append(untitled(drawn))
    return parts
