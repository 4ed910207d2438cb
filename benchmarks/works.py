"""List every row of the table: the work measured, its competitors, and its targets."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

from networks import NETWORKS, Network

SMALL = {"TinyCNN": 18, "digits": 64, "LeNet-5": 64}  # with the batch sizes of their training
LARGE = ("AlexNet", "VGG-16", "ResNet-50")
MOBILE = ("MobileNetV2", "MobileNetV3-small")


@dataclass(frozen=True)
class Work:
    """One row: a training step of a network, one written by hand, or its inference.

    ``targets`` says by which factor a peer should take longer than neocog.
    """

    name: str
    task: str
    batch: int
    side: int | None = None  # of the images, if not the network's own
    targets: dict[str, float] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        network = NETWORKS[self.name]
        return network if self.side is None else network.with_side(self.side)

    @property
    def title(self) -> str:
        """Name the work, as its row is named."""
        images = f"batch {self.batch}" if self.name in SMALL else f"{self.batch} image{'s'[: self.batch > 1]}"
        return f"{self.name} {self.task}, {images}" + (f" of {self.side} x {self.side}" if self.side else "")


@dataclass(frozen=True)
class Competitor:
    """A library at one setting; of a peer's settings the fastest is reported."""

    peer: str
    library: str
    setting: str = ""
    threads: int | None = None  # None: as many as the library chooses
    task: str | None = None  # the library's form of the work, if it is another one
    options: dict[str, bool] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        needed = [self.library] + ["torch"] * ("torch" in self.options)
        return all(importlib.util.find_spec(library) for library in needed)


GPU = shutil.which("nvidia-smi") is not None


STEPS = {
    "TinyCNN": {"torch": 40, "jax scan": 3},
    "digits": {"torch": 15},
    "LeNet-5": {"torch": 4},
}
SMALL_INFERENCE = {"TinyCNN": 2, "digits": 2.5, "LeNet-5": 1.8}
INFERENCE = {  # for 1 and 8 images, beside the fastest of the runtimes
    "AlexNet": (1.1, 1),
    "VGG-16": (1.4, 2),
    "ResNet-50": (1.1, 1.05),
}
MIDDLE = {  # steps: with the number of images, and the target
    "ConvNet 32-32-64-64": (128, 1.8),
    "ConvNet 32-64-128-128": (32, 2.2),
    "ResNet-20": (128, 1.4),
    "Separable": (64, 2.5),
}
BY_HAND = {"TinyCNN": 4, "digits": 5}
DEPTHWISE = {"onnxruntime": 1 / 1.2, "torch": 1}
WORKS = (
    *(Work(name, "step", batch, targets=STEPS[name]) for name, batch in SMALL.items()),
    *(Work(name, "step by hand", SMALL[name], targets={"torch": factor}) for name, factor in BY_HAND.items()),
    *(
        Work(name, "inference", batch, targets={"onnxruntime": SMALL_INFERENCE[name]})
        for name, batch in SMALL.items()
    ),
    *(
        Work(name, "inference", batch, targets=dict.fromkeys(("onnxruntime", "openvino"), target))
        for name in LARGE
        for batch, target in zip((1, 8), INFERENCE[name], strict=True)
    ),
    *(Work(name, "step", 8, targets={"torch": 1.3}) for name in LARGE),
    *(Work(name, "inference", batch, targets=DEPTHWISE) for name in MOBILE for batch in (1, 8)),
    *(Work(name, "step", 8, targets={"torch": 1}) for name in MOBILE),
    Work("Separable", "inference", 64, targets=DEPTHWISE),
    *(Work(name, "step", batch, targets={"torch": target}) for name, (batch, target) in MIDDLE.items()),
)


def with_threads(threads: int | None) -> str:
    """Return what the title of a row says of the number of threads, if it is given."""
    return "" if threads is None else f", {threads} thread{'s'[: threads > 1]}"


def competitors(work: Work, quick: bool = False, threads: int | None = None) -> list[Competitor]:
    """Return the competitors that can run a work, neocog first; with ``quick``, each at one setting."""
    return [c for c in _competitors(work, quick, threads) if c.installed]


def _competitors(work: Work, quick: bool, threads: int | None) -> Iterator[Competitor]:
    by_hand = work.task == "step by hand"
    yield Competitor("neocog", "neocog", threads=threads, task="step_by_hand" if by_hand else None)
    one_thread = not quick and threads is None and work.name in SMALL

    def settings(peer: str, library: str, task: str | None = None) -> Iterator[Competitor]:
        yield Competitor(peer, library, "", threads, task)
        if one_thread:
            yield Competitor(peer, library, "1 thread", 1, task)

    yield from settings("torch", "torch", "step" if by_hand else None)
    if by_hand:
        return
    if work.name not in SMALL and not quick:
        yield Competitor("torch", "torch", "channels-last", threads, options={"channels_last": True})
    if work.name in SMALL:
        yield from settings("jax", "jax")
    if work.name in SMALL and work.task == "step":
        yield from settings("jax scan", "jax", "epoch")
        if not quick:
            compiled = {"compiled": True}
            yield Competitor("torch.compile", "torch", threads=threads, options=compiled)
    if work.task == "inference":
        yield from settings("onnxruntime", "onnxruntime")
        yield from settings("openvino", "openvino")
    if work.task == "step" and not quick:
        yield Competitor("engine torch", "neocog", threads=threads, options={"torch": True})
    if work.task == "step" and GPU:
        yield Competitor("torch on GPU", "torch", options={"gpu": True})
        yield Competitor("engine torch on GPU", "neocog", options={"torch": True, "gpu": True})
