"""What is chosen to suit the images depends on them and the settings alone, and is said."""

import dataclasses

import numpy as np
import pytest

from neocog.data import Split, digits, line_patterns
from neocog.resolution import LEAST_IMAGES, epoch_seconds, neighbours_right, resolve, small_images
from neocog.settings import VALIDATION, settings_for


def images_of(counts, shape=(1, 16, 16), seed=0, tuning=None):
    """Bright and dark noise in two halves, whose order names the class; classes of these sizes."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    x = rng.random((len(y), *shape)).astype("float32") * 0.2
    for k, label in enumerate(y):
        x[k, :, :, label :: len(counts)] += 0.5
    part = (x[: len(counts)], y[: len(counts)])
    return Split((x, y), part, tuning=part if tuning else None)


def chosen(data, **settings):
    return resolve(settings_for("folder:x", **settings), data)


def test_everything_left_open_is_chosen_and_said():
    settings, reasons = chosen(images_of((60, 60)))
    assert settings.from_data == ()
    assert settings.minutes is None
    assert len(reasons) == 6
    assert settings.validation == VALIDATION
    assert settings.keep_best == "loss"
    assert (settings.batch_size, settings.epochs, settings.filters) == (16, 100, (32, 64))
    assert resolve(settings, images_of((60, 60))) == (settings, [])  # nothing is chosen again


def test_what_the_user_chooses_stays():
    own = {"filters": (4,), "batch_size": 7, "epochs": 3, "class_weight": "none", "augment": "none"}
    settings, reasons = chosen(images_of((100, 30)), **own, validation=0.3)
    assert reasons == []
    for name, value in own.items():
        assert getattr(settings, name) == value
    assert settings.validation == 0.3
    settings, reasons = chosen(images_of((100, 30)), network="digits-cnn")
    assert settings.filters is None


@pytest.mark.parametrize("least", [LEAST_IMAGES - 1, LEAST_IMAGES])
def test_few_images_of_a_class_choose_no_epoch(least):
    settings, reasons = chosen(images_of((60, least)))
    if least < LEAST_IMAGES:
        assert (settings.validation, settings.keep_best, settings.early_stopping) == (0, "none", 0)
        assert "class '1' has 19 training images, fewer than 20" in reasons[0]
    else:
        assert (settings.validation, settings.keep_best) == (VALIDATION, "loss")


def test_the_datas_own_validation_images_choose_whatever_their_number():
    settings, reasons = chosen(images_of((9, 9), tuning=True))
    assert settings.validation
    assert "the data's own validation images choose the epoch" in reasons[0]
    assert sum("validation images" in reason for reason in reasons) == 1
    _, reasons = chosen(images_of((9, 9), tuning=True), validation=0)
    assert reasons[-1] == "the data's own 2 validation images are not used: validation is 0"


def test_groups_that_cannot_be_divided_choose_no_epoch():
    data = images_of((60, 60))
    for groups, divided in ((np.arange(120) // 30, True), (np.arange(120) // 60, False)):
        settings, reasons = chosen(Split(data.train, data.validation, groups=groups))
        assert bool(settings.validation) == divided
        assert (settings.keep_best == "none") == (not divided)
    assert "no validation images: every class needs images of at least two groups" in reasons[0]


@pytest.mark.parametrize(("counts", "expected"), [((60, 45), "none"), ((60, 30), "balanced")])
def test_uneven_classes_are_weighted(counts, expected):
    settings, reasons = chosen(images_of(counts))
    assert settings.class_weight == expected
    assert any("class weights" in reason for reason in reasons)


def test_digits_are_not_mirrored_and_noise_is():
    data = digits()
    settings, reasons = chosen(data)
    assert settings.augment == "affine"
    assert any("no mirroring" in reason for reason in reasons)
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = (rng.random((200, 3, 12, 12)) * (0.3 + 0.4 * y[:, None, None, None])).astype("float32")
    assert chosen(Split((x, y)))[0].augment == "flips-shift"
    x[:, :, :6] += 0.5  # bright above: upside down they look like nothing here
    x[y == 1, :, 6:] += 0.3
    assert chosen(Split((x, y)))[0].augment.startswith("flip")


def test_minutes_become_epochs_before_the_first_step():
    data = line_patterns("a")
    seconds = epoch_seconds(settings_for("lines"), data)
    for epochs in (1, 7, 300):
        minutes = (epochs + 0.5) * seconds / 60
        settings, (reason,) = resolve(settings_for("lines", minutes=minutes), data)
        assert (settings.epochs, settings.minutes) == (epochs, None)
        assert reason.startswith(f"{epochs} epoch{'s' * (epochs != 1)}: ")
    assert resolve(settings_for("lines", minutes=1e-9), data)[0].epochs == 1
    with pytest.raises(
        ValueError, match="minutes become epochs: give one of them, got minutes=1 and epochs=3"
    ):
        settings_for("lines", minutes=1, epochs=3)


def test_the_held_out_images_decide_nothing():
    data = images_of((60, 40))
    x, y = data.validation
    other = Split(data.train, (1 - x, 1 - y))
    assert chosen(data) == chosen(other)


def test_the_textbooks_settings_choose_nothing():
    for source in ("digits", "lines", "lines-b"):
        settings = settings_for(source)
        assert settings.from_data == ()
        assert resolve(settings, line_patterns("a")) == (settings, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adan"}, "optimizer must be one of .*Did you mean 'adam'"),
        ({"schedule": "cosin"}, "schedule must be one of .*Did you mean 'cosine'"),
        ({"augment": "flop"}, "augment must be one of .*Did you mean 'flip'"),
        ({"class_weight": "balance"}, "class_weight must be one of 'none', 'balanced', got 'balance'"),
        ({"normalize": "yes"}, "normalize must be one of 'none', 'channels', 'pretrained', got 'yes'"),
        ({"keep_best": "f1", "validation": 0.1}, "keep_best must be one of 'none', 'loss', 'accuracy'"),
        ({"label_smoothing": 1}, r"label_smoothing must be in \[0, 1\), got 1"),
        ({"clip_norm": -1}, r"clip_norm must be in \[0, inf\), got -1"),
        ({"validation": 1}, r"validation must be in \[0, 1\), got 1"),
        ({"held_out": 0}, r"held_out must be in \(0, 1\), got 0"),
        ({"early_stopping": -1}, "early_stopping must be at least 0, got -1"),
        ({"minutes": 0}, r"minutes must be in \(0, inf\), got 0"),
        ({"optimizer": "nesterov", "momentum": 0}, "nesterov needs a momentum above 0"),
        ({"early_stopping": 3, "validation": 0}, "early_stopping must be 0 without validation images"),
        ({"keep_best": "accuracy", "validation": 0}, "keep_best must be none without validation images"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        settings_for("folder:x", **options)


def test_held_out_is_for_sources_without_such_a_part():
    with pytest.raises(ValueError, match=r"held_out is only allowed for folder:PATH, .* got source 'digits'"):
        settings_for("digits", held_out=0.3)
    assert settings_for("folder:x", held_out=0.3).held_out == 0.3


def test_keeping_the_best_epoch_implies_validation_images():
    for options in ({"early_stopping": 5}, {"keep_best": "accuracy"}):
        assert settings_for("digits", **options).validation == VALIDATION
    assert settings_for("folder:x", validation=0).keep_best == "none"
    last = settings_for("folder:x", keep_best="none")  # there is nothing that validation images would choose
    assert (last.validation, "validation" in last.from_data) == (0, False)
    assert "validation" in settings_for("folder:x", keep_best="none", schedule="plateau").from_data
    assert "validation" not in settings_for("folder:x", validation=0).from_data


def test_settings_are_plain_data_again():
    settings, _ = chosen(images_of((60, 40)))
    values = settings.to_dict()
    assert type(settings)(**values) == settings
    assert set(values) == {f.name for f in dataclasses.fields(settings)} - {"from_data"}


def test_neighbours_by_hand():
    x = np.array([0.0, 1.0, 1.5, 4.0]).reshape(4, 1, 1, 1)
    y = np.array([0, 0, 1, 1])
    # the nearest others of 0, 1, 1.5, 4 are 1, 1.5, 1, 1.5: of classes 0, 1, 0, 1
    assert neighbours_right(x, y, x) == 0.5
    assert small_images(np.arange(32.0).reshape(1, 1, 1, 32), side=16)[0, 0, 0, :2].tolist() == [0.5, 2.5]
