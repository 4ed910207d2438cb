"""Networks as modules of PyTorch: the same numbers, gradients and names; and their weights back."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from neocog import models
from neocog.interop.torch import from_torch, load_from_torch, register_layer, to_torch
from neocog.interop.torch.layer_modules import LayerModule
from neocog.interop.torch.registry import MODULES
from neocog.layers import (
    Add,
    AvgPool2D,
    BatchNorm2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Graph,
    Layer,
    MaxPool2D,
    RadialBasis,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Tanh,
)

from .comparing import weights_of, without_dropout, worst_difference

MODELS = {
    "tiny_cnn": (models.tiny_cnn, {}),
    "tiny_mlp": (models.tiny_mlp, {}),
    "digits_cnn": (models.digits_cnn, {}),
    "small_cnn": (models.small_cnn, {}),
    "lenet5": (models.lenet5, {}),
    "lenet5_1998": (models.lenet5_1998, {}),
    "alexnet_one_tower": (models.alexnet_one_tower, {"classes": 3, "image_shape": (3, 63, 63)}),
    "vgg11": (models.vgg11, {"classes": 3, "image_shape": (3, 32, 32)}),
    "resnet18": (models.resnet18, {"classes": 3, "image_shape": (3, 48, 48)}),
    "resnet50": (models.resnet50, {"classes": 3, "image_shape": (3, 48, 48)}),
    "resnet_cifar": (models.resnet_cifar, {"depth": 8}),
}


LARGE = ("vgg11", "resnet18")
"""Made of the same layers, blocks and groups as the others."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name in LARGE else name for name in MODELS]
)
def test_models(name):
    make, arguments = MODELS[name]
    seed = {"seed": 0} if name in ("tiny_cnn", "tiny_mlp", "digits_cnn", "small_cnn") else {"rng": 0}
    network = without_dropout(make(**arguments, **seed).astype("float64"))
    x = np.random.default_rng(1).normal(size=(3, *network.input_shape))
    module = to_torch(network)
    back = from_torch(module, network.input_shape)
    assert repr(back) == repr(network)
    assert back.input_shape == network.input_shape
    np.testing.assert_array_equal(back(x), network(x))
    assert worst_difference(network, module, x, training=False) < 1e-10
    if any(isinstance(layer, BatchNorm2D) for _, layer in network.leaves()):
        assert worst_difference(network, module, x, training=True) < 1e-10


def test_several_inputs():
    network = Graph({"sum": (Add(), "a", "tanh"), "tanh": (Tanh(), "b")}, inputs=("a", "b"), output="sum")
    module = to_torch(network)
    a, b = torch.ones(2, 3), torch.full((2, 3), 0.5)
    for y in (module(a, b), module((a, b))):
        np.testing.assert_allclose(y, network((a.numpy(), b.numpy())), rtol=1e-6)
    assert repr(from_torch(module)) == repr(network)


def test_names_are_the_state_dict():
    network = models.resnet_cifar(8, rng=0)
    state = to_torch(network).state_dict()
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert state.keys() - counters == {*network.params, *network.buffers}
    assert len(counters) == sum(isinstance(layer, BatchNorm2D) for _, layer in network.leaves())
    for name, array in weights_of(network).items():
        np.testing.assert_array_equal(state[name].numpy(), array)


def test_idiomatic():
    """PyTorch's own classes with their own arguments, to go on with."""
    network = Sequential(conv=Conv2D(1, 4, 3, padding=1), pool=MaxPool2D(2), flat=Flatten(), fc=Dense(4, 2))
    module = to_torch(network)
    assert [type(each) for each in module] == [nn.Conv2d, nn.MaxPool2d, nn.Flatten, nn.Linear]
    assert (module.conv.padding, module.fc.in_features, module.fc.out_features) == ((1, 1), 4, 2)
    assert module.conv.weight.requires_grad
    assert module.fc.weight.is_contiguous()


def test_neither_shares_memory_nor_draws():
    network = models.tiny_cnn(seed=0)
    before = torch.random.get_rng_state()
    module = to_torch(network)
    assert torch.equal(torch.random.get_rng_state(), before)
    old = {name: array.copy() for name, array in network.params.items()}
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    for name, array in network.params.items():
        np.testing.assert_array_equal(array, old[name])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtype(dtype):
    module = to_torch(Sequential(Dense(3, 2, dtype=dtype), ReLU()))
    assert module(torch.ones(1, 3, dtype=getattr(torch, dtype))).dtype == getattr(torch, dtype)


def test_shared_layers_and_arrays():
    conv = Conv2D(2, 2, 3, padding=1, rng=0)
    other = Conv2D(2, 2, 3, padding=1, rng=1)
    other.params["weight"] = conv.params["weight"]
    module = to_torch(Sequential(first=conv, relu=ReLU(), again=conv, other=other))
    assert module.first is module.again
    assert module.other.weight is module.first.weight
    assert [name for name, _ in module.named_parameters()] == ["first.weight", "first.bias", "other.bias"]


def test_arrays_that_cannot_be_shared():
    """A dense weight is transposed there, a buffer not learned."""
    dense, other, centers = Dense(2, 2), Dense(2, 2), RadialBasis(2, 2)
    other.params["bias"] = dense.params["weight"]
    with pytest.raises(ValueError, match=r"layer '1' \(Dense\) shares an array with a layer whose array"):
        to_torch(Sequential(dense, other))
    centers.buffers["centers"] = dense.params["weight"]
    with pytest.raises(ValueError, match=r"layer '1' \(RadialBasis\) shares an array"):
        to_torch(Sequential(dense, centers))


def test_dropout_drops_as_often():
    module = to_torch(Sequential(Dropout(0.25))).train()
    torch.manual_seed(0)
    y = module(torch.ones(100_000))
    assert set(y.tolist()) == {0.0, float(np.float32(1 / 0.75))}
    assert (y == 0).float().mean() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(module.eval()(torch.ones(5)), torch.ones(5))


def test_what_pytorch_users_do():
    """Save, copy, pickle, trace, move to another type; the graph's forward is plain code."""
    network = models.resnet_cifar(8, rng=0)
    module = to_torch(network)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = module(x)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    twin = to_torch(models.resnet_cifar(8, rng=1))
    twin.load_state_dict(torch.load(file, weights_only=True))
    whole = io.BytesIO()
    torch.save(module, whole)
    whole.seek(0)
    for other in (
        twin,
        copy.deepcopy(module),
        torch.fx.symbolic_trace(module),
        torch.load(whole, weights_only=False),
    ):
        torch.testing.assert_close(other(x), expected, rtol=0, atol=0)
    torch.testing.assert_close(
        copy.deepcopy(module).double()(x.double()), expected.double(), rtol=1e-4, atol=1e-5
    )
    assert "conv1 -> bn1" in repr(module)


# The weights back


def test_load_from_torch():
    """Training in PyTorch, the weights and statistics back: the same network, in the same arrays."""
    network = models.resnet_cifar(8, rng=0)
    arrays = {**network.params, **network.buffers}
    module = to_torch(network).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), torch.arange(4)).backward()
        optimizer.step()
    before = network(x.numpy())
    load_from_torch(network, module)
    assert all({**network.params, **network.buffers}[name] is array for name, array in arrays.items())
    expected = module.eval()(x).detach().numpy()
    assert np.abs(before - expected).max() > 0.1
    np.testing.assert_allclose(network(x.numpy()), expected, rtol=1e-4, atol=1e-5)


def compiled(module):
    return torch.compile(module, backend="eager")


@pytest.mark.parametrize(
    "wrap", [compiled, nn.DataParallel, lambda module: compiled(nn.DataParallel(module))]
)
def test_load_from_torch_of_what_is_wrapped(wrap):
    """The names are those of the module within."""
    network, other = (Sequential(a=Dense(3, 2, rng=k), b=Dense(2, 2, rng=k)) for k in range(2))
    load_from_torch(network, wrap(to_torch(other)))
    for name, array in other.params.items():
        np.testing.assert_array_equal(network.params[name], array)
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got None"):
        load_from_torch(network, None)


def test_load_from_torch_refuses_what_does_not_fit():
    network = Sequential(a=Dense(3, 2, rng=0), b=Dense(2, 2, rng=1))
    old = {name: array.copy() for name, array in network.params.items()}
    for wrong in (
        to_torch(Sequential(a=Dense(3, 2), c=Dense(2, 2))),
        to_torch(Sequential(a=Dense(2, 3), b=Dense(2, 2))),
        to_torch(Sequential(a=Dense(3, 2), b=Dense(2, 2, bias=False))),
    ):
        with pytest.raises(ValueError, match="parameter"):
            load_from_torch(network, wrong)
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got {}"):
        load_from_torch(network, {})
    for name, array in network.params.items():
        np.testing.assert_array_equal(array, old[name])


# Layers of one's own


class Swish(Layer):
    """``x sigmoid(b x)``."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self._params["slope"] = np.linspace(1, 2, features)

    def forward(self, x, training=False):
        s = 1 / (1 + np.exp(-self._params["slope"] * x))
        return x * s, (x, s)

    def backward(self, dy, cache, input_grad=True):
        x, s = cache
        ds = dy * x * s * (1 - s)
        return dy * s + ds * self._params["slope"], {"slope": (ds * x).sum(axis=0)}


class SwishModule(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.slope = nn.Parameter(torch.empty(features))

    def forward(self, x):
        return x * torch.sigmoid(self.slope * x)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.delitem(MODULES, Swish, raising=False)


def test_a_layer_of_ones_own(registered):
    network = Sequential(Dense(3, 4, rng=0, dtype="float64"), Swish(4))
    register_layer(Swish)(lambda layer: SwishModule(layer.features))
    x = np.random.default_rng(0).normal(size=(5, 3))
    module = to_torch(network)
    assert worst_difference(network, module, x, training=True) < 1e-10
    nn.init.constant_(module[1].slope, 3.0)
    load_from_torch(network, module)
    np.testing.assert_array_equal(network.params["1.slope"], [3, 3, 3, 3])


def test_a_registered_module_must_fit(registered):
    register_layer(Swish)(lambda layer: SwishModule(1))
    with pytest.raises(
        ValueError, match=r"for Swish must have tensors .*'slope': \(4,\).*, got .*'slope': \(1,\)"
    ):
        to_torch(Swish(4))
    register_layer(Swish)(lambda layer: nn.SiLU())
    with pytest.raises(ValueError, match=r"for layer 'act' \(Swish\) must have .*, got {}"):
        to_torch(Sequential(act=Swish(4)))
    register_layer(Swish)(lambda layer: nn.Linear(4, 4))
    with pytest.raises(ValueError, match=r"for Swish must have .*'slope'.*, got {'weight'"):
        to_torch(Swish(4))


def test_subclasses():
    """A class that computes as its base is carried as its base; one that does not calls its own code."""

    class Named(ReLU):
        pass

    class Doubled(ReLU):
        def forward(self, x, training=False):
            y, cache = super().forward(x, training)
            return 2 * y, cache

    class Net(Sequential):
        pass

    class Strange(Sequential):
        def forward(self, x, training=False):
            return super().forward(-x, training)

    class Block(Residual):
        pass

    class Moved(MaxPool2D):
        def window_sides(self, x_shape):  # its base's forward asks for them
            return ((0, 1), (0, 1))

    class Declared(ReLU):
        @staticmethod
        def function(xp, x):  # its base's forward asks nobody for it
            return 3 * x

    class Reversed(Tanh):
        def backward(self, dy, cache, input_grad=True):
            return -super().backward(dy, cache)[0], {}

    module = to_torch(Net(Named(), Block(Named())))
    assert isinstance(module, nn.Sequential)
    assert isinstance(module[0], nn.ReLU)
    x = torch.tensor([-1.0, 2.0])
    for own, wanted in ((Doubled(), [0, 4]), (Strange(ReLU()), [1, 0])):
        assert isinstance(to_torch(own), LayerModule)
        assert to_torch(own)(x).tolist() == wanted
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    for own in (Moved(3, 1), Declared(), Reversed()):
        assert worst_difference(own, to_torch(own), x, training=True) < 1e-12


@pytest.mark.parametrize(
    ("shape", "wanted"), [((0, -1), (0, 12)), ((0, -1, 2), (0, 6, 2)), ((-1, 4), (0, 4))]
)
def test_a_reshape_of_no_images(shape, wanted):
    x = np.zeros((0, 3, 4), np.float32)
    module = to_torch(Reshape(shape))
    assert tuple(module(torch.from_numpy(x)).shape) == wanted == Reshape(shape)(x).shape
    followed = torch.fx.symbolic_trace(module)  # sizes are not known to be numbers there
    assert tuple(followed(torch.from_numpy(x)).shape) == wanted


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "padding"),
    [(3, 2, 2), (3, 2, 1), (3, 3, 3), (2, 3, 2), ((3, 2), 3, 2), (2, 1, 1)],
)
def test_wide_padding_of_dilated_pooling(kernel_size, dilation, padding):
    """Half a dilated window is more than PyTorch's pooling allows, which is half the kernel."""
    network = Sequential(MaxPool2D(kernel_size, 2, padding=padding, dilation=dilation))
    x = np.random.default_rng(0).normal(size=(2, 2, 8, 8))
    assert worst_difference(network, to_torch(network), x, training=False) < 1e-10
    # By PyTorch, the padding first, by itself.
    padded = nn.functional.pad(torch.tensor(x), (padding,) * 4, value=-torch.inf)
    wanted = nn.functional.max_pool2d(padded, kernel_size, 2, dilation=dilation)
    torch.testing.assert_close(to_torch(network)(torch.tensor(x)), wanted, rtol=0, atol=0)
    assert repr(from_torch(to_torch(network))) == repr(network)


ODD_POOLS = {
    "average": lambda: AvgPool2D(3, 2, ((1, 0), (0, 1))),
    "average of pixels": lambda: AvgPool2D(3, 2, ((1, 0), (0, 1)), count_include_pad=False),
    "average, ceil": lambda: AvgPool2D(3, 2, ((1, 0), (0, 1)), ceil_mode=True),
    "maximum, ceil": lambda: MaxPool2D(3, 2, ((1, 0), (0, 1)), ceil_mode=True),
}


@pytest.mark.parametrize("name", ODD_POOLS)
def test_exported_with_any_batch(name):
    """The numbers of images and channels are symbols there, the sizes of maps are not."""
    network = Sequential(ODD_POOLS[name]())
    batch = {0: torch.export.Dim("N", min=1, max=64)}
    program = torch.export.export(to_torch(network), (torch.zeros(2, 3, 8, 7),), dynamic_shapes=[batch])
    for N in (1, 5):
        x = np.random.default_rng(N).normal(size=(N, 3, 8, 7)).astype(np.float32)
        y = program.module()(torch.from_numpy(x))
        np.testing.assert_allclose(y.numpy(), network(x), rtol=1e-6, atol=1e-6)


def test_class_names_and_input_shape_travel():
    network = models.digits_cnn(seed=0)
    network.class_names = tuple("abcdefghij")
    module = to_torch(network)
    assert (module.class_names, module.input_shape) == (network.class_names, (1, 8, 8))
    back = from_torch(module)
    assert (back.class_names, back.input_shape) == (network.class_names, (1, 8, 8))
    assert list(module.state_dict()) == list(network.params)
    assert not hasattr(to_torch(Tanh()), "class_names")


def test_only_notes_of_our_own_are_read():
    """An attribute of somebody else's module may mean anything."""

    class Theirs(nn.Module):
        input_shape = class_names = None

        def __init__(self):
            super().__init__()
            self.input_shape, self.class_names = (32, 32), 7

        def forward(self, x):
            return torch.tanh(torch.relu(x))

    back = from_torch(Theirs())
    assert (back.class_names, back.input_shape) == (None, None)
    both = Graph({"add": (Add(), "a", "b")}, inputs=("a", "b"))
    both.input_shape = (1, 2, 2)
    assert from_torch(to_torch(both)).input_shape is None


def test_bad_arguments():
    with pytest.raises(TypeError, match="network must be a neocog Layer, got 3"):
        to_torch(3)
    with pytest.raises(
        ValueError, match=r"Sequential: attribute 'train' already exists; give the layer another"
    ):
        to_torch(Sequential(train=Tanh()))
    with pytest.raises(ValueError, match=r"layer 'in' \(Graph\): attribute 'half' already exists"):
        to_torch(Sequential(**{"in": Graph({"half": (Tanh(), "input"), "add": (Add(), "half", "input")})}))
    with pytest.raises(TypeError, match="longdouble"):
        to_torch(Dense(2, 2, dtype=np.longdouble))
