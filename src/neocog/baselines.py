"""Measure classifiers that are no networks on the same images, to compare with on small sets."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["MOST_IMAGES", "baselines"]

MOST_IMAGES = 2000
"""Training images up to which they are run."""
MOST_NUMBERS = 2**28
"""Pixels of all training images up to which they are run: 1 GiB."""
MOST_PRODUCTS = 2e10
"""Squares of the training images times pixels up to which the support vector machine is run."""


def baselines(
    train: tuple[Any, Any], held_out: tuple[Any, Any], seed: int = 0, class_weight: str | None = None
) -> dict[str, float]:
    """Return the accuracies of a random forest and of a support vector machine on held-out images.

    Both see pixels. Where an image may have several labels, all must be right, and the forest alone is run.
    They are run only where they take seconds: with up to ``MOST_IMAGES`` training images of up to
    ``MOST_NUMBERS`` pixels, the support vector machine with up to ``MOST_PRODUCTS``.

    Parameters
    ----------
    train, held_out : (images, labels)
    seed : int
    class_weight : {"balanced", None}

    Returns
    -------
    dict of str to float
        Empty if none is run.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> x = rng.normal(y[:, None, None, None], 0.1, (60, 1, 4, 4))
    >>> baselines((x[:40], y[:40]), (x[40:], y[40:]))
    {'random forest': 1.0, 'SVC': 1.0}
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC

    (x, y), (x_held_out, y_held_out) = train, held_out
    pixels = int(np.prod(x.shape[1:]))
    models: dict[str, Any] = {}
    if len(y) <= MOST_IMAGES and len(y) * pixels <= MOST_NUMBERS:
        models["random forest"] = RandomForestClassifier(200, class_weight=class_weight, random_state=seed)
        if y.ndim == 1 and len(y) ** 2 * pixels <= MOST_PRODUCTS:
            models["SVC"] = SVC(C=10.0, class_weight=class_weight)
    if not models:
        return {}
    rows, rows_held_out = (
        np.asarray(images, np.float32).reshape(len(images), -1) for images in (x, x_held_out)
    )
    return {
        name: float(model.fit(rows, y).score(rows_held_out, y_held_out)) for name, model in models.items()
    }
