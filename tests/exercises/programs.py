"""Right programs, written as a reader may: a loop or a line for each judge."""

import math

import numpy as np


def cross_correlate(x, w):
    k = len(w)
    y = np.zeros((x.shape[0] - k + 1, x.shape[1] - k + 1), x.dtype)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            for p in range(k):
                for q in range(k):
                    y[i, j] += w[p, q] * x[i + p, j + q]
    return y


def padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def conv2d(x, w, b, stride, padding):
    k, x = w.shape[2], padded(x, padding)
    view = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("fcpq,ncijpq->nfij", w, view) + b[:, None, None]


def output_size(n, k, stride, padding, dilation):
    return len(range(0, n + 2 * padding - dilation * (k - 1), stride))


def relu(x):
    return x * (x > 0)


def dense(x, w, b):
    return x @ w + b


def pool(x, size, of_window):
    y = np.zeros((*x.shape[:2], x.shape[2] // size, x.shape[3] // size), x.dtype)
    for n, c, i, j in np.ndindex(y.shape):
        y[n, c, i, j] = of_window(x[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size])
    return y


def max_pool(x, size):
    return pool(x, size, np.max)


def average_pool(x, size):
    return pool(x, size, np.mean)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(p, t):
    return sum(-math.log(row[k]) for row, k in zip(p, t, strict=True)) / len(t)


def batch_norm(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta


def batch_norm_running(running_mean, running_var, x, momentum):
    mean = running_mean + momentum * (x.mean(0) - running_mean)
    return mean, running_var + momentum * (x.var(0, ddof=1) - running_var)


def im2col(x, kernel_size, stride, padding):
    x = padded(x, padding)
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel_size, kernel_size), (2, 3))
    view = view[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)
    return view.reshape(-1, x.shape[1] * kernel_size**2).copy()


def one_hot(t, classes):
    return np.eye(classes)[t]


def accuracy(z, t):
    return np.mean(z.argmax(1) == t)


def confusion_matrix(t, p, classes):
    matrix = np.zeros((classes, classes))
    for true, called in zip(t, p, strict=True):
        matrix[true, called] += 1
    return matrix


def he_normal(rng, shape):
    fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
    return rng.normal(0, math.sqrt(2 / fan_in), shape)


def receptive_field(layers):
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    return size


def wilson_interval(successes, n, z=1.96):
    p, q = successes / n, z**2 / n
    half = z * math.sqrt((p * (1 - p) + q / 4) / n)
    return (p + q / 2 - half) / (1 + q), (p + q / 2 + half) / (1 + q)


def sigmoid_backward(dy, y):
    return dy * y * (1 - y)


def tanh_backward(dy, y):
    return dy * (1 - y**2)


def leaky_relu_backward(dy, x, slope):
    return np.where(x > 0, dy, slope * dy)


def softmax_backward(dy, p):
    dz = np.zeros_like(p)
    for n in range(len(p)):
        dz[n] = (np.diag(p[n]) - np.outer(p[n], p[n])) @ dy[n]
    return dz


def pad_backward(dy, padding):
    return dy[:, :, padding : dy.shape[2] - padding, padding : dy.shape[3] - padding]


def global_average_pool_backward(dy, x):
    return np.ones_like(x) * dy[:, :, None, None] / (x.shape[2] * x.shape[3])


def depthwise_conv2d_backward(dy, x, w):
    k = w.shape[2]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n, c, i, j in np.ndindex(dy.shape):
        dx[n, c, i : i + k, j : j + k] += dy[n, c, i, j] * w[c, 0]
        dw[c, 0] += dy[n, c, i, j] * x[n, c, i : i + k, j : j + k]
    return dx, dw


def residual_backward(dy, dbranch):
    return dy + dbranch


def dropout_backward(dy, mask, p):
    return dy * mask / (1 - p)


def layer_norm_backward(dy, x, gamma, eps):
    dx, _, _ = batch_norm_backward((dy * gamma).T, x.T, np.ones(len(x), x.dtype), eps)
    x_hat = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps)
    return dx.T, (dy * x_hat).sum(0), dy.sum(0)


def batch_norm_backward(dy, x, gamma, eps):
    centred = x - x.mean(0)
    s = np.sqrt((centred**2).mean(0) + eps)
    x_hat = centred / s
    dx = gamma / s * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))
    return dx, (dy * x_hat).sum(0), dy.sum(0)


def conv2d_backward(dy, x, w, stride, padding):
    k, (H, W), p = w.shape[2], x.shape[2:], padding
    x = padded(x, p)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n, f, i, j in np.ndindex(dy.shape):
        window = (n, slice(None), slice(i * stride, i * stride + k), slice(j * stride, j * stride + k))
        dx[window] += dy[n, f, i, j] * w[f]
        dw[f] += dy[n, f, i, j] * x[window]
    return dx[:, :, p : p + H, p : p + W], dw, dy.sum(axis=(0, 2, 3))


def dense_backward(dy, x, w):
    return dy @ w.T, x.T @ dy, dy.sum(0)


def relu_backward(dy, x):
    return dy * (x > 0)


def max_pool_backward(dy, x, size):
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        window = x[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size]
        p, q = np.unravel_index(window.argmax(), window.shape)
        dx[n, c, i * size + p, j * size + q] = dy[n, c, i, j]
    return dx


def average_pool_backward(dy, x, size):
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        dx[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size] = dy[n, c, i, j] / size**2
    return dx


def softmax_cross_entropy(z, t):
    rows, small = np.arange(len(t)), z - z.max(axis=1, keepdims=True)
    logarithms = small - np.log(np.exp(small).sum(axis=1, keepdims=True))
    dz = np.exp(logarithms)
    dz[rows, t] -= 1
    return -logarithms[rows, t].mean(), dz / len(t)


def col2im(columns, shape, kernel_size, stride, padding):
    N, C, H, W = shape
    k = kernel_size
    x = np.zeros((N, C, H + 2 * padding, W + 2 * padding), columns.dtype)
    rows, across = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    columns = columns.reshape(N, rows, across, C, k, k)
    for i in range(rows):
        for j in range(across):
            x[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += columns[:, i, j]
    return x[:, :, padding : padding + H, padding : padding + W]


def numerical_gradient(f, x):
    h, gradient = 1e-5, np.zeros_like(x)
    for index in np.ndindex(x.shape):
        old = x[index]
        x[index] = old + h
        above = f(x)
        x[index] = old - h
        gradient[index] = (above - f(x)) / (2 * h)
        x[index] = old
    return gradient


def complex_step_gradient(f, x):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        z = x.astype(complex)
        z[index] += 1e-30j
        gradient[index] = f(z).imag / 1e-30
    return gradient


def sgd(w, dw, lr):
    return w - lr * dw


def momentum(w, dw, v, lr, momentum):
    v = momentum * v - lr * dw
    return w + v, v


def adam(w, dw, m, s, t, lr, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * dw
    s = beta2 * s + (1 - beta2) * dw**2
    return w - lr * (m / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + eps), m, s


def weight_decay(w, dw, lr, decay):
    return (1 - lr * decay) * w - lr * dw


def cosine_schedule(step, steps, lr):
    return lr * math.cos(math.pi * step / steps / 2) ** 2


def minibatches(n, batch_size, rng):
    order = rng.permutation(n)
    return [order[k : k + batch_size] for k in range(0, n, batch_size)]
