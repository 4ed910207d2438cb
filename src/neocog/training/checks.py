"""Validate and convert the arguments of :func:`neocog.fit`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.data.split import Split
from neocog.layers import Container, Layer
from neocog.layers.base import as_dtype, check_network, random_generators
from neocog.layers.outputs import classes_of, flat_shape
from neocog.losses import Loss, check_weights
from neocog.losses.base import kind_of_loss
from neocog.losses.outputs import check_logits, state_output
from neocog.optimizers import Optimizer
from neocog.training.state import Callback, TrainingState
from neocog.validation import check_images, label_hint

# Lazy images up to this size, as float32, are read once instead of at every epoch.
IN_MEMORY_BYTES = 1 << 29


def check_arguments(loss: Any, optimizer: Any, callbacks: Any, augment: Any) -> None:
    """Raise TypeError for arguments of a wrong type, which would fail later with an unclear message."""
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(f"loss must be a loss such as SoftmaxCrossEntropy(), got {loss!r}.")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an optimizer such as SGD(lr=0.1), got {optimizer!r}.")
    if not isinstance(callbacks, Sequence) or not all(isinstance(c, Callback) for c in callbacks):
        raise TypeError(f"callbacks must be a sequence of callbacks, got {callbacks!r}.")
    if augment is not None and (isinstance(augment, type) or not callable(augment)):
        raise TypeError(
            "augment must be a function (images, rng) -> images, such as Affine(degrees=10), got "
            f"{augment!r}."
        )


def prepare_data(network: Layer, data: Split | tuple[Any, Any], loss: Loss) -> Split:
    """Check the data against the network and cast its images; set the network's shape and class names."""
    if isinstance(data, Split):
        split = data
    else:
        pairs = isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], tuple | list)
        split = Split(*data) if pairs and len(data[0]) == 2 else Split(data)
    outputs = check_network(network).output_shape((1, *split.image_shape))

    def cast(name: str, part: tuple[Any, Any]) -> tuple[Any, Any]:
        images, labels = part
        images = check_images(name, images)
        if isinstance(images, np.ndarray) or 4 * math.prod(images.shape) <= IN_MEMORY_BYTES:
            images = as_dtype(np.asarray(images), network.dtype)
        return images, labels

    train = cast("training images", split.train)
    validation = split.validation and cast("validation images", split.validation)
    names = split.class_names
    check_logits(network, loss)
    if split.is_classification and kind_of_loss(loss) != "values":
        _check_outputs(split, flat_shape(outputs), loss)
        classes = classes_of(kind_of_loss(loss) or "logits", outputs[1])
        names += tuple(str(k) for k in range(len(names), classes))  # outputs without a class
    if isinstance(network, Container):
        if len(split.image_shape) == 3:
            network.input_shape = split.image_shape
        kept = split.preprocessing or network.preprocessing
        network.preprocessing = kept if kept and kept.image_shape == split.image_shape else None
        if split.named or network.class_names is None or len(network.class_names) != len(names):
            network.class_names = names or None
    state_output(network, loss)
    return Split(train, validation, split.class_names or None, preprocessing=split.preprocessing)


def _check_outputs(split: Split, outputs: tuple[int, ...], loss: Loss) -> None:
    """Raise ValueError if a network's outputs, or a loss, do not fit the labels."""
    count, kind = len(split.class_names), kind_of_loss(loss)
    if split.is_multilabel and kind == "logits":
        y = split.train[1]
        hint = label_hint(y) if (y.sum(axis=1) == 1).all() else ""
        raise ValueError(
            f"labels must have shape (N,) for {type(loss).__name__}, one an image, got {y.shape}{hint}; for "
            "several labels an image pass loss=BinaryCrossEntropy()."
        )
    if kind == "independent-logits" and not split.is_multilabel:
        if len(outputs) != 2 or outputs[1] != 1 or count > 2:
            raise ValueError(
                f"the network must have one output for labels (N,) of two classes and {type(loss).__name__}, "
                f"got {count} classes and the output shape {outputs}; for several labels an image pass "
                "labels (N, labels) of 0 and 1."
            )
    elif len(outputs) != 2 or outputs[1] < count or (split.is_multilabel and outputs[1] > count):
        raise ValueError(
            f"the network must have an output for each of the {count} classes, its output shape is {outputs}."
        )


def prepare_weights(sample_weight: Any, data: Split) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the weights of training and validation images, each scaled to mean 1."""
    pair = sample_weight if isinstance(sample_weight, tuple) else (sample_weight, None)
    if len(pair) != 2:
        raise ValueError(f"sample_weight must be an array, or a pair of arrays, got {len(pair)} things.")
    if pair[1] is not None and data.validation is None:
        raise ValueError("sample_weight must hold no validation weights, as there are no validation images.")
    scaled: list[np.ndarray | None] = []
    for weight, part in zip(pair, data, strict=True):
        if weight is None or part is None:
            scaled.append(None)
            continue
        weight = check_weights(weight, len(part[1]))
        if not weight.any():
            raise ValueError("sample_weight must not be all 0.")
        weight = weight / weight.max()  # so that their sum is finite
        scaled.append(weight / weight.mean())
    return scaled[0], scaled[1]


def check_batch_sizes(network: Layer, image_shape: tuple[int, ...], images: int, batch_size: int) -> None:
    """Raise ValueError if a layer cannot be trained on one of the batches that the images are divided into.

    Batch norm, for example, cannot normalise a single value. Only shapes are computed.
    """
    checks = [type(leaf).check_training_shape for _, leaf in network.leaves()]
    if all(check is Layer.check_training_shape for check in checks):
        return

    frozen = network.frozen

    def visit(name: str, layer: Layer, shape: Any) -> Any:
        try:
            if not frozen.get(name, False):  # what is frozen runs as in inference
                layer.check_training_shape(shape)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from None
        return layer.output_shape(shape)

    @functools.cache
    def refusal(size: int) -> str:
        """Return why a batch of a size cannot be trained on; empty if it can."""
        try:
            network.walk(visit, (size, *image_shape))
        except ValueError as error:
            return str(error)
        return ""

    def refused(batch_size: int) -> int:
        """Return the first size of a batch that cannot be trained on, 0 if all can."""
        sizes = {min(batch_size, images), images % batch_size or batch_size}
        return next((size for size in sorted(sizes) if refusal(size)), 0)

    if not images or not (size := refused(batch_size)):
        return
    near = [next((b for b in range(batch_size - 1, 0, -1) if not refused(b)), 0)]
    near.append(next((b for b in range(batch_size + 1, images + 1) if not refused(b)), 0))
    advice = " or ".join(str(b) for b in near if b)
    kind = "a last batch" if size != min(batch_size, images) else "a batch"
    raise ValueError(
        f"batch_size must not leave {kind} of {'one image' if size == 1 else f'{size} images'}, got "
        f"{batch_size} for {images} images: {refusal(size)} "
        + (f"Sizes that work: {advice}." if advice else "No batch size works: pass more images.")
    )


def check_run(state: TrainingState) -> None:
    """Raise ValueError for settings that would fail during training."""
    check_batch_sizes(state.network, state.data.image_shape, len(state.data.train[1]), state.batch_size)
    if state.network.params and not state.network.trainable_params:
        raise ValueError("all layers of the network are frozen, so that nothing learns; unfreeze some.")
    if isinstance(state.optimizer, Optimizer):
        state.optimizer.factors(state.network.params)
    if any(rng is state.rng for rng in random_generators(state.network)):
        raise ValueError("rng must not be the generator of a layer, or a resumed run would draw otherwise.")
