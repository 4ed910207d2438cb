"""Forward and backward by hand under the fused kernels, as one program, against the layers one by one."""

import copy
import threading

import numpy as np
import pytest

from neocog import kernels
from neocog.layers import Conv2D, Dense, Flatten, Layer, ReLU, Sequential
from neocog.models import tiny_cnn


@pytest.fixture(autouse=True)
def fused():
    with kernels.use_kernels("fused"):
        yield


def images(seed=0, N=18):
    return np.random.default_rng(seed).normal(size=(N, 1, 8, 8))


def in_one_program(cache):
    return not isinstance(cache, dict)


def layers(network, x, dy, input_grad=True):
    with kernels.use_kernels("im2col"):
        y, cache = network.forward(x, training=True)
        return y, *network.backward(dy, cache, input_grad)


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("input_grad", [False, True])
def test_outputs_and_gradients_are_those_of_the_layers(case, input_grad):
    make, x, _ = case
    mine, twin = make().astype("float64"), make().astype("float64")
    for _ in range(2):  # the second time without compiling; dropout and running statistics go on
        y, cache = mine.forward(x, training=True)
        assert in_one_program(cache)
        dy = np.random.default_rng(1).normal(size=y.shape)
        dx, grads = mine.backward(dy, cache, input_grad)
        expected_y, expected_dx, expected = layers(twin, x, dy, input_grad)
        np.testing.assert_allclose(y, expected_y, rtol=1e-9, atol=1e-11)
        assert_same(grads, {name: expected[name] for name in grads})
        assert grads.keys() == expected.keys()
        assert (dx is None) == (not input_grad)
        if input_grad:
            np.testing.assert_allclose(dx, expected_dx, rtol=1e-9, atol=1e-11)
    assert_same(mine.buffers, twin.buffers)


def test_each_cache_keeps_its_own_values():
    network, dy = tiny_cnn(1), np.random.default_rng(1).normal(size=(18, 3))
    first, second = images(0), images(1)
    _, one = network.forward(first, training=True)
    _, two = network.forward(second, training=True)
    for x, cache in ((first, one), (second, two), (first, one)):
        assert_same(network.backward(dy, cache)[1], layers(network, x, dy)[2])


@pytest.mark.parametrize(
    "N", [18, 3000]
)  # the memory of a large program is shared by what is not alive together
def test_a_cache_serves_several_backward_passes(N):
    network, x = tiny_cnn(1), images(N=N)
    y, cache = network.forward(x, training=True)
    results = []
    for input_grad in (True, False, True):
        dy = np.random.default_rng(len(results)).normal(size=y.shape)
        results.append((network.backward(dy, cache, input_grad), layers(network, x, dy, input_grad)))
    for (dx, grads), (_, expected_dx, expected) in results:  # and none has written into those before it
        assert_same(grads, expected)
        if dx is not None:
            np.testing.assert_allclose(dx, expected_dx, rtol=1e-9, atol=1e-11)


def test_the_program_of_a_cache_that_is_gone_is_taken_again():
    network, x = tiny_cnn(1), images()
    programs = set()
    for _ in range(3):
        _, cache = network.forward(x, training=True)
        programs.add(id(cache._program))
        del cache
    assert len(programs) == 1


def test_threads_do_not_disturb_each_other():
    network, wrong = tiny_cnn(1), []
    dy = np.random.default_rng(1).normal(size=(18, 3))

    def work(seed):
        x = images(seed)
        expected = layers(network, x, dy)[2]
        with kernels.use_kernels("fused"):
            for _ in range(20):
                _, cache = network.forward(x, training=True)
                _, grads = network.backward(dy, cache)
                if any(abs(grads[name] - expected[name]).max() > 1e-9 for name in expected):
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_frozen_or_replaced_later_is_heeded():
    network, x = tiny_cnn(1), images()
    dy = np.ones((18, 3))
    network.forward(x, training=True)
    network.freeze("conv1")
    _, cache = network.forward(x, training=True)
    assert_same(network.backward(dy, cache)[1], layers(network, x, dy)[2])
    network["dense"] = Dense(27, 3, rng=9, dtype="float64")
    y, cache = network.forward(x, training=True)
    np.testing.assert_allclose(y, layers(network, x, dy)[0], rtol=1e-9)


class Doubling(Layer):
    def forward(self, x, training=False):
        return 2 * x, None

    def backward(self, dy, cache, input_grad=True):
        return 2 * dy, {}


def test_around_a_layer_without_a_compiled_form_the_layers_run_one_by_one():
    inner = Sequential(Conv2D(1, 2, 3, rng=0, dtype="float64"), ReLU())
    network = Sequential(
        inner=inner, own=Doubling(), flatten=Flatten(), dense=Dense(72, 3, rng=1, dtype="float64")
    )
    x, dy = images(), np.ones((18, 3))
    for _ in range(2):
        _, cache = network.forward(x, training=True)
        assert not in_one_program(cache)
        assert in_one_program(cache["inner"])
        assert_same(network.backward(dy, cache)[1], layers(network, x, dy)[2])


def test_a_derivative_of_another_shape_is_refused():
    network = tiny_cnn(1)
    _, cache = network.forward(images(), training=True)
    with pytest.raises(ValueError, match=r"dy must have the output's shape \(18, 3\), got \(3, 18\)"):
        network.backward(np.ones((3, 18)), cache)


def test_complex_numbers_go_through_the_layers():
    network, x = tiny_cnn(1), images()
    y, cache = network.forward(x + 1e-30j, training=True)
    assert y.dtype.kind == "c"
    assert not in_one_program(cache)
    _, cache = network.forward(x, training=True)
    with pytest.raises(TypeError, match="dy must be real"):
        network.backward(np.full((18, 3), 1j), cache)


def test_a_copy_has_programs_of_its_own():
    network, x = tiny_cnn(1), images()
    network.forward(x, training=True)
    twin = copy.deepcopy(network)
    twin.params["dense.bias"][...] = 1
    y, _ = twin.forward(x, training=True)
    np.testing.assert_allclose(y, layers(twin, x, np.ones((18, 3)))[0], rtol=1e-9)
