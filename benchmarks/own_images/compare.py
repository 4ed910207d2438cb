"""Compare neocog's default with rivals on folders of images of many kinds.

    python benchmarks/own_images/compare.py --json own_images.json                 # all kinds, five seeds
    python benchmarks/own_images/compare.py --json own_images.json --kinds faces --seeds 2
    python benchmarks/own_images/compare.py --json own_images.json --table         # what there is so far

Every result is written into the file as it comes; what is there is not computed again. A seed draws nine of
ten training images, the same for all, and the numbers of each way to learn. neocog reads a folder, with no
option set; the network in PyTorch trains for as much processor time as neocog took; the parameters of an SVC
and of nearest neighbours are chosen by cross-validation, on folders of up to 2000 images. The test images
decide nothing. All have the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

THREADS = int(os.environ.get("OWN_IMAGES_THREADS", "2"))
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(THREADS)  # before NumPy is imported

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from kinds import KINDS, Kind  # noqa: E402

SMALL = 2000
"""Training images up to which parameters are chosen on a full grid."""
FEATURES = 3072
"""Numbers an image that the rivals on pixels get at most: larger images are averaged over blocks."""


def drawn(kind: Kind, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nine of ten training images of each class."""
    rng = np.random.default_rng(seed)
    places = np.concatenate(
        [
            rng.permutation(own)[: round(0.9 * len(own))]
            for own in map(np.flatnonzero, kind.y == each_class(kind))
        ]
    )
    return kind.x[places], kind.y[places]


def each_class(kind: Kind) -> np.ndarray:
    """Return the labels as a column."""
    return np.arange(len(kind.class_names))[:, None]


def planes(x: np.ndarray) -> np.ndarray:
    """Return uint8 images as (N, C, H, W) of 0..1."""
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(x, dtype="float32") / 255


def pixels(x: np.ndarray) -> np.ndarray:
    """Return images as rows of pixels 0..1, averaged over blocks if there are too many."""
    x = planes(x)
    while x[0].size > FEATURES:
        N, C, H, W = x.shape
        x = x[:, :, : H // 2 * 2, : W // 2 * 2].reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))
    return x.reshape(len(x), -1)


# Ways to learn: (x, y, x_test, class names, seed, seconds of neocog) -> predicted labels


def neocog_default(x, y, x_test, names, seed, seconds):
    """Train on a folder as ``neocog train`` does without options."""
    from neocog import runs
    from neocog.data.folder import LazyImages
    from neocog.kernels import set_threads
    from neocog.settings import settings_for

    set_threads(THREADS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        for k, (image, label) in enumerate(zip(x, y, strict=True)):
            path = folder / f"class_{label:02d}" / f"{k:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path, compress_level=1)
        with open(os.devnull, "w") as quiet:
            result = runs.train(settings_for(f"folder:{folder}", seed=seed), Path(scratch) / "run", quiet)
        order = np.array([int(name.removeprefix("class_")) for name in result.network.class_names])
        test = [Path(scratch) / f"{k}.png" for k in range(len(x_test))]
        for path, image in zip(test, x_test, strict=True):
            Image.fromarray(image).save(path, compress_level=1)
        images = np.asarray(
            LazyImages(test, result.network.preprocessing)[:]
        )  # in the size and the colours kept
        return order[result.network.predict_logits(images).argmax(axis=1)]


def torch_cnn(x, y, x_test, names, seed, seconds):
    """Train a plain network in PyTorch by Adam for as many seconds of processor time as neocog took."""
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    x, x_test, t = torch.from_numpy(planes(x)), torch.from_numpy(planes(x_test)), torch.from_numpy(y).long()
    layers, channels, side = [], x.shape[1], min(x.shape[2:])
    for width in (32, 64, 128):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        if side >= 2:
            layers.append(nn.MaxPool2d(2))
        channels, side = width, side // 2
    network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, len(names)))
    network(x[:2])
    optimizer, loss = torch.optim.Adam(network.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    start = time.process_time()
    while time.process_time() - start < seconds:
        for places in torch.randperm(len(x)).split(32):
            if len(places) < 2 or time.process_time() - start > seconds:
                break
            optimizer.zero_grad()
            loss(network(x[places]), t[places]).backward()
            optimizer.step()
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part).argmax(1) for part in x_test.split(256)]).numpy()


def _searched(model, grid, x, y, x_test):
    from sklearn.model_selection import GridSearchCV

    if len(x) <= SMALL:
        model = GridSearchCV(model, grid, cv=3, n_jobs=THREADS)
    return model.fit(pixels(x), y).predict(pixels(x_test))


def svc(x, y, x_test, names, seed, seconds):
    """Classify the pixels by a support vector machine."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    grid = {"svc__C": [1, 10, 100], "svc__gamma": ["scale", 0.2 / min(FEATURES, pixels(x[:1]).size)]}
    return _searched(make_pipeline(StandardScaler(), SVC(C=10)), grid, x, y, x_test)


def forest(x, y, x_test, names, seed, seconds):
    """Classify the pixels by a random forest."""
    from sklearn.ensemble import RandomForestClassifier

    return (
        RandomForestClassifier(500, random_state=seed, n_jobs=THREADS)
        .fit(pixels(x), y)
        .predict(pixels(x_test))
    )


def boosting(x, y, x_test, names, seed, seconds):
    """Classify the pixels by histogram-gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_features=0.1, random_state=seed)
    return model.fit(pixels(x), y).predict(pixels(x_test))


def neighbours(x, y, x_test, names, seed, seconds):
    """Classify the pixels by the nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    grid = {"n_neighbors": [1, 3, 5, 9], "weights": ["uniform", "distance"]}
    return _searched(KNeighborsClassifier(3), grid, x, y, x_test)


LEARNERS: dict[str, Callable] = {
    "neocog": neocog_default,
    "PyTorch CNN": torch_cnn,
    "SVC": svc,
    "forest": forest,
    "boosting": boosting,
    "k-NN": neighbours,
}


def measure(path: Path, kinds: list[str], seeds: int, learners: list[str]) -> None:
    """Compute what is missing in the file."""
    rows = read(path)
    for seed in range(seeds):
        for name in kinds:
            for learner in learners:
                if (name, seed, learner) in rows:
                    continue
                if learner == "PyTorch CNN" and (name, seed, "neocog") not in rows:
                    continue
                kind = KINDS[name]()
                x, y = drawn(kind, seed)
                allowed = rows.get((name, seed, "neocog"), {}).get("seconds", 0.0)
                start = time.process_time()
                predicted = LEARNERS[learner](x, y, kind.x_test, kind.class_names, seed, allowed)
                row = {"kind": name, "seed": seed, "learner": learner}
                row["accuracy"] = float((predicted == kind.y_test).mean())
                row["seconds"] = round(time.process_time() - start, 2)
                rows[name, seed, learner] = row
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(
                    f"{name:12s} {seed} {learner:12s} {row['accuracy']:.3f} {row['seconds']:7.1f} s",
                    flush=True,
                )


def read(path: Path) -> dict[tuple[str, int, str], dict]:
    """Read the rows of a file, none if there is none."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["kind"], row["seed"], row["learner"]): row for row in rows}


def table(path: Path) -> str:
    """Return the means, the difference of neocog from the best rival with two standard errors, and ranks."""
    rows = read(path)
    lines = [["folder", "images", "classes", *LEARNERS, "neocog - best rival"], ["---"] * (4 + len(LEARNERS))]
    ranks = []
    for name in KINDS:
        measured = {(seed, learner) for kind, seed, learner in rows if kind == name}
        there = [each for each in LEARNERS if any(learner == each for _, learner in measured)]
        seeds = sorted(seed for seed in {s for s, _ in measured} if all((seed, e) in measured for e in there))
        if len(there) < 2 or not seeds:
            continue
        found = {each: np.array([rows[name, s, each]["accuracy"] for s in seeds]) for each in there}
        means = {each: values.mean() for each, values in found.items()}
        rival = max(there[1:], key=lambda each: means[each])
        differences = found["neocog"] - found[rival]
        error = f" ± {2 * differences.std(ddof=1) / len(seeds) ** 0.5:.3f}" if len(seeds) > 1 else ""
        if len(there) == len(LEARNERS):
            all_means = np.array(list(means.values()))
            ranks.append([(all_means > own).sum() + ((all_means == own).sum() + 1) / 2 for own in all_means])
        kind = KINDS[name]()
        lines.append(
            [
                f"{name} {'x'.join(map(str, kind.x.shape[1:]))}",
                str(round(0.9 * len(kind.x))),
                str(len(kind.class_names)),
                *(f"{means[each]:.3f}" if each in means else "" for each in LEARNERS),
                f"{differences.mean():+.3f}{error} ({rival}, {len(seeds)} seed{'s' * (len(seeds) > 1)})",
            ]
        )
    if ranks:
        lines.append(["**mean rank**", "", "", *(f"{rank:.2f}" for rank in np.mean(ranks, axis=0)), ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, default=Path("own_images.json"), help="file of the results")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--learners", nargs="*", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--table", action="store_true", help="print only what there is")
    chosen = parser.parse_args()
    if not chosen.table:
        measure(chosen.json, chosen.kinds, chosen.seeds, chosen.learners)
    print(table(chosen.json))


if __name__ == "__main__":
    main()
