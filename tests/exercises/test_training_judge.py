import numpy as np
import pytest

from neocog.exercises.judges.training import early_stopping
from neocog.training import EarlyStopping


def by_the_callback(losses, patience):
    """Ask neocog's callback, epoch by epoch."""
    from types import SimpleNamespace

    stop = EarlyStopping(patience=patience)
    network = SimpleNamespace(params={}, buffers={})
    for epoch, loss in enumerate(losses):
        history = SimpleNamespace(last={"val_loss": loss})
        if stop.on_epoch(SimpleNamespace(network=network, history=history, epoch=epoch)):
            break
    return stop.best_epoch, epoch


@pytest.mark.parametrize("seed", range(20))
def test_the_callback_of_neocog_stops_at_the_right_epoch(seed):
    assert early_stopping(by_the_callback, seed) == ""


def rises(losses, patience):
    up = 0
    for epoch in range(1, len(losses)):
        up = up + 1 if losses[epoch] >= losses[epoch - 1] else 0
        if up == patience:
            return int(np.argmin(losses[: epoch + 1])), epoch
    return int(np.argmin(losses)), len(losses) - 1


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            lambda losses, patience: (int(np.argmin(losses)), by_the_callback(losses, patience)[1]),
            "after the end",
        ),
        (lambda losses, patience: by_the_callback(losses, patience + 1), "an epoch late"),
        (lambda losses, patience: by_the_callback(losses, max(patience - 1, 1)), "an epoch early"),
        (rises, "worse than the one before"),
    ],
)
def test_usual_mistakes_are_named(program, message):
    assert message in early_stopping(program, 0)
