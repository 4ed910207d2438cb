import numpy as np
import pytest
import torch

from neocog.inspection import trace
from neocog.inspection.attribution import (
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    occlusion,
    resize_bilinear,
    saliency,
    smooth_grad,
)
from neocog.layers import (
    Conv2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    MaxPool2D,
    ReLU,
    Sequential,
    Tanh,
)
from neocog.models import tiny_cnn


@pytest.fixture
def linear():
    """z = w x + b on 1 x 4 x 5 images; w[:, t] is the gradient of logit t."""
    network = Sequential(Flatten(), Dense(20, 3, rng=0, dtype="float64"))
    network.params["1.bias"][...] = [0.5, -1.0, 2.0]
    return network


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(size=(4, 1, 4, 5))


def weights(network, target):
    return network.params["1.weight"].T.reshape(3, 1, 4, 5)[target]


def test_of_a_linear_network_every_gradient_is_its_weights(linear, x):
    target = np.array([2, 0, 1, 1])
    w = weights(linear, target)
    np.testing.assert_array_equal(saliency(linear, x, target), w)
    np.testing.assert_array_equal(gradient_times_input(linear, x, target), w * x)
    np.testing.assert_allclose(smooth_grad(linear, x, target), w, rtol=1e-13)
    np.testing.assert_allclose(integrated_gradients(linear, x, target, steps=1), w * x, rtol=1e-13)


def test_saliency_is_pytorchs():
    network = tiny_cnn(1)
    x = np.random.default_rng(0).normal(size=(3, 1, 8, 8))
    p = {name: torch.tensor(array) for name, array in network.params.items()}
    tx = torch.tensor(x, requires_grad=True)
    h = torch.nn.functional.conv2d(tx, p["conv1.weight"], p["conv1.bias"]).relu()
    h = torch.nn.functional.max_pool2d(h, 2).flatten(1)
    z = h @ p["dense.weight"] + p["dense.bias"]
    z[torch.arange(3), torch.tensor([0, 2, 1])].sum().backward()
    np.testing.assert_allclose(saliency(network, x, [0, 2, 1]), tx.grad, atol=1e-14)


def test_smooth_grad_averages_over_a_kink():
    # z = relu(x): the gradient at 1 + e is 1 where e > -1; the noise has sigma = 0.5 * (3 - 1) = 1.
    network = Sequential(Flatten(), ReLU(), Dense(2, 1, dtype="float64"))
    network.params["2.weight"][...] = [[1.0], [1.0]]
    x = np.array([[[[1.0, 3.0]]]])
    smooth = smooth_grad(network, x, 0, samples=4000, noise=0.5, rng=1)
    np.testing.assert_allclose(smooth.ravel(), [0.8413, 0.9987], atol=0.02)  # Phi(1), Phi(3)
    np.testing.assert_array_equal(smooth_grad(network, x, 0, noise=0), [[[[1.0, 1.0]]]])
    other = smooth_grad(network, x, 0, samples=10, noise=0.5, rng=2)
    assert not np.array_equal(other, smooth_grad(network, x, 0, samples=10, noise=0.5, rng=3))


def logit(network, x, target):
    return network(x)[np.arange(len(x)), target]


def test_integrated_gradients_are_complete():
    rng = np.random.default_rng(0)
    x, x0, target = rng.normal(size=(3, 1, 6, 6)), rng.normal(size=(1, 6, 6)), np.array([0, 1, 1])

    def gap(network, steps):
        total = integrated_gradients(network, x, target, baseline=x0, steps=steps).sum(axis=(1, 2, 3))
        baseline = np.broadcast_to(x0, x.shape)
        return np.abs(total - logit(network, x, target) + logit(network, baseline, target)).max()

    def network(activation):
        conv, dense = Conv2D(1, 3, 3, rng=1, dtype="float64"), Dense(12, 2, rng=2, dtype="float64")
        return Sequential(conv, activation, MaxPool2D(2), Flatten(), dense)

    smooth = Sequential(*[layer for layer in network(Tanh()) if not isinstance(layer, MaxPool2D)][:-1])
    smooth = Sequential(*smooth, Dense(48, 2, rng=2, dtype="float64"))
    assert gap(smooth, 40) < 1e-10  # the quadrature is exact for polynomials up to degree 79
    kinked = network(ReLU())
    assert gap(kinked, 400) < 0.02  # at each kink the quadrature is wrong by about 1 / steps


def test_a_baseline_equal_to_the_image_gives_zero(x):
    network = Sequential(Flatten(), Dense(20, 3, rng=0, dtype="float64"), Tanh())
    assert not integrated_gradients(network, x, 1, baseline=x, steps=3).any()


def cam_network():
    """Two 1x1 filters, x and -2 x, then their means: z = (3 A0 - A1, A1) averaged."""
    network = Sequential(
        conv=Conv2D(1, 2, 1, dtype="float64"), pool=GlobalAvgPool2D(), dense=Dense(2, 2, dtype="float64")
    )
    network.params["conv.weight"][...] = np.array([1.0, -2.0]).reshape(2, 1, 1, 1)
    network.params["dense.weight"][...] = [[3.0, 0.0], [-1.0, 1.0]]
    return network


def test_grad_cam_by_hand():
    x = np.array([[[[1.0, -1.0], [0.0, 4.0]]]])
    # dz0/dA0 = 3/4, dz0/dA1 = -1/4 at each of the 4 places: L = max(0, 3/4 x + 1/4 2 x) = max(0, 5/4 x)
    np.testing.assert_array_equal(grad_cam(cam_network(), x, 0), [[[1.25, 0.0], [0.0, 5.0]]])
    # dz1/dA1 = 1/4: L = max(0, -x / 2)
    np.testing.assert_array_equal(grad_cam(cam_network(), x, 1, "conv"), [[[0.0, 0.5], [0.0, 0.0]]])


def test_grad_cam_averages_the_gradient_over_the_map():
    # z = sum_ij v_ij x_ij through a conv that is the identity: alpha = mean v = 1, so L = max(0, x).
    network = Sequential(Conv2D(1, 1, 1, dtype="float64"), Flatten(), Dense(4, 1, dtype="float64"))
    network.params["0.weight"][...] = 1
    network.params["2.weight"][:, 0] = [4, -2, 1, 1]
    x = np.array([[[[-3.0, 2.0], [5.0, 0.0]]]])
    np.testing.assert_array_equal(grad_cam(network, x, 0), [[[0.0, 2.0], [5.0, 0.0]]])


def test_grad_cam_takes_the_last_convolution_and_the_size_of_the_image():
    network = Sequential(
        a=Conv2D(1, 2, 3, stride=2, rng=0), b=Conv2D(2, 3, 2, rng=1), f=Flatten(), d=Dense(18, 2, rng=2)
    )
    x = np.random.default_rng(0).normal(size=(2, 1, 7, 9)).astype(np.float32)
    small = grad_cam(network, x, 1, resize=False)
    assert small.shape == (2, 2, 3)
    heat = grad_cam(network, x, 1)
    assert heat.shape == (2, 7, 9)
    np.testing.assert_array_equal(heat, grad_cam(network, x, 1, "b"))
    assert grad_cam(network, x, 1, "a", resize=False).shape == (2, 3, 4)
    assert heat.min() >= 0


@pytest.mark.parametrize("norm", [GroupNorm(2, 4), InstanceNorm(4), LayerNorm((4, 3, 3))])
def test_grad_cam_looks_behind_a_normalization_of_the_maps(norm):
    """Before it, the gradients of the maps that share a mean add up to 0: their means are no weights."""
    network = Sequential(
        conv=Conv2D(1, 4, 2, rng=0), norm=norm, relu=ReLU(), f=Flatten(), d=Dense(36, 2, rng=2)
    ).astype("float64")
    x = np.random.default_rng(0).normal(size=(3, 1, 4, 4))
    dy = trace(network, x, np.zeros(3, int))["conv"].dy
    np.testing.assert_allclose(dy.sum(axis=(1, 2, 3)), 0, atol=1e-15)
    heat = grad_cam(network, x, 0)
    np.testing.assert_array_equal(heat, grad_cam(network, x, 0, "norm"))
    assert (heat.max(axis=(1, 2)) > 0.01).all()
    graph = Graph(
        {"conv": (network["conv"], "input"), "norm": (norm, "conv"), "gap": (GlobalAvgPool2D(), "norm")},
    ).astype("float64")
    np.testing.assert_array_equal(grad_cam(graph, x, 0), grad_cam(graph, x, 0, "norm"))


@pytest.mark.parametrize(
    ("old", "new"), [((3, 4), (8, 9)), ((1, 1), (3, 2)), ((5, 5), (5, 5)), ((6, 4), (3, 3))]
)
def test_bilinear_is_pytorchs(old, new):
    maps = np.random.default_rng(0).normal(size=(2, *old))
    expected = torch.nn.functional.interpolate(torch.tensor(maps)[None], new, mode="bilinear")[0]
    np.testing.assert_allclose(resize_bilinear(maps, new), expected, atol=1e-14)


def test_occlusion_by_hand():
    # z = 1 a + 2 b + 3 c on one row; the patch of 2 covers (a, b), then (b, c).
    network = Sequential(Flatten(), Dense(3, 1, dtype="float64"))
    network.params["1.weight"][:, 0] = [1, 2, 3]
    x = np.array([[[[10.0, 1.0, -1.0]]]])
    drops = occlusion(network, x, 0, patch=(1, 2))  # 12, and -1
    np.testing.assert_array_equal(drops, [[[12.0, 5.5, -1.0]]])
    # filled with 1: 10 + 2 - (1 + 2) = 9, and 2 - 3 - (2 + 3) = -6
    np.testing.assert_array_equal(occlusion(network, x, 0, patch=(1, 2), value=1), [[[9.0, 1.5, -6.0]]])
    # stride 2: the second patch is moved back to end with the image
    np.testing.assert_array_equal(occlusion(network, x, 0, patch=(1, 2), stride=(1, 2)), drops)


def test_covering_what_is_zero_already_changes_nothing():
    x = np.zeros((2, 1, 8, 8))
    x[:, :, :3, :3] = 1
    heat = occlusion(tiny_cnn(), x, patch=2)
    assert heat[:, :3, :3].any()
    assert not heat[:, 4:].any()
    assert not heat[:, :, 4:].any()


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (occlusion, {"patch": 9}, r"patch must be at most the 8x8 image, got \(9, 9\)"),
        (occlusion, {"patch": 2, "stride": 3}, "stride must be at most the patch"),
        (occlusion, {"patch": 0}, "patch must be at least 1"),
        (smooth_grad, {"samples": 0}, "samples must be at least 1"),
        (smooth_grad, {"noise": -1}, "noise must be in"),
        (integrated_gradients, {"steps": 0}, "steps must be at least 1"),
        (integrated_gradients, {"baseline": np.zeros(3)}, r"baseline must broadcast to shape \(1, 1, 8, 8\)"),
    ],
)
def test_bad_arguments(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(tiny_cnn(), np.zeros((1, 1, 8, 8)), 0, **arguments)
