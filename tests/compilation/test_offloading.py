"""Own weights of a copy made for inference, once they are packed."""

import copy
import pickle
import tempfile
import tracemalloc
import weakref

import numpy as np
import pytest

import neocog
from neocog.compilation import offloading
from neocog.compilation.compiler import Compiler
from neocog.compilation.lowerings import convolution
from neocog.layers import BatchNorm2D, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Sequential, Upsample

SIZE = 128  # a convolution of 3 x 3 between so many channels has 576 KiB of weights


def large():
    """Make a convolution with batch norm, one without, and a dense layer, all of them large."""
    return Sequential(
        first=Conv2D(SIZE, SIZE, 3, padding=1, rng=0),
        norm=BatchNorm2D(SIZE),
        relu=ReLU(),
        second=Conv2D(SIZE, SIZE, 3, padding=1, rng=1),
        flat=Flatten(),
        dense=Dense(SIZE * 16, SIZE, rng=2),
    )


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, SIZE, 4, 4)).astype("f4")


def test_packed_weights_are_not_kept_a_second_time(x):
    fast = large().for_inference()
    own = {name: weakref.ref(array) for name, array in fast.params.items()}
    fast(x)
    gone = {name for name, array in own.items() if array() is None}
    assert gone == {"first.weight", "second.weight", "dense.weight"}
    fast = large().for_inference()
    own = {name: weakref.ref(array) for name, array in fast.params.items()}
    fast(np.repeat(x, 10, axis=0))  # of many images the dense layer reads them as they are
    assert {name for name, array in own.items() if array() is None} == {"first.weight", "second.weight"}


def test_each_weight_is_in_memory_once(x):
    """Neither own weights, nor those with batch norm folded in, stay beside the packed ones."""
    large().for_inference()(x)  # loads the kernels
    weights = sum(array.nbytes for array in large().params.values())
    tracemalloc.start()
    try:
        fast = large().for_inference()
        fast(x)
        assert weights < tracemalloc.get_traced_memory()[0] < 1.25 * weights  # with maps and tables
    finally:
        tracemalloc.stop()


def test_the_weights_are_the_same_bits_wherever_they_are_asked_for(x, tmp_path):
    network = large()
    fast = network.for_inference()
    expected = fast(x)
    for k in (1, 2):
        for twin in (fast, fast.network, fast.astype("float32"), fast.for_inference("exact")):
            for name, array in network.params.items():
                assert twin.params[name].tobytes() == array.tobytes()
        fast(x[:k])  # compiled for another size of batch, from the weights in the file
    np.testing.assert_allclose(fast(x[:1]), expected[:1], rtol=0, atol=2e-5 * np.abs(expected).max())
    for again in (pickle.loads(pickle.dumps(fast)), copy.deepcopy(fast)):
        np.testing.assert_array_equal(again(x), expected)
    neocog.save(fast, tmp_path / "copy.neocog")
    neocog.save(network, tmp_path / "network.neocog")
    assert (tmp_path / "copy.neocog").read_bytes() == (tmp_path / "network.neocog").read_bytes()
    records = [neocog.inspection.trace(each, x, np.array([0, 1])) for each in (fast, network)]
    np.testing.assert_array_equal(records[0]["second"].dy, records[1]["second"].dy)
    with pytest.raises(ValueError, match="read-only"):
        fast.params["first.weight"][...] = 0
    trained = fast.network
    trained.params["first.weight"][...] = 0  # of its own


def test_a_layer_at_two_places_is_moved_once(x):
    layer = Conv2D(SIZE, SIZE, 3, padding=1, rng=0)
    network = Sequential(layer, ReLU(), layer, Flatten(), Dense(SIZE * 16, 2, rng=1))
    fast = network.for_inference()
    for k in (2, 1):
        expected = network.forward(x[:k])[0]
        np.testing.assert_allclose(fast(x[:k]), expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("when", ["open", "write"])
def test_without_room_on_the_disk_they_stay_in_memory(x, monkeypatch, when):
    network = large()
    expected = network.for_inference()(x)

    class Full:
        def __init__(self):
            if when == "open":
                raise OSError(28, "No space left on device")
            self.file = TEMPORARY()

        def write(self, _):
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    fast = network.for_inference()
    np.testing.assert_array_equal(fast(x), expected)
    np.testing.assert_array_equal(fast.params["first.weight"], network.params["first.weight"])


TEMPORARY = tempfile.TemporaryFile


def test_small_weights_make_no_file(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    fast = neocog.models.digits_cnn(0).for_inference()
    assert max(array.nbytes for array in fast.params.values()) < offloading.LARGE
    assert fast(np.zeros((2, 1, 8, 8), "f4")).shape == (2, 10)


def test_while_they_are_packed_weights_are_in_memory_once():
    network = Sequential(flat=Flatten(), a=Dense(2048, 2048, rng=0), relu=ReLU(), b=Dense(2048, 2048, rng=1))
    x = np.random.default_rng(0).normal(size=(1, 2048, 1, 1)).astype("f4")
    expected = network.for_inference()(x)  # loads the kernels
    weights = sum(array.nbytes for array in network.params.values())
    tracemalloc.start()
    try:
        fast = network.for_inference()
        tracemalloc.reset_peak()
        np.testing.assert_array_equal(fast(x), expected)
        assert tracemalloc.get_traced_memory()[1] < 1.25 * weights
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(expected, network.forward(x)[0], rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("room", "kept"), [(0, []), (1, ["large"]), (2, ["large", "small"])])
def test_transformed_kernels_have_a_bound_and_the_largest_maps_come_first(monkeypatch, room, kept):
    """Winograd's kernels hold 36 numbers for the 9 of a kernel."""
    C = 32
    monkeypatch.setattr(convolution, "_WINOGRAD_ROOM", room * (36 - 9) * C * C * 4)
    network = Sequential(
        pool=MaxPool2D(2),
        small=Conv2D(C, C, 3, padding=1, rng=0),
        up=Upsample(2),
        large=Conv2D(C, C, 3, padding=1, rng=1),
    )
    x = np.random.default_rng(0).normal(size=(16, C, 32, 32)).astype("f4")
    compiler = Compiler(network, x.shape, frozen=True)
    compiler.forward()
    by_winograd = [n.name for n in compiler.nodes if "conv" in n.memo and n.memo["conv"].by_winograd]
    assert by_winograd == kept[::-1]
    expected = network.forward(x)[0]
    np.testing.assert_allclose(network.for_inference()(x), expected, rtol=0, atol=2e-5 * expected.max())
