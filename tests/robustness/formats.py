"""The formats of files that neocog reads: how one is made, changed and read."""

import io
import json
import shutil
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

import neocog
from neocog import runs
from neocog.data import image_folder, load_csv, load_idx, load_npz
from neocog.data.lines import line_patterns
from neocog.layers import BatchNorm2D, Conv2D, Dense, Dropout, Flatten, Graph, ReLU, Sequential
from neocog.settings import Settings
from neocog.training import History, Snapshots, load_snapshots

from . import mutations

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 8, 8), dtype=np.uint8)
LABELS = np.arange(12) % 3


@dataclass(frozen=True)
class Format:
    """One format.

    ``make(folder)`` writes the files, ``change(path, rng)`` changes what one of them says, and
    ``read(folder)`` reads them and returns what is in them. Where a file ``is_checked``, damage to its bytes
    may not change that. ``command(folder)`` are the words of a command that reads them.
    """

    make: Any
    change: Any
    read: Any
    command: Any
    is_checked: bool = False


def network():
    layers = {
        "conv": Conv2D(1, 2, 3, rng=0),
        "norm": BatchNorm2D(2),
        "relu": ReLU(),
        "drop": Dropout(0.1, rng=0),
        "flat": Flatten(),
        "dense": Dense(72, 3, rng=0),
    }
    made = Sequential(**layers)
    made.class_names, made.input_shape = ("a", "b", "c"), (1, 8, 8)
    return made


def arrays_digest(arrays):
    parts = [f"{name}{array.dtype}{array.shape}".encode() + array.tobytes() for name, array in arrays.items()]
    return zlib.crc32(b"".join(parts))


def make_model(folder):
    neocog.save(network(), folder / "a.neocog")


def make_graph(folder):
    graph = Graph(
        {"a": (Conv2D(1, 1, 3, padding=1, rng=0), "input"), "b": (neocog.layers.Add(), "a", "input")}
    )
    graph.input_shape = (1, 8, 8)
    neocog.save(Sequential(graph=graph, flat=Flatten(), dense=Dense(64, 3, rng=0)), folder / "a.neocog")


def read_model(folder):
    model = neocog.load(folder / "a.neocog")
    result = [
        model.class_names,
        model.input_shape,
        repr(model),
        arrays_digest({**model.params, **model.buffers}),
    ]
    if model.input_shape is not None:
        try:
            model(np.zeros((1, *model.input_shape), "f4"))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise ValueError(f"{folder}: {error}") from error
    return result


def make_onnx(folder):
    from neocog.interop.onnx import to_onnx

    to_onnx(network(), folder / "a.onnx")


def read_onnx(folder):
    from neocog.interop.onnx import from_onnx

    model = from_onnx(folder / "a.onnx")
    return arrays_digest({**model.params, **model.buffers})


def make_checkpoint(folder):
    fit(folder, epochs=2, callbacks=[neocog.training.Checkpoint(folder / "a.neocog"), Snapshots()])


def fit(folder, **options):
    made = network()
    optimizer = neocog.SGD(0.01, momentum=0.9)
    history = neocog.fit(
        made, line_patterns("a").train, optimizer=optimizer, batch_size=9, rng=0, augment=None, **options
    )
    return made, history


def read_checkpoint(folder):
    path = folder / "a.neocog"
    callbacks = [neocog.training.Checkpoint(folder / "b.neocog"), Snapshots()]
    made, history = fit(folder, epochs=3, callbacks=callbacks, resume=path)
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]
    return arrays_digest({**made.params, **made.buffers}), repr(rows)


def make_snapshots(folder):
    snapshots = Snapshots()
    fit(folder, epochs=2, callbacks=[snapshots])
    snapshots.save(folder / "a.neocog")


def read_snapshots(folder):
    return {epoch: arrays_digest(arrays) for epoch, arrays in load_snapshots(folder / "a.neocog").items()}


def make_history(folder):
    _, history = fit(folder, epochs=2)
    history.to_json(folder / "history.json")


def read_history(folder):
    history = History.from_json(folder / "history.json")
    return repr(history.rows), history.stopped


_run = {}


def make_run(folder):
    if "path" not in _run:
        _run["path"] = folder.parent / "a-run-to-copy"
        runs.train(Settings("lines", "tiny-cnn", 1), _run["path"], stream=io.StringIO())
    for file in _run["path"].iterdir():
        if file.suffix != ".html":
            shutil.copy(file, folder)


def change_config(path, rng):
    mutations.change_json_file(path, rng)
    text = json.loads(path.read_text())
    if isinstance(text, dict) and isinstance(text.get("settings"), dict):
        source = text["settings"].get("source")
        if isinstance(source, str) and not source.startswith("lines"):
            text["settings"]["source"] = "lines"  # another file is not what this is about
            path.write_text(json.dumps(text))


def read_run(folder):
    directory = runs.RunDirectory(folder)
    settings = directory.settings()
    directory.open_data()
    return settings


def make_npz(folder):
    np.savez_compressed(folder / "a.npz", x=PIXELS, y=LABELS, class_names=np.array(["a", "b", "c"]))


def make_medmnist(folder):
    rows = {"train": slice(8), "val": slice(8, 10), "test": slice(9, 12)}
    images = {f"{part}_images": PIXELS[chosen] for part, chosen in rows.items()}
    labels = {f"{part}_labels": LABELS[chosen, None].astype(np.uint8) for part, chosen in rows.items()}
    np.savez(folder / "a.npz", **images, **labels)


def split_digest(split):
    parts = {
        f"{k}{j}": np.asarray(array)
        for k, part in enumerate((*split, split.tuning))
        if part
        for j, array in enumerate(part)
    }
    return split.class_names, arrays_digest(parts)


def make_idx(folder, suffix=""):
    import gzip

    for part, count in (("train", 9), ("t10k", 3)):
        rows = PIXELS[:count], LABELS[:count].astype(np.uint8)
        for kind, array in zip(("images-idx3", "labels-idx1"), rows, strict=True):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            name = f"{part}-{kind}-ubyte{suffix}"
            (folder / name).write_bytes(gzip.compress(content, mtime=0) if suffix else content)


def make_csv(folder):
    rows = [f"{'abc'[y]},{','.join(map(str, x.ravel()))}" for x, y in zip(PIXELS, LABELS, strict=True)]
    header = ",".join(["label", *(f"{r}x{c}" for r in range(1, 9) for c in range(1, 9))])
    (folder / "a.csv").write_text("\n".join([header, *rows]) + "\n")


def make_pictures(folder):
    for k, (x, y) in enumerate(zip(PIXELS, LABELS, strict=True)):
        (folder / "abc"[y]).mkdir(exist_ok=True)
        kind = ("png", "jpg", "gif", "bmp", "tif", "webp")[k % 6]
        Image.fromarray(x).save(
            folder / "abc"[y] / f"{k}.{kind}", **({"progressive": True} if kind == "jpg" else {})
        )


def make_table_of_files(folder):
    (folder / "images").mkdir()
    parts = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = ["filename,label,split"]
    for k, (x, y) in enumerate(zip(PIXELS, LABELS, strict=True)):
        Image.fromarray(x).save(folder / "images" / f"{k}.png")
        rows.append(f"{k}.png,{'abc'[y]},{parts[k]}")
    (folder / "a.csv").write_text("\n".join(rows) + "\n")


def change_table_of_files(path, rng):
    change = mutations.change_csv if path.suffix == ".csv" else mutations.change_png
    change(path, rng)


def evaluation(source):
    def command(folder):
        neocog.save(network(), folder.parent / "a-model.neocog")
        return ["evaluate", str(folder.parent / "a-model.neocog"), source.format(folder)]

    return command


FORMATS = {
    "model": Format(
        make_model, mutations.change_model_file, read_model, lambda f: ["summary", f"{f}/a.neocog"], True
    ),
    "graph": Format(
        make_graph, mutations.change_model_file, read_model, lambda f: ["summary", f"{f}/a.neocog"], True
    ),
    "onnx": Format(make_onnx, mutations.change_onnx, read_onnx, lambda f: ["summary", f"{f}/a.onnx"]),
    "checkpoint": Format(make_checkpoint, mutations.change_model_file, read_checkpoint, None, True),
    "snapshots": Format(make_snapshots, mutations.change_model_file, read_snapshots, None, True),
    "history": Format(make_history, mutations.change_json_file, read_history, None),
    "config": Format(make_run, change_config, read_run, lambda f: ["evaluate", str(f)]),
    "npz": Format(
        make_npz,
        mutations.change_npz,
        lambda f: split_digest(load_npz(f / "a.npz")),
        evaluation("npz:{}/a.npz"),
    ),
    "medmnist": Format(
        make_medmnist,
        mutations.change_npz,
        lambda f: split_digest(load_npz(f / "a.npz")),
        evaluation("npz:{}/a.npz"),
    ),
    "idx": Format(make_idx, mutations.change_idx, lambda f: split_digest(load_idx(f)), evaluation("idx:{}")),
    "idx.gz": Format(
        lambda f: make_idx(f, ".gz"),
        mutations.change_idx,
        lambda f: split_digest(load_idx(f)),
        evaluation("idx:{}"),
    ),
    "csv": Format(
        make_csv,
        mutations.change_csv,
        lambda f: split_digest(load_csv(f / "a.csv")),
        evaluation("csv:{}/a.csv"),
    ),
    "csv-files": Format(
        make_table_of_files,
        change_table_of_files,
        lambda f: split_digest(load_csv(f / "a.csv", image_shape=(1, 8, 8))),
        evaluation("csv:{}/a.csv"),
    ),
    "pictures": Format(
        make_pictures,
        mutations.change_png,
        lambda f: split_digest(image_folder(f, (1, 8, 8))),
        evaluation("folder:{}"),
    ),
}
