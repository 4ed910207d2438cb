"""Load real handwritten digits, 8 x 8 pixels."""

from __future__ import annotations

import numpy as np

from neocog.data.preprocessing import Preprocessing
from neocog.data.split import Split


def digits() -> Split:
    """Load the handwritten digits that come with scikit-learn: 1347 to train on, 450 held out.

    Pixels are divided by 16 into 0..1, float32. The split is ``train_test_split(test_size=0.25,
    random_state=42, stratify=y)``.

    Source: E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998.

    Examples
    --------
    >>> digits()
    Split(1347 training, 450 validation images of shape (1, 8, 8), 10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    x = (bunch.images / 16.0).astype(np.float32)[:, None]
    x_train, x_test, y_train, y_test = train_test_split(
        x, bunch.target, test_size=0.25, random_state=42, stratify=bunch.target
    )
    preprocessing = Preprocessing(1, (8, 8), unit=None, tone="ink")
    names = [str(k) for k in range(10)]
    return Split((x_train, y_train), (x_test, y_test), names, preprocessing=preprocessing)
