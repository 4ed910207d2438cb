"""The judges accept programs that leave the work to PyTorch, SciPy or scikit-learn: a second opinion."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from torch.nn import functional as F

from neocog.exercises.judges import (
    classification,
    convolution,
    dense,
    elementwise,
    normalization,
    optimizers,
    pooling,
)


def by_torch(function):
    """Return ``function(*tensors)`` as a program of arrays."""

    def program(*arguments):
        result = function(*(torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments))
        return tuple(r.numpy() for r in result) if isinstance(result, tuple) else result.numpy()

    return program


def by_autograd(function, results):
    """Return the backward pass ``(dy, *arguments) -> gradients`` of ``function(*arguments)``."""

    def program(dy, *arguments):
        inputs = [torch.tensor(a, requires_grad=True) if isinstance(a, np.ndarray) else a for a in arguments]
        function(*inputs).backward(torch.tensor(dy))
        gradients = [a.grad.numpy() for a in inputs if isinstance(a, torch.Tensor)]
        return tuple(gradients[:results]) if results > 1 else gradients[0]

    return program


def conv2d_backward(dy, x, w, stride, padding):
    dx, dw = by_autograd(lambda x, w: F.conv2d(x, w, None, stride, padding), 2)(dy, x, w)
    return dx, dw, dy.sum(axis=(0, 2, 3))


def dense_backward(dy, x, w):
    return *by_autograd(lambda x, w: x @ w, 2)(dy, x, w), dy.sum(axis=0)


def normalization_backward(normalize):
    def program(dy, x, gamma, eps):
        beta = np.zeros_like(gamma)
        return by_autograd(lambda x, gamma, beta: normalize(x, gamma, beta, eps), 3)(dy, x, gamma, beta)

    return program


def batch_norm(x, gamma, beta, eps):
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def batch_norm_running(mean, var, x, momentum):
    norm = torch.nn.BatchNorm1d(x.shape[1], momentum=momentum, dtype=torch.tensor(x).dtype)
    norm.running_mean, norm.running_var = torch.tensor(mean), torch.tensor(var)
    norm(torch.tensor(x))
    return norm.running_mean.numpy(), norm.running_var.numpy()


def layer_norm(x, gamma, beta, eps):
    return F.layer_norm(x, (x.shape[1],), gamma, beta, eps)


def from_output(inverse, function):
    """Return a backward pass that gets the output y: find x, and differentiate there."""

    def program(dy, y):
        x = inverse(torch.tensor(y, dtype=torch.float64)).numpy()
        return by_autograd(function, 1)(dy.astype(float), x).astype(dy.dtype)

    return program


def softmax_cross_entropy(z, t):
    z = torch.tensor(z, requires_grad=True)
    loss = F.cross_entropy(z, torch.tensor(t))
    loss.backward()
    return loss.item(), z.grad.numpy()


def im2col(x, k, stride, padding):
    columns = F.unfold(torch.tensor(x), k, stride=stride, padding=padding).numpy()
    return columns.swapaxes(1, 2).reshape(-1, columns.shape[1])


def col2im(columns, shape, k, stride, padding):
    cut = torch.tensor(columns).reshape(shape[0], -1, columns.shape[1]).swapaxes(1, 2)
    return F.fold(cut, shape[2:], k, stride=stride, padding=padding).numpy()


def max_pool_backward(dy, x, size):
    return by_autograd(lambda x: F.max_pool2d(x, size), 1)(dy, x)


def average_pool_backward(dy, x, size):
    return by_autograd(lambda x: F.avg_pool2d(x, size), 1)(dy, x)


def step(make, w, dw, before=lambda optimizer, parameter: None):
    parameter = torch.nn.Parameter(torch.tensor(w))
    parameter.grad = torch.tensor(dw)
    optimizer = make([parameter])
    before(optimizer, parameter)
    optimizer.step()
    return parameter.detach().numpy(), optimizer.state[parameter]


def adam(w, dw, m, s, t, lr, beta1, beta2, eps):
    def remember(optimizer, parameter):
        state = {"step": torch.tensor(t - 1.0), "exp_avg": torch.tensor(m), "exp_avg_sq": torch.tensor(s)}
        optimizer.state[parameter] = state

    w, state = step(lambda p: torch.optim.Adam(p, lr, (beta1, beta2), eps), w, dw, remember)
    return w, state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()


def momentum(w, dw, v, lr, momentum):
    def remember(optimizer, parameter):
        optimizer.state[parameter]["momentum_buffer"] = torch.tensor(-v / lr)  # PyTorch's leaves -lr out

    w, state = step(lambda p: torch.optim.SGD(p, lr, momentum), w, dw, remember)
    return w, -lr * state["momentum_buffer"].numpy()


def cosine_schedule(step, steps, lr):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(step):
        optimizer.step()
        schedule.step()
    return schedule.get_last_lr()[0]


def wilson_interval(successes, n, z=1.96):
    from scipy.stats import norm

    level = 2 * norm.cdf(z) - 1
    found = binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return found.low, found.high


PROGRAMS = {
    convolution.conv2d: by_torch(F.conv2d),
    elementwise.relu: by_torch(F.relu),
    pooling.max_pool: by_torch(F.max_pool2d),
    pooling.average_pool: by_torch(F.avg_pool2d),
    classification.softmax: by_torch(lambda z: F.softmax(z, 1)),
    classification.cross_entropy: lambda p, t: float(F.nll_loss(torch.tensor(p).log(), torch.tensor(t))),
    normalization.batch_norm: by_torch(batch_norm),
    normalization.batch_norm_running: batch_norm_running,
    convolution.im2col: im2col,
    classification.one_hot: by_torch(F.one_hot),
    classification.confusion_matrix: lambda t, p, classes: confusion_matrix(t, p, labels=range(classes)),
    classification.wilson_interval: wilson_interval,
    convolution.conv2d_backward: conv2d_backward,
    convolution.depthwise_conv2d_backward: by_autograd(lambda x, w: F.conv2d(x, w, groups=len(w)), 2),
    dense.dense_backward: dense_backward,
    elementwise.relu_backward: by_autograd(F.relu, 1),
    elementwise.leaky_relu_backward: by_autograd(F.leaky_relu, 1),
    elementwise.sigmoid_backward: from_output(torch.logit, torch.sigmoid),
    elementwise.tanh_backward: from_output(torch.atanh, torch.tanh),
    classification.softmax_backward: from_output(torch.log, lambda z: F.softmax(z, 1)),
    classification.softmax_cross_entropy: softmax_cross_entropy,
    pooling.max_pool_backward: max_pool_backward,
    pooling.average_pool_backward: average_pool_backward,
    pooling.global_average_pool_backward: by_autograd(lambda x: x.mean(dim=(2, 3)), 1),
    normalization.batch_norm_backward: normalization_backward(batch_norm),
    normalization.layer_norm_backward: normalization_backward(layer_norm),
    convolution.col2im: col2im,
    optimizers.sgd: lambda w, dw, lr: step(lambda p: torch.optim.SGD(p, lr), w, dw)[0],
    optimizers.momentum: momentum,
    optimizers.adam: adam,
    optimizers.weight_decay: lambda w, dw, lr, decay: step(
        lambda p: torch.optim.SGD(p, lr, weight_decay=decay), w, dw
    )[0],
    optimizers.cosine_schedule: cosine_schedule,
}


@pytest.mark.parametrize("judge", PROGRAMS, ids=lambda judge: judge.__name__)
@pytest.mark.parametrize("seed", range(2))
def test_programs_of_others_are_right(judge, seed):
    assert judge(PROGRAMS[judge], seed) == ""
