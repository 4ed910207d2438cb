"""Find the layer in which a loss became NaN or infinite."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from neocog.layers import Layer
from neocog.layers.base import as_dtype
from neocog.training.state import TrainingState


class NonFiniteLossError(FloatingPointError):
    """Report that the loss became NaN or infinite; the message names the epoch, batch and layer."""


def diagnosis(
    state: TrainingState, x: Any, training: bool, network: Layer | None = None
) -> NonFiniteLossError:
    """Return the error that names the first layer, of the state's network or another, that is not finite."""
    state.engine.synchronize()
    found: list[str] = []

    def visit(name: str, layer: Layer, value: Any) -> Any:
        y = layer.forward(value, training=training)[0]
        if not found and not np.isfinite(y).all():
            non_finite = [key for key, array in layer.params.items() if not np.isfinite(array).all()]
            cause = f", whose {' and '.join(non_finite)} had already overflowed" if non_finite else ""
            found.append(f"layer {name!r} ({type(layer).__name__}){cause}")
        return y

    bad_input = training and not np.isfinite(x).all()  # caused by augmentation: fit has checked its arguments
    if bad_input:
        found.append("the images as they were augmented")
    # A copy, as a forward pass changes running statistics and generators.
    twin = copy.deepcopy(state.network if network is None else network)
    for start in range(0, len(x), 256):
        if not found:
            twin.walk(visit, as_dtype(x[start : start + 256], twin.dtype))
    where = found[0] if found else "the loss itself; every layer's output is finite"
    advice = "" if bad_input else " A lower learning rate usually helps."
    when = (
        f"in epoch {state.epoch + 1}, batch {len(state.batch_losses) + 1}"
        if training
        else (f"after epoch {state.epoch}, batch {len(state.batch_losses)}")
    )
    return NonFiniteLossError(
        f"the loss is not finite {when}, at learning rate {state.optimizer.last_lr:g}; it arose in "
        f"{where}.{advice}"
    )
