"""Compiled inference against the layers."""

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import neocog
from neocog.compilation import Inference, uncompiled
from neocog.errors import UnsupportedError
from neocog.inspection import confusion, trace
from neocog.layers import (
    Add,
    AvgPool2D,
    BatchNorm2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    Softmax,
)
from neocog.models import alexnet, mobilenet_v2, mobilenet_v3_small, resnet18, resnet_cifar, tiny_cnn


def lived_in(network, seed=0):
    """Give batch norms statistics as after training."""
    rng = np.random.default_rng(seed)
    for name, array in network.buffers.items():
        array[...] = (
            rng.uniform(0.5, 1.5, array.shape) if name.endswith("var") else rng.normal(0, 0.3, array.shape)
        )
    return network


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_the_answers_are_those_of_the_network(case, precision):
    make, x, _ = case
    network = lived_in(make().astype("float64"))
    expected = network.forward(x)[0]
    np.testing.assert_allclose(network.for_inference(precision)(x), expected, rtol=0, atol=1e-12)
    with neocog.use_kernels("fused", precision):
        np.testing.assert_allclose(network(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_image_that_is_not_finite_spoils_no_other(case, bad):
    make, x, _ = case
    network = lived_in(make().astype("float64"))
    x = np.concatenate((x, x))
    spoilt = np.where(np.arange(len(x))[:, None, None, None] == 0, bad, x)
    with np.errstate(invalid="ignore", over="ignore"):
        for run in (network.for_inference(), network):
            for backend in ("fused", "im2col"):
                with neocog.use_kernels(backend):
                    np.testing.assert_array_equal(run(spoilt)[1:], run(x)[1:])


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_in_float32_within_rounding(case, precision):
    make, x, _ = case
    network = lived_in(make().astype("float32"))
    expected = network.astype("float64").forward(x)[0]
    got = network.for_inference(precision)(x.astype("f4"))
    assert got.dtype == np.float32
    # Winograd's bound, as stated: 1e-5 of the largest output; a sum taken as written is ten times better.
    np.testing.assert_allclose(
        got, expected, rtol=0, atol=(2e-5 if precision == "fast" else 2e-6) * max(1, np.abs(expected).max())
    )


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (resnet18(image_shape=(3, 64, 64), rng=0), (2, 3, 64, 64)),
        (resnet_cifar(20, rng=0), (3, 3, 32, 32)),
        (mobilenet_v2(rng=0), (2, 3, 64, 64)),
        (mobilenet_v3_small(rng=0), (1, 3, 64, 64)),
    ],
    ids=["resnet18", "resnet20", "mobilenet-v2", "mobilenet-v3-small"],
)
def test_big_networks(network, shape):
    lived_in(network)
    x = np.random.default_rng(1).normal(size=shape).astype("f4")
    expected = network.forward(x)[0]
    np.testing.assert_allclose(
        network.for_inference()(x), expected, rtol=0, atol=2e-5 * np.abs(expected).max()
    )


def test_it_is_a_copy():
    network = tiny_cnn(1)
    fast = network.for_inference()
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    before = fast(x)
    for array in network.params.values():
        array += 1
    np.testing.assert_array_equal(fast(x), before)
    with neocog.use_kernels("fused"):  # the network itself is seen as it is now
        np.testing.assert_allclose(network(x), network.forward(x)[0], atol=1e-12)


def test_a_replaced_array_is_noticed():
    network = tiny_cnn(1)
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    with neocog.use_kernels("fused"):
        network(x)
        dense = next(leaf for _, leaf in network.leaves() if isinstance(leaf, Dense))
        dense.params["bias"] = dense.params["bias"] + 1.0
        np.testing.assert_allclose(network(x), network.forward(x)[0], atol=1e-12)


# Changes of the output's shape; tests/test_layer_everywhere.py has those that keep it.
CHANGES = {
    "divisor": (lambda: AvgPool2D(2), {"divisor_override": 3}),
    "ceil": (lambda: MaxPool2D(2), {"ceil_mode": True}),
    "stride": (lambda: MaxPool2D(2), {"stride": (1, 1)}),
    "convolution": (lambda: Conv2D(1, 2, 3, rng=0), {"stride": (2, 2), "dilation": (2, 2)}),
}


@pytest.mark.parametrize(("make", "changes"), CHANGES.values(), ids=CHANGES)
def test_settings_that_are_changed_count(make, changes):
    network = Sequential(layer=make())
    x = np.random.default_rng(0).normal(size=(2, 1, 7, 7))
    with neocog.use_kernels("fused"):
        network(x)
        for name, value in changes.items():
            setattr(network["layer"], name, value)
        np.testing.assert_allclose(network(x), network.forward(x)[0], rtol=1e-12)


def test_any_layout_and_size_of_batch():
    network = tiny_cnn(1)
    fast = network.for_inference()
    x = np.random.default_rng(0).normal(size=(8, 8, 1, 9)).T[:, :, ::-1]  # (9, 1, 8, 8), strides of all kinds
    np.testing.assert_allclose(fast(x), network.forward(x)[0], atol=1e-12)
    for n in (1, 2, 5, 9, 3, 8, 7, 4):
        np.testing.assert_allclose(fast(x[:n]), network.forward(x[:n])[0], atol=1e-12)
    assert fast(x[:0]).shape == (0, 3)
    np.testing.assert_allclose(fast.predict_proba(x).sum(axis=1), 1)
    np.testing.assert_array_equal(fast.predict(x, batch_size=4), network.forward(x)[0].argmax(axis=1))


def test_what_has_no_compiled_form_runs_in_python_between_the_others():
    network = Sequential(
        conv1=Conv2D(3, 40, 3, rng=0),
        norm1=Softmax(1),
        conv2=Conv2D(40, 50, 3, rng=1),
        norm2=Softmax(1),
        pool=GlobalAvgPool2D(),
    ).astype("float32")
    x = np.random.default_rng(0).normal(size=(2, 3, 12, 12)).astype("f4")
    assert [name for name, _ in uncompiled(network, x.shape)] == ["norm1", "norm2"]
    for images in (x, x[:1]):
        expected = network.forward(images)[0]
        np.testing.assert_allclose(network.for_inference()(images), expected, rtol=0, atol=2e-5)


def test_alexnet_is_compiled_as_a_whole():
    """Its groups are convolved by Winograd's method; its norms over neighbouring channels are compiled."""
    network = alexnet(classes=5, image_shape=(3, 227, 227), rng=0)
    x = np.random.default_rng(0).normal(size=(8, 3, 227, 227)).astype("f4")
    assert uncompiled(network, x.shape) == []
    expected = network.astype("float64").forward(x[-1:])[0]
    got = network.for_inference()(x)[-1:]
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4 * np.abs(expected).max())


def test_nothing_is_left_of_dropout_and_batch_norm():
    network = Sequential(
        Conv2D(1, 4, 3, rng=0),
        BatchNorm2D(4),
        ReLU(),
        Dropout(0.5),
        GlobalAvgPool2D(),
        Flatten(),
        Dense(4, 2, rng=0),
    )
    fast = lived_in(network).for_inference()
    x = np.ones((1, 1, 8, 8), "f4")
    fast(x)
    ((ready),) = fast._forward._programs.values()
    # load, convolution with batch norm and ReLU in it, mean, dense, store
    assert len(ready.program.program) == 5


def test_the_sum_of_a_residual_block_is_done_along_with_its_convolution():
    network = Sequential(Conv2D(1, 4, 3, rng=0), Residual(Conv2D(4, 4, 3, padding=1, rng=1)))
    fast = network.for_inference()
    x = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype("f4")
    np.testing.assert_allclose(fast(x), network.forward(x)[0], rtol=0, atol=1e-5)
    (ready,) = fast._forward._programs.values()
    # load, convolution, convolution with the sum in it, store
    assert len(ready.program.program) == 4


def test_a_gate_is_done_along_with_its_convolution():
    network = mobilenet_v3_small(3, (3, 64, 64), rng=0)
    fast = network.for_inference()
    fast(np.zeros((1, 3, 64, 64), "f4"))
    (compiler,) = fast._forward._programs.values()
    assert compiler.program.operations.count("hardswish") == 1  # that between the dense layers


def test_errors_are_those_of_the_network():
    fast = tiny_cnn(1).for_inference()
    with pytest.raises(ValueError, match="needs 1 input channels"):
        fast(np.ones((1, 2, 8, 8)))
    with pytest.raises(TypeError, match="for pixels 0"):
        fast(np.ones((1, 1, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="precision must be one of 'fast', 'exact', 'bfloat16', got 'exakt'"):
        tiny_cnn(1).for_inference("exakt")
    with pytest.raises(ValueError, match="x must not be empty"):
        fast.predict(np.ones((0, 1, 8, 8)))
    with pytest.raises(ValueError, match="finite"):
        fast.predict(np.full((1, 1, 8, 8), np.nan))


def test_several_threads_may_share_one():
    network = tiny_cnn(1)
    fast = network.for_inference()
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(1 + k % 3, 1, 8, 8)) for k in range(60)]
    with ThreadPoolExecutor(4) as pool:
        for x, y in zip(batches, pool.map(fast, batches), strict=True):
            np.testing.assert_allclose(y, network.forward(x)[0], atol=1e-12)


def test_networks_are_copied_and_pickled_without_their_programs():
    network = tiny_cnn(1)
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    with neocog.use_kernels("fused"):
        expected = network(x)
        np.testing.assert_array_equal(copy.deepcopy(network)(x), expected)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(network))(x), expected)
    assert repr(Inference(network)).startswith("Inference(Sequential(")


@pytest.mark.parametrize("N", [1, 9])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_nan_is_the_maximum_of_its_windows_only(N, padding):
    """As in PyTorch; wherever it stands in its window."""
    import torch

    x = np.random.default_rng(0).normal(size=(N, 2, 7, 8)).astype("f4")
    x[0, 0, 2, 3] = x[0, 1, 6, 7] = x[0, 1, 0, 0] = np.nan
    x[0, 0, 5:, :] = -np.inf
    pooled = Sequential(MaxPool2D(3, 2, padding)).for_inference()(x)
    np.testing.assert_array_equal(pooled, torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, padding))


def test_a_network_no_longer_used_is_forgotten():
    network = tiny_cnn(1)
    with neocog.use_kernels("fused"):
        network(np.ones((2, 1, 8, 8)))
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_a_layer_put_in_the_place_of_another_is_noticed():
    network = tiny_cnn(1)
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    with neocog.use_kernels("fused"):
        network(x)
        network[-1] = Dense(27, 3, rng=9, dtype="float64")
        np.testing.assert_allclose(network(x), network.forward(x)[0], atol=1e-12)


def test_a_nan_in_one_batch_is_gone_in_the_next():
    """The overhang of whole tiles is cleared, too, wherever other maps have been."""
    network = Sequential(
        *(layer for k in range(4) for layer in (Conv2D(32 if k else 3, 32, 3, rng=k), ReLU())),
        GlobalAvgPool2D(),
        Dense(32, 4, rng=4),
    )
    x = np.random.default_rng(0).normal(size=(8, 3, 64, 64)).astype("f4")
    with neocog.use_kernels("fused"):
        expected = network(x)
        network(np.full_like(x, np.nan))
        np.testing.assert_array_equal(network(x), expected)
    np.testing.assert_allclose(expected, network.forward(x)[0], atol=1e-5)


def test_a_sum_of_one_keeps_its_relu():
    network = Graph({"c": (Conv2D(1, 2, 3, rng=0), "input"), "s": (Add(), "c"), "r": (ReLU(), "s")})
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype("f4")
    np.testing.assert_allclose(network.for_inference()(x), network.forward(x)[0], atol=1e-6)


def test_infinities_go_through_as_in_the_layers():
    x = np.array([[-np.inf, np.inf, np.nan, -1.0]], "f4")
    np.testing.assert_array_equal(Sequential(ReLU()).for_inference()(x), [[0, np.inf, np.nan, 0]])


def test_without_parameters_the_images_choose_the_type():
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    assert Sequential(MaxPool2D(2)).for_inference()(x).dtype == np.float64
    assert Sequential(MaxPool2D(2)).for_inference()(x.astype("f4")).dtype == np.float32


class Doubled(Sequential):
    def forward(self, x, training=False):
        y, cache = super().forward(x, training)
        return 2 * y, cache


def test_a_container_with_a_forward_of_its_own_goes_by_it():
    network = Doubled(Flatten(), Dense(64, 3, rng=0))
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype("f4")
    np.testing.assert_array_equal(network.for_inference()(x), network.forward(x)[0])


def test_it_can_be_pickled():
    fast = tiny_cnn(1).for_inference()
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fast))(x), fast(x))


def test_outputs_that_are_not_finite_are_refused():
    network = tiny_cnn(1)
    for array in network.params.values():
        array[...] = np.inf
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="the network's outputs must be finite"):
        network.for_inference().predict(np.ones((1, 1, 8, 8)))


def test_the_copy_takes_a_networks_place_where_nothing_is_trained(tmp_path):
    data, network = neocog.data.line_patterns("b"), tiny_cnn(1)
    fast, (x, t) = network.for_inference(), data.validation
    assert neocog.evaluate(fast, x, t) == pytest.approx(neocog.evaluate(network, x, t), rel=1e-5)
    np.testing.assert_array_equal(fast.predict(x), network.predict(x))
    np.testing.assert_allclose(fast.predict_proba(x), network.predict_proba(x), atol=1e-6)
    np.testing.assert_array_equal(neocog.predict(fast, x), network.predict(x))
    np.testing.assert_array_equal(confusion(fast, x, t).matrix, confusion(network, x, t).matrix)
    assert fast.summary(show=False) == network.summary(show=False)
    record = trace(fast, x[:2], t[:2])
    np.testing.assert_array_equal(record["conv1"].dy, trace(network, x[:2], t[:2])["conv1"].dy)
    neocog.save(fast, tmp_path / "copy.neocog")
    neocog.save(network, tmp_path / "network.neocog")
    assert (tmp_path / "copy.neocog").read_bytes() == (tmp_path / "network.neocog").read_bytes()
    assert fast.astype("float64")(x).dtype == np.float64


def test_the_copy_of_a_network_that_ends_in_softmax_gives_its_probabilities():
    network = Sequential(Flatten(), Dense(64, 3, rng=0), Softmax(), Flatten())
    ended = network[:3]
    x, t = np.random.default_rng(0).normal(size=(4, 1, 8, 8)), np.array([0, 1, 2, 0])
    np.testing.assert_allclose(ended.for_inference().predict_proba(x).sum(1), 1, rtol=1e-6)
    expected = -np.log(ended(x.astype("f4"))[np.arange(4), t]).mean()
    assert neocog.evaluate(ended.for_inference(), x, t).loss == pytest.approx(expected, rel=1e-5)


def test_what_the_copy_cannot_do_it_says_in_a_sentence():
    fast, x = tiny_cnn(1).for_inference(), np.ones((2, 1, 8, 8))
    for attempt in (
        lambda: fast.forward(x, training=True),
        lambda: fast.backward(np.ones((2, 3)), None),
        lambda: neocog.fit(fast, (x, np.array([0, 1])), epochs=1, batch_size=2),
        lambda: neocog.check_gradients(fast, x, np.array([0, 1])),
    ):
        with pytest.raises(UnsupportedError, match="cannot be trained"):
            attempt()


def test_the_copy_serves_where_weights_are_moved_or_written_elsewhere(tmp_path):
    """A loss landscape moves weights, and they are not those of the compiled code."""
    from neocog.inspection import loss_landscape, maximize_activation, unit_receptive_field
    from neocog.interop.onnx import to_onnx
    from neocog.interop.torch import to_torch

    network = lived_in(with_norm())
    network.input_shape = (2, 8, 8)
    inference, rng = network.for_inference(), np.random.default_rng(0)
    x, y = rng.normal(size=(4, 2, 8, 8)), rng.integers(0, 3, 4)
    ours, theirs = (loss_landscape(each, x, y, directions=1, steps=5) for each in (inference, network))
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-12)
    assert str(to_torch(inference)) == str(to_torch(network))
    models = [to_onnx(each, dtype="float64").SerializeToString() for each in (inference, network)]
    assert models[0] == models[1]
    assert unit_receptive_field(inference, "0", (0, 0)) == unit_receptive_field(network, "0", (0, 0))
    ours, theirs = (maximize_activation(each, 0, steps=1).image for each in (inference, network))
    np.testing.assert_array_equal(ours, theirs)
    neocog.save(Sequential(inference, ReLU()), tmp_path / "nested.neocog")
    loaded = neocog.load(tmp_path / "nested.neocog")
    np.testing.assert_allclose(loaded(x), np.maximum(network(x), 0), rtol=0, atol=1e-12)


def test_the_weights_of_the_copy_stay():
    network = lived_in(with_norm())
    inference, x = network.for_inference(), np.random.default_rng(0).normal(size=(4, 2, 8, 8))
    before = inference(x)
    with pytest.raises(UnsupportedError, match="keeps its weights"):
        inference.load(network.params)
    with pytest.raises(ValueError, match="read-only"):
        inference.params["0.weight"][...] = 0
    for array in inference.network.params.values():  # a network of its own, which may be trained
        array[...] = 0
    np.testing.assert_array_equal(inference(x), before)


def with_norm():
    return Sequential(Conv2D(2, 4, 3, rng=0), BatchNorm2D(4), ReLU(), Flatten(), Dense(144, 3, rng=1)).astype(
        "float64"
    )


def test_the_layers_of_the_copy_can_be_looked_at():
    network = tiny_cnn(seed=1)
    inference = network.for_inference()
    assert list(inference.children) == list(network.children)
    assert len(inference) == len(network)
    assert [type(layer) for layer in inference] == [type(layer) for layer in network]
    np.testing.assert_array_equal(inference["conv1"].params["weight"], network["conv1"].params["weight"])
    assert list(inference[:2].children) == ["conv1", "relu1"]
    with pytest.raises(ValueError, match="read-only"):
        inference["conv1"].params["weight"][...] = 0
