"""The compiled kernels: threads, programs and their memory, Winograd's bound, the machine without a compiler.

That they agree with the other backends is tested in test_backends.py, with all other backends.
"""

import ctypes
import functools
import gc
import mmap
import os
import platform
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core.codegen import JITCodeLibrary

import neocog
from neocog import kernels
from neocog.compilation import CompiledStep, Forward
from neocog.kernels import active_precision, get_threads, kernels_for, set_threads, use_kernels
from neocog.kernels.fused import lowering, simd, workers
from neocog.kernels.fused.lowering import products, winograd
from neocog.kernels.fused.operation import PLANES, Operation
from neocog.kernels.fused.pointwise import pointwise
from neocog.kernels.fused.program import Maps, Memory, Program, Slot, _place
from neocog.kernels.fused.simd import plain
from neocog.models import digits_cnn, resnet_cifar


@pytest.fixture
def _threads():
    before = get_threads()
    yield
    set_threads(before)


# Threads


def trained(threads, steps=3):
    """Weights and outputs of a network large enough for several threads, some of it by Winograd's method."""
    set_threads(threads)
    network = resnet_cifar(8, rng=0)
    step = CompiledStep(network, neocog.SoftmaxCrossEntropy(), neocog.SGD(0.1, momentum=0.9))
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(16, 3, 32, 32)).astype("f4"), rng.integers(0, 10, 16)
    losses = [step(x, t) for _ in range(steps)]
    return losses, {**network.params, **network.buffers}, network.for_inference()(x)


@pytest.mark.usefixtures("_threads")
def test_results_do_not_depend_on_the_number_of_threads():
    losses, arrays, outputs = trained(1)
    for threads in (2, 3, 7):
        more_losses, more_arrays, more_outputs = trained(threads)
        assert losses == more_losses
        np.testing.assert_array_equal(outputs, more_outputs)
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, more_arrays[name])


@pytest.mark.usefixtures("_threads")
def test_many_programs_at_once_from_many_threads():
    set_threads(3)
    rng = np.random.default_rng(0)
    networks = [resnet_cifar(8, rng=k) for k in range(3)]
    x = rng.normal(size=(4, 3, 32, 32)).astype("f4")
    expected = [network.for_inference()(x) for network in networks]
    wrong = []

    def work(k):
        forward = networks[k].for_inference()
        for _ in range(20):
            if not np.array_equal(forward(x), expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for worker in threads:
        worker.start()
    for worker in threads:
        worker.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_threads_of_its_own():
    code = """
import os, numpy as np, neocog
neocog.set_threads(2)
network = neocog.models.resnet_cifar(8, rng=0)
x = np.ones((4, 3, 32, 32), "f4")
fast = network.for_inference()
y = fast(x)
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(fast(x), y) else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "work", ["network(x)", pytest.param("frozen(x)", marks=pytest.mark.nightly), "compiling", "step(x, t)"]
)
def test_a_process_forked_while_another_thread_computes_does_not_hang(work):
    code = f"""
import itertools, os, signal, threading, time
import numba, numpy as np, neocog
from neocog.kernels import use_kernels
from neocog.training.loop import make_step

def compiling(numbers=itertools.count()):
    return np.array(numba.njit(eval(f"lambda x: x - {{next(numbers)}} * x"))(0))

neocog.set_threads(2)
x, t = np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype("f4"), np.arange(16) % 10
network = neocog.models.resnet_cifar(8, rng=0)
frozen = network.for_inference()
with use_kernels("fused"):
    step = make_step(network, neocog.SoftmaxCrossEntropy(), neocog.SGD(0.0))

def work():
    with use_kernels("fused"):
        return {"compiling()" if work == "compiling" else work}

def work_on():
    while True:
        work()

y = work()
threading.Thread(target=work_on, daemon=True).start()
for k in range(8):
    time.sleep(0.01 * k)
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if np.allclose(work(), y, atol=1e-4) else 1)
    assert os.waitpid(child, 0)[1] == 0, k
os._exit(0)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=400)


def test_the_number_of_threads_is_checked():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        set_threads(0)
    with pytest.raises(TypeError, match="n must be"):
        set_threads(1.5)


@pytest.mark.parametrize(("value", "expected"), [("3", "3"), ("none", "must be a number from 1, got 'none'")])
def test_the_environment_sets_the_number_of_threads(value, expected):
    code = "import neocog\ntry: print(neocog.kernels.get_threads())\nexcept ValueError as error: print(error)"
    environment = {**os.environ, "NEOCOG_NUM_THREADS": value}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert expected in done.stdout


# Rounding


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("channels", "kernel"), [(512, 3), (2048, 1), (256, 5)])
def test_long_sums_are_made_of_short_ones(channels, kernel, positive):
    rng = np.random.default_rng(0)

    def drawn(shape):
        return (np.abs if positive else np.asarray)(rng.standard_normal(shape, dtype="float32"))

    x, w = drawn((2, channels, 7, 7)), drawn((8, channels, kernel, kernel))
    k = kernel // 2
    padded = np.pad(x.astype(float), [(0, 0), (0, 0), (k, k), (k, k)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))
    exact = np.einsum("nchwpq,fcpq->nfhw", windows, w.astype(float), optimize=True)

    def error(name):
        with use_kernels(name, "exact"):
            y = kernels.conv2d(x, w, None, (1, 1), ((k, k), (k, k)))
        return np.abs(y - exact).max() / np.abs(exact).max()

    assert error("fused") < 2 * error("im2col")  # as each sum in turn it would be 3 to 10 times as large
    assert error("fused") < 1e-6


def relative(got, exact):
    return np.abs(got - exact).max() / np.abs(exact).max()


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.nightly) for k in range(1, 10))])
def test_long_sums_of_gradients_are_made_of_short_ones(seed, positive):
    """4608 terms for the input's, 6272 for the weights'."""
    rng = np.random.default_rng(seed)

    def drawn(*shape):
        return (np.abs if positive else np.asarray)(rng.standard_normal(shape, dtype="float32"))

    (w, dy), (x, other) = (
        (drawn(512, 4, 3, 3), drawn(1, 512, 7, 7)),
        (drawn(8, 4, 28, 28), drawn(8, 5, 28, 28)),
    )
    geometry = ((1, 1), ((1, 1), (1, 1)))

    def computed(backend, dtype):
        with use_kernels(backend, "exact"):
            dx = kernels.conv2d_input(dy.astype(dtype), w.astype(dtype), (1, 4, 7, 7), *geometry)
            dw = kernels.conv2d_weight(x.astype(dtype), other.astype(dtype), (5, 4, 3, 3), *geometry)
        return dx, dw

    for fused, im2col, exact in zip(
        computed("fused", "float32"),
        computed("im2col", "float32"),
        computed("im2col", "float64"),
        strict=True,
    ):
        assert relative(fused, exact) < min(2 * relative(im2col, exact) + 1e-7, 1e-6)


@pytest.mark.parametrize("N", [1, 16])
def test_long_sums_of_dense_layers_are_made_of_short_ones(N):
    """VGG's 25088 terms, all positive: read as they lie in memory, some at a time, and not too few."""
    rng = np.random.default_rng(0)
    x, w = (np.abs(rng.standard_normal(shape, dtype="float32")) for shape in ((25088, N), (25088, 64)))
    program, there, here = Program(x.dtype), Slot(), Slot()
    lowering.dense(program, Maps(there, *x.shape[:1], 1, 1, N), w, None, Maps(here, 64, 1, 1, N))
    program.finish()
    y = np.empty((64, N), "float32")
    program.bind(there, x)
    program.bind(here, y)
    program.run()
    assert relative(y, w.T.astype(float) @ x) < (1e-6 if N > 1 else 3e-6)


@pytest.mark.parametrize("terms", [64, 256, 1024])
def test_what_a_product_reads_at_a_time_stays_in_the_cache(terms):
    """Of 1 x 1 convolutions: 512 lanes of 256 channels would be 512 kB, all of a smaller L2 cache."""
    program = Program(np.dtype("float32"))
    x, y = program.maps(terms, 8, 8, 64), program.maps(128, 8, 8, 64)
    weights, bias = np.ones((128, terms), "f4"), np.zeros(128, "f4")
    planes = np.arange(terms) * x.plane
    products.add_product(program, 128, planes, 8, 512, a=weights, a_row=terms, a_step=1, x=x, y=y, bias=bias)
    row = program.rows[-1]
    read = min(terms, row["depth"]) * row["row_block"] * row["lane_block"] * 4
    assert 1 << 15 < read <= 1 << 17


@pytest.mark.parametrize(
    ("shape", "border", "plane"),
    [
        ((3, 16, 16, 32), (0, 0, 0, 0), 513 * 16),  # 32 kB, which is 512 lines of 16 numbers, and one more
        ((3, 16, 16, 32), (1, 1, 1, 1), 649 * 16),  # 18 x 18 x 32 are 648 lines
        ((3, 5, 5, 21), (0, 0, 0, 0), 33 * 16),  # 525 numbers are part of the 33rd line, an odd number
        ((3, 4, 4, 8), (0, 0, 0, 0), 128),  # all planes together fill few sets
    ],
)
def test_planes_lie_in_different_sets_of_a_cache(shape, border, plane):
    program = Program(np.dtype("float32"))
    maps = program.maps(*shape, border, spread=True)
    assert maps.plane == plane
    assert maps.memory.bytes == 3 * 4 * plane
    assert program.maps(*shape, border).plane == plane - maps.gap
    assert program.maps(*shape, border, channels_last=True, spread=True).gap == 0


# Winograd


@pytest.mark.parametrize(
    "N", [1, 3, 8, 16]
)  # 16: tiles are read where they lie, and written if they are whole
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((2, 1), (0, 1))])
def test_winograd_is_within_its_bound_and_exact_does_without(N, padding):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 37, 30, 30)).astype("f4")
    w = (rng.normal(size=(42, 37, 3, 3)) / 18).astype("f4")
    b = rng.normal(size=42).astype("f4")
    with use_kernels("im2col"):
        y = kernels.conv2d(x.astype("f8"), w.astype("f8"), b.astype("f8"), (1, 1), padding)
        dy = rng.normal(size=y.shape).astype("f4")
        dx = kernels.conv2d_input(dy.astype("f8"), w.astype("f8"), x.shape, (1, 1), padding)
        dw = kernels.conv2d_weight(x.astype("f8"), dy.astype("f8"), w.shape, (1, 1), padding)

    def errors(precision):
        with use_kernels("fused", precision):
            pairs = [
                (kernels.conv2d(x, w, b, (1, 1), padding), y),
                (kernels.conv2d_input(dy, w, x.shape, (1, 1), padding), dx),
                (kernels.conv2d_weight(x, dy, w.shape, (1, 1), padding), dw),
            ]
        return [np.abs(got - exact).max() / np.abs(exact).max() for got, exact in pairs]

    fast, exact = errors("fast"), errors("exact")
    assert max(fast) < 2e-5
    assert max(exact) < 2e-6
    assert min(fast) > max(exact)  # or Winograd was not there at all


@pytest.mark.parametrize(("N", "W"), [(1, 411), (5, 90), (24, 21)])
def test_winograd_cuts_wide_rows(N, W):
    """A strip of tiles is a part of a row, the last one shorter, and its last tile reaches over the edge."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, 33, 6, W), dtype="float32")
    w = rng.standard_normal((32, 33, 3, 3), dtype="float32")
    geometry = ((1, 1), ((1, 1), (1, 1)))
    with use_kernels("im2col"):
        exact = kernels.conv2d(x.astype(float), w.astype(float), None, *geometry)
    with use_kernels("fused"):
        assert 1e-6 < relative(kernels.conv2d(x, w, None, *geometry), exact) < 2e-5


@pytest.mark.parametrize(
    ("down", "lanes", "with_avx2", "with_avx512"),
    [
        (14, 14, 5, 3),  # AVX2: 5, 5 and 4 rows are 70, 70 and 56 lanes, 10 + 10 + 8 vectors; 3 rows take 33
        (4, 32, 2, 1),  # AVX2: 64 = 24 + 24 + 16, but 96 + 32 leave a vector alone; AVX-512: all the same
        (56, 448, 1, 1),
    ],
)
def test_a_strip_of_tiles_leaves_few_registers_empty(down, lanes, with_avx2, with_avx512):
    expected = with_avx512 if simd.VECTOR_BYTES == 64 else with_avx2
    assert winograd._rows(down, lanes, 4) == expected


@pytest.mark.parametrize(
    ("across", "N", "columns"),
    [(56, 8, 6), (4, 8, 4), (200, 1, 48), (9, 128, 1), (9, 100, 1), (40, 24, 2)],
)
def test_a_strip_takes_so_many_columns_of_tiles(across, N, columns):
    """Some 48 lanes, if they fill vectors of 8 or 16: 6 tiles of 8 images, one of 128."""
    assert winograd._columns(across, N, 8) == columns


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("C", "F", "N", "H"), [(64, 64, 8, 28), (128, 96, 4, 14), (256, 64, 8, 14), (64, 64, 2, 56)]
)
def test_winograd_of_many_shapes_is_within_its_bound(C, F, N, H, seed):
    rng = np.random.default_rng(seed)
    shapes = {"x": (N, C, H, H), "dy": (N, F, H, H), "w": (F, C, 3, 3)}
    drawn = {name: rng.standard_normal(shape, dtype="float32") for name, shape in shapes.items()}
    geometry = ((1, 1), ((1, 1), (1, 1)))

    def computed(dtype):
        x, dy, w = (array.astype(dtype) for array in drawn.values())
        y = kernels.conv2d(x, w, None, *geometry)
        dx = kernels.conv2d_input(dy, w, x.shape, *geometry)
        return y, dx, kernels.conv2d_weight(x, dy, w.shape, *geometry)

    with use_kernels("im2col"):
        exact = computed("float64")
    for precision, bound in (("fast", 3e-5), ("exact", 1e-6)):
        with use_kernels("fused", precision):
            assert max(map(relative, computed("float32"), exact)) < bound


@pytest.mark.parametrize(
    ("F", "terms", "f_parts", "k_parts"),
    [
        (64, 32, 4, 4),  # each of 4 x 4 units reads a part: 4 * 64 + 4 * 32 maps in all, 1 x 6 would read 416
        (256, 64, 8, 2),  # 2 * 256 + 8 * 64; 4 x 4 would read 1280
    ],
)
def test_a_weight_gradient_is_cut_so_that_its_units_read_the_fewest_maps(F, terms, f_parts, k_parts):
    program = Program(np.dtype("float32"), exact=False)
    a, x, y = program.maps(F, 32, 32, 64), program.maps(terms, 32, 32, 64), program.memory(F * terms)
    planes = [np.arange(maps.C) * maps.plane for maps in (a, x)]
    products.add_correlation(program, *planes, 32, 2048, a=a, x=x, y=y)
    row = program.rows[-1]
    assert row["f_block"] == -(-F // f_parts // simd.DOT_ROWS) * simd.DOT_ROWS
    assert row["depth"] == -(-terms // k_parts // simd.DOT_TAPS) * simd.DOT_TAPS
    assert row["units"] == -(-F // row["f_block"]) * -(-terms // row["depth"])


def test_float64_is_never_by_winograd():
    program = Program(np.dtype("float64"), exact=False)
    geometry = ((8, 64, 28, 28), (64, 64, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    assert not lowering.Convolution(program, *geometry).by_winograd
    assert lowering.Convolution(Program(np.dtype("float32"), exact=False), *geometry).by_winograd
    assert not lowering.Convolution(Program(np.dtype("float32"), exact=True), *geometry).by_winograd


def test_precision_is_inherited_and_checked():
    assert active_precision() == "fast"
    with use_kernels("fused", "exact"), use_kernels("im2col"):
        assert active_precision() == "exact"
    assert active_precision() == "fast"
    with pytest.raises(ValueError, match="precision must be one of 'fast', 'exact', got 'quick'"):
        use_kernels("fused", "quick")


# The choice


def test_auto_compiles_for_long_jobs_only():
    with use_kernels("auto"):
        assert kernels_for(0.5) == "im2col"
        assert kernels_for(1000) == "fused"
    with use_kernels("reference"):
        assert kernels_for(1000) == "reference"


# Memory


@given(
    st.lists(
        st.tuples(st.integers(1, 5000), st.integers(0, 30), st.integers(0, 10), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.booleans(),
)
def test_memory_in_use_at_one_time_does_not_overlap(lives, share):
    memories = [Memory(size, first, first + length, kept) for size, first, length, kept in lives]
    end = _place(memories, share)
    for i, a in enumerate(memories):
        assert a.start % 64 == 0
        assert a.start + a.bytes <= end
        for b in memories[:i]:
            together = a.kept or b.kept or (a.first <= b.last and b.first <= a.last)
            if together:
                assert a.start + a.bytes <= b.start or b.start + b.bytes <= a.start
    if share:
        assert end <= sum(-(-m.bytes // 64) * 64 for m in memories)


def test_inference_needs_less_memory_than_all_its_maps():
    network = resnet_cifar(20, rng=0)
    forward = Forward(network)
    x = np.zeros((64, 3, 32, 32), "f4")
    forward(x)
    sizes = []

    def visit(_, layer, shape):
        sizes.append(np.prod(layer.output_shape(shape)))
        return layer.output_shape(shape)

    network.walk(visit, x.shape)
    ((ready),) = forward._programs.values()
    assert ready.program.bytes < 0.25 * 4 * sum(sizes)


def test_large_networks_are_right_in_shared_memory():
    """Borders must be cleared in every run where other maps lay there before."""
    network = resnet_cifar(8, rng=0).astype("float64")
    forward = Forward(network)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(size=(40, 3, 32, 32))
        np.testing.assert_allclose(forward(x), network.forward(x)[0], atol=1e-10)


# Compiling


def test_without_a_compiler_the_same_code_runs_as_python():
    """A few of the tests of this folder, and a training step, with NUMBA_DISABLE_JIT=1."""
    code = """
import copy, numpy as np, neocog
from neocog.compilation import CompiledStep
from neocog.kernels.fused import simd
assert simd.row_tile is simd.plain.row_tile
rng = np.random.default_rng(0)
for network, shape in (
    (neocog.models.tiny_cnn(1), (5, 1, 8, 8)),
    (neocog.Sequential(
        neocog.Conv2D(32, 32, 3, padding=1, rng=0), neocog.BatchNorm2D(32), neocog.ReLU(),
        neocog.Residual(neocog.Conv2D(32, 32, 3, padding=1, rng=1)), neocog.MaxPool2D(3, 2, padding=1),
        neocog.AvgPool2D(2), neocog.Conv2D(32, 8, 3, stride=2, padding=2, rng=1), neocog.Tanh(),
        neocog.Dropout(0.5, rng=0), neocog.GlobalAvgPool2D(), neocog.Dense(8, 3, rng=2)), (2, 32, 14, 14)),
):
    twin = copy.deepcopy(network)
    ours, theirs = neocog.AdamW(1e-2, eps=1e-3), neocog.AdamW(1e-2, eps=1e-3)
    loss = neocog.SoftmaxCrossEntropy(0.1)
    step = CompiledStep(network, loss, ours)
    for _ in range(2):
        x, t = rng.normal(size=shape).astype(network.dtype), rng.integers(0, 3, shape[0])
        z, cache = twin.forward(x, training=True)
        value, dz = loss(z, t)
        theirs.step(twin.params, twin.backward(dz, cache)[1])
        assert abs(step(x, t) - value) < 1e-4
    for name, array in twin.params.items():
        assert np.abs(network.params[name] - array).max() < 1e-3, name
    assert np.abs(network.for_inference()(x) - network.forward(x)[0]).max() < 1e-4
images, matrix = rng.normal(size=(3, 2, 5, 4)).astype("float32"), rng.normal(size=(3, 2, 3))
expected = neocog.kernels.affine(images, matrix, None)
with neocog.use_kernels("fused"):
    assert np.array_equal(neocog.kernels.affine(images, matrix, None), expected)
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)


PROCESSORS = {
    "AVX2": ("haswell", "+avx,+avx2,+fma"),
    "AVX2 without FMA": ("haswell", "+avx,+avx2,-fma"),
    "SSE2": ("x86-64", "-avx,-avx2,-fma"),
}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the features are those of an x86")
@pytest.mark.parametrize(
    "name", [each if each == "AVX2" else pytest.param(each, marks=pytest.mark.nightly) for each in PROCESSORS]
)
def test_without_avx512_the_tiles_are_smaller_and_the_numbers_the_same(name):
    code = """
import copy, numpy as np, neocog
from neocog.compilation import CompiledStep
from neocog.kernels.fused import simd
assert (simd.VECTOR_BYTES, simd.ROWS, simd.WIDTHS) == (32, 4, (3, 2, 1))
rng = np.random.default_rng(0)
network = neocog.Sequential(
    neocog.Conv2D(1, 33, 3, padding=1, rng=0), neocog.ReLU(), neocog.Conv2D(33, 38, 3, padding=1, rng=1),
    neocog.BatchNorm2D(38), neocog.ReLU(), neocog.MaxPool2D(2), neocog.Conv2D(38, 7, 3, stride=2, rng=2),
    neocog.Flatten(), neocog.Dense(63, 130, rng=3), neocog.Dense(130, 5, rng=4))
twin = copy.deepcopy(network)
ours, theirs = (neocog.SGD(0.01, momentum=0.9) for _ in range(2))
loss = neocog.SoftmaxCrossEntropy()
step = CompiledStep(network, loss, ours)
for _ in range(2):
    x, t = rng.normal(size=(6, 1, 14, 15)).astype("f4"), rng.integers(0, 5, 6)
    z, cache = twin.forward(x, training=True)
    value, dz = loss(z, t)
    theirs.step(twin.params, twin.backward(dz, cache, input_grad=False)[1])
    assert abs(step(x, t) - value) < 1e-4
for name, array in twin.params.items():
    assert np.abs(network.params[name] - array).max() < 1e-4, name
assert np.abs(network.for_inference()(x) - network.forward(x)[0]).max() < 1e-4
"""
    processor, features = PROCESSORS[name]
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=900)


def test_what_is_compiled_is_kept_and_found_again(tmp_path):
    code = """
import numpy as np, neocog
neocog.models.tiny_cnn(1, dtype="float32").for_inference()(np.zeros((2, 1, 8, 8), "f4"))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for expected in (True, False):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.code")}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)
        after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.code")}
        assert (after != before) is expected
    (folder,) = {path.relative_to(tmp_path).parts[:2] for path in after}
    assert folder[0] == "neocog"  # and its checksum: other sources, other folder


def test_an_operation_becomes_machine_code_once_with_all_that_it_calls(tmp_path, monkeypatch):
    """Which is most of the time that compiling takes."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    finish, finished = JITCodeLibrary._finalize_specific, []
    monkeypatch.setattr(
        JITCodeLibrary,
        "_finalize_specific",
        lambda library: (finished.append(library.name), finish(library))[1],
    )

    def twice(x, like):
        return x + x

    Operation(pointwise(twice), "x y", "", PLANES).address(np.dtype(np.float32))
    assert len([name for name in finished if "twice" in name]) == 1


@pytest.mark.parametrize("before", [True, False])
def test_garbage_is_collected_after_compiling_if_it_was_before(before, monkeypatch):
    during = []
    monkeypatch.setattr(workers, "code", lambda name, dtype: during.append(gc.isenabled()))
    monkeypatch.setattr(workers, "_ready", set())
    if not before:
        gc.disable()
    try:
        workers.codes(["add", "copy"], np.dtype(np.float32))
        assert during == [False, False]
        assert gc.isenabled() is before
    finally:
        gc.enable()


@functools.cache
def called(function):
    """Return a function that Python can call, and that calls one that it cannot."""
    with pytest.raises(TypeError, match=f"^only compiled functions can call {function.__name__}.$"):
        function()

    @numba.njit
    def call(*arguments):
        function(*arguments)

    return call


@pytest.mark.parametrize("rows", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [1, 5, 16, 47, 48, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_register_tiles_are_those_of_numpy(rows, count, dtype):
    """Whatever lies beyond the lanes must stay as it is."""
    if rows > simd.ROWS:
        pytest.skip("no such tile")
    rng = np.random.default_rng(0)
    like, K = dtype(0), 7
    x, a = rng.normal(size=400).astype(dtype), rng.normal(size=(K + 4, rows)).astype(dtype)
    offsets, numbers = rng.integers(0, 300, K), rng.permutation(K + 4)[:K]  # some of the numbers of a row
    terms = np.stack([offsets, numbers], axis=1)
    init, bias = rng.normal(size=(rows, count)).astype(dtype), rng.normal(size=rows).astype(dtype)
    got, expected = np.full((rows, count + 3), 7, dtype), np.full((rows, count + 3), 7, dtype)
    for tile, y in ((called(simd.row_tile), got), (plain.row_tile, expected)):
        tile(
            rows, a.ctypes.data, 1, rows, terms.ctypes.data, K, x.ctypes.data, y.ctypes.data, count + 3,
            init.ctypes.data, count, bias.ctypes.data, -0.5, 1.5, count, like,
        )  # fmt: skip
    columns = np.array([x[o : o + count] for o in offsets], np.float64)
    by_hand = np.clip(a[numbers].T.astype(np.float64) @ columns + init + bias[:, None], -0.5, 1.5)
    np.testing.assert_allclose(got[:, :count], by_hand, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert (got[:, count:] == 7).all()


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="no protection of pages on this system")
@pytest.mark.parametrize("count", [1, 5, 17])
def test_register_tiles_read_nothing_beyond_the_page(count):
    """Where a processor has no masks, a vector is read whole up to the end of its page."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 0) == 0  # no access
    x = np.frombuffer(memory, np.float32, page // 4)[-count:]
    x[:] = np.random.default_rng(0).normal(size=count)
    weight, bias, terms = np.array([2, 3], "f4"), np.zeros(1, "f4"), np.array([[0, 0], [0, 1]])
    y = np.empty(count, "f4")
    called(simd.row_tile)(
        1, weight.ctypes.data, 1, 1, terms.ctypes.data, 2, x.ctypes.data, y.ctypes.data, count, 0, 0,
        bias.ctypes.data, -np.inf, np.inf, count, np.float32(0),
    )  # fmt: skip
    np.testing.assert_allclose(y, 5 * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("left", "with_avx2", "with_avx512"),
    [(50, [24, 24, 2], [48, 2]), (40, [24, 16], [16, 16, 8]), (13, [8, 5], [13]), (0, [], [])],
)
def test_lanes_are_cut_into_register_tiles(left, with_avx2, with_avx512):
    """Tiles of three vectors, with AVX2 of two, of one, and a part of one."""
    found = []
    while left > 0:
        found.append(simd.tile_lanes(left, 4))
        left -= found[-1]
    assert found == (with_avx512 if simd.VECTOR_BYTES == 64 else with_avx2)


@pytest.mark.parametrize("rows", [1, 2, 4, 8])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_of_pixels_are_those_of_numpy(rows, depthwise, dtype):
    """Whatever lies beyond the channels must stay as it is."""
    if rows > simd.ROWS or (depthwise and rows not in (1, simd.ROWS)):
        pytest.skip("no such tile")
    rng = np.random.default_rng(0)
    like, K = dtype(0), 7
    width = simd.VECTOR_BYTES // like.itemsize
    for count in (1, width - 1, *(width * vectors for vectors in simd.WIDTHS)):
        x, w = rng.normal(size=400).astype(dtype), rng.normal(size=(K, count)).astype(dtype)
        offsets, pixels = rng.integers(0, 200, K), rng.integers(0, 100, rows)
        places = (count + 3) * np.arange(rows)[::-1].copy()
        init, bias = rng.normal(size=rows * (count + 3)).astype(dtype), rng.normal(size=count).astype(dtype)
        got, expected = np.full((rows, count + 3), 7, dtype), np.full((rows, count + 3), 7, dtype)
        for tile, y in ((called(simd.pixel_tile), got), (plain.pixel_tile, expected)):
            tile(
                rows, depthwise, x.ctypes.data, pixels.ctypes.data, offsets.ctypes.data, K, w.ctypes.data,
                count, bias.ctypes.data, y.ctypes.data, places.ctypes.data, init.ctypes.data,
                places.ctypes.data, -0.5, 1.5, count, like,
            )  # fmt: skip
        for q in range(rows):
            seen = [x[pixels[q] + o : pixels[q] + o + (count if depthwise else 1)] for o in offsets]
            sums = (np.array(seen, np.float64) * w).sum(axis=0) + bias + init[places[q] :][:count]
            at = places[q] // (count + 3)
            np.testing.assert_allclose(got[at, :count], np.clip(sums, -0.5, 1.5), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        assert (got[:, count:] == 7).all()


def test_a_thread_has_the_scratch_memory_that_it_asks_for():
    for needed in (32, 64, 96, 97, 128, 160):  # each may fit into what was there before, or just not
        start = workers._scratch(needed)
        owned = workers._local.memory
        assert start % workers.ALIGNMENT == 0
        assert owned.ctypes.data <= start
        assert start + needed <= owned.ctypes.data + owned.nbytes


def test_training_by_fit_agrees_with_im2col():
    data = neocog.data.digits()
    histories = []
    for name in ("im2col", "fused"):
        with use_kernels(name):
            network = digits_cnn(42)
            histories.append(
                neocog.fit(
                    network, data, optimizer=neocog.SGD(0.05, momentum=0.9), epochs=2, batch_size=64, rng=1
                )
            )
    for column in ("train_loss", "running_loss", "val_accuracy"):
        np.testing.assert_allclose(histories[0][column], histories[1][column], atol=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("channels", "multiplier"), [(70, 1), (70, 2), (9, 3), (5, 4), (3, 9), (2, 20)])
@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 3), (2, 5)])
def test_depthwise_with_any_multiplier(dtype, channels, multiplier, stride, kernel):
    """Fewer filters a group than a tile has rows, as many, and more; one group a unit, and several."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, channels, 7, 6)).astype(dtype)
    w = rng.normal(size=(channels * multiplier, 1, kernel, kernel)).astype(dtype)
    geometry = ((stride, stride), ((1, 2), (2, 1)), (1, 1), channels)
    results = []
    for backend in ("im2col", "fused"):
        with kernels.use_kernels(backend):
            y = kernels.conv2d(x, w, None, *geometry)
            dy = np.random.default_rng(1).normal(size=y.shape).astype(dtype)
            dx = kernels.conv2d_input(dy, w, x.shape, *geometry)
            results.append([y, dx, kernels.conv2d_weight(x, dy, w.shape, *geometry)])
    for expected, got in zip(*results, strict=True):
        tolerance = {"float32": 1e-4, "float64": 1e-12}[dtype]
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_scratch_memory_is_whole_wherever_a_cache_line_begins(monkeypatch):
    """What is kept for a smaller need is not taken where aligning its start leaves too little."""
    buffer = np.empty(4096, np.uint8)
    first = -buffer.ctypes.data % workers.ALIGNMENT
    for shift in (0, 1, 16, 48, 63):
        monkeypatch.setattr(workers, "_local", threading.local())
        for needed in (0, 100, 200, 199, 256, 300):
            with monkeypatch.context() as patch:
                patch.setattr(np, "empty", lambda size, dtype, at=first + shift: buffer[at:][:size])
                start = workers._scratch(needed)
            kept = workers._local.memory
            assert kept.ctypes.data <= start
            assert start + needed <= kept.ctypes.data + kept.nbytes
            assert start % workers.ALIGNMENT == 0
