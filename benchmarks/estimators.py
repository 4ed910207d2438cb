"""Compare ConvNetClassifier with SVC and MLPClassifier: a grid search each, on several splits of the digits.

    python benchmarks/estimators.py [--first 10] [--splits 10]

Each split has a seed of its own, which is also the models'. Prints the test accuracies of each, then a table.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

import neocog
from neocog.data import Affine


def rivals(seed: int) -> dict[str, tuple]:
    network = neocog.ConvNetClassifier(
        "small-cnn",
        image_shape=(8, 8),
        epochs=30,
        schedule="one-cycle",
        augment=Affine(degrees=10, shift=0.5, scale=0.1, shear=0.2),
        random_state=seed,
        kernels="fused",  # which pays over a search, if not in one fit
    )
    sizes = [(100,), (200,), (100, 100)]
    return {
        "SVC": (SVC(), {"C": [1, 3, 10, 30], "gamma": ["scale", 0.03, 0.1, 0.3]}),
        "MLPClassifier": (
            MLPClassifier(max_iter=1000, random_state=seed),
            {"hidden_layer_sizes": sizes, "alpha": [1e-4, 1e-2, 0.1, 1]},
        ),
        "ConvNetClassifier": (network, {"lr": [0.005, 0.01, 0.02]}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--first", type=int, default=10, help="seed of the first split")
    parser.add_argument("--splits", type=int, default=10)
    options = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    X = X.astype("float32")
    figures: dict[str, list] = {name: [] for name in rivals(0)}
    for seed in range(options.first, options.first + options.splits):
        parts = train_test_split(X, y, stratify=y, random_state=seed)
        for name, (model, grid) in rivals(seed).items():
            grid = {f"{type(model).__name__.lower()}__{key}": values for key, values in grid.items()}
            began = time.perf_counter()
            search = GridSearchCV(make_pipeline(MinMaxScaler(), model), grid, cv=3)
            accuracy = search.fit(parts[0], parts[2]).score(parts[1], parts[3])
            figures[name].append((accuracy, time.perf_counter() - began, search.refit_time_))
        print(seed, {name: round(rows[-1][0], 4) for name, rows in figures.items()}, flush=True)
    best = np.array([row[0] for row in figures["ConvNetClassifier"]])
    for name, rows in figures.items():
        accuracy, seconds, refit = np.array(rows).T
        ahead, equal = int((best > accuracy).sum()), int((best == accuracy).sum())
        print(
            f"{name:18s} {accuracy.mean():.2%} ({accuracy.min():.1%} to {accuracy.max():.1%}), search "
            f"{np.median(seconds):.1f} s, fit {np.median(refit):.2f} s; ConvNet ahead {ahead}, equal {equal}"
        )


if __name__ == "__main__":
    main()
