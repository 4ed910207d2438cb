"""Every case of every layer in every place: explained, compiled, saved, in PyTorch, in ONNX and more.

What is not possible is named in a list here, and each list is held exact: what became possible leaves it.
"""

import copy
import functools
import inspect
import operator
import pickle

import array_api_strict as strict
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import neocog
from neocog import layers
from neocog.compilation import uncompiled
from neocog.compilation.emitter import _LOWERINGS
from neocog.inspection.rules import Rule
from neocog.interop.onnx.export_graph import WRITERS
from neocog.interop.torch import from_torch
from neocog.interop.torch.registry import MODULES
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD
from neocog.testing import everywhere
from neocog.testing.common import as_list, each

from .cases import LAYERS
from .interop.comparing import worst_difference

every_layer = pytest.mark.parametrize("name", LAYERS)
both_modes = pytest.mark.parametrize("training", [False, True])


def named(*names):
    """List the cases of a name: all of a layer's, or one such as ``Reshape-2``."""
    found = {case for case in LAYERS if case in names or case.rpartition("-")[0] in names}
    assert found
    return found


def case(name):
    make, x = LAYERS[name]
    return make().astype("float64"), copy.deepcopy(x)


def check(concern, name):
    concern(*case(name), np.random.default_rng([1980, 0]))


@every_layer
def test_explained(name):
    check(everywhere.explained, name)


@every_layer
def test_saved_and_loaded(name):
    check(everywhere.saved_and_loaded, name)


@every_layer
def test_in_onnx(name):
    check(everywhere.in_onnx, name)


# PyTorch

# PyTorch's flatten wants an axis to flatten; neocog's makes a column of a vector.
NOT_IN_PYTORCH = {"Flatten-2"}


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's, about its speed
@every_layer
def test_in_pytorch(name):
    if name in NOT_IN_PYTORCH:
        with pytest.raises(IndexError, match="Dimension out of range"):
            check(everywhere.in_pytorch, name)
    else:
        check(everywhere.in_pytorch, name)


def padding(sides):
    """PyTorch's order: the last axis first."""
    (top, bottom), (left, right) = sides
    return left, right, top, bottom


def equal_sides(layer):
    """PyTorch's functions pad both sides alike, in images of any size."""
    if layer.sides is None:
        return None
    (top, bottom), (left, right) = layer.sides
    return (top, left) if (top, left) == (bottom, right) else None


def max_pool(layer):
    options = (layer.kernel_size, layer.stride, equal_sides(layer), layer.dilation, layer.ceil_mode)
    fits = options[2] and all(2 * p <= k for p, k in zip(options[2], layer.kernel_size, strict=True))
    return (lambda x: F.max_pool2d(x, *options)) if fits else None


def avg_pool(layer):
    sides = equal_sides(layer)
    options = (layer.ceil_mode, layer.count_include_pad, layer.divisor_override)
    fits = sides and layer.dilation == (1, 1)
    fits = fits and all(2 * p <= k for p, k in zip(sides, layer.kernel_size, strict=True))
    return (lambda x: F.avg_pool2d(x, layer.kernel_size, layer.stride, sides, *options)) if fits else None


def entries(layer):
    part = slice(layer.start, layer.stop, layer.step)
    return lambda x: x[(slice(None),) * layer.axis + (part,)]


def pad(layer):
    constant = {"value": layer.value} if layer.mode == "constant" else {}
    sides = padding(layer.padding)
    return lambda x: F.pad(x, sides, mode=layer.mode, **constant)


# A layer without parameters as a function of PyTorch; None for options that the function does not have.
FUNCTIONS = {
    "ReLU": lambda layer: F.relu,
    "LeakyReLU": lambda layer: lambda x: F.leaky_relu(x, layer.negative_slope),
    "Hardswish": lambda layer: F.hardswish,
    "Hardsigmoid": lambda layer: None,
    "Clip": lambda layer: lambda x: F.hardtanh(x, *layer.bounds),
    "SiLU": lambda layer: F.silu,
    "ELU": lambda layer: lambda x: F.elu(x, layer.alpha),
    "SELU": lambda layer: F.selu,
    "Softplus": lambda layer: lambda x: F.softplus(x, layer.beta, 40.0),
    "Mish": lambda layer: F.mish,
    "Exp": lambda layer: torch.exp,
    "Sqrt": lambda layer: torch.sqrt,
    "Abs": lambda layer: torch.abs,
    "Power": lambda layer: lambda x: x**layer.exponent,
    "Sigmoid": lambda layer: torch.sigmoid,
    "Tanh": lambda layer: torch.tanh,
    "GELU": lambda layer: lambda x: F.gelu(x, approximate=layer.approximate),
    "Softmax": lambda layer: lambda x: F.softmax(x, dim=layer.axis),
    "LogSoftmax": lambda layer: lambda x: F.log_softmax(x, dim=layer.axis),
    "LocalResponseNorm": lambda layer: (
        lambda x: F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)
    ),
    "MaxPool2D": max_pool,
    "AvgPool2D": avg_pool,
    "Upsample": lambda layer: (
        lambda x: F.interpolate(x, layer.size, layer.scale, layer.mode, layer.align_corners or None)
    ),
    "GlobalAvgPool2D": lambda layer: lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "GlobalMaxPool2D": lambda layer: lambda x: F.adaptive_max_pool2d(x, 1).flatten(1),
    "Flatten": lambda layer: lambda x: torch.flatten(x, 1),
    "Transpose": lambda layer: lambda x: x.permute(layer.axes),
    "Slice": entries,
    "ChannelShuffle": lambda layer: lambda x: F.channel_shuffle(x, layer.groups),
    "Pad2D": pad,
    "PadChannels": lambda layer: lambda x: F.pad(x, (0, 0, 0, 0, 0, layer.channels)),
    "Add": lambda layer: lambda *x: sum(x),
    "Multiply": lambda layer: lambda *x: functools.reduce(operator.mul, x),
    "MatMul": lambda layer: torch.matmul,
    "Maximum": lambda layer: lambda *x: functools.reduce(torch.maximum, x),
    "Minimum": lambda layer: lambda *x: functools.reduce(torch.minimum, x),
    "Mean": lambda layer: lambda x: x.mean(layer.axes, layer.keepdims),
    "Sum": lambda layer: lambda x: torch.sum(x, layer.axes, keepdim=layer.keepdims),
    "Concat": lambda layer: lambda *x: torch.cat(x, layer.axis),
}
WITHOUT_FUNCTION = {
    *("ScaledTanh", "Reshape", "RadialBasis", "Normalize", "Rescale"),  # of several functions
    "Dropout",  # its random numbers differ
    *("ScaledTanh", "Reshape", "RadialBasis", "Normalize"),  # of several functions
    *("Dropout", "StochasticDepth"),  # their random numbers differ
    *("Sequential", "Residual", "Graph"),
}
"""Layers that learn nothing and have no function. Those that learn: tests/interop/test_from_torch.py."""


def test_every_layer_that_learns_nothing_is_a_function_or_named():
    learn = {name.rpartition("-")[0] for name in LAYERS if LAYERS[name][0]().params}
    assert not FUNCTIONS.keys() & (WITHOUT_FUNCTION | learn)
    classes = {name.rpartition("-")[0] for name in LAYERS}
    assert FUNCTIONS.keys() | WITHOUT_FUNCTION | learn == classes


class Function(nn.Module):
    """A function of a fixed number of inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class OfTwo(Function):
    def forward(self, a, b):
        return self.function(a, b)


class OfThree(Function):
    def forward(self, a, b, c):
        return self.function(a, b, c)


@pytest.mark.parametrize("name", sorted(named(*FUNCTIONS) - NOT_IN_PYTORCH))
def test_as_a_function_of_pytorch(name):
    layer, x = case(name)
    function = FUNCTIONS[type(layer).__name__](layer)
    if function is None:
        return
    module = {1: Function, 2: OfTwo, 3: OfThree}[len(as_list(x))](function)
    x = x[0] if isinstance(x, tuple) and len(x) == 1 else x
    network = from_torch(module)
    if isinstance(x, tuple):  # the module is called with its inputs one by one
        inputs = [torch.tensor(part) for part in x]
        np.testing.assert_allclose(network(x), module(*inputs), rtol=1e-10, atol=1e-12)
    else:
        assert worst_difference(network, module, x, training=False) < 1e-10


# The compiled form


def has_compiled_form(network, x, training):
    """Return whether all of a network is one compiled program, without a cut."""
    return not uncompiled(network, x.shape, training)


NOT_COMPILED = {
    *named("SparseConv2D", "RadialBasis", "MatMul", "Softmax", "LogSoftmax"),
    *("MaxPool2D-8", "MaxPool2D-9", "MaxPool2D-11", "AvgPool2D-10", "AvgPool2D-11"),  # dilation
    *("AvgPool2D-7", "AvgPool2D-9"),  # means over a divisor of their own
    "Flatten-2",  # of vectors
    *("Sequential-6", "Graph-1"),  # a layer at two places
}


@both_modes
@every_layer
def test_what_is_compiled(name, training):
    """So that nobody believes a layer to be fast that is not, or the other way round."""
    layer, x = case(name)
    if everywhere.is_vector(x):
        assert name in NOT_COMPILED
        return
    network, rows = everywhere.between(layer, x)
    assert has_compiled_form(network, rows, training) == (name not in NOT_COMPILED)


@every_layer
def test_compiled(name):
    layer, x = case(name)
    if isinstance(layer, layers.Sqrt | layers.Power):  # of what learned layers give
        layer = layers.Sequential(layers.Abs(), layer)
    everywhere.compiled(layer, x, np.random.default_rng([1980, 0]))


PLAIN = bool | int | float | str | tuple | None


def other_settings(name):
    """Yield the settings of the class's other cases under which the layer keeps its shapes."""
    layer, x = case(name)
    shape = layer.output_shape(each(np.shape, x))
    for other in sorted(named(name.rpartition("-")[0]) - {name}):
        twin = LAYERS[other][0]()
        settings = {key: value for key, value in vars(twin).items() if isinstance(value, PLAIN)}
        if isinstance(twin, layers.Container) or settings == {key: getattr(layer, key) for key in settings}:
            continue
        if [a.shape for a in twin.params.values()] != [a.shape for a in layer.params.values()]:
            continue
        changed = copy.deepcopy(layer)
        vars(changed).update(settings)
        try:
            fits = changed.output_shape(each(np.shape, x)) == shape
            changed.forward(x)
        except (ValueError, IndexError):
            continue
        if fits:
            yield other, settings


CHANGES = [
    pytest.param(name, new, id=f"{name}-{other}") for name in LAYERS for other, new in other_settings(name)
]


@pytest.mark.parametrize(("name", "settings"), CHANGES)
def test_settings_that_change_are_not_compiled_in(name, settings):
    """A setting may change after the first step and the first answer: the program takes it over."""
    layer, x = case(name)
    if everywhere.is_vector(x):
        return
    mine, rows = everywhere.between(layer, x)
    twin = copy.deepcopy(mine)
    t = np.arange(mine.output_shape(rows.shape)[0]) % 3
    ours, theirs = SGD(0.1), SGD(0.1)
    with neocog.use_kernels("fused"):
        step = neocog.training.make_step(mine, SoftmaxCrossEntropy(), ours)
    with neocog.use_kernels("reference"):
        plain = neocog.training.make_step(twin, SoftmaxCrossEntropy(), theirs)
    for change in ({}, settings):
        for network in (mine, twin):
            vars(network.children["layer"]).update(change)
        with neocog.use_kernels("fused"):
            value, y = step(rows, t), mine(rows)
        with neocog.use_kernels("reference"):
            assert value == pytest.approx(plain(rows, t), rel=1e-12)
            np.testing.assert_allclose(y, twin(rows), rtol=1e-11, atol=1e-11)


# The array API: a rehearsal for other array libraries


NOT_ON_STRICT_ARRAYS = {"GELU-0", "GELU-2"}  # the array API has no erf


def on_strict_arrays(layer):
    for _, leaf in layer.leaves():
        for arrays in (leaf.params, leaf.buffers):
            arrays.update({name: strict.asarray(array) for name, array in arrays.items()})
    return layer


def check_strict_arrays(layer, x, training):
    """Compare a layer on arrays that allow nothing beyond the array API with itself on NumPy's."""
    layer, twin = copy.deepcopy(layer), on_strict_arrays(copy.deepcopy(layer))
    y, cache = layer.forward(x, training=training)
    dy = np.random.default_rng(0).normal(size=y.shape)
    dx, grads = layer.backward(dy, cache)
    strict_y, strict_cache = twin.forward(each(strict.asarray, x), training=training)
    strict_dx, strict_grads = twin.backward(strict.asarray(dy), strict_cache)
    expected = [y, *as_list(dx), *grads.values(), *layer.buffers.values()]
    got = [strict_y, *as_list(strict_dx), *(strict_grads[name] for name in grads), *twin.buffers.values()]
    for mine, wanted in zip(got, expected, strict=True):
        assert type(mine) is type(strict.asarray(0.0)), f"an array became a {type(mine)}"
        np.testing.assert_allclose(np.from_dlpack(mine), wanted, rtol=1e-14, atol=1e-14)


@both_modes
@every_layer
def test_on_strict_arrays(name, training):
    if name in NOT_ON_STRICT_ARRAYS:
        with pytest.raises((TypeError, AssertionError), match=r"(?i)numpy"):
            check_strict_arrays(*case(name), training)
    else:
        check_strict_arrays(*case(name), training)


# What is written and copied


@every_layer
def test_repr_and_pickle(name):
    """What is printed builds the layer again; a copy is the same layer."""
    layer, x = case(name)
    expected = layer.forward(x)[0]
    twin = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(twin.forward(x)[0], expected)
    built = eval(repr(layer), vars(layers)).astype("float64")
    assert repr(built) == repr(layer)
    if built.params.keys() == layer.params.keys():  # a layer at two places is printed as two
        built.load(layer.params, layer.buffers)
        np.testing.assert_array_equal(built.forward(x)[0], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_layer
def test_dtype_of_inference(name, dtype):
    """``astype`` makes a copy that computes in the type; the layer it came from stays."""
    layer, x = case(name)
    before = {key: array.copy() for key, array in {**layer.params, **layer.buffers}.items()}
    typed = layer.astype(dtype)
    inputs = each(lambda part: part.astype(dtype), x)
    y = typed.forward(inputs)[0]
    assert y.dtype == dtype
    np.testing.assert_allclose(y, layer.forward(x)[0], rtol=1e-5, atol=1e-5)
    for array in {**typed.params, **typed.buffers}.values():
        array += 1
    for key, array in {**layer.params, **layer.buffers}.items():
        np.testing.assert_array_equal(array, before[key])


def test_every_public_layer_is_here():
    classes = {name.rpartition("-")[0] for name in LAYERS}
    bases = {"Layer", "Container", "Elementwise"}
    assert classes == {n for n in layers.__all__ if inspect.isclass(getattr(layers, n))} - bases


@pytest.mark.parametrize(
    "name", [n for n in layers.__all__ if n not in ("Layer", "Container", "Elementwise")]
)
def test_an_entry_stands_in_a_file_of_the_family_name(name):
    cls = getattr(layers, name)
    entries = [type(Rule.registered.get(cls)), type(_LOWERINGS.get(cls)), WRITERS.get(cls), MODULES.get(cls)]
    floors = "neocog.inspection.rules", "neocog.compilation.lowerings", "neocog.interop.onnx.operators"
    family = cls.__module__.removeprefix("neocog.layers.").partition(".")[0]  # a file, or a folder of files
    for entry, floor in zip(entries, (*floors, "neocog.interop.torch.operators"), strict=True):
        place = getattr(entry, "__module__", "builtins")
        # A row of the table of what PyTorch has one to one has no file of its own.
        assert place in ("builtins", "neocog.interop.torch.layers", f"{floor}.{family}")
    if not issubclass(cls, layers.Container):
        assert cls in WRITERS
