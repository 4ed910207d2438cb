"""Layers of a user's own in PyTorch, of which neither library knows more than forward and backward."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import neocog
from neocog.interop.torch import (
    UnsupportedError,
    counterpart,
    from_torch,
    layer_modules,
    load_from_torch,
    to_torch,
)
from neocog.interop.torch.layer_modules import ElementwiseModule, LayerModule
from neocog.layers import (
    Add,
    BatchNorm2D,
    Container,
    Conv2D,
    Dense,
    Elementwise,
    Flatten,
    Graph,
    Layer,
    LeakyReLU,
    Pad2D,
    ReLU,
    Residual,
    Sequential,
)

from .comparing import worst_difference


class Softsign(Elementwise):
    """``s x / (s + |x|)``."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    @staticmethod
    def function(xp, x, scale):
        return scale * x / (scale + xp.abs(x))

    @staticmethod
    def derivative(xp, x, scale):
        return scale**2 / (scale + xp.abs(x)) ** 2


class Swish(Layer):
    """``x sigmoid(b x)``."""

    def __init__(self, features, dtype="float64"):
        super().__init__()
        self.features = features
        self._params["slope"] = np.linspace(1, 2, features, dtype=dtype)

    def forward(self, x, training=False):
        s = 1 / (1 + np.exp(-self._params["slope"] * x))
        return x * s, (x, s)

    def backward(self, dy, cache, input_grad=True):
        x, s = cache
        ds = dy * x * s * (1 - s)
        dx = dy * s + ds * self._params["slope"] if input_grad else None
        return dx, {"slope": (ds * x).sum(axis=0)}


class Centre(Layer):
    """``x - m``: in training the batch's mean, which moves a running one, else that one."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self._buffers["mean"] = np.zeros(features)
        self._buffers["count"] = np.zeros(())

    def forward(self, x, training=False):
        if not training:
            return x - self._buffers["mean"], False
        mean = x.mean(axis=0)
        self._buffers["mean"] = 0.5 * self._buffers["mean"] + 0.5 * mean  # put in its place
        self._buffers["count"] += 1  # written in place
        return x - mean, True

    def backward(self, dy, cache, input_grad=True):
        return dy - dy.mean(axis=0) if cache else dy, {}


class Product(Layer):
    """``a b`` of two inputs."""

    several_inputs = True

    def forward(self, x, training=False):
        a, b = x
        return a * b, x

    def backward(self, dy, cache, input_grad=True):
        a, b = cache
        return ((dy * b, dy * a) if input_grad else None), {}

    def output_shape(self, input_shape):
        return input_shape[0]


class Noise(Layer):
    """Adds noise in training."""

    def __init__(self, scale, rng=None):
        super().__init__()
        self.scale, self.rng = scale, np.random.default_rng(rng)

    def forward(self, x, training=False):
        return (x + self.scale * self.rng.normal(size=x.shape) if training else x), None

    def backward(self, dy, cache, input_grad=True):
        return dy, {}


class Doubled(Container):
    """``2 inner(x)``, by a forward of its own."""

    def __init__(self, inner):
        super().__init__({"inner": inner})

    def flow(self, visit, x):
        return visit("inner", self.children["inner"], x)

    def forward(self, x, training=False):
        y, cache = self.children["inner"].forward(x, training)
        return 2 * y, cache

    def backward(self, dy, cache, input_grad=True):
        dx, grads = self.children["inner"].backward(2 * dy, cache, input_grad)
        return dx, {f"inner.{name}": gradient for name, gradient in grads.items()}

    def config(self):
        return {"inner": self.children["inner"]}


def doubled_block():
    conv = Conv2D(2, 3, 3, padding=1, rng=0, dtype="float64")
    norm = BatchNorm2D(3, dtype="float64")
    return Doubled(Sequential(conv=conv, norm=norm, flat=Flatten(), fc=Dense(48, 2, rng=1, dtype="float64")))


RNG = np.random.default_rng(1)
CASES = {
    "elementwise": (lambda: Sequential(Dense(3, 4, rng=0, dtype="float64"), Softsign(2.0)), (5, 3)),
    "parameters": (lambda: Sequential(Dense(3, 4, rng=0, dtype="float64"), Swish(4)), (5, 3)),
    "buffers": (lambda: Sequential(Centre(3), Swish(3)), (5, 3)),
    "several inputs": (
        lambda: Graph({"a": (Swish(3), "input"), "b": (Centre(3), "input"), "c": (Product(), "a", "b")}),
        (5, 3),
    ),
    "alone": (lambda: Swish(3), (5, 3)),
    "container": (doubled_block, (2, 2, 4, 4)),
    "container in a network": (lambda: Sequential(doubled_block(), Swish(2)), (2, 2, 4, 4)),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_same_in_pytorch(name, training):
    """Outputs, gradients and buffers, under the same names; and the layers again on the way back."""
    make, shape = CASES[name]
    network = make()
    module = to_torch(network)
    assert [key for key, _ in module.named_parameters()] == list(network.params)
    assert worst_difference(network, module, RNG.normal(size=shape), training) < 1e-12
    back = from_torch(module)
    assert repr(back) == repr(network)
    for key, array in {**network.params, **network.buffers}.items():
        np.testing.assert_allclose({**back.params, **back.buffers}[key], array, rtol=1e-14)


def test_gradients_by_finite_differences():
    """PyTorch's own check of what the layer says, the second derivative of a declared function included."""
    x = torch.tensor(RNG.normal(size=(4, 3)), requires_grad=True)
    assert torch.autograd.gradcheck(to_torch(Sequential(Swish(3), Centre(3))), (x,))
    assert torch.autograd.gradcheck(to_torch(Softsign(0.5)), (x,))
    assert torch.autograd.gradgradcheck(to_torch(Softsign(0.5)), (x,))
    with pytest.raises(UnsupportedError, match="Swish computes its own gradients, which cannot be diff"):
        torch.autograd.grad(to_torch(Swish(3))(x).sum(), x, create_graph=True)


def test_worked_by_hand():
    """softsign(3) = 3/4 and its slope 1/16; swish with slope 0 is x/2, and dy/db = x^2/4."""
    x = torch.tensor([[3.0]], dtype=torch.float64, requires_grad=True)
    y = to_torch(Softsign())(x)
    y.backward()
    assert (y.item(), x.grad.item()) == (0.75, 0.0625)
    module = to_torch(Swish(1))
    nn.init.zeros_(module.slope)
    x.grad = None
    y = module(x)
    y.backward()
    assert (y.item(), x.grad.item(), module.slope.grad.item()) == (1.5, 0.5, 2.25)


def test_buffers_move_in_training_only():
    module = to_torch(Centre(2))
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64)
    module(x)
    assert module.mean.tolist() == [0, 0]
    module.train()
    for wanted in ([1, 2], [1.5, 3]):  # halfway to (2, 4)
        with torch.no_grad():
            assert not module(x).requires_grad
        assert module.mean.tolist() == wanted
    assert module.count.item() == 2
    assert [*module.state_dict()] == ["mean", "count"]


def test_only_what_needs_a_gradient_gets_one():
    module = to_torch(Swish(3))
    x = torch.ones(2, 3, dtype=torch.float64)
    module(x).sum().backward()  # no dx
    module.slope.requires_grad_(False)
    assert not module(x).requires_grad
    x.requires_grad_()
    module.slope.grad = None
    module(x).sum().backward()
    assert module.slope.grad is None
    assert x.grad is not None


def test_what_is_written_over_is_noticed():
    """An in-place step between forward and backward would give wrong gradients; PyTorch says so."""
    module = to_torch(Swish(3))
    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    y = module(x)
    y.relu_()  # the output is a copy, of which nothing depends
    y = module(x)
    with torch.no_grad():
        module.slope.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_two_calls_before_one_backward():
    """The cache of each call is its own, as are the weights that ``functional_call`` lends it."""
    module = to_torch(Swish(1))
    a, b = (torch.tensor([[v]], dtype=torch.float64, requires_grad=True) for v in (3.0, 5.0))
    zero, other = (
        {"slope": torch.full((1,), v, dtype=torch.float64, requires_grad=True)} for v in (0.0, 9.0)
    )
    first = torch.func.functional_call(module, zero, (a,))
    second = torch.func.functional_call(module, other, (b,))
    first.backward()
    assert (a.grad.item(), zero["slope"].grad.item()) == (0.5, 2.25)
    second.backward()
    assert a.grad.item() == 0.5


def test_dtypes():
    module = to_torch(Swish(3, "float32"))
    x = torch.ones(2, 3)
    assert module(x).dtype == torch.float32
    module = module.double()
    y = module(x.double())
    assert y.dtype == torch.float64
    np.testing.assert_allclose(y.detach(), Swish(3)(np.ones((2, 3))), rtol=1e-7)  # slopes were rounded
    assert from_torch(module).params["slope"].dtype == "float64"


@pytest.mark.parametrize("name", ["elementwise", "parameters", "buffers", "container"])
def test_copied_pickled_saved(name):
    make, shape = CASES[name]
    module = to_torch(make())
    x = torch.tensor(RNG.normal(size=shape))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.5
    wanted = module(x)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    twin = to_torch(make())
    twin.load_state_dict(torch.load(file, weights_only=True))
    for other in (twin, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(other(x), wanted, rtol=0, atol=0)
        for parameter in other.parameters():
            nn.init.zeros_(parameter)
    torch.testing.assert_close(module(x), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_the_weights_back(name):
    make, shape = CASES[name]
    network = make()
    old = {key: array.copy() for key, array in network.params.items()}
    module = to_torch(network).train()
    x = torch.tensor(np.random.default_rng(0).normal(size=shape))
    optimizer = torch.optim.SGD([*module.parameters(), torch.zeros(1, requires_grad=True)], 1e-3)
    module(x).square().sum().backward()
    optimizer.step()
    for key, array in old.items():  # the module has its own
        np.testing.assert_array_equal(network.params[key], array)
    load_from_torch(network, module)
    np.testing.assert_allclose(network(x.numpy()), module.eval()(x).detach(), rtol=1e-12)


def test_shared_arrays():
    """One that two layers within share, and one that stands outside as well."""
    dense = Dense(3, 3, bias=False, rng=0, dtype="float64")
    inside = Doubled(Sequential(a=dense, b=Swish(3), c=dense))
    other = Dense(3, 3, bias=False, dtype="float64")
    other.params["weight"] = dense.params["weight"]
    network = Sequential(inside=inside, other=other)
    module = to_torch(network)
    assert [key for key, _ in module.named_parameters()] == list(network.params)
    assert module.other.weight is module.inside.inner.a.weight
    assert worst_difference(network, module, RNG.normal(size=(4, 3)), True) < 1e-12
    np.testing.assert_array_equal(from_torch(module)(np.eye(3)), network(np.eye(3)))


def test_one_layer_twice():
    """Two calls of one module, each with a cache of its own; the gradients add."""
    swish = Swish(3)
    network = Sequential(first=swish, centre=Centre(3), again=swish)
    module = to_torch(network)
    assert module.first is module.again
    assert worst_difference(network, module, RNG.normal(size=(4, 3)), True) < 1e-12
    back = from_torch(module)
    assert back["first"] is back["again"]


def test_nested_copies_of_one_array():
    first, second = Swish(3), Swish(3)
    second.params["slope"] = first.params["slope"]
    network = Doubled(Sequential(first, second))
    module = to_torch(network)
    assert worst_difference(network, module, RNG.normal(size=(4, 3)), True) < 1e-12
    back = from_torch(module)
    assert list(back.params) == ["inner.0.slope"]
    np.testing.assert_array_equal(back(np.eye(3)), network(np.eye(3)))


@pytest.mark.parametrize("name", ["elementwise", "parameters", "buffers", "container in a network"])
def test_training_by_pytorchs_engine(name):
    """The same run, to the last rounding, under either engine."""
    make, shape = CASES[name]
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, *shape[1:])), rng.integers(2, size=40)
    networks = [make(), make()]
    histories = [
        neocog.fit(network, (x, y), epochs=3, batch_size=16, rng=0, engine=engine)
        for network, engine in zip(networks, ("neocog", "torch"), strict=True)
    ]
    np.testing.assert_allclose(histories[0]["train_loss"], histories[1]["train_loss"], rtol=1e-9)
    first, second = ({**network.params, **network.buffers} for network in networks)
    for key, array in first.items():
        np.testing.assert_allclose(second[key], array, atol=1e-10, err_msg=key)


def test_random_numbers_are_the_layers_own(tmp_path):
    """Drawn under PyTorch's engine they are the same as under neocog's, and a run that stops resumes."""
    rng = np.random.default_rng(3)
    data = rng.normal(size=(24, 3)), rng.integers(2, size=24)

    def train(epochs, engine, resume=None):
        network = Sequential(Noise(0.5, rng=7), Dense(3, 2, rng=0, dtype="float64"))
        saved = neocog.training.Checkpoint(tmp_path / "c.neocog")
        neocog.fit(
            network, data, epochs=epochs, batch_size=8, rng=0, engine=engine, callbacks=[saved], resume=resume
        )
        return network.params["1.weight"]

    wanted = train(3, "neocog")
    np.testing.assert_allclose(train(3, "torch"), wanted, rtol=1e-10)
    train(1, "torch")
    np.testing.assert_allclose(train(3, "torch", tmp_path / "c.neocog"), wanted, rtol=1e-10)


def test_a_base_with_another_function_is_not_taken_for_it():
    class Sharper(Softsign):
        @staticmethod
        def function(xp, x, scale):
            return Softsign.function(xp, 3 * x, scale)

    class Own(Softsign):
        def forward(self, x, training=False):
            return 7 * x, x

    class Both(Elementwise):
        @staticmethod
        def function(xp, x):
            return 3 * x

        def forward(self, x, training=False):
            return 3 * x, None

    neocog.interop.torch.register_layer(Softsign)(lambda layer: nn.Softsign())
    try:
        assert isinstance(to_torch(Softsign()), nn.Softsign)
        x = torch.tensor([1.0])
        for layer, kind, y in (
            (Sharper(), ElementwiseModule, 0.75),
            (Own(), LayerModule, 7.0),
            (Both(), LayerModule, 3.0),  # its forward may be anything
        ):
            assert type(to_torch(layer)) is kind
            assert to_torch(layer)(x).item() == y
    finally:
        del neocog.interop.torch.registry.MODULES[Softsign]


def test_no_export():
    """A declared function is exported as any other; a layer's own code refuses in a sentence."""
    x = torch.ones(2, 3, dtype=torch.float64)
    program = torch.export.export(to_torch(Softsign()), (x,))
    assert program.module()(x).tolist() == [[0.5] * 3] * 2
    module = to_torch(Swish(3))
    message = (
        "Swish computes on NumPy arrays, which cannot be exported; define its module in PyTorch: @neocog"
    )
    with pytest.raises(UnsupportedError, match=message):
        torch.export.export(module, (x,))
    with pytest.raises(Exception, match=message):
        torch.onnx.export(module, (x,), io.BytesIO(), verbose=False)
    with pytest.raises(TypeError, match="x must be a tensor or a tuple of tensors, got Proxy"):
        torch.fx.symbolic_trace(module)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch's own, where a graph breaks
@pytest.mark.parametrize("name", ["elementwise", "parameters", "container in a network"])
def test_compiled(name):
    """What torch.compile cannot see through, it leaves alone."""
    make, shape = CASES[name]
    compiled = torch.compile(to_torch(make()), backend="eager")
    x = RNG.normal(size=shape)
    np.testing.assert_allclose(compiled(torch.tensor(x)).detach(), make()(x), rtol=1e-12)


def test_notes_travel():
    network = doubled_block()
    network.class_names, network.input_shape = ("a", "b"), (2, 4, 4)
    back = from_torch(to_torch(network))
    assert (back.class_names, back.input_shape) == (("a", "b"), (2, 4, 4))


def test_arrays_elsewhere_are_refused():
    class Hidden(Layer):
        params = property(lambda self: {"w": np.ones(2)})

    named_half = Swish(2)
    named_half.params["half"] = named_half.params.pop("slope")
    with pytest.raises(UnsupportedError, match=r"Hidden holds the arrays \['w'\] elsewhere"):
        to_torch(Hidden())
    with pytest.raises(ValueError, match="attribute 'half' already exists; give the layer another name"):
        to_torch(named_half)


def test_counterpart():
    wanted = {
        LeakyReLU: "nn.LeakyReLU",
        Dense: "nn.Linear",
        Add: "modules.Add",
        Pad2D: "nn.ConstantPad2d or nn.ReflectionPad2d or nn.ReplicationPad2d or nn.CircularPad2d",
        Sequential: "nn.Sequential",
        Residual: "modules.Residual",
        Graph: "modules.Graph",
        Softsign: "function(torch, x)",
        Swish: "autograd Function",
        Doubled: "autograd Function",
        type("Named", (ReLU,), {}): "nn.ReLU",
    }
    assert {layer: counterpart(layer) for layer in wanted} == wanted
    for name in neocog.layers.__all__:
        layer = getattr(neocog.layers, name)
        if layer not in (Layer, Container, Elementwise):
            assert counterpart(layer) != "autograd Function", name


def test_on_another_device(monkeypatch):
    """There, arrays are copies of the tensors; what the layer writes into them is brought back."""
    make, shape = CASES["buffers"]
    network, own = make(), layer_modules._array
    monkeypatch.setattr(layer_modules, "_array", lambda tensor: own(tensor).copy())
    assert worst_difference(network, to_torch(network), RNG.normal(size=shape), True) < 1e-12
    assert network.buffers["0.count"] == 1


def test_inputs_that_do_not_fit():
    x = torch.ones(2, 3, dtype=torch.float64)
    with pytest.raises(TypeError, match="x must be a tensor or a tuple of tensors, got"):
        to_torch(Swish(3))((x, x))
    assert to_torch(Product())([x, 3 * x]).tolist() == [[3] * 3] * 2


def test_bfloat16():
    """NumPy has no such numbers: the layer computes in float32."""
    layer, x = Product(), torch.rand(2, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    a, b = x.clone().requires_grad_(), (x + 1).requires_grad_()
    y = to_torch(layer)((a, b))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, a * b)
    y.sum().backward()
    assert a.grad.dtype == torch.bfloat16
    torch.testing.assert_close(a.grad, b.detach())
    module = to_torch(Sequential(Dense(3, 3, rng=0), Centre(3)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(module.train()(x.float())).all()
