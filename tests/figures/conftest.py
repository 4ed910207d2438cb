import numpy as np
import pytest

import neocog
from neocog.training.callbacks import KernelSnapshots


@pytest.fixture(scope="session")
def run():
    """A TinyCNN trained for three epochs: (network, data, history, snapshots)."""
    data = neocog.data.line_patterns("b")
    network = neocog.models.tiny_cnn(seed=3)
    snapshots = KernelSnapshots(epochs=(0, 1))
    history = neocog.fit(
        network,
        data,
        optimizer=neocog.SGD(lr=0.12),
        epochs=3,
        batch_size=18,
        rng=11,
        callbacks=[snapshots],
    )
    return network, data, history, snapshots.snapshots


def heat_maps(figure, named=None):
    """The arrays of the figure's heat maps, the colour bar's left out; those of one name if given."""
    found = [t for t in figure.data if t.type == "heatmap" and np.shape(t.z) != (1, 65)]
    return [t for t in found if named is None or t.name.startswith(named)]


def words(figure):
    return [a.text for a in figure.layout.annotations]


@pytest.fixture(name="heat_maps", scope="session")
def _heat_maps():
    return heat_maps


@pytest.fixture(name="words", scope="session")
def _words():
    return words
