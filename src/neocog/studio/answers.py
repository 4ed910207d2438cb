"""Answer questions about a network that trains: plain data and arrays, computed from a copy of its weights.

Each answer is a function of a :class:`Subject` and of the checked fields of the question; it returns what
:mod:`neocog.studio.protocol` says. It runs in a worker thread, and changes nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from neocog.data import Split
from neocog.data.identity import image_name
from neocog.inspection import Explanation, Inquiry, dead_units, loss_landscape, trace
from neocog.inspection.attribution_maps import ATTRIBUTIONS, attribution_maps
from neocog.inspection.explanation import Contribution
from neocog.inspection.predictions import LabelScores, Predictions, measure, misclassified
from neocog.kernels import use_kernels
from neocog.layers import Container
from neocog.layers.base import as_dtype
from neocog.layers.outputs import count_outputs
from neocog.models.by_name import build_network
from neocog.optimizers import SGD
from neocog.studio.architecture import describe
from neocog.studio.blocks import blocks_of, build, examine
from neocog.training.evaluation import evaluate
from neocog.training.loop import make_step, remaining_batches
from neocog.training.state import TrainingState
from neocog.validation import one_of

__all__ = ["Answer", "Subject", "answer", "plain", "short_name", "told"]

Answer: TypeAlias = tuple[dict[str, Any], dict[str, np.ndarray]]

MOST_TERMS = 64
SHOWN_IMAGES = 8
SHOWN_PRODUCTS = 6
NUDGES = 6
"""Difference quotients, each with a tenth of the nudge before."""
SAMPLE = 256
"""Training images that dead units are looked for on."""
LANDSCAPE = 64
"""Training images whose loss makes the landscape: it is measured at hundreds of places."""


@dataclass(frozen=True)
class Subject:
    """What questions are about: copies, made between two batches.

    Attributes
    ----------
    state : TrainingState
        Whose network, optimizer and generator are copies: of the place that training has reached.
    data : Split
        Of the state: all images are in memory, if they fit in.
    source : Split
        Of the session: images may lie in files, which have names.
    kernels : str
        Those that train.
    image : array (C, H, W)
    label : int, array (K,) of 0 and 1, or None
        The image's class, or which labels it has, if that is known.
    go_on : function () -> None
        Called now and then by what takes long; raises ValueError if nobody waits for the answer any more.
    """

    state: TrainingState
    data: Split
    source: Split
    kernels: str
    image: np.ndarray
    label: Any
    go_on: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, state: TrainingState, source: Split, kernels: str, image: np.ndarray, *more: Any) -> Subject:
        """Copy what a question needs of the state of training."""
        twin = copy.copy(state)
        twin.network, twin.optimizer = copy.deepcopy((state.network, state.optimizer))
        twin.rng, twin.epoch_rng_state = copy.deepcopy((state.rng, state.epoch_rng_state))
        twin.batch_losses = list(state.batch_losses)
        return cls(twin, state.data, source, kernels, image, *more)

    @property
    def network(self) -> Container:
        """The copy of the network."""
        network: Container = self.state.network  # type: ignore[assignment]
        return network

    @property
    def x(self) -> np.ndarray:
        """The image as a batch."""
        batch: np.ndarray = as_dtype(self.image[None], self.network.dtype)
        return batch

    @cached_property
    def batch(self) -> tuple[Any, ...]:
        """The images, labels and, if there are any, weights of the batch that comes next."""
        twin = copy.copy(self.state)
        twin.rng = copy.deepcopy(self.state.rng)
        return next(remaining_batches(twin))

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for an image."""
        return count_outputs(self.network, self.data.image_shape) or 0

    def loss_of_batch(self, z: np.ndarray, t: Any) -> tuple[float, np.ndarray]:
        """Return the loss of the next batch, with its weights, and its derivative."""
        return self.state.loss(z, t, *self.batch[2:])

    def part(self, name: str) -> tuple[Any, np.ndarray]:
        """Return the held-out images, or those trained on, with their labels."""
        if name == "train":
            return self.data.train
        if self.data.validation is None:
            raise ValueError("no images are held out of these data: ask for those trained on.")
        return self.data.validation

    def sample(self, most: int = SAMPLE) -> tuple[np.ndarray, np.ndarray]:
        """Return some training images, at equal distances, and their labels."""
        images, labels = self.data.train
        some = np.linspace(0, len(labels) - 1, min(len(labels), most)).astype(int)
        return as_dtype(np.asarray(images[some]), self.network.dtype), labels[some]


def answer(subject: Subject, message: Mapping[str, Any]) -> Answer:
    """Answer an ``ask``, an ``attribute`` or a ``measure``.

    Raises
    ------
    ValueError, TypeError, IndexError
        If the question does not fit the network: one sentence.
    """
    kind = message["kind"]
    which = message.get("about") or message.get("what") or kind
    with use_kernels("im2col"), np.errstate(all="ignore"):
        return _ANSWERS[kind, which](subject, message)


def plain(value: Any) -> Any:
    """Return data that JSON can hold: NumPy's numbers as Python's, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def told(label: Any) -> Any:
    """Return an image's class as the page has it; of a row of 0 and 1 the list of labels that apply."""
    if label is None:
        return None
    return np.flatnonzero(label).tolist() if np.ndim(label) else int(label)


def _value(subject: Subject, message: Mapping[str, Any]) -> Answer:
    if subject.label is None:
        seen = trace(subject.network, subject.x)
    else:
        seen = trace(subject.network, subject.x, np.array([subject.label]))
    found = Inquiry(seen).ask(_needed(message, "at"), (0, *message.get("index", ())))
    return _explained(found), {}


def _explained(found: Explanation) -> dict[str, Any]:
    """Return an explanation without the batch's axis, its smaller terms as one sum."""
    data = found.to_dict()
    data["what"] = data.pop("of")  # "activation", or "gradient"
    shown = [_term(term) for term in found.terms[:MOST_TERMS]]
    rest = sum(term.value for term in found.terms[MOST_TERMS:])
    return data | {"index": data["index"][1:], "terms": shown, "rest": rest, "count": len(found.terms)}


def _term(term: Contribution) -> dict[str, Any]:
    parts = []
    for part in term.parts:
        number = part.number
        place = None if number is None else list(number.index[1:] if _of_image(number.at) else number.index)
        where = {"of": None, "at": None} if number is None else {"of": number.of, "at": number.at}
        parts.append({"symbol": part.symbol, "value": part.value, **where, "index": place})
    return {"value": term.value, "note": term.note, "parts": parts}


def _of_image(at: str) -> bool:
    """Return whether an array has an axis of the images: all do but parameters."""
    return at.rpartition(".")[2] not in ("weight", "bias", "slope")


def _gradient(subject: Subject, message: Mapping[str, Any]) -> Answer:
    name, index = _entry(subject, message)
    network, state = subject.network, subject.state
    x, t = subject.batch[:2]
    seen = trace(network, x, t, loss=_Loss(subject), training=True)
    found = Inquiry(seen).ask(name, index, of="gradient")
    groups: dict[int, list[Contribution]] = {}
    for term in found.terms:
        place = next((part.number.index for part in term.parts if part.number and part.number.index), (0,))
        groups.setdefault(place[0], []).append(term)
    totals = {n: sum(term.value for term in terms) for n, terms in groups.items()}
    order = sorted(totals, key=lambda n: -abs(totals[n]))
    images = [
        {
            "label": told(t[n]),
            "name": f"image {n} of the batch",
            "total": totals[n],
            "products": [_term(term) for term in groups[n][:SHOWN_PRODUCTS]],
        }
        for n in order[:SHOWN_IMAGES]
    ]
    before, optimizer = float(network.params[name][index]), state.optimizer
    numbers = _numbers(optimizer, name, index, network.params[name])
    stepped, moved = copy.deepcopy((network, optimizer))
    with use_kernels(subject.kernels):  # the step that training would take, by the same program
        make_step(stepped, state.loss, moved)(*subject.batch)
    after = float(stepped.params[name][index])
    return {
        "array": name,
        "index": list(index),
        "value": before,
        "gradient": found.value,
        "rate": float(optimizer.current_lr),
        "change": after - before,
        "after": after,
        "formula": _formula(optimizer),
        "numbers": numbers,
        "batch": len(t),
        "images": images,
        "rest": sum(totals[n] for n in order[SHOWN_IMAGES:]),
        "count": len(order),
    }, {"images": np.asarray(x)[order[:SHOWN_IMAGES]]}


class _Loss:
    """The loss of the next batch, weighted as training weights it."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def __call__(self, z: Any, t: Any, sample_weight: Any = None) -> tuple[float, Any]:
        return self._subject.loss_of_batch(z, t)

    def correct(self, z: Any, t: Any) -> Any:
        return self._subject.state.loss.correct(z, t)


def _numbers(optimizer: Any, name: str, index: tuple[int, ...], w: np.ndarray) -> dict[str, float]:
    """Return the optimizer's numbers for one weight: its memory of it, and what it multiplies by."""
    decay = optimizer.weight_decay if optimizer.decays(name, w) else 0.0
    found = {"decay": float(decay), "momentum": float(getattr(optimizer, "momentum", 0.0))}
    for memory, arrays in optimizer.state.items():
        found[memory] = float(arrays[name][index]) if name in arrays else 0.0
    return found


def _formula(optimizer: Any) -> str:
    """Return how the optimizer moves a weight, in one line."""
    if isinstance(optimizer, SGD):
        if not optimizer.momentum:
            return "w <- w - lr (g + decay w)"
        end = "w + momentum v - lr (g + decay w)" if optimizer.nesterov else "w + v"
        return f"v <- momentum v - lr (g + decay w),  w <- {end}"
    return f"as {type(optimizer).__name__} moves it"


def _prove(subject: Subject, message: Mapping[str, Any]) -> Answer:
    name, index = _entry(subject, message)
    network = subject.network.astype("float64")
    network.unfreeze()  # what is frozen has a gradient, too
    x, t = np.asarray(subject.batch[0], np.float64), subject.batch[1]

    def loss(moved: float) -> tuple[float, Any]:
        twin = copy.deepcopy(network)  # dropout draws the same, batch norm averages the same
        twin.params[name][index] += moved
        z, cache = twin.forward(x, training=True)
        value, dz = subject.loss_of_batch(z, t)
        return float(value), (twin, dz, cache)

    value, (twin, dz, cache) = loss(0.0)
    gradient = float(twin.backward(dz, cache, input_grad=False)[1][name][index])
    quotients = []
    for k in range(NUDGES):
        nudge = message.get("nudge", 0.01) / 10**k
        minus, plus = loss(-nudge)[0], loss(nudge)[0]
        quotient = (plus - minus) / (2 * nudge)
        row = {"nudge": nudge, "minus": minus, "plus": plus, "quotient": quotient}
        quotients.append(row | {"error": quotient - gradient})
    return {
        "array": name,
        "index": list(index),
        "gradient": gradient,
        "loss": value,
        "quotients": quotients,
    }, {}


def _entry(subject: Subject, message: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    """Return the parameter and the entry that a question is about."""
    name = one_of("array", _needed(message, "array"), subject.network.params)
    shape, index = subject.network.params[name].shape, message.get("index", ())
    if len(index) != len(shape) or any(i >= n for i, n in zip(index, shape, strict=True)):
        raise IndexError(f"index must name one number of {name}, of shape {shape}, got {list(index)}.")
    return name, index


def _needed(message: Mapping[str, Any], field: str) -> Any:
    if field not in message:
        raise ValueError(f"this question needs {field}.")
    return message[field]


def _network(subject: Subject, message: Mapping[str, Any]) -> Answer:
    shape, classes = subject.data.image_shape, subject.outputs
    if "network" in message:
        try:
            named = build_network(message["network"], classes, shape, seed=0)
        except (ValueError, TypeError) as error:
            return {"ok": False, "problem": str(error), "blocks": [], "parameters": 0, "flops": 0}, {}
        found = blocks_of(named)
        if found is None:
            described = describe(named, shape)
            keys = ("kind", "name", "shape", "parameters", "receptive", "flops")
            rows = [{key: node[key] for key in keys} | {"problem": ""} for node in described["nodes"]]
            sums = {key: sum(row[key] for row in rows) for key in ("parameters", "flops")}
            return {"ok": True, "problem": "", "blocks": rows, "page": described["page"], **sums}, {}
    else:
        found = _needed(message, "blocks")
    examined = examine(found, classes, (shape[0], shape[1], shape[2]))
    if examined["ok"]:
        examined["page"] = describe(build(found, classes, shape, 0), shape)["page"]  # type: ignore[arg-type]
    return examined, {}


def _attribute(subject: Subject, message: Mapping[str, Any]) -> Answer:
    method, network = one_of("method", message["method"], ATTRIBUTIONS), subject.network
    label = message.get("label")
    if subject.outputs == 1:  # two classes: the output speaks for the second, against the first
        if label == 0:
            raise ValueError("one output tells two classes apart: ask for the second.")
        return {"method": method, "label": 1, "shows": ATTRIBUTIONS[method].shows}, {
            "map": attribution_maps(network, subject.x, method, [0])[0]
        }
    if label is None:
        label = int(network.predict_logits(subject.x)[0].argmax())
    found = attribution_maps(network, subject.x, method, [label])[0]
    return {"method": method, "label": label, "shows": ATTRIBUTIONS[method].shows}, {"map": found}


def _accuracy(subject: Subject, message: Mapping[str, Any]) -> Answer:
    found: dict[str, Any] = {"held_out": None, "train": None}
    for name, part in (("held_out", subject.data.validation), ("train", subject.data.train)):
        if part is not None:
            loss, accuracy = evaluate(subject.network, *part, loss=subject.state.loss)
            found[name] = {"images": len(part[1]), "loss": loss, "accuracy": accuracy}
    return found, {}


def _confusion(subject: Subject, message: Mapping[str, Any]) -> Answer:
    part = message.get("part", "held_out")
    found = measure(subject.network, *subject.part(part))
    if isinstance(found, LabelScores):
        scores = {"having": found.having, "recall": found.recall, "f1": found.f1}
    else:
        scores = {"matrix": found.matrix, "recall": found.per_class}
    return {
        **scores,
        "class_names": found.class_names,
        "precision": found.precision,
        "accuracy": found.accuracy,
        "interval": found.accuracy_interval,
        "part": part,
    }, {}


def _mistakes(subject: Subject, message: Mapping[str, Any]) -> Answer:
    part = message.get("part", "held_out")
    images, labels = subject.part(part)
    named = subject.source.train if part == "train" else subject.source.validation
    assert named is not None
    wrong = (_wrong_labels if labels.ndim == 2 else misclassified)(subject.network, images, labels)
    count = min(len(wrong), message.get("count", 24))
    rows = [
        {
            "index": wrong.index[k],
            "name": short_name(named[0], int(wrong.index[k])),
            "true": told(wrong.true[k]),
            "predicted": told(wrong.predicted[k]),
            "probability": wrong.probability[k],
        }
        for k in range(count)
    ]
    shown = np.asarray(images[wrong.index[:count]]) if count else np.zeros((0, *subject.data.image_shape))
    return {"mistakes": rows, "total": len(wrong), "count": len(labels), "part": part}, {"images": shown}


def _wrong_labels(network: Container, x: Any, y: np.ndarray) -> Predictions:
    """List the images of which a label is wrong, those of the surest answers first."""
    p = np.asarray(network.predict_proba(x))
    predicted = (p > 0.5).astype(int)
    certainty = np.maximum(p, 1 - p).prod(axis=1)  # of all labels as they are predicted
    wrong = np.flatnonzero((predicted != y).any(axis=1))
    order = wrong[np.argsort(-certainty[wrong], kind="stable")]
    return Predictions(order, y[order], predicted[order], certainty[order])


def short_name(images: Any, index: int) -> str:
    """Return an image's file with the folder that it lies in, or its number."""
    return "/".join(image_name(images, index).replace("\\", "/").split("/")[-2:])


def _dead(subject: Subject, message: Mapping[str, Any]) -> Answer:
    x, _ = subject.sample()
    layers = {
        name: {"count": found.count, "units": found.mask.size, "channels": found.channels}
        for name, found in dead_units(subject.network, x).items()
    }
    return {"layers": layers, "images": len(x)}, {}


def _gradients(subject: Subject, message: Mapping[str, Any]) -> Answer:
    label = message.get("label")
    label = subject.label if label is None else label
    if label is None:
        label = subject.network.predict(subject.x)[0]
    elif subject.data.is_multilabel and not np.ndim(label):
        label = np.isin(np.arange(subject.outputs), label).astype(int)
    seen = trace(subject.network, subject.x, np.array([label]), loss=subject.state.loss)
    arrays: dict[str, np.ndarray] = {}
    for record in seen:
        assert record.dy is not None
        arrays[f"d:{record.name}"] = record.dy[0]
        arrays |= {f"d:{record.name}.{key}": gradient for key, gradient in record.grads.items()}
        arrays.setdefault("d:input", record.dx[0] if not record.layer.several_inputs else record.dx[0][0])
    return {"label": told(label), "loss": seen.loss}, arrays


def _maps(subject: Subject, message: Mapping[str, Any]) -> Answer:
    return {}, {record.name: record.y[0] for record in trace(subject.network, subject.x)}


def _landscape(subject: Subject, message: Mapping[str, Any]) -> Answer:
    x, y = subject.sample(LANDSCAPE)
    steps, span = message.get("steps", 11), message.get("span", 1.0)
    found = loss_landscape(
        subject.network,
        x,
        y,
        steps=steps,
        span=span,
        loss=subject.state.loss,
        progress=lambda *_: subject.go_on(),
    )
    return {"offsets": found.offsets, "centre": found.centre, "images": len(y)}, {"losses": found.losses}


_ANSWERS = {
    ("ask", "value"): _value,
    ("ask", "gradient"): _gradient,
    ("ask", "prove"): _prove,
    ("ask", "network"): _network,
    ("attribute", "attribute"): _attribute,
    ("measure", "accuracy"): _accuracy,
    ("measure", "confusion"): _confusion,
    ("measure", "mistakes"): _mistakes,
    ("measure", "dead"): _dead,
    ("measure", "gradients"): _gradients,
    ("measure", "maps"): _maps,
    ("measure", "landscape"): _landscape,
}
