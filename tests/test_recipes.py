import dataclasses
import io
import json

import numpy as np
import pytest

import neocog
from neocog import runs
from neocog.data import Split, line_patterns
from neocog.optimizers import SGD, AdamW
from neocog.recipes import RECIPES
from neocog.resolution import resolve
from neocog.schedules import OneCycle
from neocog.settings import Settings, default_settings, settings_for
from neocog.training.by_name import make_augmentation, make_optimizer, make_schedule


def short(recipe, **changes):
    """Four epochs on the line patterns."""
    return settings_for("lines-b", recipe=recipe, epochs=4, **changes)


def resolved(settings):
    return resolve(settings, line_patterns("b"))[0]


def test_plain_is_what_a_run_is_without_a_recipe():
    assert default_settings("digits") == Settings("digits") == default_settings("digits", "plain")
    assert Settings("digits").recipe == "plain"
    settings = default_settings("digits")
    assert (settings.optimizer, settings.schedule) == ("sgd", "constant")
    assert (settings.augment, settings.label_smoothing, settings.normalize) == ("none", 0, "none")
    assert (settings.class_weight, settings.validation, settings.keep_best) == ("none", 0, "none")
    assert settings.from_data == ()
    optimizer = make_optimizer("sgd", 0.1, 0.5, 0.01)
    assert repr(optimizer) == repr(SGD(0.1, 0.5, weight_decay=0.01))


def test_best():
    settings = default_settings("digits", "best")
    assert settings.network == "small-cnn"
    rate = make_schedule(settings.schedule, settings.lr, 570)
    optimizer = make_optimizer(settings.optimizer, rate, settings.momentum, settings.weight_decay)
    assert repr(optimizer) == repr(AdamW(OneCycle(0.02, 570), (0.9, 0.999), weight_decay=0.05))
    augment = make_augmentation(settings.augment, (1, 32, 32))
    assert repr(augment) == "Affine(degrees=10.0, shift=0.5, scale=0.1, shear=0.2)"
    assert settings.label_smoothing == 0.1


def test_the_standard_recipe_and_the_estimators_share_network_optimizer_and_schedule():
    settings = default_settings("folder:x")
    for estimator in (neocog.ConvNetClassifier(), neocog.ConvNetRegressor()):
        shared = {name: getattr(settings, name) for name in ("optimizer", "schedule", "lr", "weight_decay")}
        assert shared == {name: getattr(estimator, name) for name in shared}
    assert (settings.momentum, settings.network, settings.normalize) == (0.9, "image-cnn", "channels")
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 1, 16, 16)).astype("float32"), np.arange(60) % 2
    resolved_settings, _ = resolve(settings, Split((x, y)))
    trained = neocog.ConvNetClassifier(epochs=1, random_state=0).fit(x, y).network_
    ours = runs.network_for(resolved_settings, Split((x, y)))
    assert repr(ours) == repr(trained)


def test_a_run_of_an_older_version_is_what_its_recipe_was(tmp_path):
    """Its configuration does not name what only the recipe held then."""
    old = {"network": "small-cnn", "epochs": 3, "lr": 0.02, "momentum": 0.9, "weight_decay": 0.05}
    old |= {"batch_size": 72, "seed": 42, "kernels": "auto", "size": None, "recipe": "best"}
    old |= {"filters": None, "engine": "neocog", "device": None}
    assert Settings("digits", **old) == settings_for("digits", recipe="best", epochs=3)
    old["recipe"] = "plain"
    assert Settings("digits", **old).optimizer == "sgd"


def test_a_recipe_comes_before_the_source_and_leaves_it_its_seed():
    settings = default_settings("lines-b", "best")
    assert (settings.network, settings.epochs, settings.lr, settings.seed) == ("small-cnn", 30, 0.02, 3)
    assert default_settings("lines-b").network == "tiny-cnn"


def test_an_unknown_recipe():
    for make in (Settings, default_settings):
        with pytest.raises(
            ValueError, match=r"'plain', 'standard', 'best', got 'bets'\. Did you mean 'best'"
        ):
            make("digits", recipe="bets")


@pytest.mark.parametrize("recipe", RECIPES)
def test_settings_are_kept_and_a_run_without_a_recipe_was_plain(recipe, tmp_path):
    runs.train(short(recipe), tmp_path / "run", io.StringIO())
    directory = runs.RunDirectory(tmp_path / "run")
    assert directory.settings() == resolved(short(recipe))
    config = json.loads(directory.config.read_text())
    del config["settings"]["recipe"]  # as in runs of older versions
    directory.config.write_text(json.dumps(config))
    assert directory.settings().recipe == "plain"


def test_only_a_schedule_that_plans_ahead_has_a_fixed_length(tmp_path):
    for recipe in RECIPES:
        runs.train(settings_for("lines-b", recipe=recipe, epochs=1), tmp_path / recipe, io.StringIO())
    assert runs.resume(tmp_path / "plain", 2, io.StringIO()).history.last["epoch"] == 2
    for recipe in ("best", "standard"):
        assert runs.resume(tmp_path / recipe, 1, io.StringIO()).history.last["epoch"] == 1
        with pytest.raises(
            ValueError, match=r"epochs must stay 1, over which the schedule 'one-cycle' .* got 2"
        ):
            runs.resume(tmp_path / recipe, 2, io.StringIO())


def test_no_epochs_at_all(tmp_path):
    settings = dataclasses.replace(short("best"), epochs=0)
    assert len(runs.train(settings, tmp_path / "run", io.StringIO()).history.rows) == 1


def test_best_learns_the_digits_in_four_epochs(tmp_path):
    settings = dataclasses.replace(default_settings("digits", "best"), epochs=4)
    history = runs.train(settings, tmp_path / "run", io.StringIO()).history
    assert history.last["val_accuracy"] > 0.96
    assert history.last["lr"] == pytest.approx(0.02 / 25 / 1e4)
