"""Carry out what a page asks of its session: each kind of message is a function here.

Commands are answered at once, and hold from the next batch on; questions are answered by a worker thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from neocog.data.pictures import as_preprocessing, load_image
from neocog.serialization import arrays_of
from neocog.studio import lessons, measures
from neocog.studio.answers import Answer, answer, told
from neocog.studio.architecture import describe
from neocog.studio.blocks import swapped
from neocog.studio.moments import Moment
from neocog.studio.protocol import LIMITS
from neocog.studio.session import Edit, Session
from neocog.studio.work import Work, own_work, pictures_work, relabelled, with_few_images
from neocog.training import History, Snapshots
from neocog.training.state import TrainingState
from neocog.validation import one_of

__all__ = ["carry_out"]

Arrays: TypeAlias = Mapping[str, np.ndarray]
Handler: TypeAlias = Callable[[Session, Mapping[str, Any], Arrays], Answer | Awaitable[Answer]]

ANEW = ("seed", "start", "labels")

_HANDLERS: dict[str, Handler] = {}


async def carry_out(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    """Carry out a checked message, and return its answer.

    Raises
    ------
    ValueError, TypeError, IndexError, OSError
        If it cannot be: one sentence.
    """
    session.trained()
    answered = _HANDLERS[message["kind"]](session, message, arrays)
    return await answered if isinstance(answered, Awaitable) else answered


def _command(*kinds: str) -> Callable[[Handler], Handler]:
    """Register what carries out messages of these kinds."""

    def register(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return register


@_command("play")
def _play(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    session.trained()[0].play(message.get("until"))
    session.say_state()
    return {}, {}


@_command("pause")
def _pause(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    session.trained()[0].pause()
    return {}, {}


@_command("step")
def _step(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    session.trained()[0].step(message["unit"], message.get("count", 1))
    session.say_state()
    return {}, {}


@_command("speed")
def _speed(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    session.trained()[0].set_speed(message["batches"])
    session.say_state()
    return {}, {}


@_command("restart")
def _restart(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer | Awaitable[Answer]:
    live, work = session.trained()
    epoch = message.get("epoch", 0)
    if epoch == 0 and 0 not in live.moments:  # too large to be stored
        return session.anew(work.anew(), "back to the beginning")
    return _back(session, session.moment(epoch))


async def _back(session: Session, moment: Moment) -> Answer:
    await session.back(moment, f"back to epoch {moment.epoch}")
    return {"epoch": moment.epoch, "exact": moment.exact}, {}


@_command("branch")
async def _branch(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    live, work = session.trained()
    moment = session.moment(message["epoch"])
    settings = message.get("settings", {})
    if settings.keys() & set(ANEW):
        raise ValueError(f"a branch keeps {', '.join(ANEW)}, which begin training anew.")
    changed = session.checked(work.with_settings(settings))
    name = message.get("name") or f"lr {work.settings.lr:g}"
    rows = await session.back(moment, f"a branch from epoch {moment.epoch}: {settings or 'as before'}")
    past = {"name": name[: LIMITS["name_length"]], "from": moment.epoch, "rows": rows}
    session.branches = [*session.branches, past][-LIMITS["branches"] :]
    session.work = changed
    live.do(lambda state: live.apply(changed.settings, state))
    session.say_state(branches=True)
    return {"epoch": moment.epoch, "exact": moment.exact}, {}


@_command("set")
def _set(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer | Awaitable[Answer]:
    live, before = session.trained()
    values = message.get("settings", {})
    work = before.with_settings(values)
    if "network" in message or "blocks" in message:
        work = work.with_network(message.get("network"), message.get("blocks"))
        name = message.get("network", "blocks")
        return session.anew(work, f"network {name}")
    if any(values.get(name, work.values[name]) != before.values[name] for name in ANEW):
        return session.anew(work.anew(), f"anew with {values}")
    session.work = session.checked(work)
    live.do(lambda state: live.apply(work.settings, state))
    session.note(f"settings {values}")
    late = work.settings.batch_size != before.settings.batch_size
    return {"anew": False, "note": "The batch size holds from the next epoch on." if late else ""}, {}


@_command("edit")
def _edit(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    live, _ = session.trained()
    if message.get("undo"):
        if not session.undo:
            raise ValueError("there is no edit to undo.")
        edit, made = session.undo.pop(), None
        name, index = edit.array, edit.index
        line = f"undone: {name}{list(index)}"
    else:
        if "array" not in message or "values" not in message:
            raise ValueError("edit needs array, index and values, or undo.")
        held = arrays_of(live.network)
        name, index = one_of("array", message["array"], held), message.get("index", ())
        shape = held[name].shape
        if len(index) > len(shape) or any(i >= n for i, n in zip(index, shape, strict=False)):
            raise IndexError(f"index must fit {name} of shape {list(shape)}, got {list(index)}.")
        behind = shape[len(index) :]
        if len(message["values"]) != np.prod(behind, dtype=int):
            raise ValueError(
                f"values must be the {np.prod(behind, dtype=int)} numbers of {name}{list(index)}, got "
                f"{len(message['values'])}."
            )
        edit, made = Edit(name, index), np.array(message["values"]).reshape(behind)
        session.undo = [*session.undo, edit][-LIMITS["edits"] :]
        line = f"edited: {name}{list(index)}"

    def command(state: TrainingState) -> None:
        array = arrays_of(live.network)[name]
        if made is None:
            array[index] = edit.before
        else:
            edit.before = array[index].copy()
            array[index] = made
        live.edited()

    live.do(command)
    session.note(line)
    return {"undo": len(session.undo)}, {}


@_command("swap")
async def _swap(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    live, work = session.trained()
    node, to = message["node"], message["to"]
    new = swapped(live.network, node, to)

    def command(state: TrainingState) -> None:
        live.network[node] = new
        live.edited()
        live.refit(state)

    await session.between(live, command)
    session.work = replace(work, swapped={**work.swapped, node: to})
    session.description = describe(live.network, work.image_shape) | {"tone": work.tone}
    session.note(f"in the place of {node}: {to}")
    session.say_hello()
    return {}, {}


@_command("image")
async def _image(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    live, work = session.trained()
    if "image" in arrays:
        image, label = arrays["image"], None
        if image.shape != work.image_shape or not np.isfinite(image).all():
            raise ValueError(
                f"image must be finite numbers of shape {list(work.image_shape)}, got shape "
                f"{list(image.shape)}."
            )
        session.image, session.label = image, label
    elif "upload" in message:
        path = session.pictures[message["upload"]]
        reading = live.network.preprocessing or as_preprocessing(work.image_shape)
        invert = work.tone == "ink"
        session.image = await session.studio.compute(lambda: load_image(path, reading, invert))
        session.label = None
    elif "sample" in message:
        if message["sample"] >= len(session.samples):
            raise ValueError(f"sample must be below {len(session.samples)}, got {message['sample']}.")
        session.show(message["sample"])
    else:
        raise ValueError("image needs an array image, a sample, or an upload.")
    subject = await session.subject()
    computes = session.description["page"]

    def compute() -> Answer:
        found = {} if computes else answer(subject, {"kind": "measure", "what": "maps"})[1]
        p = subject.network.predict_proba(subject.x)[0]
        data = {"probabilities": p, "predicted": int(p.argmax()), "label": told(subject.label)}
        return data, {**found, "image": subject.image}

    return await session.studio.compute(compute)


@_command("ask", "attribute", "measure")
async def _question(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    if message.get("about") == "lesson":
        return await _lesson(session, message)
    subject = await session.subject()
    return await session.studio.compute(lambda: answer(subject, message))


async def _lesson(session: Session, message: Mapping[str, Any]) -> Answer:
    """Bind a lesson to what is trained here, or check an answer to one of its questions."""
    live, _ = session.trained()
    lesson = lessons.find(one_of("lesson", message.get("lesson"), lessons.names()))  # never a path
    subject = await session.subject()
    samples = session.sample_images
    first, *others = lesson.runs
    own = lessons.columns_of(History([dict(row) for row in live.rows]))

    def compute() -> Answer:
        runs = {first: own} | {run: _columns(lesson.name, run) for run in others}
        scene = measures.Scene(subject.network, subject.image, samples, runs)
        if "answer" not in message:
            return {"lesson": lesson.bind(session.description, scene)}, {}
        verdict = lesson.check(message.get("step", 0), message["answer"], session.description, scene)
        return {"right": verdict.right, "text": verdict.message}, {}

    return await session.studio.compute(compute)


@_command("data")
async def _data(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    kernels = session.studio.kernels
    if "source" in message:
        work = await session.studio.open_source(message["source"])
        if "images_per_class" in message:
            whole = work
            work = await session.studio.compute(lambda: with_few_images(whole, message["images_per_class"]))
    elif "relabel" in message:
        work = relabelled(session.trained()[1], message["relabel"])
        return await _relabel(session, work)
    elif "classes" in message and "images" in arrays:
        counts = [(c.get("name"), c.get("count")) for c in message["classes"]]
        for _, count in counts:
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"each class needs a count of its drawings, got {count!r}.")
        work = await session.studio.compute(lambda: own_work(arrays["images"], counts, kernels))
    elif "classes" in message:
        pictures = []
        for c in message["classes"]:
            if not isinstance(c.get("images"), list):
                raise TypeError("each class needs images, a list of the ids of its uploads.")
            pictures.append((c.get("name"), [session.pictures[key] for key in c["images"]]))
        work = await session.studio.compute(lambda: pictures_work(pictures, kernels))
    else:
        raise ValueError("data needs a source, classes, or relabel.")
    await session.begin(work)
    session.branches = []
    session.note(f"data {work.name}")
    return {"images": len(work.data.train[1])}, {}


async def _relabel(session: Session, work: Work) -> Answer:
    """Train on, from where training is, with other labels."""
    live, _ = session.trained()
    split = work.split()

    def command(state: TrainingState) -> None:
        live.data = split
        live.refit(state)

    await session.between(live, command)
    session.work = work
    session.note("labels changed")
    session.say_hello()
    return {"images": len(work.data.train[1])}, {}


@_command("save")
async def _save(session: Session, message: Mapping[str, Any], arrays: Arrays) -> Answer:
    what = message["what"]
    path = await session.save()
    if not path:
        raise ValueError("nothing has been trained yet: train a batch first.")
    if what == "run":
        return {"path": path, "url": None}, {}
    written = await session.studio.compute(partial(_write, what, Path(path)))
    session.files[written.name] = written
    return {"path": str(written), "url": f"/files/{session.id}/{written.name}"}, {}


def _write(what: str, run: Path) -> Path:
    """Write the page or the report of a run."""
    if what == "page":
        from neocog.studio.page import write_page

        return write_page(run)
    from neocog.report import write_report

    return write_report(run)


@cache
def _columns(lesson: str, run: str) -> dict[str, list[float]]:
    """Train what a lesson compares its network with, and return the columns of its history."""
    found: dict[str, list[float]] = lessons.find(lesson).runs[run].fit(Snapshots())[1]
    return found
