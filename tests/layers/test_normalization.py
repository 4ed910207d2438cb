import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neocog.interop.onnx import from_onnx, to_onnx
from neocog.layers import (
    BatchNorm1D,
    BatchNorm2D,
    Conv2D,
    Dense,
    Flatten,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Normalize,
    Sequential,
    Transpose,
)
from neocog.layers.base import WHOLE_IMAGE, Field
from neocog.layers.normalization import normalize_for


def by_hand(norm):
    norm.params["weight"][...] = 2
    norm.params["bias"][...] = 1
    return norm


def test_training_by_hand():
    # x = 1, 3: m = 2, v = 1, 1 / sqrt(v + 3) = 1/2, x_hat = -1/2, 1/2, y = 2 x_hat + 1
    norm = by_hand(BatchNorm1D(1, eps=3.0, momentum=0.5, dtype="float64"))
    y, cache = norm.forward(np.array([[1.0], [3.0]]), training=True)
    assert y.tolist() == [[0.0], [2.0]]
    # running mean (0 + 2) / 2; running variance (1 + 2) / 2, as the unbiased variance of 1, 3 is 2
    assert norm.buffers["running_mean"].tolist() == [1.0]
    assert norm.buffers["running_var"].tolist() == [1.5]
    # dy = 1, 3: dw = -1/2 + 3/2, db = 4, dx = 2/2 (dy - 2 - x_hat 1/2) = -3/4, 3/4
    dx, grads = norm.backward(np.array([[1.0], [3.0]]), cache)
    assert grads["weight"].tolist() == [1.0]
    assert grads["bias"].tolist() == [4.0]
    assert dx.tolist() == [[-0.75], [0.75]]


def test_images_by_hand():
    # Channel 0 as above; channel 1 is 5 everywhere: v = 0, x_hat = 0, y = 1
    norm = by_hand(BatchNorm2D(2, eps=3.0, momentum=0.5, dtype="float64"))
    y, cache = norm.forward(np.array([[[[1.0, 3.0]], [[5.0, 5.0]]]]), training=True)
    assert y.tolist() == [[[[0.0, 2.0]], [[1.0, 1.0]]]]
    assert norm.buffers["running_mean"].tolist() == [1.0, 2.5]
    assert norm.buffers["running_var"].tolist() == [1.5, 0.5]
    # dy = 1, 1 in channel 1: dx = 2 / sqrt(3) (dy - 1) = 0
    dx, grads = norm.backward(np.array([[[[1.0, 3.0]], [[1.0, 1.0]]]]), cache)
    assert grads["weight"].tolist() == [1.0, 0.0]
    assert grads["bias"].tolist() == [4.0, 2.0]
    assert dx.tolist() == [[[[-0.75, 0.75]], [[0.0, 0.0]]]]


def test_inference_by_hand():
    # running m = 1, v = 1: x_hat = (x - 1) / 2 = 0, 1, y = 1, 3
    norm = by_hand(BatchNorm1D(1, eps=3.0, dtype="float64"))
    norm.buffers["running_mean"][...] = 1
    y, cache = norm.forward(np.array([[1.0], [3.0]]))
    assert y.tolist() == [[1.0], [3.0]]
    dx, grads = norm.backward(np.array([[1.0], [3.0]]), cache)
    assert (grads["weight"].tolist(), grads["bias"].tolist()) == ([3.0], [4.0])
    assert dx.tolist() == [[1.0], [3.0]]
    assert norm.buffers["running_mean"].tolist() == [1.0]


def test_each_channel_on_its_own():
    # channel 0 is the example above, channel 1 is constant: x_hat = 0
    norm = by_hand(BatchNorm2D(2, eps=3.0, momentum=0.5, dtype="float64"))
    y, cache = norm.forward(np.array([[[[1.0, 3.0]], [[5.0, 5.0]]]]), training=True)
    assert y.tolist() == [[[[0.0, 2.0]], [[1.0, 1.0]]]]
    assert norm.buffers["running_mean"].tolist() == [1.0, 2.5]
    assert norm.buffers["running_var"].tolist() == [1.5, 0.5]
    dx, grads = norm.backward(np.array([[[[1.0, 3.0]], [[7.0, 7.0]]]]), cache)
    assert dx[0, 0].tolist() == [[-0.75, 0.75]]
    assert np.abs(dx[0, 1]).max() < 1e-15
    assert grads["bias"].tolist() == [4.0, 14.0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("make", "shape"),
    [(BatchNorm1D, (5, 3)), (BatchNorm2D, (3, 3, 4, 2)), (BatchNorm2D, (2, 3, 1, 1))],
)
def test_same_as_pytorch(make, shape, training, same_as_torch, normal):
    norm = make(3, eps=1e-3, momentum=0.3, dtype="float64")
    norm.params["weight"][...] = normal(3)
    norm.params["bias"][...] = normal(3)
    norm.buffers["running_mean"][...] = normal(3)
    norm.buffers["running_var"][...] = normal(3) ** 2 + 0.5
    running = [torch.tensor(norm.buffers[name]) for name in ("running_mean", "running_var")]
    same_as_torch(
        norm,
        lambda p, x: F.batch_norm(x, *running, p["weight"], p["bias"], training, momentum=0.3, eps=1e-3),
        normal(*shape),
        training=training,
    )
    for name, expected in zip(("running_mean", "running_var"), running, strict=True):
        np.testing.assert_allclose(norm.buffers[name], expected, rtol=1e-12)


def test_many_steps_learn_the_statistics_of_the_data():
    rng = np.random.default_rng(0)
    norm = BatchNorm1D(2, dtype="float64")
    for _ in range(200):
        norm.forward(rng.normal([3.0, -1.0], [2.0, 0.5], (100, 2)), training=True)
    np.testing.assert_allclose(norm.buffers["running_mean"], [3.0, -1.0], atol=0.2)
    np.testing.assert_allclose(norm.buffers["running_var"], [4.0, 0.25], rtol=0.1)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (BatchNorm1D, (1, 3), r"BatchNorm1D in training needs more than one value .* \(1, 3\)"),
        (BatchNorm2D, (1, 3, 1, 1), r"BatchNorm2D in training needs more than one value .* \(1, 3, 1, 1\)"),
    ],
)
def test_one_value_per_channel(make, shape, message):
    norm = make(3)
    with pytest.raises(ValueError, match=message):
        norm.forward(np.ones(shape), training=True)
    assert norm.buffers["running_mean"].tolist() == [0.0] * 3
    assert norm(np.ones(shape)).shape == shape


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_features": 0}, ValueError, "num_features must be at least 1"),
        ({"num_features": 2.0}, TypeError, "num_features must be an integer"),
        ({"eps": 0}, ValueError, r"eps must be in \(0, inf\], got 0"),
        ({"eps": "small"}, TypeError, "eps must be a number, got 'small'"),
        ({"momentum": 1.5}, ValueError, r"momentum must be in \[0, 1\], got 1.5"),
        ({"momentum": None}, TypeError, "momentum must be a number, got None"),
        ({"dtype": int}, TypeError, "dtype must be a floating point type, got int64"),
    ],
)
@pytest.mark.parametrize("make", [BatchNorm1D, BatchNorm2D])
def test_bad_arguments(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**{"num_features": 3} | arguments)


@pytest.mark.parametrize(
    ("norm", "x", "error", "message"),
    [
        (BatchNorm1D(3), np.zeros((2, 3, 4, 4)), ValueError, r"BatchNorm1D needs inputs of shape \(N, C\)"),
        (BatchNorm1D(3), np.zeros((2, 4)), ValueError, r"with C = 3, got shape \(2, 4\)"),
        (BatchNorm2D(3), np.zeros((2, 3)), ValueError, r"BatchNorm2D needs inputs of shape \(N, C, H, W\)"),
        (BatchNorm2D(3), np.zeros((2, 1, 4, 4)), ValueError, "with C = 3"),
        (BatchNorm2D(1), np.zeros((2, 1, 4, 4), np.uint8), TypeError, "floating point array, got uint8"),
    ],
)
def test_bad_inputs(norm, x, error, message):
    with pytest.raises(error, match=message):
        norm.forward(x, training=True)


def test_sizes_and_repr():
    assert BatchNorm2D(4).parameter_count == 8
    assert BatchNorm2D(4).output_shape((2, 4, 3, 3)) == (2, 4, 3, 3)
    assert BatchNorm2D(4).flops((2, 4, 3, 3)) == 3 * 72
    assert repr(BatchNorm2D(4)) == "BatchNorm2D(4)"
    assert repr(BatchNorm1D(4, eps=0.1, momentum=0)) == "BatchNorm1D(4, eps=0.1, momentum=0.0)"


def test_groups_by_hand():
    # Group 0 is 1, 3: m = 2, v = 1, 1 / sqrt(v + 3) = 1/2, x_hat = -1/2, 1/2; group 1 is 5, 5: x_hat = 0
    norm = GroupNorm(2, 4, eps=3.0, dtype="float64")
    norm.params["weight"][...] = [2, 4, 2, 2]
    norm.params["bias"][...] = [1, 0, 1, 1]
    y, cache = norm.forward(np.array([[1.0, 3.0, 5.0, 5.0]]))
    assert y.tolist() == [[0.0, 2.0, 1.0, 1.0]]
    # dy = 1, 1: g = 2, 4 with mean 3, g x_hat = -1, 2 with mean 1/2:
    # dx = (2 - 3 + 1/4) / 2, (4 - 3 - 1/4) / 2
    dx, grads = norm.backward(np.array([[1.0, 1.0, 0.0, 0.0]]), cache)
    assert dx.tolist() == [[-0.375, 0.375, 0.0, 0.0]]
    assert grads["weight"].tolist() == [-0.5, 0.5, 0.0, 0.0]
    assert grads["bias"].tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(4, 6), (3, 6, 5), (2, 6, 4, 3)])
def test_group_norm_is_that_of_pytorch(groups, shape, same_as_torch, normal):
    if groups == 6 and len(shape) == 2:
        shape = (4, 6, 1, 2)  # PyTorch refuses groups of one number
    norm = GroupNorm(groups, 6, eps=1e-3, dtype="float64")
    for array in norm.params.values():
        array[...] = normal(6)
    same_as_torch(norm, lambda p, x: F.group_norm(x, groups, p["weight"], p["bias"], 1e-3), normal(*shape))


def test_group_norm_arguments_and_inputs():
    assert repr(GroupNorm(2, 4)) == "GroupNorm(2, 4)"
    assert GroupNorm(2, 4).parameter_count == 8
    assert GroupNorm(2, 4).flops((2, 4, 3, 3)) == 7 * 72
    with pytest.raises(ValueError, match="num_channels must be a multiple of num_groups 3, got 4"):
        GroupNorm(3, 4)
    with pytest.raises(ValueError, match=r"eps must be in \(0, inf\], got 0"):
        GroupNorm(2, 4, 0)
    for shape in ((4,), (2, 3), (2, 3, 4, 4)):
        with pytest.raises(ValueError, match=r"GroupNorm needs inputs of shape \(N, C, ...\) with C = 4"):
            GroupNorm(2, 4)(np.zeros(shape))
    with pytest.raises(TypeError, match="floating point array, got uint8"):
        GroupNorm(1, 2)(np.zeros((2, 2), np.uint8))


def test_groups_without_weights(same_as_torch, normal):
    norm = GroupNorm(2, 4, eps=3.0, affine=False)
    assert norm(np.array([[1.0, 3.0, 5.0, 5.0]])).tolist() == [[-0.5, 0.5, 0.0, 0.0]]
    assert (norm.params, norm.parameter_count) == ({}, 0)
    assert repr(norm) == "GroupNorm(2, 4, eps=3.0, affine=False)"
    same_as_torch(norm, lambda _, x: F.group_norm(x, 2, eps=3.0), normal(3, 4, 2, 2))


def test_instances_by_hand():
    # The numbers of the groups above, as two maps of two pixels
    norm = InstanceNorm(2, eps=3.0, affine=True, dtype="float64")
    norm.params["weight"][...] = [2, 4]
    norm.params["bias"][...] = [1, 0]
    y, cache = norm.forward(np.array([[[[1.0, 3.0]], [[5.0, 5.0]]]]))
    assert y.tolist() == [[[[0.0, 2.0]], [[0.0, 0.0]]]]
    # g = 2, 4 with mean 3, g x_hat = -1, 2 with mean 1/2; of the second map g = 4, 4 and x_hat = 0
    dx, grads = norm.backward(np.array([[[[1.0, 2.0]], [[1.0, 1.0]]]]), cache)
    assert dx.tolist() == [[[[-0.375, 0.375]], [[0.0, 0.0]]]]
    assert grads["weight"].tolist() == [0.5, 0.0]
    assert grads["bias"].tolist() == [3.0, 2.0]


@pytest.mark.parametrize("affine", [False, True])
def test_instance_norm_is_that_of_pytorch(affine, same_as_torch, normal):
    norm = InstanceNorm(3, 1e-3, affine, dtype="float64")
    for array in norm.params.values():
        array[...] = normal(3)

    def instance_norm(p, x):
        return F.instance_norm(x, weight=p.get("weight"), bias=p.get("bias"), eps=1e-3)

    same_as_torch(norm, instance_norm, normal(2, 3, 4, 5), training=True)


def test_instance_norm_arguments_and_inputs():
    assert repr(InstanceNorm(4)) == "InstanceNorm(4)"
    assert InstanceNorm(4).parameter_count == 0
    assert InstanceNorm(4, affine=True).parameter_count == 8
    with pytest.raises(ValueError, match="num_features must be at least 1, got 0"):
        InstanceNorm(0)
    with pytest.raises(ValueError, match="InstanceNorm needs 4 input channels, got 3"):
        InstanceNorm(4)(np.zeros((2, 3, 5, 5)))
    with pytest.raises(ValueError, match=r"InstanceNorm needs images of shape \(N, C, H, W\), got shape"):
        InstanceNorm(4)(np.zeros((2, 4)))


def test_layer_norm_by_hand():
    # The numbers of group 0 above, with another row 5, 5 of the same weights
    norm = LayerNorm(2, eps=3.0, dtype="float64")
    norm.params["weight"][...] = [2, 4]
    norm.params["bias"][...] = [1, 0]
    y, cache = norm.forward(np.array([[1.0, 3.0], [5.0, 5.0]]))
    assert y.tolist() == [[0.0, 2.0], [1.0, 0.0]]
    dx, grads = norm.backward(np.array([[1.0, 1.0], [0.0, 3.0]]), cache)
    assert dx[0].tolist() == [-0.375, 0.375]
    np.testing.assert_allclose(dx[1], np.array([-6, 6]) / np.sqrt(3), rtol=1e-14)  # g = 0, 12 with mean 6
    assert grads["weight"].tolist() == [-0.5, 0.5]
    assert grads["bias"].tolist() == [1.0, 4.0]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("shape", [(4, 6), (3, 6, 5), (2, 6, 4, 3)])
def test_layer_norm_is_that_of_pytorch(axes, shape, same_as_torch, normal):
    if axes >= len(shape):
        return
    sizes = shape[-axes:]
    norm = LayerNorm(sizes, eps=1e-3, dtype="float64")
    for array in norm.params.values():
        array[...] = normal(*sizes)
    same_as_torch(norm, lambda p, x: F.layer_norm(x, sizes, p["weight"], p["bias"], 1e-3), normal(*shape))


def test_channels_of_each_pixel():
    """ConvNeXt's: two channels 1, 3 and 5, 5 at two pixels; the same between two transpositions."""
    x, expected = np.array([[[[1.0, 5.0]], [[3.0, 5.0]]]]), [[[[-0.5, 0.0]], [[0.5, 0.0]]]]
    assert LayerNorm(2, eps=3.0, axis=1, dtype="float64")(x).tolist() == expected
    norm = LayerNorm(2, eps=3.0, dtype="float64")
    assert Sequential(Transpose((0, 2, 3, 1)), norm, Transpose((0, 3, 1, 2)))(x).tolist() == expected


@pytest.mark.parametrize(("sizes", "axis"), [((6,), 1), ((6, 4), 1), ((4,), 2), ((4, 3), 2), ((6, 4, 3), 1)])
def test_layer_norm_along_an_axis_is_that_of_pytorch(sizes, axis, same_as_torch, normal):
    norm = LayerNorm(sizes, 1e-3, axis, dtype="float64")
    for array in norm.params.values():
        array[...] = normal(*sizes)
    axes, last = tuple(range(axis, axis + len(sizes))), tuple(range(-len(sizes), 0))

    def layer_norm(p, x):
        moved = F.layer_norm(x.movedim(axes, last), sizes, p["weight"], p["bias"], 1e-3)
        return moved.movedim(last, axes)

    same_as_torch(norm, layer_norm, normal(2, 6, 4, 3))


def test_the_field_of_a_norm_of_channels_is_the_pixel():
    assert LayerNorm(4, axis=1).receptive_field(Field()) == Field()
    assert LayerNorm((4, 5), axis=1).receptive_field(Field()) == WHOLE_IMAGE
    assert LayerNorm(4).receptive_field(Field()) == InstanceNorm(4).receptive_field(Field()) == WHOLE_IMAGE


def test_layer_norm_arguments_and_inputs():
    assert repr(LayerNorm(4)) == "LayerNorm((4,))"
    assert LayerNorm([3, 4]).normalized_shape == (3, 4)
    assert LayerNorm((3, 4)).parameter_count == 24
    assert LayerNorm(3).flops((2, 4, 3, 3)) == 7 * 72
    for bad, message in ((0, "must be at least 1"), ((), "must have one size at least")):
        with pytest.raises(ValueError, match=f"normalized_shape {message}"):
            LayerNorm(bad)
    for shape in ((3, 4), (2, 4, 3), (2, 4)):
        with pytest.raises(ValueError, match=r"LayerNorm needs inputs of shape \(N, ..., 3, 4\)"):
            LayerNorm((3, 4))(np.zeros(shape))
    assert repr(LayerNorm(4, axis=1)) == "LayerNorm((4,), axis=1)"
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"axis must be at least 1, got {bad}"):
            LayerNorm(4, axis=bad)
    for layer, wanted in ((LayerNorm(3, axis=1), "N, 3, ..."), (LayerNorm(3, axis=2), "N, ., 3, ...")):
        with pytest.raises(ValueError, match=rf"needs inputs of shape \({wanted}\), got shape \(2, 4, 4\)"):
            layer(np.zeros((2, 4, 4)))


def test_local_response_by_hand():
    # alpha / size = 1, s = 11 + 9 + 16 = 36 for both, y = x / 6
    norm = LocalResponseNorm(3, alpha=3.0, beta=0.5, k=11.0)
    y, cache = norm.forward(np.array([3.0, 4.0]).reshape(1, 2, 1, 1))
    np.testing.assert_allclose(y.ravel(), [3 / 6, 4 / 6], rtol=1e-15)
    # dy = 0, 54: dy x / s^(3/2) = 0, 216 / 216, so dx = 0 - 3, 54/6 - 4
    dx, grads = norm.backward(np.array([0.0, 54.0]).reshape(1, 2, 1, 1), cache)
    np.testing.assert_allclose(dx.ravel(), [-3.0, 5.0], rtol=1e-14)
    assert grads == {}


def test_an_even_window_looks_back():
    # s = 1 + 1 | 1 + 1 + 4 | 1 + 4 + 4
    norm = LocalResponseNorm(2, alpha=2.0, beta=1.0, k=1.0)
    y = norm(np.array([1.0, 2.0, 2.0]).reshape(1, 3, 1, 1))
    np.testing.assert_allclose(y.ravel(), [1 / 2, 2 / 6, 2 / 9], rtol=1e-15)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("options", [{}, {"alpha": 0.5, "beta": 1.5, "k": 2.0}, {"alpha": 5, "k": 0.1}])
def test_local_response_is_that_of_pytorch(size, options, same_as_torch, normal):
    norm = LocalResponseNorm(size, **options)
    same_as_torch(norm, lambda _, x: F.local_response_norm(x, size, **options), normal(2, 6, 3, 4))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"size": 1.0}, TypeError, "size must be an integer"),
        ({"alpha": -1}, ValueError, r"alpha must be in \[0, inf\], got -1"),
        ({"beta": "much"}, TypeError, "beta must be a number, got 'much'"),
        ({"k": 0}, ValueError, r"k must be in \(0, inf\], got 0"),
    ],
)
def test_local_response_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        LocalResponseNorm(**{"size": 5} | arguments)


def test_local_response_bad_inputs_and_sizes():
    norm = LocalResponseNorm(5)
    with pytest.raises(ValueError, match=r"LocalResponseNorm needs images of shape \(N, C, H, W\)"):
        norm.forward(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="needs floating point images, got uint8"):
        norm.forward(np.zeros((1, 1, 2, 2), np.uint8))
    assert norm.flops((2, 4, 3, 3)) == 9 * 72
    assert repr(LocalResponseNorm(5, 5e-4, k=2)) == "LocalResponseNorm(5, alpha=0.0005, k=2.0)"


def test_normalize_by_hand():
    layer = Normalize((1, 2), (2, 4), dtype="float64")
    x = np.array([[[[3.0]], [[0.0]]]])
    y, cache = layer.forward(x, training=True)
    assert y.ravel().tolist() == [1.0, -0.5]
    dx, grads = layer.backward(np.array([[[[1.0]], [[1.0]]]]), cache)
    assert dx.ravel().tolist() == [0.5, 0.25]
    assert grads == {}


def test_normalize_for_gives_mean_0_and_variance_1(normal):
    x = 5 + 3 * normal(300, 2, 4, 3)  # more images than one part
    x[:, 1] = 0.1  # equal numbers keep their scale
    layer = normalize_for(x)
    y = layer(x)
    np.testing.assert_allclose(y.mean((0, 2, 3)), [0, 0], atol=1e-12)
    np.testing.assert_allclose(y.std((0, 2, 3)), [1, 0], atol=1e-12)
    assert layer.buffers["std"][1] == 1
    assert normalize_for(np.full((2, 1, 3, 3), 0.1, np.float32)).std == (1.0,)


def test_normalize_keeps_its_numbers_in_onnx_and_learns_none():
    network = Sequential(normalize=Normalize((0.1, 0.2), (0.3, 0.4)), conv=Conv2D(2, 1, 3, padding=1, rng=0))
    again = from_onnx(to_onnx(network, input_shape=(2, 5, 5)))
    assert repr(again) == repr(network)
    for name, array in network.buffers.items():
        np.testing.assert_array_equal(again.buffers[name], array)


def test_a_leading_normalize_needs_no_gradient(normal):
    """Else the first convolution would compute a gradient that nobody reads."""
    network = Sequential(Normalize(0.5, 2), Conv2D(1, 1, 3, rng=0), Flatten(), Dense(1, 2, rng=0))
    x = normal(2, 1, 3, 3).astype("float32")
    z, cache = network.forward(x, training=True)
    network.children["0"].backward = None
    dx, grads = network.backward(np.ones_like(z), cache, input_grad=False)
    assert dx is None
    assert set(grads) == set(network.params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 1), 1), "mean and std must hold one number a channel, got mean=.0, 1., std=1"),
        (((), ()), "one number a channel"),
        ((0, 0), "std"),
        ((0, -1), "std"),
        ((np.nan, 1), "mean"),
        ((0, np.inf), "std"),
        ((0, 1e-50), "std must be more than 0 in float32"),
    ],
)
def test_normalize_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Normalize(*arguments)


def test_normalize_refuses_other_channels_and_bytes():
    with pytest.raises(ValueError, match=r"\(N, C, ...\) with C = 1, got shape \(1, 3, 2, 2\)"):
        Normalize(0, 1)(np.zeros((1, 3, 2, 2), np.float32))
    with pytest.raises(TypeError, match="pass x / 255"):
        Normalize(0, 1)(np.zeros((1, 1, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="x must be images of shape"):
        normalize_for(np.zeros((0, 3, 2, 2), np.float32))
    with pytest.raises(ValueError, match="mean"):
        normalize_for(np.full((1, 1, 2, 2), np.nan, np.float32))
