"""Check the engine "torch" on a GPU, and measure its rows there: one prepared script for some minutes.

    python benchmarks/gpu.py [--seconds 0.5] [--device cuda]

1. Training on the GPU in float64 against training on the CPU: histories and weights.
2. One process under torchrun, which joins its group by NCCL, against a process alone.
3. The rows of a step with their GPU competitors.

It ends with an error if one of them fails, and says so at once where there is no GPU. It has not been run on
one yet: only its checks, with ``--device cpu``, and its table, of rows made on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

COLUMNS = ("running_loss", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
PEERS = ("neocog", "torch on GPU", "engine torch on GPU")


def check_training(device: str) -> None:
    """Train on the device and by neocog's own engine; raise AssertionError if they differ."""
    import neocog
    from neocog.models import resnet_cifar, small_cnn

    data = neocog.data.digits()
    for make, tolerance in ((small_cnn, 1e-8), (digits_resnet(resnet_cifar), 1e-6)):
        results = []
        for where in ({"engine": "neocog"}, {"engine": "torch", "device": device}):
            network = make().astype("float64")
            optimizer = neocog.SGD(0.01, momentum=0.9, weight_decay=1e-3)
            history = neocog.fit(network, data, optimizer=optimizer, epochs=2, batch_size=64, rng=5, **where)
            results.append((network, history))
        (network, history), (twin, other) = results
        for column in COLUMNS:
            np.testing.assert_allclose(other[column], history[column], rtol=tolerance, err_msg=column)
        for name, array in {**network.params, **network.buffers}.items():
            there = {**twin.params, **twin.buffers}[name]
            np.testing.assert_allclose(there, array, rtol=0, atol=tolerance, err_msg=name)
        print(f"training on {device} like neocog's own engine: {type(network).__name__} within {tolerance:g}")


def digits_resnet(make):
    return lambda: make(8, image_shape=(1, 8, 8), rng=0)


def check_group(device: str) -> None:
    """Train in a process of a group of one, and in one alone; raise AssertionError if they differ."""
    train = ["-m", "neocog", "train", "digits", "--engine", "torch", "--device", device, "--epochs", "2"]
    group = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    with tempfile.TemporaryDirectory() as folder:
        for name, before in (("alone", []), ("group", group)):
            command = [sys.executable, *before, *train, "--out", name]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        alone, together = (
            json.loads(Path(folder, name, "history.json").read_text())["rows"] for name in ("alone", "group")
        )
    check_rows(alone, together)
    print("one process under torchrun like one alone")


def check_rows(alone: list[dict], together: list[dict]) -> None:
    """Raise AssertionError if two histories differ by more than TF32, and sums in any order, explain."""
    assert len(alone) == len(together) > 0
    for column in COLUMNS:
        one, other = (
            np.array([row[column] for row in rows], float) for rows in (alone, together)
        )  # None: NaN
        atol = 0.02 if column.endswith("accuracy") else 0.01  # an image may change its class
        np.testing.assert_allclose(other, one, rtol=0.02, atol=atol, err_msg=column)


def measure(seconds: float) -> None:
    """Print the rows of a step beside the GPU's; raise SystemExit if a competitor failed."""
    import bench
    import machine
    import results
    import timing
    import works

    works.GPU = True  # as PyTorch says, also where nvidia-smi is missing
    rows = []
    for work in works.WORKS:
        if work.task == "step":
            chosen = [c for c in works.competitors(work) if c.peer in PEERS]
            rows.append(timing.take_turns(work, chosen, 1, seconds))
    options = {"quick": False, "rounds": 1, "seconds": seconds, "threads": None}
    kinds = {kind: [] for kind in bench.KINDS} | {"rows": rows}
    print(results.markdown([{"machine": machine.describe(), "options": options, **kinds}]))
    failed = [
        f"{row['title']}, {f['peer']}: {f['failed']}" for row in rows for f in row["figures"] if "failed" in f
    ]
    if failed:
        raise SystemExit("\n".join(["Not measured:", *failed]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing in each process")
    parser.add_argument("--device", default="cuda", help="cpu tries the checks themselves, without the rows")
    options = parser.parse_args()

    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("There is no GPU that this PyTorch can use: nothing was checked or measured.")
    check_training(options.device)
    check_group(options.device)
    if options.device != "cpu":
        with tempfile.TemporaryDirectory() as folder:
            os.environ["NEOCOG_BENCH_FOLDER"] = folder
            measure(options.seconds)


if __name__ == "__main__":
    main()
