import numpy as np
import pytest

from neocog.inspection.activation_maximization import maximize_activation, most_exciting
from neocog.layers import Conv2D, Dense, Flatten, Graph, ReLU, Residual, Sequential
from neocog.models import digits_cnn, tiny_cnn


@pytest.fixture
def linear():
    network = Sequential(Flatten(), Dense(6, 2, rng=0, dtype="float64"))
    network.params["1.bias"][...] = [1.0, 2.0]
    network.input_shape = (1, 2, 3)
    return network


def test_of_a_linear_network_the_summit_is_known(linear):
    w = linear.params["1.weight"][:, 1]
    best = maximize_activation(linear, 1, steps=60, lr=0.5, l2=0.25)
    # x <- x + 0.5 (w - 0.5 x): the distance to 2 w falls to 3/4 at each step
    np.testing.assert_allclose(best.image.ravel(), 2 * w, rtol=1e-6, atol=1e-6)
    assert best.activations.shape == (61,)
    assert best.activations[-1] == pytest.approx(2 * w @ w + 2)


def test_steps_by_hand(linear):
    w = linear.params["1.weight"][:, 0].reshape(1, 2, 3)
    best = maximize_activation(linear, 0, steps=2, lr=0.1, l2=0, start=np.zeros((1, 2, 3)))
    np.testing.assert_allclose(best.image, 0.2 * w, rtol=1e-14)
    np.testing.assert_allclose(best.activations, 1 + np.array([0, 0.1, 0.2]) * (w * w).sum(), rtol=1e-14)


def test_within_a_range_a_linear_unit_wants_white_or_black(linear):
    w = linear.params["1.weight"][:, 1].reshape(1, 2, 3)
    best = maximize_activation(linear, 1, lr=10, l2=0, clip=(0, 1))
    np.testing.assert_array_equal(best.image, w > 0)
    assert maximize_activation(digits_cnn(), 1, clip=(0, 1)).image.dtype == np.float32


def test_the_best_image_of_a_filter_is_the_filter():
    network = tiny_cnn()
    kernel = network.params["conv1.weight"][1, 0]
    zeros = np.zeros((1, 8, 8))
    unit = maximize_activation(network, (1, 2, 3), "conv1", steps=1, lr=1, l2=0, start=zeros)
    expected = zeros.copy()
    expected[0, 2:5, 3:6] = kernel
    np.testing.assert_array_equal(unit.image, expected)
    # Of the whole map: each of 36 places adds the kernel, divided by 36.
    channel = maximize_activation(network, 1, "conv1", steps=1, lr=1, l2=0, start=zeros).image
    total = sum(np.pad(kernel, ((i, 5 - i), (j, 5 - j))) for i in range(6) for j in range(6))
    np.testing.assert_allclose(channel[0], total / 36, atol=1e-15)


def test_a_layer_inside_a_graph_that_the_output_reaches_by_two_ways():
    shared = Conv2D(1, 1, 1, dtype="float64")
    shared.params["weight"][...] = 3
    network = Sequential(Residual(Sequential(shared, ReLU())), shared)
    start = np.ones((1, 1, 1))
    best = maximize_activation(
        network, 0, "0.body.0", steps=1, lr=1, l2=0, start=start, input_shape=(1, 1, 1)
    )
    assert best.image.item() == 1 + 3  # the first use of the layer only
    best = maximize_activation(network, 0, "0.add", steps=1, lr=1, l2=0, start=start, input_shape=(1, 1, 1))
    assert best.image.item() == 1 + 3 + 1
    best = maximize_activation(network, 0, "1", steps=1, lr=1, l2=0, start=start, input_shape=(1, 1, 1))
    assert best.image.item() == 1 + 3 * 4
    graph = Graph({"a": (shared, "input"), "b": (shared, "a")})
    best = maximize_activation(graph, 0, "b", steps=1, lr=1, l2=0, start=start, input_shape=(1, 1, 1))
    assert best.image.item() == 1 + 9


def test_it_climbs():
    best = maximize_activation(digits_cnn(), 3, steps=30, lr=0.1, l2=0.01)
    assert best.activations[-1] > best.activations[0] + 0.5
    again = maximize_activation(digits_cnn(), 3, steps=30, lr=0.1, l2=0.01)
    np.testing.assert_array_equal(best.image, again.image)
    other = maximize_activation(digits_cnn(), 3, steps=30, lr=0.1, l2=0.01, rng=1)
    assert not np.array_equal(best.image, other.image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": 3}, r"unit must lie in the outputs, whose shape is \(3,\), got 3"),
        ({"unit": -1}, "unit must be at least 0"),
        ({"unit": (0, 0)}, r"unit must be an index or 1 indices"),
        ({"unit": (0, 6, 0), "layer": "conv1"}, r"whose shape is \(3, 6, 6\), got \(0, 6, 0\)"),
        ({"unit": 0, "start": np.zeros((1, 7, 8))}, r"start must have shape \(1, 8, 8\), got \(1, 7, 8\)"),
        ({"unit": 0, "start": np.full((1, 8, 8), np.nan)}, "start must be finite"),
        ({"unit": 0, "lr": 0}, "lr must be in"),
        ({"unit": 0, "l2": -1}, "l2 must be in"),
        ({"unit": 0, "clip": 1}, r"clip must be \(low, high\), got 1"),
        ({"unit": 0, "clip": (1, 0)}, r"clip must be in \[1, inf\], got 0"),
        ({"unit": 0, "steps": 0}, "steps must be at least 1"),
        ({"unit": 0, "input_shape": (1, 10, 10)}, "layer 'dense': Dense needs inputs"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        maximize_activation(tiny_cnn(), **arguments)


def test_a_diverging_climb_says_so():
    with pytest.raises(ValueError, match="a smaller lr"):
        maximize_activation(tiny_cnn(), 0, lr=1e10, l2=1e10, steps=100)


def test_most_exciting_by_hand():
    conv = Conv2D(1, 2, 2, padding=1, dtype="float64")
    conv.params["weight"][...] = 0
    conv.params["weight"][1, 0] = [[0.0, 0.0], [0.0, 1.0]]  # the pixel at the window's lower right
    network = Sequential(conv=conv, relu=ReLU())
    x = np.zeros((4, 1, 3, 3))
    x[0, 0, 1, 2], x[1, 0, 0, 0], x[2, 0, 2, 2] = 5, 7, 6
    for batch_size in (1, 256):
        best = most_exciting(network, x, "relu", 1, count=3, batch_size=batch_size)
        assert best.index.tolist() == [1, 2, 0]
        assert best.value.tolist() == [7.0, 6.0, 5.0]
        assert best.position.tolist() == [[0, 0], [2, 2], [1, 2]]
        # The window at (0, 0) begins outside the image.
        assert best.patches.tolist() == [[[[0, 0], [0, 7]]], [[[0, 0], [0, 6]]], [[[0, 0], [0, 5]]]]
        assert best.fields[0].rows == slice(0, 1)
        assert best.fields[1].rows == slice(1, 3)
    assert len(most_exciting(network, x, "conv", 0)) == 4


def test_the_patch_alone_explains_the_value():
    x = np.random.default_rng(0).normal(size=(20, 1, 8, 8)).astype(np.float32)
    network = digits_cnn()
    best = most_exciting(network, x, "conv1", 5, count=4)
    w, b = network.params["conv1.weight"][5], network.params["conv1.bias"][5]
    np.testing.assert_allclose((best.patches * w).sum(axis=(1, 2, 3)) + b, best.value, rtol=1e-5)


def test_patches_of_a_kernel_that_is_not_square():
    conv = Conv2D(1, 1, (1, 2), padding=(0, 1), dtype="float64")
    conv.params["weight"][...] = [[[[2.0, 1.0]]]]
    x = np.array([[[[0.0, 3.0], [0.0, 0.0]]], [[[4.0, 0.0], [5.0, 0.0]]]])
    best = most_exciting(Sequential(conv), x, "0", 0)
    # 2 * 5 + 0 at row 1; 2 * 3 + padding at the right end of row 0
    assert best.value.tolist() == [10.0, 6.0]
    assert best.position.tolist() == [[1, 1], [0, 2]]
    assert best.patches.tolist() == [[[[5.0, 0.0]]], [[[3.0, 0.0]]]]


def test_bad_channel():
    with pytest.raises(ValueError, match=r"channel must be in 0\.\.2 in 'conv1', got 3"):
        most_exciting(tiny_cnn(), np.zeros((1, 1, 8, 8)), "conv1", 3)
    with pytest.raises(ValueError, match="count must be at least 1"):
        most_exciting(tiny_cnn(), np.zeros((1, 1, 8, 8)), "conv1", 0, 0)
