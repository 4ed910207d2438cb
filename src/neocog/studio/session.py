"""Hold one browser tab's work: what it trains, what it has asked for, and its connection, which may drop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from neocog.inspection.attribution_maps import ATTRIBUTIONS
from neocog.layers import Layer
from neocog.layers.base import as_dtype
from neocog.runs import draw_sample
from neocog.serialization import arrays_of
from neocog.studio import messages
from neocog.studio.answers import Answer, Subject, plain, short_name, told
from neocog.studio.architecture import describe
from neocog.studio.blocks import BLOCKS
from neocog.studio.keeping import save_run
from neocog.studio.live import Live
from neocog.studio.moments import Moment
from neocog.studio.outbox import Outbox
from neocog.studio.protocol import LIMITS, SETTINGS, SWAPS, VERSION
from neocog.studio.uploads import Pictures
from neocog.studio.work import STUDIO_NETWORKS, Work
from neocog.training.checks import check_batch_sizes
from neocog.training.state import TrainingState

__all__ = ["Session"]

T = TypeVar("T")

MOST_SAMPLES = 40
SAMPLE_NUMBERS = 400_000
"""Of all samples together, as ``hello`` carries them."""


class Host(Protocol):
    """What a session needs of the server that holds it."""

    sources: dict[str, tuple[str, str]]
    lessons: dict[str, str]
    runs_folder: Path
    kernels: str
    ended: str

    def runs(self) -> Mapping[str, Path]:
        """Return the runs that a page may open, by id."""

    async def compute(self, work: Callable[[], T]) -> T:
        """Run a function in a worker thread."""

    async def open_source(self, key: str) -> Work:
        """Open data by their id."""


@dataclass
class Edit:
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
        self.label: Any = None
        self.branches: list[dict[str, Any]] = []
        self.undo: list[Edit] = []
        self.pictures = Pictures()
        self.files: dict[str, Path] = {}
        self.journal: list[str] = []
        self.samples: list[int] = []
        self.sample_images = np.zeros((0, 1, 1, 1), np.float32)
        self.description: dict[str, Any] = {}
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
            images, labels = split.validation or split.train
            samples = _spread(labels, len(split.class_names), _most_samples(work.image_shape))
            pictures = await self.studio.compute(lambda: as_float32(images[samples]))
            old, self.live, self.work = self.live, live, work
            self.description, self.undo = description, []
            self.samples, self.sample_images = samples, pictures
            self.show(0)
            if old is not None:
                self.saved, self.saved_tick = "", -1  # what is saved is of before
                await asyncio.to_thread(old.close)
            if self.outbox is not None:
                self.outbox.frame = None  # of the network before
            live.start()
            self.say_hello()

    async def close(self) -> None:
        """End training and free everything."""
        if self.live is not None:
            await asyncio.to_thread(self.live.close)
        self.pictures.remove()

    async def save(self) -> str:
        """Save all that was trained as a run directory; return it, or "" if there is nothing to keep."""
        live, work = self.trained()
        if live.closed:  # nothing was trained, or what was is here already
            return self.saved
        path = self.studio.runs_folder / self.id
        lines, self.journal = self.journal, []

        def command(state: TrainingState) -> bool:
            untouched = live.tick <= 1 and (bool(self.saved) or not work.own)
            if untouched or live.tick == self.saved_tick:
                return False
            save_run(path, work, live, state, lines)
            self.saved, self.saved_tick = str(path), live.tick
            return True

        written = False
        try:
            written = await self.between(live, command)
        finally:
            if not written:
                self.journal = lines + self.journal
        self.say_state()
        return self.saved

    async def between(self, live: Live, command: Callable[[TrainingState], T]) -> T:
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

    def trained(self) -> tuple[Live, Work]:
        if self.live is None or self.work is None:
            raise ValueError("there is nothing to train yet: open data first.")
        return self.live, self.work

    # What the page is told.

    def say_hello(self) -> None:
        """Tell the page what there is: network and data."""
        if self.outbox is not None:
            self.outbox.hello_is_old = True
            self.outbox.wake()

    def say_state(self, branches: bool = False) -> None:
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
        live, work = self.trained()
        images, labels = live.data.validation or live.data.train
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
            "samples": [{"label": told(labels[k]), "name": short_name(images, k)} for k in self.samples],
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
        return messages.encode(plain(header), {"samples": self.sample_images})

    def state(self, branches: bool = True) -> dict[str, Any]:
        """Return the message that tells where training stands."""
        live, work = self.trained()
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

    # What the page asks; see also commands.py.

    def want(self, message: Mapping[str, Any]) -> Answer | None:
        """Hand out the next frame, or return the parameters of a stored epoch."""
        live, _ = self.trained()
        if "epoch" not in message:
            live.want()
            return None
        moment = self.moment(message["epoch"])
        return {"kind": "snapshot", "epoch": moment.epoch, "exact": moment.exact}, dict(moment.arrays)

    def moment(self, epoch: int) -> Moment:
        live, _ = self.trained()
        if epoch not in live.moments:
            stored = ", ".join(map(str, sorted(live.moments)))
            raise ValueError(f"epoch must be one that is stored, {stored}, got {epoch}.")
        return live.moments[epoch]

    async def back(self, moment: Moment, line: str) -> list[dict[str, float]]:
        """Go back to a moment, and pause there; return the rows of the history until then."""
        live, _ = self.trained()
        live.pause()
        live.problem = ""

        def command(state: TrainingState) -> list[dict[str, float]]:
            rows = list(live.rows)
            live.begin_at(moment)
            return rows

        rows = await self.between(live, command)
        self.undo = []
        self.note(line)
        return rows

    def checked(self, work: Work) -> Work:
        """Return the work if its batches can be trained on."""
        live, _ = self.trained()
        images = len(live.data.train[1])
        check_batch_sizes(live.network, work.image_shape, images, work.settings.batch_size)
        return work

    async def anew(self, work: Work, line: str) -> Answer:
        await self.begin(work)
        self.branches = []
        self.note(line)
        return {"anew": True, "note": "Training begins anew.", "epoch": 0, "exact": True}, {}

    def note(self, line: str) -> None:
        """Write down what was done by hand."""
        epoch = max(len(self.trained()[0].rows) - 1, 0)
        self.journal = [*self.journal, f"after epoch {epoch}: {line}"][-1000:]
        self.say_state()

    def show(self, sample: int) -> None:
        """Make one of the samples the image that questions are about."""
        live, _ = self.trained()
        _, labels = live.data.validation or live.data.train
        self.image, self.label = self.sample_images[sample], labels[self.samples[sample]]

    def go_on(self) -> None:
        """Raise ValueError if the server ends, so that what takes long ends, too."""
        if self.studio.ended:
            raise ValueError(self.studio.ended)

    async def subject(self) -> Subject:
        live, _ = self.trained()
        assert self.image is not None
        image, label = self.image, self.label
        return await self.between(
            live, lambda state: Subject.of(state, live.data, live.kernels, image, label, self.go_on)
        )


def _most_samples(shape: tuple[int, int, int]) -> int:
    return max(4, min(MOST_SAMPLES, SAMPLE_NUMBERS // int(np.prod(shape))))


def _spread(labels: np.ndarray, classes: int, most: int) -> list[int]:
    """Return the places of some images, as many of each class as there are, class by class in turn.

    Of several labels the first that an image has is its class.
    """
    labels = labels if labels.ndim == 1 else labels.argmax(axis=1)
    each = -(-most // classes)
    places = [np.flatnonzero(labels == k)[:each] for k in range(classes)]
    found = [int(of[i]) for i in range(each) for of in places if i < len(of)]
    return sorted(found[:most], key=lambda k: (int(labels[k]), k))


def as_float32(images: Any) -> np.ndarray:
    """Return images, which may lie in files, as the page and questions take them."""
    found: np.ndarray = as_dtype(np.asarray(images), np.dtype(np.float32))
    return found


def arrays_copy(network: Layer) -> dict[str, np.ndarray]:
    """Return copies of parameters and buffers."""
    return {name: array.copy() for name, array in arrays_of(network).items()}
