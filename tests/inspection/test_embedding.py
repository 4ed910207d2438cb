import numpy as np
import pytest

from neocog.inspection.embedding import embedding
from neocog.layers import Flatten, ReLU, Sequential
from neocog.models import tiny_cnn, tiny_mlp


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(30, 1, 8, 8))


def test_pca_by_hand():
    # Points on a cross, long along (1, 1): variances 2 * 9 + 2 * 9 = 36 and 2 + 2 = 4.
    points = np.array([[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]]).reshape(4, 1, 1, 2)
    seen = embedding(Sequential(Flatten()), points, "0")
    np.testing.assert_allclose(
        np.abs(seen.points), np.sqrt(2) * np.array([[3, 0], [3, 0], [0, 1], [0, 1]]), atol=1e-14
    )
    np.testing.assert_allclose(seen.explained, [0.9, 0.1])
    assert seen.method == "pca"


def test_by_default_what_enters_the_last_layer(x):
    network = tiny_mlp()
    hidden = np.maximum(x.reshape(30, -1) @ network.params["dense1.weight"], 0)
    seen = embedding(network, x, batch_size=7)
    np.testing.assert_allclose(seen.features, hidden, atol=1e-12)
    assert seen.points.shape == (30, 2)
    assert embedding(tiny_cnn(), x, "conv1", dimensions=3).features.shape == (30, 3 * 6 * 6)


def test_tsne_keeps_two_clouds_apart(x):
    x = 0.01 * x.reshape(30, 64)[:, :4]
    x[15:] += 10
    seen = embedding(Sequential(ReLU()), x + 1, "0", method="tsne", rng=0)
    a, b = seen.points[:15], seen.points[15:]
    distance = np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))
    assert max(np.ptp(a, axis=0).max(), np.ptp(b, axis=0).max()) < distance
    assert seen.explained is None


def test_few_images_and_equal_images():
    assert embedding(tiny_cnn(), np.zeros((4, 1, 8, 8)), method="tsne").points.shape == (4, 2)
    alike = embedding(tiny_cnn(), np.zeros((4, 1, 8, 8)))
    assert not alike.points.any()
    assert alike.explained.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "umap"}, "method must be one of 'pca', 'tsne', got 'umap'"),
        ({"dimensions": 28}, "dimensions must be at most 27 for 30 images with 27 features, got 28"),
        ({"dimensions": 4, "method": "tsne"}, "dimensions must be at most 3"),
        ({"dimensions": 0}, "dimensions must be at least 1"),
    ],
)
def test_bad_arguments(x, arguments, message):
    with pytest.raises(ValueError, match=message):
        embedding(tiny_cnn(), x, **arguments)


def test_too_little_to_embed(x):
    with pytest.raises(ValueError, match="images must be at least 4"):
        embedding(tiny_cnn(), x[:3], method="tsne")
    with pytest.raises(ValueError, match="layer must be named"):
        embedding(Sequential(Flatten()), x)
