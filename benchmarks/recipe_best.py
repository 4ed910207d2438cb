"""Train the recipe "best" on the digits, in neocog or in PyTorch: test accuracy, and seconds.

    python benchmarks/recipe_best.py --library neocog
    python benchmarks/recipe_best.py --library torch

Both start from the same weights, draw the same batches and vary the images in the same way, in NumPy; both
measure the training and the test images after every epoch, as a run's history has them. Printed are the
seconds of the whole, and those of the training steps alone; an epoch goes before the clock starts.
"""

import argparse
import math
import os
import statistics
import time


def options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--library", choices=["neocog", "torch"], default="neocog")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def train_neocog(seed, settings, data, epochs):
    """Return the test accuracy, and the seconds of the training steps."""
    import neocog
    from neocog.training.by_name import make_augmentation, make_optimizer, make_schedule

    network = neocog.models.small_cnn(seed)
    steps = epochs * math.ceil(len(data.train[1]) / settings.batch_size)
    history = neocog.fit(
        network,
        data,
        loss=neocog.SoftmaxCrossEntropy(settings.label_smoothing),
        optimizer=make_optimizer(
            settings.optimizer,
            make_schedule(settings.schedule, settings.lr, steps),
            settings.momentum,
            settings.weight_decay,
        ),
        epochs=epochs,
        batch_size=settings.batch_size,
        rng=seed,
        augment=make_augmentation(settings.augment, data.image_shape),
    )
    return history.last["val_accuracy"], sum(history["seconds"])


def train_torch(seed, settings, data, epochs):
    """Do the same in PyTorch."""
    import numpy as np
    import torch
    from torch import nn

    from neocog.data import batches
    from neocog.training.by_name import make_augmentation

    network, augment = torch_network(seed), make_augmentation(settings.augment, data.image_shape)
    images = len(data.train[1])
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]  # biases and batch norms do not decay
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0}],
        lr=settings.lr,
        betas=(settings.momentum, 0.999),
        fused=True,
    )
    steps = epochs * math.ceil(images / settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=steps, cycle_momentum=False
    )
    loss = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    rng = np.random.default_rng(seed)

    def measure(part):
        network.eval()
        right = total = 0.0
        with torch.inference_mode():
            for x, t in batches(*part, 256):
                z, t = network(torch.from_numpy(x)), torch.from_numpy(t)
                total += loss(z, t).item() * len(t)
                right += (z.argmax(1) == t).sum().item()
        return total / len(part[1]), right / len(part[1])

    measure(data.train), measure(data.test)  # the untrained network
    seconds = 0.0
    for _ in range(epochs):
        network.train()
        start = time.perf_counter()
        for x, t in batches(*data.train, settings.batch_size, rng=rng, augment=augment):
            optimizer.zero_grad()
            value = loss(network(torch.from_numpy(x)), torch.from_numpy(t))
            value.backward()
            optimizer.step()
            schedule.step()
            value.item()  # for the history
        seconds += time.perf_counter() - start
        measure(data.train)
        _, accuracy = measure(data.test)
    return accuracy, seconds


def torch_network(seed):
    """Build ``small_cnn`` in PyTorch, with the weights that neocog draws."""
    from collections import OrderedDict

    import torch
    from torch import nn

    import neocog

    channels, layers = 1, OrderedDict()
    for k, width in enumerate((32, 32, 64), start=1):
        layers[f"conv{k}"] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers[f"norm{k}"] = nn.BatchNorm2d(width)
        layers[f"relu{k}"] = nn.ReLU()
        if k > 1:
            layers[f"pool{k}"] = nn.MaxPool2d(2)
        channels = width
    layers |= {"flatten": nn.Flatten(), "dense": nn.Linear(256, 10)}
    network = nn.Sequential(layers)
    ours = {name: torch.tensor(array) for name, array in neocog.models.small_cnn(seed).params.items()}
    ours["dense.weight"] = ours["dense.weight"].T
    network.load_state_dict(ours, strict=False)  # but for the running statistics
    return network


def main():
    chosen = options()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)  # before NumPy is imported

    from neocog import data, kernels
    from neocog.settings import default_settings

    if chosen.library == "torch":
        import torch

        torch.set_num_threads(chosen.threads)
        train = train_torch
    else:
        kernels.set_threads(chosen.threads)
        train = train_neocog
    settings, digits = default_settings("digits", "best"), data.digits()
    train(0, settings, digits, 1)
    rows = []
    print("seed  accuracy  seconds  of steps")
    for seed in range(chosen.seeds):
        start = time.perf_counter()
        accuracy, steps = train(seed, settings, digits, settings.epochs)
        rows.append((accuracy, time.perf_counter() - start, steps))
        print(f"{seed:4d}  {accuracy:8.2%}  {rows[-1][1]:7.2f}  {steps:8.2f}", flush=True)
    accuracies, seconds, steps = zip(*rows, strict=True)
    spread = statistics.stdev(accuracies) if len(rows) > 1 else 0.0
    print(
        f"{chosen.library}, {chosen.threads} thread(s): accuracy {statistics.mean(accuracies):.2%} "
        f"({min(accuracies):.2%} to {max(accuracies):.2%}, standard deviation {spread:.2%}); median "
        f"{statistics.median(seconds):.2f} s, {statistics.median(steps):.2f} s of them training steps"
    )


if __name__ == "__main__":
    main()
