"""Hold one browser tab's work: what it trains, what it has asked for, and its connection, which may drop.

Commands are answered at once, and hold from the next batch on; questions are answered by a worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from neocog.data.pictures import as_preprocessing, load_image
from neocog.inspection.attribution_maps import ATTRIBUTIONS
from neocog.layers import Layer
from neocog.layers.base import as_dtype
from neocog.runs import draw_sample
from neocog.serialization import arrays_of
from neocog.studio import lessons, measures, messages
from neocog.studio.answers import Answer, Subject, answer, plain, short_name
from neocog.studio.architecture import describe
from neocog.studio.blocks import BLOCKS, swapped
from neocog.studio.keeping import save_run
from neocog.studio.live import Live, Moment
from neocog.studio.outbox import Outbox
from neocog.studio.protocol import LIMITS, SETTINGS, SWAPS, VERSION
from neocog.studio.work import STUDIO_NETWORKS, Work, own_work, pictures_work, relabelled
from neocog.training import History, Snapshots
from neocog.training.checks import check_batch_sizes
from neocog.training.state import TrainingState
from neocog.validation import one_of

__all__ = ["Session"]

T = TypeVar("T")

MOST_SAMPLES = 40
SAMPLE_NUMBERS = 400_000
"""Of all samples together, as ``hello`` carries them."""
ANEW = ("seed", "start", "labels")

Arrays = Mapping[str, np.ndarray]


class Host(Protocol):
    """What a session needs of the server that holds it."""

    sources: dict[str, tuple[str, str]]
    lessons: dict[str, str]
    runs_folder: Path
    kernels: str

    def runs(self) -> Mapping[str, Path]:
        """Return the runs that a page may open, by id."""

    async def compute(self, work: Callable[[], T]) -> T:
        """Run a function in a worker thread."""

    async def open_source(self, key: str) -> Work:
        """Open data by their id."""


@dataclass
class _Edit:
    """A change by hand, and what stood there before, once it is carried out."""

    array: str
    index: tuple[int, ...]
    before: Any = None


class Session:
    """What one tab trains and asks.

    Parameters
    ----------
    studio : Host
    key : str
    """

    def __init__(self, studio: Host, key: str) -> None:
        self.studio, self.id = studio, key
        self.loop = asyncio.get_running_loop()
        self.work: Work | None = None
        self.live: Live | None = None
        self.outbox: Outbox | None = None
        self.saved, self.stopped = "", ""
        self.saved_tick = -1
        self.image: np.ndarray | None = None
        self.label: int | None = None
        self.branches: list[dict[str, Any]] = []
        self.undo: list[_Edit] = []
        self.uploads: dict[str, tuple[str, Path]] = {}
        self.uploaded = 0
        self.files: dict[str, Path] = {}
        self.journal: list[str] = []
        self.samples: list[int] = []
        self.description: dict[str, Any] = {}
        self.folder: Path | None = None
        self._building = asyncio.Lock()

    # Beginning and ending.

    async def begin(self, work: Work) -> None:
        """Train other work from now on; what was trained before is left.

        Raises
        ------
        ValueError, TypeError, OSError
            If it cannot be trained; then all stays as it was.
        """
        async with self._building:
            network, split = await self.studio.compute(lambda: (work.make_network(), work.split()))
            description = describe(network, work.image_shape) | {"tone": work.tone}
            _, rng = draw_sample(work.settings, len(split.train[1]))
            past = work.beginning
            checkpoint = None if past is None else past.checkpoint
            live = Live(network, split, work.settings, rng, self._tell, messages.encode, checkpoint)
            if past is not None:
                live.rows, live.moments = [dict(row) for row in past.rows], dict(past.moments)
            if live.rows and checkpoint is None:
                live.begin_at(Moment(len(live.rows) - 1, arrays_copy(network), exact=False))
            old, self.live, self.work = self.live, live, work
            self.description, self.undo, self.image = description, [], None
            part = split.validation or split.train
            self.samples = _spread(part[1], len(split.class_names), _most_samples(work.image_shape))
            self._show(part, self.samples[0])
            if old is not None:
                await asyncio.to_thread(old.close)
            if self.outbox is not None:
                self.outbox.frame = None  # of the network before
            live.start()
            self.say_hello()

    async def close(self) -> None:
        """End training and free everything."""
        if self.live is not None:
            await asyncio.to_thread(self.live.close)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def save(self) -> str:
        """Save all that was trained as a run directory; return it, or "" if there is nothing to keep."""
        live, work = self._trained()
        untouched = live.tick <= 1 and (bool(self.saved) or not work.own)
        if untouched or live.tick == self.saved_tick:
            return self.saved
        path = self.studio.runs_folder / self.id

        def command(state: TrainingState) -> int:
            lines, self.journal = self.journal, []
            save_run(path, self._work, live, state, lines)
            return live.tick

        self.saved_tick = await self._between(live, command)
        self.saved = str(path)
        self._old_state()
        return self.saved

    async def _between(self, live: Live, command: Callable[[TrainingState], T]) -> T:
        """Return what a function returns that is called between two batches."""
        future = live.do(command)
        try:
            found: T = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                raise
            reason = live.problem or "other data or another network have taken its place; ask again."
            raise ValueError(reason) from None
        return found

    @property
    def _work(self) -> Work:
        assert self.work is not None
        return self.work

    def _trained(self) -> tuple[Live, Work]:
        if self.live is None or self.work is None:
            raise ValueError("there is nothing to train yet: open data first.")
        return self.live, self.work

    # What the page is told.

    def say_hello(self) -> None:
        """Tell the page what there is: network and data."""
        if self.outbox is not None:
            self.outbox.hello_is_old = True
            self.outbox.wake()

    def _old_state(self, branches: bool = False) -> None:
        if self.outbox is not None:
            self.outbox.state_is_old = True
            self.outbox.branches_are_old |= branches
            self.outbox.wake()

    def _tell(self, frame: bytes | None) -> None:
        """Take a frame, or word that something is new, from the thread that trains."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self._told, frame)

    def _told(self, frame: bytes | None) -> None:
        if self.outbox is None:
            return
        if frame is None:
            self.outbox.state_is_old = True
        else:
            self.outbox.frame = frame
        self.outbox.wake()

    def hello(self) -> bytes:
        """Return the message that tells what there is."""
        live, work = self._trained()
        images, labels = live.data.validation or live.data.train
        samples = as_dtype(np.asarray(images[self.samples]), np.dtype(np.float32))
        header = {
            "kind": "hello",
            "version": VERSION,
            "session": self.id,
            "description": self.description,
            "data": {
                "id": work.id,
                "name": work.name,
                "class_names": list(work.data.class_names),
                "tone": work.tone,
                "image_shape": list(work.image_shape),
                "train": len(live.data.train[1]),
                "held_out": len(live.data.validation[1]) if live.data.validation else 0,
                "own": work.own,
                "notes": list(work.notes),
            },
            "samples": [{"label": labels[k], "name": short_name(images, k)} for k in self.samples],
            "sources": [{"id": key, "name": name} for key, (name, _) in self.studio.sources.items()],
            "runs": [{"id": key, "name": key} for key in self.studio.runs()],
            "lessons": [{"id": key, "name": title} for key, title in self.studio.lessons.items()],
            "networks": list(STUDIO_NETWORKS),
            "blocks": BLOCKS,
            "settings": SETTINGS,
            "swaps": list(SWAPS),
            "methods": {name: method.shows for name, method in ATTRIBUTIONS.items()},
            "limits": LIMITS,
        }
        return messages.encode(plain(header), {"samples": samples})

    def state(self, branches: bool = True) -> dict[str, Any]:
        """Return the message that tells where training stands."""
        live, work = self._trained()
        state = live.state
        found = {
            "kind": "state",
            "session": self.id,
            "playing": live.playing,
            "until": live.until,
            "epoch": max(len(live.rows) - 1, 0) if state is None else state.epoch,
            "batch": 0 if state is None else len(state.batch_losses),
            "batches": 0 if state is None else state.batches_per_epoch,
            "speed": live.speed,
            "settings": work.values,
            "network": work.settings.network,
            "blocks": work.blocks,
            "epochs": sorted(live.moments),
            "undo": len(self.undo),
            "swapped": dict(work.swapped),
            "problem": live.problem,
            "hints": live.hints,
            "saved": self.saved,
            "stopped": self.stopped,
            "kernels": live.kernels,
            "ready": live.ready.is_set(),
        }
        return found | ({"branches": self.branches} if branches else {})

    # What the page asks.

    async def handle(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        """Carry out a checked message, and return its answer.

        Raises
        ------
        ValueError, TypeError, IndexError, OSError
            If it cannot be: one sentence.
        """
        self._trained()
        answered: Answer | Awaitable[Answer] = _HANDLERS[message["kind"]](self, message, arrays)
        return await answered if isinstance(answered, Awaitable) else answered

    def want(self, message: Mapping[str, Any]) -> Answer | None:
        """Hand out the next frame, or return the parameters of a stored epoch."""
        live, _ = self._trained()
        if "epoch" not in message:
            live.want()
            return None
        moment = self._moment(message["epoch"])
        return {"kind": "snapshot", "epoch": moment.epoch, "exact": moment.exact}, dict(moment.arrays)

    def _moment(self, epoch: int) -> Moment:
        live, _ = self._trained()
        if epoch not in live.moments:
            stored = ", ".join(map(str, sorted(live.moments)))
            raise ValueError(f"epoch must be one that is stored, {stored}, got {epoch}.")
        return live.moments[epoch]

    def _play(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        self._trained()[0].play(message.get("until"))
        self._old_state()
        return {}, {}

    def _pause(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        self._trained()[0].pause()
        return {}, {}

    def _step(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        self._trained()[0].step(message["unit"], message.get("count", 1))
        self._old_state()
        return {}, {}

    def _speed(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        self._trained()[0].set_speed(message["batches"])
        self._old_state()
        return {}, {}

    def _restart(self, message: Mapping[str, Any], arrays: Arrays) -> Answer | Awaitable[Answer]:
        live, work = self._trained()
        epoch = message.get("epoch", 0)
        if epoch == 0 and 0 not in live.moments:  # too large to be stored
            return self._anew(work.anew(), "back to the beginning")
        return self._back(self._moment(epoch), f"back to epoch {epoch}")

    def _back(self, moment: Moment, line: str) -> Answer:
        live, _ = self._trained()
        live.pause()
        live.problem = ""
        live.do(lambda state: live.begin_at(moment))
        self.undo = []
        self._note(line)
        return {"epoch": moment.epoch, "exact": moment.exact}, {}

    def _branch(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        live, work = self._trained()
        moment = self._moment(message["epoch"])
        settings = message.get("settings", {})
        if settings.keys() & set(ANEW):
            raise ValueError(f"a branch keeps {', '.join(ANEW)}, which begin training anew.")
        changed = self._checked(work.with_settings(settings))
        name = message.get("name") or f"lr {work.settings.lr:g}"
        past = {"name": name[: LIMITS["name_length"]], "from": moment.epoch, "rows": list(live.rows)}
        self.branches = [*self.branches, past][-LIMITS["branches"] :]
        answered = self._back(moment, f"a branch from epoch {moment.epoch}: {settings or 'as before'}")
        self.work = changed
        live.do(lambda state: live.apply(changed.settings, state))
        self._old_state(branches=True)
        return answered

    def _checked(self, work: Work) -> Work:
        """Return the work if its batches can be trained on."""
        live, _ = self._trained()
        images = len(live.data.train[1])
        check_batch_sizes(live.network, work.image_shape, images, work.settings.batch_size)
        return work

    def _set(self, message: Mapping[str, Any], arrays: Arrays) -> Answer | Awaitable[Answer]:
        live, before = self._trained()
        values = message.get("settings", {})
        work = before.with_settings(values)
        if "network" in message or "blocks" in message:
            work = work.with_network(message.get("network"), message.get("blocks"))
            name = message.get("network", "blocks")
            return self._anew(work, f"network {name}")
        if any(values.get(name, work.values[name]) != before.values[name] for name in ANEW):
            return self._anew(work.anew(), f"anew with {values}")
        self.work = self._checked(work)
        live.do(lambda state: live.apply(work.settings, state))
        self._note(f"settings {values}")
        late = work.settings.batch_size != before.settings.batch_size
        return {"anew": False, "note": "The batch size holds from the next epoch on." if late else ""}, {}

    async def _anew(self, work: Work, line: str) -> Answer:
        await self.begin(work)
        self.branches = []
        self._note(line)
        return {"anew": True, "note": "Training begins anew.", "epoch": 0, "exact": True}, {}

    def _note(self, line: str) -> None:
        """Write down what was done by hand."""
        epoch = max(len(self._trained()[0].rows) - 1, 0)
        self.journal = [*self.journal, f"after epoch {epoch}: {line}"][-1000:]
        self._old_state()

    def _edit(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        live, _ = self._trained()
        if message.get("undo"):
            if not self.undo:
                raise ValueError("there is no edit to undo.")
            edit, made = self.undo.pop(), None
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
            edit, made = _Edit(name, index), np.array(message["values"]).reshape(behind)
            self.undo = [*self.undo, edit][-LIMITS["edits"] :]
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
        self._note(line)
        return {"undo": len(self.undo)}, {}

    async def _swap(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        live, work = self._trained()
        node, to = message["node"], message["to"]
        new = swapped(live.network, node, to)

        def command(state: TrainingState) -> None:
            live.network[node] = new
            live.edited()
            live.refit(state)

        await self._between(live, command)
        self.work = replace(work, swapped={**work.swapped, node: to})
        self.description = describe(live.network, work.image_shape) | {"tone": work.tone}
        self._note(f"in the place of {node}: {to}")
        self.say_hello()
        return {}, {}

    def _show(self, part: tuple[Any, Any], index: int) -> None:
        """Make an image of the data the one that questions are about."""
        images, labels = part
        self.image, self.label = np.asarray(images[[index]], np.float32)[0], int(labels[index])

    async def _image(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        live, work = self._trained()
        if "image" in arrays:
            image, label = arrays["image"], None
            if image.shape != work.image_shape or not np.isfinite(image).all():
                raise ValueError(
                    f"image must be finite numbers of shape {list(work.image_shape)}, got shape "
                    f"{list(image.shape)}."
                )
            self.image, self.label = image, label
        elif "upload" in message:
            _, path = self._uploaded(message["upload"])
            reading = live.network.preprocessing or as_preprocessing(work.image_shape)
            invert = work.tone == "ink"
            self.image = await self.studio.compute(lambda: load_image(path, reading, invert))
            self.label = None
        elif "sample" in message:
            if message["sample"] >= len(self.samples):
                raise ValueError(f"sample must be below {len(self.samples)}, got {message['sample']}.")
            self._show(live.data.validation or live.data.train, self.samples[message["sample"]])
        else:
            raise ValueError("image needs an array image, a sample, or an upload.")
        subject = await self._subject()
        computes = self.description["page"]

        def compute() -> Answer:
            found = {} if computes else answer(subject, {"kind": "measure", "what": "maps"})[1]
            p = subject.network.predict_proba(subject.x)[0]
            data = {"probabilities": p, "predicted": int(p.argmax()), "label": subject.label}
            return data, {**found, "image": subject.image}

        return await self.studio.compute(compute)

    def _uploaded(self, key: Any) -> tuple[str, Path]:
        if key not in self.uploads:
            raise ValueError(
                f"upload must be one of the {len(self.uploads)} pictures of this session, got {key!r}."
            )
        return self.uploads[key]

    async def _subject(self) -> Subject:
        live, _ = self._trained()
        assert self.image is not None
        image, label = self.image, self.label
        return await self._between(
            live, lambda state: Subject.of(state, live.data, live.kernels, image, label)
        )

    async def _question(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        if message.get("about") == "lesson":
            return await self._lesson(message)
        subject = await self._subject()
        return await self.studio.compute(lambda: answer(subject, message))

    async def _lesson(self, message: Mapping[str, Any]) -> Answer:
        """Bind a lesson to what is trained here, or check an answer to one of its questions."""
        live, _ = self._trained()
        lesson = lessons.find(one_of("lesson", message.get("lesson"), lessons.names()))  # never a path
        subject = await self._subject()
        images = live.data.validation or live.data.train
        samples = np.asarray(images[0][self.samples], np.float32)
        first, *others = lesson.runs
        own = lessons.columns_of(History([dict(row) for row in live.rows]))

        def compute() -> Answer:
            runs = {first: own} | {run: _columns(lesson.name, run) for run in others}
            scene = measures.Scene(subject.network, subject.image, samples, runs)
            if "answer" not in message:
                return {"lesson": lesson.bind(self.description, scene)}, {}
            verdict = lesson.check(message.get("step", 0), message["answer"], self.description, scene)
            return {"right": verdict.right, "text": verdict.message}, {}

        return await self.studio.compute(compute)

    async def _data(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        kernels = self.studio.kernels
        if "source" in message:
            work = await self.studio.open_source(message["source"])
        elif "relabel" in message:
            work = relabelled(self._work, message["relabel"])
            return await self._relabel(work)
        elif "classes" in message and "images" in arrays:
            counts = [(c.get("name"), c.get("count")) for c in message["classes"]]
            for _, count in counts:
                if isinstance(count, bool) or not isinstance(count, int):
                    raise TypeError(f"each class needs a count of its drawings, got {count!r}.")
            work = await self.studio.compute(lambda: own_work(arrays["images"], counts, kernels))
        elif "classes" in message:
            pictures = []
            for c in message["classes"]:
                if not isinstance(c.get("images"), list):
                    raise TypeError("each class needs images, a list of the ids of its uploads.")
                pictures.append((c.get("name"), [self._uploaded(key)[1] for key in c["images"]]))
            work = await self.studio.compute(lambda: pictures_work(pictures, kernels))
        else:
            raise ValueError("data needs a source, classes, or relabel.")
        await self.begin(work)
        self.branches = []
        self._note(f"data {work.name}")
        return {"images": len(work.data.train[1])}, {}

    async def _relabel(self, work: Work) -> Answer:
        """Train on, from where training is, with other labels."""
        live, _ = self._trained()
        split = work.split()

        def command(state: TrainingState) -> None:
            live.data = split
            live.refit(state)

        await self._between(live, command)
        self.work = work
        self._note("labels changed")
        self.say_hello()
        return {"images": len(work.data.train[1])}, {}

    async def _save(self, message: Mapping[str, Any], arrays: Arrays) -> Answer:
        what = message["what"]
        path = await self.save()
        if not path:
            raise ValueError("nothing has been trained yet: train a batch first.")
        if what == "run":
            return {"path": path, "url": None}, {}
        written = await self.studio.compute(partial(_write, what, Path(path)))
        self.files[written.name] = written
        return {"path": str(written), "url": f"/files/{self.id}/{written.name}"}, {}

    # Pictures that come by HTTP.

    async def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Keep a picture, and return its id; its name is only shown.

        Raises
        ------
        ValueError
            If it is no picture, or too large, or there are too many.
        """
        from neocog.data.pictures import FORMATS, read_header

        if len(self.uploads) >= LIMITS["uploads"]:
            raise ValueError(f"a session takes at most {LIMITS['uploads']} pictures.")
        if self.uploaded + len(content) > LIMITS["uploaded_bytes"]:
            most = LIMITS["uploaded_bytes"] // 2**20
            raise ValueError(f"the pictures of a session may have at most {most} MB; name a folder instead.")
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="neocog-studio-"))
        key = f"picture-{len(self.uploads) + 1}"
        path = self.folder / key

        def keep() -> dict[str, Any]:
            path.write_bytes(content)
            try:
                header = read_header(path)
                load_image(path, (1, 8, 8))  # its pixels are sound, too
            except (ValueError, OSError) as error:
                path.unlink()
                raise ValueError(str(error).replace(str(path), name[: LIMITS["name_length"]])) from None
            final = path.with_suffix(FORMATS[header.format][0] if header.format in FORMATS else ".jpg")
            path.rename(final)
            self.uploads[key] = name, final
            self.uploaded += len(content)
            return {"image": key, "width": header.width, "height": header.height}

        return await self.studio.compute(keep)


_HANDLERS: dict[str, Callable[[Session, Mapping[str, Any], Arrays], Any]] = {
    "play": Session._play,
    "pause": Session._pause,
    "step": Session._step,
    "speed": Session._speed,
    "restart": Session._restart,
    "branch": Session._branch,
    "set": Session._set,
    "edit": Session._edit,
    "swap": Session._swap,
    "image": Session._image,
    "ask": Session._question,
    "attribute": Session._question,
    "measure": Session._question,
    "data": Session._data,
    "save": Session._save,
}


def _most_samples(shape: tuple[int, int, int]) -> int:
    return max(4, min(MOST_SAMPLES, SAMPLE_NUMBERS // int(np.prod(shape))))


def _spread(labels: np.ndarray, classes: int, most: int) -> list[int]:
    """Return the places of some images, as many of each class as there are, class by class in turn."""
    each = -(-most // classes)
    places = [np.flatnonzero(labels == k)[:each] for k in range(classes)]
    found = [int(of[i]) for i in range(each) for of in places if i < len(of)]
    return sorted(found[:most], key=lambda k: (int(labels[k]), k))


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


def arrays_copy(network: Layer) -> dict[str, np.ndarray]:
    """Return copies of parameters and buffers."""
    return {name: array.copy() for name, array in arrays_of(network).items()}
