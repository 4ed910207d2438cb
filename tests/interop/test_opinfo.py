"""PyTorch's own sample inputs, run through the layers: forward, backward, and what must be refused.

``python tests/interop/test_opinfo.py`` prints how many samples of each operation pass.
"""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch

from neocog.layers import AvgPool2D, BatchNorm1D, BatchNorm2D, Conv2D, ConvTranspose2D, Dense, MaxPool2D

# Samples that have no counterpart, and why. A sample is named by its shapes and options.
LEFT_OUT = {
    ("batch_norm", "(0,) ((0,), (0,), None, None) {'training': True}"): "it has no axis of channels",
    ("batch_norm", "(0,) ((0,), (0,), None, None) {'training': False}"): "it has no axis of channels",
}

WIDER = "{'stride': (3, 2), 'padding': (1, 2), 'output_padding': (2, 3), 'groups': 2, 'dilation': (4, 4)}"
LEFT_OUT |= {
    (
        "conv_transpose2d",
        f"{shape} ((2, 2, 4, 5), (4,)) {WIDER}",
    ): "an output_padding that is no choice of sizes"
    for shape in ((2, 2, 4, 4), (2, 4, 4))
}

# Errors of PyTorch's that are none here.
NO_ERROR = {
    ("conv2d", "(2, 4, 4) ((3, 2, 3, 3), (3,)) {}"): "an input of another dtype is converted to the weights'",
}


@pytest.fixture(scope="module", autouse=True)
def _warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of PyTorch about its own samples
        yield


def operation(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return next(op for op in op_db if op.name == f"nn.functional.{name}")


def described(sample):
    def shape(value):
        if isinstance(value, torch.Tensor):
            return tuple(value.shape)
        return tuple(map(shape, value)) if isinstance(value, tuple | list) else value

    options = {key: shape(value) for key, value in sample.kwargs.items()}
    return f"{shape(sample.input)} {shape(sample.args)} {options}"


def array(tensor):
    return None if tensor is None else tensor.detach().numpy()


def size(value):
    """PyTorch takes ``(1,)`` for 1 and ``()`` for the default."""
    if isinstance(value, tuple | list) and len(value) < 2:
        return value[0] if value else None
    return value


# For each operation: its layer, the arrays it learns, and the shape in which the layer takes x.


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    out_channels, in_channels, *kernel_size = weight.shape
    layer = Conv2D(
        in_channels * groups,
        out_channels,
        tuple(kernel_size),
        size(stride),
        size(padding),
        size(dilation),
        groups,
        bias is not None,
    )
    return layer, {"weight": weight, "bias": bias}, as_images(x), True


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    in_channels, out_channels, *kernel_size = weight.shape
    options = (size(stride), size(padding), size(output_padding), groups, bias is not None, size(dilation))
    layer = ConvTranspose2D(in_channels, out_channels * groups, tuple(kernel_size), *options)
    return layer, {"weight": weight, "bias": bias}, as_images(x), True


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    layer = MaxPool2D(size(kernel_size), size(stride), size(padding), size(dilation), ceil_mode)
    return layer, {}, as_images(x), True


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    window = (size(kernel_size), size(stride), size(padding))
    return AvgPool2D(*window, count_include_pad, ceil_mode, divisor_override), {}, as_images(x), True


def linear(x, weight, bias=None):
    layer = Dense(weight.shape[1], weight.shape[0], bias is not None)
    return layer, {"weight": weight, "bias": bias}, (-1, x.shape[-1]), True


def batch_norm(
    x,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """A momentum outside 0..1 is refused here; without it the running statistics are not compared."""
    if not 0 <= momentum <= 1:
        momentum = 0.1
    C = x.shape[1]
    layer = (BatchNorm1D if x.ndim == 2 else BatchNorm2D)(C, eps, momentum)
    arrays = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    return layer, arrays, x.shape if x.ndim in (2, 4) else (len(x), C, -1, 1), training


def as_images(x):
    """Without a batch it is one image."""
    return (1,) * (4 - x.ndim) + tuple(x.shape)


MAKE = {
    each.__name__: each for each in (conv2d, conv_transpose2d, max_pool2d, avg_pool2d, linear, batch_norm)
}
DTYPES = {"float64": 1e-10, "float32": 1e-4}


def layer_of(name, x, args, kwargs):
    """Make the layer of a sample, with its weights; what it has not stays as the layer begins."""
    layer, arrays, shape, training = MAKE[name](x, *args, **kwargs)
    layer = layer.astype("float64" if x.dtype == torch.float64 else "float32")
    for key, tensor in arrays.items():
        if tensor is not None:
            mine = layer.params[key] if key in layer.params else layer.buffers[key]
            numbers = array(tensor)
            mine[...] = numbers.T if isinstance(layer, Dense) and key == "weight" else numbers
    return layer, arrays, shape, training


def forward(name, sample):
    layer, _, shape, _ = layer_of(name, sample.input, sample.args, sample.kwargs)
    return layer(array(sample.input).reshape(shape))


def compare(op, name, sample, tolerance):
    """Run a sample in both; raise AssertionError where they differ."""
    x, args, kwargs = sample.input, sample.args, sample.kwargs
    layer, arrays, shape, training = layer_of(name, x, args, kwargs)
    result = op(x, *args, **kwargs)
    y, indices = result if isinstance(result, tuple) else (result, None)
    dy = torch.from_numpy(np.random.default_rng(5).normal(size=tuple(y.shape))).to(y.dtype)
    wanted = {"dx": x} | {key: tensor for key, tensor in arrays.items() if key in layer.params}
    wanted = {key: tensor for key, tensor in wanted.items() if tensor is not None and tensor.requires_grad}
    gradients = dict(zip(wanted, torch.autograd.grad(y, [*wanted.values()], dy), strict=True))

    mine, cache = layer.forward(array(x).reshape(shape), training=training)
    dx, grads = layer.backward(array(dy).reshape(mine.shape), cache)
    pairs = [(mine, y), (dx, gradients.pop("dx"))]
    for key, gradient in gradients.items():
        pairs.append((grads[key].T if isinstance(layer, Dense) and key == "weight" else grads[key], gradient))
    if training and 0 <= kwargs.get("momentum", 0.1) <= 1:
        pairs += [(layer.buffers[key], arrays[key]) for key in layer.buffers if arrays[key] is not None]
    for got, expected in pairs:
        expected = array(expected)
        scale = max(1.0, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=0, atol=tolerance * scale)
    if indices is not None:
        np.testing.assert_array_equal(winners(layer, cache).reshape(indices.shape), indices)


def winners(layer, cache):
    """The pixel of each window's maximum, numbered row by row, from the tap that the layer remembers."""
    taps, (_, _, _, W) = cache
    row, column = np.divmod(taps.astype(int), layer.kernel_size[1])
    i, j = np.indices(taps.shape[2:])
    (top, _), (left, _) = layer.sides
    row = i * layer.stride[0] + row * layer.dilation[0] - top
    return row * W + j * layer.stride[1] + column * layer.dilation[1] - left


def results(name, dtype="float64", every=1):
    """Count the samples that pass, those left out, and list the differences of the others."""
    op, counts, failures = operation(name), Counter(), []
    samples = op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=True)
    for k, sample in enumerate(samples):
        if k % every:
            continue
        text = described(sample)
        counts["total"] += 1
        if (name, text) in LEFT_OUT:
            counts["left out"] += 1
            with pytest.raises((ValueError, TypeError, IndexError)):
                layer_of(name, sample.input, sample.args, sample.kwargs)
            continue
        try:
            compare(op, name, sample, DTYPES[dtype])
        except (AssertionError, ValueError, TypeError) as error:
            failures.append(f"{text}: {error}")
        else:
            counts["passed"] += 1
    return counts, failures


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "total", "left_out"),
    [
        ("conv2d", 30, 0),
        ("conv_transpose2d", 10, 2),
        ("max_pool2d", 1440, 0),
        ("avg_pool2d", 7, 0),
        ("batch_norm", 12, 2),
        ("linear", 18, 0),
    ],
)
def test_samples(name, total, left_out, dtype):
    """At least as many samples as PyTorch 2.13 has; of max_pool2d in float32 every tenth."""
    every = 10 if (name, dtype) == ("max_pool2d", "float32") else 1
    counts, failures = results(name, dtype, every)
    assert not failures, "\n".join(failures[:10])
    assert counts["left out"] == left_out
    assert counts["passed"] == counts["total"] - left_out
    assert counts["total"] >= total // every


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "avg_pool2d"])
def test_errors(name):
    """What PyTorch refuses is refused here, with a message that is not one of NumPy's depths."""
    op, seen = operation(name), 0
    for error in op.error_inputs("cpu"):
        sample = error.sample_input
        if (name, described(sample)) in NO_ERROR:
            continue
        seen += 1
        with pytest.raises((ValueError, TypeError), match=r"must|larger|needs"):
            forward(name, sample)
    assert seen >= 5


def test_nothing_is_left_out_in_vain():
    samples = set()
    for name in MAKE:
        op = operation(name)
        samples |= {(name, described(s)) for s in op.sample_inputs("cpu", torch.float64)}
        if op.error_inputs_func:
            samples |= {(name, described(error.sample_input)) for error in op.error_inputs("cpu")}
    assert samples >= {*LEFT_OUT, *NO_ERROR}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for each in MAKE:
        counts, _ = results(each)
        print(
            f"{each:11s} {counts['passed']:4d} of {counts['total']:4d} passed, {counts['left out']} left out"
        )
    for (each, sample), why in LEFT_OUT.items():
        print(f"{each} {sample}: {why}")
