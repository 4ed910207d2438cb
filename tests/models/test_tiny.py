import numpy as np
import pytest

from neocog.models import digits_cnn, small_cnn, tiny_cnn, tiny_mlp


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (tiny_cnn(classes=3), 30 + 84),
        (tiny_cnn(classes=4), 30 + 112),  # 27 weights and a bias more, not 10
        (tiny_cnn(filters=8), 80 + 219),
        (tiny_cnn(kernel_size=5), 3 * 26 + 3 * 4 * 3 + 3),
        (tiny_mlp(classes=3), 64 * 18 + 18 + 18 * 3 + 3),
        (tiny_mlp(classes=4), 1227 + 19),
        (tiny_mlp(hidden=4), 64 * 4 + 4 + 4 * 3 + 3),
        (digits_cnn(), 80 + 1168 + 650),
        (digits_cnn(image_shape=(3, 32, 32)), 8 * 28 + 1168 + 16 * 64 * 10 + 10),
        (small_cnn(), 288 + 64 + 9216 + 64 + 18432 + 128 + 2570),
        (small_cnn(classes=3, image_shape=(3, 12, 20)), 864 + 64 + 9216 + 64 + 18432 + 128 + 64 * 15 * 3 + 3),
    ],
)
def test_parameter_counts(network, parameters):
    assert network.parameter_count == parameters


def test_input_shape_is_remembered():
    assert tiny_cnn(size=12).input_shape == (1, 12, 12)
    assert tiny_mlp(size=6).input_shape == (1, 6, 6)
    assert digits_cnn(image_shape=(3, 16, 20)).input_shape == (3, 16, 20)
    assert small_cnn(image_shape=(3, 16, 20)).input_shape == (3, 16, 20)


@pytest.mark.parametrize(
    ("network", "fan_ins"),
    [
        (digits_cnn(seed=42), {"conv1": 9, "conv2": 72, "dense": 64}),
        (small_cnn(seed=42), {"conv1": 9, "conv2": 288, "conv3": 288, "dense": 256}),
    ],
    ids=["digits_cnn", "small_cnn"],
)
def test_weights_come_from_one_generator(network, fan_ins):
    rng = np.random.default_rng(42)
    for name, fan_in in fan_ins.items():
        weight = network.params[f"{name}.weight"]
        expected = rng.standard_normal(weight.shape) * np.sqrt(2 / fan_in)
        np.testing.assert_array_equal(weight, expected.astype(np.float32))


@pytest.mark.parametrize("make", [tiny_cnn, tiny_mlp, digits_cnn, small_cnn])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": "1"}, TypeError, "seed must be an integer"),
        ({"classes": 0}, ValueError, "out_features must be at least 1"),
        ({"dtype": "int32"}, TypeError, "dtype must be a floating point type"),
    ],
)
def test_bad_arguments(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**arguments)


@pytest.mark.parametrize("make", [digits_cnn, small_cnn])
def test_images_too_small(make):
    with pytest.raises(ValueError, match="at least 4 x 4"):
        make(image_shape=(1, 3, 8))
    with pytest.raises(ValueError, match="image_shape must be"):
        make(image_shape=(8, 8))


@pytest.mark.parametrize("make", [digits_cnn, small_cnn])
@pytest.mark.parametrize("image_shape", [(1, 4, 4), (3, 9, 14)])
def test_images_of_any_size(make, image_shape):
    network = make(classes=3, image_shape=image_shape)
    assert network(np.zeros((2, *image_shape), np.float32)).shape == (2, 3)
