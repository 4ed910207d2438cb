"""Train a network by its settings, begin a run and resume it."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from neocog.baselines import baselines
from neocog.budgets import BudgetError, check_budget
from neocog.data import Split
from neocog.data.duplicates import note_of_duplicates
from neocog.data.folder import check_pictures
from neocog.data.summary import DataSummary
from neocog.inspection.predictions import measure
from neocog.kernels import use_kernels
from neocog.layers import Container
from neocog.representation import printable, say, sentence
from neocog.resolution import resolve
from neocog.runs.directory import RunDirectory, RunResult
from neocog.runs.fitting import (
    choosing_callbacks,
    draw_sample,
    fit_as,
    network_for,
    optimizer_for,
    started_network,
)
from neocog.runs.images import open_images, training_split
from neocog.runs.starting import open_start
from neocog.serialization import check_values, save
from neocog.settings import Settings
from neocog.training import Callback, Checkpoint, CSVLog, Diagnose, KeepBest, Progress, Snapshots
from neocog.training.checkpoint import network_in
from neocog.training.checks import check_batch_sizes
from neocog.training.engine import leads, torch_engine

_SHOWN = (
    "The lines below show the held-out images, which decide nothing: an epoch chosen by them would look "
    "better than it is."
)


def train(
    settings: Settings, out: str | Path | None = None, stream: TextIO | None = None
) -> RunResult | None:
    """Train a network by the settings, and write everything into a new run directory.

    Of several processes started by ``torchrun`` only the first writes; the others return None.

    Parameters
    ----------
    settings : Settings
    out : path, optional
        The directory; default ``runs/SOURCE``. It is made only after data and network have been checked.
    stream : text stream, optional
        Stream for progress; default standard output.

    Raises
    ------
    ValueError, OSError
        If the data or the directory cannot be used.
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    """
    start = None if settings.pretrained is None else open_start(settings)
    if start is not None:
        settings = start.settings
    data = open_images(settings, **({} if start is None else start.reading))
    check_budget("values", math.prod(data.image_shape), f"an image of shape {data.image_shape}")
    check_pictures(data)
    data.notes += note_of_duplicates(data)
    settings, chosen = resolve(settings, data)
    split = training_split(settings, data)
    if start is None:
        network = network_for(settings, split)
    else:
        network, made = started_network(start, settings, split)
        chosen = [*start.lines, *made, *chosen]
    check_values(network, data.image_shape)
    check_batch_sizes(network, data.image_shape, len(split.train[1]), settings.batch_size)
    if settings.engine == "torch":  # raises ImportError, ValueError or TypeError before a directory is made
        loss = settings.make_loss()
        torch_engine(network, loss, optimizer_for(settings, 1), settings.device)
    directory = RunDirectory.new(out, settings.source) if leads(settings.engine) else None
    return _train(settings, data, network, directory, stream, None, chosen)


def resume(path: str | Path, epochs: int | None = None, stream: TextIO | None = None) -> RunResult | None:
    """Continue an interrupted run, or train a finished one for more epochs.

    A run that was killed before its first checkpoint begins anew. One that is finished is left as it is, and
    that is said.

    Raises
    ------
    ValueError, OSError
        If ``path`` is no run directory, its checkpoint is damaged, or its schedule depends on the total
        number of epochs.
    """
    directory = RunDirectory(path)
    settings = directory.settings()
    if epochs is not None and epochs != settings.epochs:
        if settings.planned:
            raise ValueError(
                f"epochs must stay {settings.epochs}, over which the schedule {settings.schedule!r} spreads "
                f"its learning rates, got {epochs}; train anew instead."
            )
        settings = replace(settings, epochs=epochs)
    finished = directory.finished(settings)
    if finished:
        if leads(settings.engine):
            say(sys.stdout if stream is None else stream, finished)
            return directory.result()
        return None
    data = directory.open_split(settings)
    checkpoint = directory.checkpoint if directory.checkpoint.exists() else None
    try:
        split = training_split(settings, data)
        if settings.pretrained is None:
            network = network_for(settings, split)
        elif checkpoint is not None:  # the pretrained model may be gone
            network = network_in(checkpoint)
        else:
            network, _ = started_network(open_start(settings), settings, split)
        check_values(network, data.image_shape)
    except BudgetError as error:
        raise BudgetError(f"{directory.config}: {error}") from error
    if checkpoint is None:
        out = sys.stdout if stream is None else stream
        say(out, "The run was ended before its first checkpoint: it begins anew.")
    return _train(settings, data, network, directory if leads(settings.engine) else None, stream, checkpoint)


def _train(
    settings: Settings,
    data: Split,
    network: Container,
    directory: RunDirectory | None,
    stream: TextIO | None,
    checkpoint: Path | None,
    chosen: Sequence[str] = (),
) -> RunResult | None:
    split = training_split(settings, data)
    snapshots = Snapshots()
    sample, rng = draw_sample(settings, len(split.train[1]))
    choosing = choosing_callbacks(settings)
    if directory is None:  # a process that follows another one
        fit_as(settings, split, network, rng, [*choosing, snapshots], checkpoint)
        return None
    with directory.open_log() as log:

        def tell(lines: Iterable[str]) -> None:
            for line in lines:
                for each in (sys.stdout if stream is None else stream, log):
                    say(each, printable(line))

        if checkpoint is None:
            if directory.checkpoint.exists():  # another process has trained here in between
                raise FileExistsError(f"{directory.path} holds a run by now; name another directory.")
            directory.write_config(settings, data, network, sample, {"chosen": chosen})
            tell(DataSummary.of(data).lines())
            tell(map(sentence, chosen))
        else:
            chosen = directory.results().get("chosen", ())
        measured = "validation" if settings.validation else "held out"
        if measured == "held out" and data.validation is not None and settings.epochs:
            tell([_SHOWN])
        callbacks = [
            *choosing,
            Progress(stream, measured),
            Progress(log, measured),
            Diagnose(stream, log),
            CSVLog(directory.history_csv),
            snapshots,
            Checkpoint(directory.checkpoint),
        ]
        try:
            history = fit_as(settings, split, network, rng, callbacks, checkpoint)
            result = RunResult(directory, network, history, list(chosen), data=data)
            if history.stopped != "interrupted":
                if settings.recipe == "standard" and data.validation is not None:
                    tell(["Comparing with other classifiers on the held-out images ..."])
                result = _measured(result, settings, data, choosing)
                tell(map(sentence, outcome(result.to_dict(), settings, int(history.last["epoch"]))))
            directory.write_config(settings, data, network, sample, result.to_dict())
            save(network, directory.model)
            snapshots.save(directory.snapshots)
            history.to_json(directory.history_json)  # the last: by it a run is known to be finished
        except KeyboardInterrupt:  # a second Ctrl-C, or one while the files are written
            command = shlex.join(["neocog", "train", "--resume", str(directory.path)])
            raise KeyboardInterrupt(f"interrupted; continue with: {command}") from None
    return result


def _measured(result: RunResult, settings: Settings, data: Split, choosing: Sequence[Callback]) -> RunResult:
    """Measure a trained network, and what it is compared with, on the held-out images."""
    kept = [callback.best_epoch for callback in choosing if isinstance(callback, KeepBest)]
    kept_epoch = kept[0] if kept and settings.keep_best != "none" else None
    if data.validation is None:
        return replace(result, kept_epoch=kept_epoch)
    with use_kernels(settings.kernels):
        held_out = measure(result.network, *data.validation)
    compared = {}
    if settings.recipe == "standard":
        class_weight = None if settings.class_weight == "none" else settings.class_weight
        compared = baselines(data.train, data.validation, settings.seed, class_weight)
    return replace(result, held_out=held_out, kept_epoch=kept_epoch, baselines=compared)


def outcome(results: Mapping[str, Any], settings: Settings, epochs: int) -> list[str]:
    """Say which epoch was kept, and how other classifiers do on the held-out images.

    Parameters
    ----------
    results : dict
        As :meth:`RunResult.to_dict` returns it, and the configuration keeps it.
    settings : Settings
    epochs : int
        How many were trained.
    """
    lines = []
    if results.get("kept_epoch") is not None:
        best = "lowest loss" if settings.keep_best == "loss" else "highest accuracy"
        lines.append(f"kept epoch {results['kept_epoch']} of {epochs}: the {best} on the validation images")
        if results["kept_epoch"] == 0 and epochs:
            lines.append(
                "warning: that is the untrained network, as training has not helped on the validation "
                "images; train for more epochs, or with another learning rate"
            )
    if results.get("baselines") and results.get("held_out"):
        others = ", ".join(f"{name} {accuracy:.3f}" for name, accuracy in results["baselines"].items())
        lines.append(
            f"accuracy on the same held-out images, for comparison: {others}; this network "
            f"{results['held_out']['accuracy']:.3f}"
        )
    return lines
