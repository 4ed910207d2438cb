import dataclasses
import io
import json
import signal

import pytest

import neocog
from neocog import runs
from neocog.optimizers import SGD, AdamW
from neocog.recipes import RECIPES
from neocog.schedules import OneCycle
from neocog.settings import Settings, default_settings


class InterruptedAfter(io.StringIO):
    """Presses Ctrl-C when a run says that an epoch is over."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def write(self, text):
        if text.startswith(f"epoch {self.epoch}/"):
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def short(recipe, **changes):
    """Four epochs on the line patterns."""
    return dataclasses.replace(default_settings("lines-b", recipe), epochs=4, **changes)


def arrays(directory):
    network = neocog.load(directory / "model.neocog")
    return {name: array.tobytes() for name, array in (network.params | network.buffers).items()}


def test_plain_is_what_a_run_is_without_a_recipe():
    assert default_settings("digits") == Settings("digits") == default_settings("digits", "plain")
    assert Settings("digits").recipe == "plain"
    recipe = RECIPES["plain"]
    assert repr(recipe.optimizer(0.1, 0.5, 0.01, 7)) == repr(SGD(0.1, 0.5, weight_decay=0.01))
    assert recipe.augment is None
    assert recipe.loss.label_smoothing == 0


def test_best():
    settings, recipe = default_settings("digits", "best"), RECIPES["best"]
    assert settings.network == "small-cnn"
    optimizer = recipe.optimizer(settings.lr, settings.momentum, settings.weight_decay, 570)
    assert repr(optimizer) == repr(AdamW(OneCycle(0.02, 570), (0.9, 0.999), weight_decay=0.05))
    assert repr(recipe.augment) == "Affine(degrees=10.0, shift=0.5, scale=0.1, shear=0.2)"
    assert recipe.loss.label_smoothing == 0.1


def test_a_recipe_comes_before_the_source_and_leaves_it_its_seed():
    settings = default_settings("lines-b", "best")
    assert (settings.network, settings.epochs, settings.lr, settings.seed) == ("small-cnn", 30, 0.02, 3)
    assert default_settings("lines-b").network == "tiny-cnn"


def test_an_unknown_recipe():
    for make in (Settings, default_settings):
        with pytest.raises(ValueError, match=r"one of 'plain', 'best', got 'bets'\. Did you mean 'best'"):
            make("digits", recipe="bets")


@pytest.mark.parametrize("recipe", RECIPES)
def test_settings_are_kept_and_a_run_without_a_recipe_was_plain(recipe, tmp_path):
    runs.train(short(recipe), tmp_path / "run", io.StringIO())
    directory = runs.RunDirectory(tmp_path / "run")
    assert directory.settings() == short(recipe)
    config = json.loads(directory.config.read_text())
    del config["settings"]["recipe"]  # as in runs of older versions
    directory.config.write_text(json.dumps(config))
    assert directory.settings().recipe == "plain"


@pytest.mark.parametrize("network", ["small-cnn", "digits-cnn"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_an_interrupted_run_ends_as_one_that_was_not(recipe, network, tmp_path):
    settings = short(recipe, network=network, batch_size=20)
    whole = runs.train(settings, tmp_path / "whole", io.StringIO())
    assert not whole.history.stopped
    parts = runs.train(settings, tmp_path / "parts", InterruptedAfter(2))
    assert parts.history.stopped == "interrupted"
    assert len(parts.history.rows) == 3
    assert arrays(tmp_path / "parts") != arrays(tmp_path / "whole")
    resumed = runs.resume(tmp_path / "parts", stream=io.StringIO())
    assert arrays(tmp_path / "parts") == arrays(tmp_path / "whole")
    for column in ("train_loss", "val_loss", "running_loss", "lr"):
        assert repr(resumed.history[column]) == repr(whole.history[column])  # untrained, some are NaN


def test_only_a_recipe_that_plans_ahead_has_a_fixed_length(tmp_path):
    for recipe in RECIPES:
        runs.train(dataclasses.replace(short(recipe), epochs=1), tmp_path / recipe, io.StringIO())
    assert runs.resume(tmp_path / "plain", 2, io.StringIO()).history.last["epoch"] == 2
    assert runs.resume(tmp_path / "best", 1, io.StringIO()).history.last["epoch"] == 1
    with pytest.raises(ValueError, match=r"epochs must stay 1, over which the recipe 'best' .* got 2"):
        runs.resume(tmp_path / "best", 2, io.StringIO())


def test_no_epochs_at_all(tmp_path):
    settings = dataclasses.replace(short("best"), epochs=0)
    assert len(runs.train(settings, tmp_path / "run", io.StringIO()).history.rows) == 1


def test_best_learns_the_digits_in_four_epochs(tmp_path):
    settings = dataclasses.replace(default_settings("digits", "best"), epochs=4)
    history = runs.train(settings, tmp_path / "run", io.StringIO()).history
    assert history.last["val_accuracy"] > 0.96
    assert history.last["lr"] == pytest.approx(0.02 / 25 / 1e4)
