"""Training step and inference of the small networks against PyTorch (eager) and JAX (jit), side by side.

Each competitor runs in a process of its own, in turns (A B C A B C ...), so that a machine that slows down
slows down for all. A process warms up, then times batches of calls; its figure is the median. Printed are the
medians over the rounds and the ratios to neocog, round by round: their median and their range.

    python benchmarks/bench.py [--rounds 7] [--seconds 0.5] [--json]
"""

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import time

import numpy as np

NETWORKS = {"TinyCNN": 18, "digits": 64}  # with the batch sizes of their training
TASKS = ("step", "inference")
COMPETITORS = ("neocog", "torch", "jax")


def data(name):
    rng = np.random.default_rng(0)
    N, classes = NETWORKS[name], 3 if name == "TinyCNN" else 10
    return rng.random((N, 1, 8, 8)).astype(np.float32), rng.integers(0, classes, N)


# Competitors: a function (network, task) -> a function that does the work once, its result on the host


def neocog(name, task):
    import neocog

    make = neocog.models.tiny_cnn if name == "TinyCNN" else neocog.models.digits_cnn
    network, (x, t) = make(dtype="float32"), data(name)
    loss = neocog.SoftmaxCrossEntropy()
    if name == "TinyCNN":
        optimizer = neocog.SGD(lr=1e-3)
    else:
        optimizer = neocog.SGD(lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def step():
        z, cache = network.forward(x, training=True)
        value, dz = loss(z, t)
        _, grads = network.backward(dz, cache, input_grad=False)
        optimizer.step(network.params, grads)
        return value

    return step if task == "step" else lambda: network(x)


def torch(name, task):
    import torch
    from torch import nn

    torch.manual_seed(0)
    if name == "TinyCNN":
        layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3)]
    else:
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 10),
        ]
    network = nn.Sequential(*layers)
    x, t = (torch.from_numpy(array) for array in data(name))
    settings = {} if name == "TinyCNN" else {"momentum": 0.9, "weight_decay": 1e-4}
    optimizer, loss = torch.optim.SGD(network.parameters(), lr=1e-3, **settings), nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        value = loss(network(x), t)
        value.backward()
        optimizer.step()
        return value.item()

    def inference():
        with torch.inference_mode():
            return network(x)

    return step if task == "step" else inference


def jax(name, task):
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    shapes = {"TinyCNN": [(3, 1, 3, 3), (27, 3)], "digits": [(8, 1, 3, 3), (16, 8, 3, 3), (64, 10)]}[name]
    params = []
    for shape in shapes:
        w = rng.normal(0, 0.1, shape).astype(np.float32)
        params.append((jnp.asarray(w), jnp.zeros(shape[0] if len(shape) == 4 else shape[1], jnp.float32)))
    x, t = (jnp.asarray(array) for array in data(name))
    padding = "VALID" if name == "TinyCNN" else "SAME"
    momentum, decay = (0.0, 0.0) if name == "TinyCNN" else (0.9, 1e-4)

    def forward(params, x):
        for w, b in params[:-1]:
            x = jax.lax.conv_general_dilated(x, w, (1, 1), padding) + b[:, None, None]
            x = jax.lax.reduce_window(
                jax.nn.relu(x), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"
            )
        w, b = params[-1]
        return x.reshape(len(x), -1) @ w + b

    def loss(params):
        return -jax.nn.log_softmax(forward(params, x))[jnp.arange(len(t)), t].mean()

    @jax.jit
    def update(params, velocity):
        value, grads = jax.value_and_grad(loss)(params)
        velocity = jax.tree.map(
            lambda v, g, w: momentum * v - 1e-3 * (g + decay * w), velocity, grads, params
        )
        return jax.tree.map(jnp.add, params, velocity), velocity, value

    state = [params, jax.tree.map(jnp.zeros_like, params)]

    def step():
        *state[:], value = update(*state)
        return float(value)

    inference = jax.jit(forward)
    return step if task == "step" else lambda: inference(params, x).block_until_ready()


# Timing


def work(competitor, name, task, seconds):
    """Time one competitor in this process: microseconds a call, the median over chunks of 10 ms."""
    call = globals()[competitor](name, task)
    warm = time.perf_counter()
    calls = 0
    while time.perf_counter() - warm < 0.3 * seconds or calls < 20:
        call()
        calls += 1
    chunk = max(1, round(0.01 * calls / (time.perf_counter() - warm)))
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 5:
        began = time.perf_counter()
        for _ in range(chunk):
            call()
        times.append((time.perf_counter() - began) / chunk * 1e6)
    return statistics.median(times)


def in_own_process(competitor, name, task, seconds):
    command = [sys.executable, __file__, "--worker", competitor, name, task, "--seconds", str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(name, task, competitors, rounds, seconds):
    figures = {competitor: [] for competitor in competitors}
    for _ in range(rounds):
        for competitor in competitors:
            figures[competitor].append(in_own_process(competitor, name, task, seconds))
    row = {"network": name, "task": task, "batch": NETWORKS[name]}
    row["microseconds"] = {c: statistics.median(f) for c, f in figures.items()}
    ratios = {
        c: sorted(a / b for a, b in zip(f, figures["neocog"], strict=True))
        for c, f in figures.items()
        if c != "neocog"
    }
    row["ratios"] = {c: {"median": statistics.median(r), "range": [r[0], r[-1]]} for c, r in ratios.items()}
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing in each process")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(work(*options.worker, options.seconds))
        return
    competitors = [c for c in COMPETITORS if importlib.util.find_spec(c)]
    rows = [
        compare(name, task, competitors, options.rounds, options.seconds)
        for task in TASKS
        for name in NETWORKS
    ]
    if options.json:
        print(json.dumps(rows))
        return

    from importlib.metadata import version

    from rich.console import Console
    from rich.table import Table

    versions = ", ".join(f"{c} {version(c)}" for c in competitors)
    title = f"{platform.machine()}, Python {platform.python_version()}, {versions}; {options.rounds} rounds"
    table = Table(title=title, title_justify="left")
    table.add_column("work", no_wrap=True)
    for competitor in competitors:
        table.add_column(f"{competitor} µs", justify="right")
    for competitor in competitors[1:]:
        table.add_column(f"{competitor} / neocog", justify="right", no_wrap=True)
    for row in rows:
        cells = [f"{row['network']} {row['task']}, batch {row['batch']}"]
        cells += [f"{row['microseconds'][c]:.0f}" for c in competitors]
        for ratio in row["ratios"].values():
            low, high = ratio["range"]
            cells.append(f"{ratio['median']:.2f} ({low:.2f}-{high:.2f})")
        table.add_row(*cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
