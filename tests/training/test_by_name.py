import inspect

import numpy as np
import pytest

from neocog import optimizers
from neocog.data.augmentation import Affine, ColorJitter, Compose, Erase, Flip, Shift
from neocog.optimizers import SGD, Adam, AdamW, NAdam, RMSProp
from neocog.schedules import Cosine, OneCycle, Polynomial, WarmRestarts
from neocog.training.by_name import (
    AUGMENTATIONS,
    OPTIMIZERS,
    PLANNED_SCHEDULES,
    SCHEDULES,
    make_augmentation,
    make_optimizer,
    make_schedule,
)


def test_every_optimizer_has_a_name():
    made = {type(make_optimizer(name, 0.1)).__name__ for name in OPTIMIZERS}
    assert made == {name for name in optimizers.__all__ if name != "Optimizer"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sgd", SGD(0.1, 0.8, weight_decay=0.01, clip_norm=2.0)),
        ("nesterov", SGD(0.1, 0.8, nesterov=True, weight_decay=0.01, clip_norm=2.0)),
        ("adam", Adam(0.1, (0.8, 0.999), weight_decay=0.01, clip_norm=2.0)),
        ("adamw", AdamW(0.1, (0.8, 0.999), weight_decay=0.01, clip_norm=2.0)),
        ("nadam", NAdam(0.1, (0.8, 0.999), weight_decay=0.01, clip_norm=2.0)),
        ("rmsprop", RMSProp(0.1, momentum=0.8, weight_decay=0.01, clip_norm=2.0)),
    ],
)
def test_optimizers(name, expected):
    made = make_optimizer(name, 0.1, 0.8, 0.01, 2.0)
    assert repr(made) == repr(expected)
    assert vars(made) == vars(expected)


def test_schedules():
    made = {name: make_schedule(name, 0.5, 70) for name in SCHEDULES}
    assert made == {
        "constant": 0.5,
        "cosine": Cosine(0.5, 70),
        "one-cycle": OneCycle(0.5, 70),
        "polynomial": Polynomial(0.5, 70),
        "warm-restarts": WarmRestarts(0.5, 10, factor=2),  # cycles of 10, 20 and 40 steps
        "plateau": 0.5,
    }
    assert {name for name, rate in made.items() if callable(rate)} == set(PLANNED_SCHEDULES)
    for name in SCHEDULES:
        make_schedule(name, 0.5, 0)  # a run without a step


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 12), (1, 1, 1), (1, 1, 30)])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_keep_shape_and_dtype(name, shape, rng):
    augment = make_augmentation(name, shape)
    if name == "none":
        assert augment is None
        return
    images = rng.random((5, *shape)).astype("float32")
    changed = augment(images, np.random.default_rng(0))
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    if name != "colour":  # it does not clip
        assert changed.min() >= -1e-6
        assert changed.max() <= 1 + 1e-6


def test_no_augmentation_is_joined_to_none():
    with pytest.raises(ValueError, match="augment must be 'none' or others joined, got 'none-flip'"):
        make_augmentation("none-flip", (1, 8, 8))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_momentum_out_of_range_is_named_so_for_every_optimizer(name):
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got 1"):
        make_optimizer(name, 0.1, momentum=1)


def test_augmentations_fit_the_size():
    assert repr(make_augmentation("shift", (3, 64, 48))) == "Shift(3, fill='edge')"
    assert repr(make_augmentation("flip", (3, 64, 48))) == repr(Flip())
    expected = Affine(degrees=10, shift=3, scale=0.1, shear=0.2, fill="edge")
    assert repr(make_augmentation("flip-affine", (3, 64, 48))) == repr(Compose(Flip(), expected))
    both = Compose(Flip(), Flip(axis="vertical"), Shift(1, fill="edge"))
    assert repr(make_augmentation("flips-shift", (1, 8, 8))) == repr(both)
    several = Compose(Flip(), ColorJitter(0.2, 0.2, 0.2), Erase(8, p=0.5))
    assert repr(make_augmentation("flip-colour-erase", (3, 40, 32))) == repr(several)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_optimizer("adma", 0.1), "optimizer must be one of .*Did you mean 'adam'"),
        (lambda: make_schedule("cosin", 0.1, 5), "schedule must be one of .*Did you mean 'cosine'"),
        (lambda: make_augmentation("flop", (1, 8, 8)), "augment must be one of .*Did you mean 'flip'"),
        (lambda: make_augmentation("flip-shft", (1, 8, 8)), "got 'shft'. Did you mean 'shift'"),
    ],
)
def test_unknown_names(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_same_names_in_the_estimators():
    from neocog.estimators import networks

    assert set(networks.OPTIMIZERS) == set(OPTIMIZERS) - {"nesterov"}  # which is their "sgd"
    for name, make in networks.OPTIMIZERS.items():
        made = make(lr=0.1, weight_decay=0.0)
        kind = "nesterov" if name == "sgd" else name
        momentum = 0.0 if name == "rmsprop" else 0.9
        assert vars(made) == vars(make_optimizer(kind, 0.1, momentum))
        assert "lr" in inspect.signature(type(made)).parameters
