"""Compare how fast photographs in files become batches: neocog, and PyTorch's DataLoader with two workers.

    python benchmarks/loading.py [--pictures 400] [--rounds 5] [--folder DIR]

The pictures are JPEG files of 1200 x 900 pixels, cut from scikit-learn's two photographs, with noise; or
those of a folder. All become 64 x 64 RGB, in batches of 32 in a random order. The libraries take turns;
printed are the medians of images a second, in the first epoch and in later ones, the least milliseconds of
processor time (with the workers') an image in the first, which other work on the machine disturbs less, and
each round's images a second beside the DataLoader's. Then neocog trains on augmented images: how long the
network waits for its batches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

import neocog
from neocog.data import Affine, Compose, Flip, LazyImages, batches
from neocog.training.loop import make_step

SIZE, BATCH, WORKERS = 64, 32, 2


def make_pictures(folder: Path, count: int) -> None:
    """Write photographs of 1200 x 900 pixels, each another part of one of two."""
    rng = np.random.default_rng(0)
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    for k in range(count):
        width = int(rng.integers(400, 560))
        height = width * 3 // 4
        left, top = int(rng.integers(0, 640 - width)), int(rng.integers(0, 427 - height))
        part = photographs[k % 2].crop((left, top, left + width, top + height)).resize((1200, 900))
        pixels = np.asarray(part) + rng.normal(0, 4, (900, 1200, 1))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{k:04}.jpg", quality=85)


class Pictures(torch.utils.data.Dataset):
    """The usual data set of PyTorch over Pillow; with ``draft``, JPEG files are decoded at a fraction."""

    def __init__(self, paths: list[Path], draft: bool, labels: list[int] | None = None) -> None:
        self.paths, self.draft, self.labels = paths, draft, labels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor | tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as picture:
            if self.draft:
                picture.draft("RGB", (3 * SIZE, 3 * SIZE))
            small = picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        x = torch.from_numpy(np.asarray(small).transpose(2, 0, 1).copy()).float() / 255
        return x if self.labels is None else (x, self.labels[index])


def loader(paths: list[Path], draft: bool, labels: list[int] | None = None) -> torch.utils.data.DataLoader:
    pictures = Pictures(paths, draft, labels)
    return torch.utils.data.DataLoader(
        pictures, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )


def ours(paths: list[Path]) -> Callable[[], Iterable]:
    images, labels = LazyImages(paths, (3, SIZE, SIZE)), np.zeros(len(paths), int)
    return lambda: batches(images, labels, BATCH, rng=0)


def theirs(paths: list[Path], draft: bool = False) -> Callable[[], Iterable]:
    made = loader(paths, draft)
    for _ in made:  # starts the workers, which takes a second that is not counted; nothing is kept
        pass
    return lambda: made


RIVALS: dict[str, Callable[[list[Path]], Callable[[], Iterable]]] = {
    "neocog": ours,
    "DataLoader, 2 workers": theirs,
    "DataLoader, 2 workers, draft": lambda paths: theirs(paths, draft=True),
}


def processor_seconds() -> float:
    """Return the processor time so far of this process and of its workers."""
    process = psutil.Process()
    return sum(each.cpu_times().user + each.cpu_times().system for each in (process, *process.children()))


def measure(epoch: Callable[[], Iterable], count: int) -> tuple[float, float]:
    """Return the images a second of an epoch, and the milliseconds of processor time an image."""
    began, used = time.perf_counter(), processor_seconds()
    for _ in epoch():
        pass
    return count / (time.perf_counter() - began), 1000 * (processor_seconds() - used) / count


def waiting(paths: list[Path], epochs: int = 3) -> list[tuple[float, float]]:
    """Train on augmented images; return the seconds of each epoch, and those in which the network waited."""
    images, labels = LazyImages(paths, (3, SIZE, SIZE)), np.arange(len(paths)) % 2
    network = neocog.models.image_cnn((32, 64, 128), 2, (3, SIZE, SIZE))
    augment = Compose(Flip(), Affine(degrees=10, shift=3, scale=0.1, fill="edge"))
    rng, rows = np.random.default_rng(0), []
    with neocog.use_kernels("fused"):
        step = make_step(network, neocog.SoftmaxCrossEntropy(), neocog.SGD(lr=0.01))
        step(np.zeros((BATCH, 3, SIZE, SIZE), np.float32), np.zeros(BATCH, int))  # compiled
        augment(np.zeros((BATCH, 3, SIZE, SIZE), np.float32), 0)
        for _ in range(epochs):
            began, computing = time.perf_counter(), 0.0
            for x, y in batches(images, labels, BATCH, rng=rng, augment=augment):
                start = time.perf_counter()
                step(x, y)
                computing += time.perf_counter() - start
            seconds = time.perf_counter() - began
            rows.append((seconds, seconds - computing))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="JPEG files to read instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.folder is None:
            make_pictures(folder, options.pictures)
        paths = sorted(folder.rglob("*.jpg"))
        kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
        load = os.getloadavg()[0]
        print(f"{len(paths)} pictures of {kilobytes:.0f} kB, {os.cpu_count()} cores, load {load:.1f}")
        first: dict[str, list[float]] = {name: [] for name in RIVALS}
        later: dict[str, list[float]] = {name: [] for name in RIVALS}
        used: dict[str, list[float]] = {name: [] for name in RIVALS}
        for _ in range(options.rounds):
            for name, make in RIVALS.items():
                epoch = make(paths)
                speed, milliseconds = measure(epoch, len(paths))
                first[name].append(speed)
                used[name].append(milliseconds)
                later[name].append(measure(epoch, len(paths))[0])
        peer = "DataLoader, 2 workers"
        print(
            f"{'images a second':32}{'first epoch':>14}{'later':>9}{'CPU, first':>15}   "
            f"beside {peer} (each round)"
        )
        for name in RIVALS:
            ratios = [ours / other for ours, other in zip(first[name], first[peer], strict=True)]
            text = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(
                f"{name:32}{statistics.median(first[name]):14.0f}{statistics.median(later[name]):9.0f}"
                f"{min(used[name]):12.2f} ms   "
                f"{statistics.median(ratios):.2f} ({text})"
            )
        for k, (seconds, waited) in enumerate(waiting(paths), 1):
            share = 100 * waited / seconds
            print(f"training, epoch {k}: {seconds:.2f} s; the network waited {waited:.3f} s ({share:.1f} %)")
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
