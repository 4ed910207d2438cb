import numpy as np
import pytest

from neocog.models import image_cnn
from neocog.models.by_name import build_network
from neocog.settings import settings_for


@pytest.mark.parametrize(
    "image_shape", [(1, 1, 1), (3, 1, 1), (1, 1, 20), (2, 7, 1), (1, 8, 8), (3, 25, 31), (3, 64, 64)]
)
def test_images_of_any_size(image_shape, rng):
    network = image_cnn((8, 12), 3, image_shape)
    assert network.input_shape == image_shape
    assert network.output_shape((5, *image_shape)) == (5, 3)
    assert np.isfinite(network(rng.normal(size=(2, *image_shape)).astype("float32"))).all()


def test_an_image_s_output_does_not_depend_on_the_others(rng):
    network, x = image_cnn((8, 16), 3, (1, 9, 9), dtype="float64"), rng.normal(size=(6, 1, 9, 9))
    alone = np.concatenate([network.forward(part, training=True)[0] for part in np.split(x, 6)])
    np.testing.assert_allclose(network.forward(x, training=True)[0], alone, rtol=1e-12)


def test_filters_choose_the_channels():
    assert repr(build_network("image-cnn", 3, (1, 8, 8), 0, (4, 6))) == repr(image_cnn((4, 6), 3, (1, 8, 8)))
    settings = settings_for("lines", network="image-cnn", filters=(4, 6))
    assert (settings.network, settings.filters) == ("image-cnn", (4, 6))


@pytest.mark.parametrize("filters", ["32", (), None, 8])
def test_filters_out_of_range(filters):
    with pytest.raises(TypeError, match="filters must be a sequence"):
        image_cnn(filters)
