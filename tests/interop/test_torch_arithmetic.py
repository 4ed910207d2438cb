"""Sums, products, extrema, powers and reductions in a module's forward, beside PyTorch's own."""

import numpy as np
import pytest
import torch
from torch import nn

from neocog.interop.torch import UnsupportedError, from_torch

IMAGES = np.random.default_rng(3).normal(size=(2, 3, 4, 5))


class Function(nn.Module):
    """A function of the input, a parameter of one number a channel, and a buffer of the same shape."""

    def __init__(self, function, shape=(3,)):
        super().__init__()
        self.function = function
        rng = torch.Generator().manual_seed(4)
        self.learned = nn.Parameter(torch.rand(shape, generator=rng) + 0.5)
        self.register_buffer("fixed", torch.rand((3, 1, 1), generator=rng) + 0.5)

    def forward(self, x):
        return self.function(x, self.learned, self.fixed)


def in_place(x, w, b):
    y = x + 0.5
    y *= 2.0
    y -= 2.0
    y /= 4
    y += x
    return y.mul_(3).sub_(x).neg_()


FUNCTIONS = {
    "numbers": lambda x, w, b: 2 - 3 * x / 4 + (x - 1) * 0.5 - (-x),
    "functions": lambda x, w, b: torch.sub(torch.mul(x, 2), torch.div(x, 3)) + torch.rsub(x, 1) - x.neg(),
    "tensors": lambda x, w, b: (x - 0.5 * x) * (x * x),
    "squares": lambda x, w, b: x**2 + torch.square(x) * x.pow(2) + torch.pow(x, 2),
    "extrema": lambda x, w, b: torch.maximum(x, -x) + torch.minimum(x, 0.5 * x) * x.maximum(x * x),
    "max and min": lambda x, w, b: torch.max(x, x * x) - torch.min(x, -x),
    "elementary": lambda x, w, b: torch.exp(x) + torch.sqrt(x.abs() + 1) + torch.abs(x) + (x * x + 1) ** 0.5,
    "powers": lambda x, w, b: (x * x + 1) ** -1.5 + x**3 + torch.rsqrt(x.abs() + 1) * (x + 9).reciprocal(),
    "quotients": lambda x, w, b: x / (1 + x.abs()) + 3 / (x * x + 2) - torch.div(x, x.exp()),
    "products added": lambda x, w, b: torch.addcmul(b, b, x * x) + torch.addcmul(x, x, b, value=2),
    "norms": lambda x, w, b: x.norm(p=2, dim=(2, 3), keepdim=True) + torch.linalg.vector_norm(x, 2, 1, True),
    "normalized": lambda x, w, b: nn.functional.normalize(x) + nn.functional.normalize(x, dim=-1),
    "variances": lambda x, w, b: x.var((2, 3), keepdim=True) * x + torch.std(x, 1, False, keepdim=True),
    "moments": lambda x, w, b: sum(torch.var_mean(x, dim=-1, correction=0)) - sum(torch.std_mean(x, (3,))),
    "root mean square": lambda x, w, b: nn.functional.rms_norm(
        x, (5,), b.view(3, 1)[:1].expand(1, 5)[0], 1e-5
    ),
    "matrices": lambda x, w, b: x @ x.transpose(2, 3) + torch.matmul(x.mean(1, True), x.transpose(-1, -2)),
    "weighted mean": lambda x, w, b: x.reshape(-1, 3, 20) @ x[:, :1].reshape(-1, 20, 1).softmax(1),
    "attention": lambda x, w, b: nn.functional.scaled_dot_product_attention(x, x * 2, x + 1),
    "repeated groups": lambda x, w, b: (
        x / x.mean((1, 3), True).expand(-1, 3, 4, 5) + x[:, :1].expand(x.shape)
    ),
    "buffers": lambda x, w, b: (x - b) / b + b * x + (b - x),
    "broadcast": lambda x, w, b: x * x.mean((2, 3), keepdim=True) + x * x.mean(1, keepdim=True),
    "sums": lambda x, w, b: x * x.sum((2, 3), keepdim=True) - x.sum(-1, keepdim=True),
    "reduced": lambda x, w, b: torch.mean(x, (1, 2)) - torch.sum(x, dim=(1, 2)),
    "in place": in_place,
    "expanded": lambda x, w, b: x.mean((2, 3), True).expand_as(x) * x + x.expand(-1, 3, 4, 5),
    "repeated": lambda x, w, b: x.mean((2, 3), keepdim=True).expand(-1, -1, 4, 5),
}


def beside(module, x=IMAGES, learned=()):
    """Compare outputs and gradients with PyTorch's; ``learned`` are the names of the network's parameters."""
    network = from_torch(module, x.shape[1:])
    inputs = torch.tensor(x, requires_grad=True)
    wanted = module(inputs)
    dy = np.random.default_rng(5).normal(size=tuple(wanted.shape))
    wanted.backward(torch.tensor(dy))
    y, cache = network.forward(x)
    dx, grads = network.backward(dy, cache)
    np.testing.assert_allclose(y, wanted.detach(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx, inputs.grad, rtol=1e-10, atol=1e-10)
    assert list(grads) == list(learned)
    for gradient in grads.values():
        np.testing.assert_allclose(gradient.ravel(), module.learned.grad.ravel(), rtol=1e-10, atol=1e-10)
    return network


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    beside(Function(FUNCTIONS[name]).double())


LEARNED = {
    "product": (lambda x, w, b: x * w, (3, 1, 1), "weight"),
    "product from the left": (lambda x, w, b: w * x, (1, 3, 1, 1), "weight"),
    "one factor": (lambda x, w, b: x.mul(w), (), "weight"),
    "in place": (lambda x, w, b: (x + 1).mul_(w), (1,), "weight"),
    "last axis": (lambda x, w, b: x.permute(0, 2, 3, 1) * w, (3,), "weight"),
    "reshaped": (lambda x, w, b: x * w.reshape(1, -1, 1, 1), (3,), "weight"),
    "viewed": (lambda x, w, b: x * w.view(-1, 1, 1).unsqueeze(0), (3,), "weight"),
    "indexed": (lambda x, w, b: x * w[:, None, None], (3,), "weight"),
    "sum": (lambda x, w, b: x + w[None, :, None, None], (3,), "bias"),
    "difference": (lambda x, w, b: x - w, (3, 1, 1), "bias"),
    "difference from the left": (lambda x, w, b: w - x, (3, 1, 1), "bias"),
}


@pytest.mark.parametrize("name", LEARNED)
def test_parameters(name):
    function, shape, kind = LEARNED[name]
    network = from_torch(Function(function, shape).double())
    (key,) = network.params
    assert key.endswith(kind)
    beside(Function(function, shape).double(), learned=[key])


def test_layer_scale_is_a_layer_of_one_factor_a_channel():
    network = from_torch(Function(LEARNED["reshaped"][0]))
    assert repr(network) == "Scale((1, 3, 1, 1))"


def test_what_changes_nothing_makes_no_layer():
    network = from_torch(Function(lambda x, w, b: sum([x * 1, x + 0.0, x / 1.0, x - 0, x**1])))
    assert {type(layer).__name__ for _, layer in network.leaves()} == {"Add"}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, w, b: x * (2 * w), "Tensor.mul in Function: a tensor computed from parameters"),
        (lambda x, w, b: x / w, "Tensor.div in Function: dividing by a parameter"),
        (lambda x, w, b: torch.maximum(x, w), "torch.maximum in Function: only the maximum of two tensors"),
        (lambda x, w, b: x.sub(w, alpha=2), "Tensor.sub in Function: alpha=2"),
        (lambda x, w, b: 2**x, "operator.pow in Function: its exponent must be a number other than 0"),
        (lambda x, w, b: x @ w, "Tensor.matmul in Function: it needs two tensors made of the input"),
        (
            lambda x, w, b: (x * b).sum(1, True).expand(-1, 2, -1, -1),
            "Tensor.expand in Function: expand needs",
        ),
        (lambda x, w, b: x.norm(1, 1), "Tensor.norm in Function: the norm 1 has no counterpart"),
        (
            lambda x, w, b: x * w.view(3, 1, 1) + w.view(1, 3, 1, 1),
            "its tensor 'bias' is used in two shapes",
        ),
    ],
)
def test_refused(function, message):
    with pytest.raises(UnsupportedError, match=message):
        from_torch(Function(function))
    with torch.no_grad(), pytest.raises(UnsupportedError, match=message):  # as in evaluation scripts
        from_torch(Function(function))


def test_a_repeated_gate_is_not_stored():
    network = from_torch(Function(FUNCTIONS["expanded"]), IMAGES.shape[1:])
    assert {type(layer).__name__ for _, layer in network.leaves()} & {"Upsample", "Multiply"} == {"Multiply"}


@pytest.mark.parametrize("settings", [{}, {"eps": 0.5}, {"eps": 0.5, "elementwise_affine": False}])
def test_a_module_of_the_root_mean_square(settings):
    module = nn.Sequential(nn.RMSNorm((4, 5), **settings)).double()
    network, x = from_torch(module, IMAGES.shape[1:]), torch.tensor(IMAGES)
    np.testing.assert_allclose(network(IMAGES), module(x).detach(), rtol=1e-12, atol=1e-12)


def test_only_axes_of_size_1_are_repeated():
    with pytest.raises(
        UnsupportedError, match=r"an x of shape \('N', 3, 4, 5\) cannot be repeated to \(-1, 6,"
    ):
        from_torch(Function(lambda x, w, b: x.expand(-1, 6, 4, 5)), IMAGES.shape[1:])
