"""The arithmetic of each layer, one number at a time: the terms that add up to it.

A rule answers three questions about one entry: which terms made this output (``forward``), which terms made
this entry of dx (``input_gradient``), which made this entry of a parameter's gradient
(``parameter_gradient``). It is written from the formula in the layer's docstring, with plain loops, and calls
no kernel: that its terms add up to what the kernels computed is a second proof of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from neocog.inspection.trace import Step
from neocog.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Pad2D,
    PadChannels,
    RadialBasis,
    ReLU,
    ScaledTanh,
    Sigmoid,
    SparseConv2D,
    Tanh,
)

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Factor:
    """A number in a term, and where it stands.

    ``kind`` is "x" (an entry of the layer's input, number ``slot``), "dy" (of the gradient at its output), a
    parameter's name, or "" for a constant of the formula, which leads nowhere.
    """

    symbol: str
    value: float
    kind: str = ""
    index: Index = ()
    slot: int = 0


@dataclass(frozen=True)
class Term:
    """A product of factors, and what it contributes to the sum."""

    factors: tuple[Factor, ...]
    value: float
    note: str = ""


class Rule:
    """Terms of one kind of layer; the defaults suit a layer without parameters."""

    formula: str
    gradients: Mapping[str, str]
    """Formulas of the gradients in "x" and in each parameter."""

    def forward(self, step: Step, index: Index) -> list[Term]:
        """Terms of ``y[index]``."""
        raise NotImplementedError

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        """Terms of ``dx[index]``, dx being the gradient in input number ``slot``."""
        raise NotImplementedError

    def parameter_gradient(self, step: Step, key: str, index: Index) -> list[Term]:
        """Terms of the gradient of parameter ``key`` at ``index``."""
        raise NotImplementedError


def _x(step: Step, index: Index, slot: int = 0) -> Factor:
    x = step.x[slot] if step.layer.several_inputs else step.x
    return Factor("x", float(x[index]), "x", index, slot)


def _dy(step: Step, index: Index) -> Factor:
    assert step.dy is not None
    return Factor("dy", float(step.dy[index]), "dy", index)


def _parameter(step: Step, key: str, index: Index) -> Factor:
    return Factor(key[0], float(step.layer.params[key][index]), key, index)


def _product(*factors: Factor, note: str = "") -> Term:
    value = 1.0
    for factor in factors:
        value *= factor.value
    return Term(factors, value, note)


class _Conv2D(Rule):
    formula = "y[n,f,i,j] = b[f] + sum over c,p,q of w[f,c,p,q] x[n,c,i s+p d-P,j s+q d-P]"
    gradients = {
        "x": "dx[n,c,u,v] = sum of dy[n,f,i,j] w[f,c,p,q] over the windows that saw the pixel",
        "weight": "dw[f,c,p,q] = sum over n,i,j of dy[n,f,i,j] x[n,c,i s+p d-P,j s+q d-P]",
        "bias": "db[f] = sum over n,i,j of dy[n,f,i,j]",
    }

    @staticmethod
    def _seen(layer: Conv2D, i: int, j: int, p: int, q: int) -> tuple[int, int]:
        """Pixel under tap (p, q) of the window at (i, j); may lie in the padding."""
        (top, _), (left, _) = layer._sides
        return (
            i * layer.stride[0] + p * layer.dilation[0] - top,
            j * layer.stride[1] + q * layer.dilation[1] - left,
        )

    def forward(self, step: Step, index: Index) -> list[Term]:
        layer: Any = step.layer
        n, f, i, j = index
        H, W = step.x.shape[2:]
        F, C, kH, kW = layer.params["weight"].shape
        first = f // (F // layer.groups) * C  # input channel that the group begins with
        terms = []
        for c, p, q in np.ndindex(C, kH, kW):
            u, v = self._seen(layer, i, j, p, q)
            if 0 <= u < H and 0 <= v < W:
                x = _x(step, (n, first + c, u, v))
                terms.append(_product(x, _parameter(step, "weight", (f, c, p, q))))
        if layer.bias:
            terms.append(_product(_parameter(step, "bias", (f,)), note="bias"))
        return terms

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        layer: Any = step.layer
        n, c, u, v = index
        F, C, kH, kW = layer.params["weight"].shape
        _, _, H_out, W_out = step.y.shape
        (top, _), (left, _) = layer._sides
        group, own = divmod(c, C)
        terms = []
        for p, q in np.ndindex(kH, kW):
            i, i_rest = divmod(u + top - p * layer.dilation[0], layer.stride[0])
            j, j_rest = divmod(v + left - q * layer.dilation[1], layer.stride[1])
            if i_rest or j_rest or not (0 <= i < H_out and 0 <= j < W_out):
                continue
            for f in range(group * (F // layer.groups), (group + 1) * (F // layer.groups)):
                terms.append(_product(_dy(step, (n, f, i, j)), _parameter(step, "weight", (f, own, p, q))))
        return terms

    def parameter_gradient(self, step: Step, key: str, index: Index) -> list[Term]:
        layer: Any = step.layer
        N, F, H_out, W_out = step.y.shape
        positions = np.ndindex(N, H_out, W_out)
        if key == "bias":
            return [_product(_dy(step, (n, index[0], i, j))) for n, i, j in positions]
        f, c, p, q = index
        H, W = step.x.shape[2:]
        channel = f // (F // layer.groups) * layer.params["weight"].shape[1] + c
        terms = []
        for n, i, j in positions:
            u, v = self._seen(layer, i, j, p, q)
            if 0 <= u < H and 0 <= v < W:
                terms.append(_product(_dy(step, (n, f, i, j)), _x(step, (n, channel, u, v))))
        return terms


class _SparseConv2D(Rule):
    formula = "y[n,f,i,j] = b[f] + sum over the table's c, and p,q, of w[(f,c),p,q] x[n,c,i s+p-P,j s+q-P]"
    gradients = {
        "x": "dx[n,c,u,v] = sum of dy[n,f,i,j] w[(f,c),p,q] over the windows that saw the pixel",
        "weight": "dw[(f,c),p,q] = sum over n,i,j of dy[n,f,i,j] x[n,c,i s+p-P,j s+q-P]",
        "bias": "db[f] = sum over n,i,j of dy[n,f,i,j]",
    }

    @staticmethod
    def _seen(step: Step, i: int, j: int, p: int, q: int) -> tuple[int, int] | None:
        """Pixel under tap (p, q) of the window at (i, j); None in the padding."""
        layer: Any = step.layer
        u, v = i * layer.stride[0] + p - layer.padding[0], j * layer.stride[1] + q - layer.padding[1]
        H, W = step.x.shape[2:]
        return (u, v) if 0 <= u < H and 0 <= v < W else None

    def forward(self, step: Step, index: Index) -> list[Term]:
        layer: Any = step.layer
        n, f, i, j = index
        terms = []
        for k, (to, c) in enumerate(layer._pairs):
            for p, q in np.ndindex(*layer.kernel_size) if to == f else ():
                if pixel := self._seen(step, i, j, p, q):
                    terms.append(_product(_x(step, (n, c, *pixel)), _parameter(step, "weight", (k, p, q))))
        return [*terms, _product(_parameter(step, "bias", (f,)), note="bias")]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        layer: Any = step.layer
        n, c, *pixel = index
        terms = []
        for i, j, p, q in np.ndindex(*step.y.shape[2:], *layer.kernel_size):
            if self._seen(step, i, j, p, q) == tuple(pixel):
                for k, (f, seen) in enumerate(layer._pairs):
                    if seen == c:
                        weight = _parameter(step, "weight", (k, p, q))
                        terms.append(_product(_dy(step, (n, f, i, j)), weight))
        return terms

    def parameter_gradient(self, step: Step, key: str, index: Index) -> list[Term]:
        layer: Any = step.layer
        N, _, H_out, W_out = step.y.shape
        positions = np.ndindex(N, H_out, W_out)
        if key == "bias":
            return [_product(_dy(step, (n, index[0], i, j))) for n, i, j in positions]
        k, p, q = index
        f, c = layer._pairs[k]
        terms = []
        for n, i, j in positions:
            if pixel := self._seen(step, i, j, p, q):
                terms.append(_product(_dy(step, (n, f, i, j)), _x(step, (n, c, *pixel))))
        return terms


class _Dense(Rule):
    formula = "y[n,k] = b[k] + sum over i of x[n,i] w[i,k]"
    gradients = {
        "x": "dx[n,i] = sum over k of dy[n,k] w[i,k]",
        "weight": "dw[i,k] = sum over n of x[n,i] dy[n,k]",
        "bias": "db[k] = sum over n of dy[n,k]",
    }

    def forward(self, step: Step, index: Index) -> list[Term]:
        n, k = index
        terms = [
            _product(_x(step, (n, i)), _parameter(step, "weight", (i, k))) for i in range(step.x.shape[1])
        ]
        if "bias" in step.layer.params:
            terms.append(_product(_parameter(step, "bias", (k,)), note="bias"))
        return terms

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        n, i = index
        return [
            _product(_dy(step, (n, k)), _parameter(step, "weight", (i, k))) for k in range(step.y.shape[1])
        ]

    def parameter_gradient(self, step: Step, key: str, index: Index) -> list[Term]:
        images = range(len(step.x))
        if key == "bias":
            return [_product(_dy(step, (n, index[0]))) for n in images]
        i, k = index
        return [_product(_dy(step, (n, k)), _x(step, (n, i))) for n in images]


class _Pool(Rule):
    """The windows of max and average pooling."""

    @staticmethod
    def _window(step: Step, i: int, j: int) -> Iterator[tuple[int, int, int]]:
        """Yield (tap, row, column) of the window's pixels inside the image."""
        layer: Any = step.layer
        H, W = step.x.shape[2:]
        kH, kW = layer.kernel_size
        for p, q in np.ndindex(kH, kW):
            u, v = i * layer.stride[0] + p - layer.padding[0], j * layer.stride[1] + q - layer.padding[1]
            if 0 <= u < H and 0 <= v < W:
                yield p * kW + q, u, v

    def _windows_over(self, step: Step, u: int, v: int) -> Iterator[tuple[int, int, int]]:
        """Yield (i, j, tap) of the windows that hold a pixel."""
        for i, j in np.ndindex(*step.y.shape[2:]):
            for tap, row, column in self._window(step, i, j):
                if (row, column) == (u, v):
                    yield i, j, tap


class _MaxPool2D(_Pool):
    formula = "y[n,c,i,j] = the largest x[n,c,.,.] of its window, the first on a tie"
    gradients = {"x": "dx[n,c,u,v] = sum of dy over the windows that the pixel won"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        n, c, i, j = index
        winner = int(step.cache[0][index])
        terms = []
        for tap, u, v in self._window(step, i, j):
            x = _x(step, (n, c, u, v))
            won = tap == winner
            terms.append(Term((x,), x.value if won else 0.0, "winner" if won else "loses"))
        return terms

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        n, c, u, v = index
        return [
            _product(_dy(step, (n, c, i, j)), note="won")
            for i, j, tap in self._windows_over(step, u, v)
            if int(step.cache[0][n, c, i, j]) == tap
        ]


class _AvgPool2D(_Pool):
    formula = "y[n,c,i,j] = the mean of x[n,c,.,.] in its window"
    gradients = {"x": "dx[n,c,u,v] = sum of dy / count over the windows that hold the pixel"}

    def _share(self, step: Step, i: int, j: int) -> Factor:
        layer: Any = step.layer
        count = layer.kernel_size[0] * layer.kernel_size[1]
        if not layer.count_include_pad:
            count = sum(1 for _ in self._window(step, i, j))
        return Factor("1/count", 1 / count)

    def forward(self, step: Step, index: Index) -> list[Term]:
        n, c, i, j = index
        share = self._share(step, i, j)
        return [_product(_x(step, (n, c, u, v)), share) for _, u, v in self._window(step, i, j)]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        n, c, u, v = index
        return [
            _product(_dy(step, (n, c, i, j)), self._share(step, i, j))
            for i, j, _ in self._windows_over(step, u, v)
        ]


class _GlobalAvgPool2D(Rule):
    formula = "y[n,c] = the mean of x[n,c,.,.]"
    gradients = {"x": "dx[n,c,i,j] = dy[n,c] / (H W)"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        H, W = step.x.shape[2:]
        share = Factor("1/(H W)", 1 / (H * W))
        return [_product(_x(step, (*index, i, j)), share) for i, j in np.ndindex(H, W)]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        H, W = step.x.shape[2:]
        return [_product(_dy(step, index[:2]), Factor("1/(H W)", 1 / (H * W)))]


class _Activation(Rule):
    """Any function of one number: its value, and its slope there."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.gradients = {"x": "dx = dy f'(x)"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        x = _x(step, index)
        note = ""
        if isinstance(step.layer, ReLU | LeakyReLU):
            note = "passes" if x.value > 0 else "is cut off" if isinstance(step.layer, ReLU) else "is damped"
        return [Term((x,), float(step.layer(np.array([x.value]))[0]), note)]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        x = np.array([_x(step, index).value])
        _, cache = step.layer.forward(x)
        slope = float(step.layer.backward(np.ones(1), cache)[0][0])
        return [_product(_dy(step, index), Factor("f'(x)", slope))]


class _BatchNorm(Rule):
    formula = "y = w (x - m) / sqrt(v + eps) + b"
    gradients = {
        "x": "dx_i = w / sqrt(v + eps) sum over j of ([i=j] - (1 + x_hat_i x_hat_j) / M) dy_j in training, "
        "w / sqrt(v + eps) dy_i in inference",
        "weight": "dw = sum of dy x_hat",
        "bias": "db = sum of dy",
    }

    def _numbers(self, step: Step, c: int) -> tuple[float, float, bool]:
        _, mean, inv_std, used_batch = step.cache
        return float(mean[c]), float(inv_std[c]), bool(used_batch)

    def _members(self, step: Step, c: int) -> Iterator[Index]:
        """Yield the indices that share a channel's statistics."""
        N, _, *space = step.x.shape
        for n, *place in np.ndindex(N, *space):
            yield (n, c, *place)

    def forward(self, step: Step, index: Index) -> list[Term]:
        c = index[1]
        mean, inv_std, used_batch = self._numbers(step, c)
        w, scale = _parameter(step, "weight", (c,)), Factor("1/std", inv_std)
        whose = "of the batch" if used_batch else "so far"
        return [
            _product(_x(step, index), w, scale),
            _product(Factor("-mean", -mean), w, scale, note=f"mean {whose}"),
            _product(_parameter(step, "bias", (c,)), note="bias"),
        ]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        c = index[1]
        mean, inv_std, used_batch = self._numbers(step, c)
        w, scale = _parameter(step, "weight", (c,)), Factor("1/std", inv_std)
        if not used_batch:
            return [_product(_dy(step, index), w, scale)]
        members = list(self._members(step, c))
        own = (float(step.x[index]) - mean) * inv_std
        terms = []
        for other in members:
            x_hat = (float(step.x[other]) - mean) * inv_std
            share = float(other == index) - (1 + own * x_hat) / len(members)
            terms.append(_product(_dy(step, other), Factor("share", share), w, scale))
        return terms

    def parameter_gradient(self, step: Step, key: str, index: Index) -> list[Term]:
        (c,) = index
        if key == "bias":
            return [_product(_dy(step, other)) for other in self._members(step, c)]
        mean, inv_std, _ = self._numbers(step, c)
        return [
            _product(_dy(step, other), Factor("x_hat", (float(step.x[other]) - mean) * inv_std, "x", other))
            for other in self._members(step, c)
        ]


class _RadialBasis(Rule):
    formula = "y[n,k] = -sum over i of (x[n,i] - c[k,i])^2"
    gradients = {"x": "dx[n,i] = sum over k of dy[n,k] 2 (c[k,i] - x[n,i])"}

    @staticmethod
    def _past(step: Step, k: int, i: int, x: float) -> float:
        return x - float(step.layer.buffers["centers"][k, i])

    def forward(self, step: Step, index: Index) -> list[Term]:
        n, k = index
        terms = []
        for i in range(step.x.shape[1]):
            past = self._past(step, k, i, float(step.x[n, i]))
            terms.append(_product(Factor("x-c", past, "x", (n, i)), Factor("-(x-c)", -past)))
        return terms

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        n, i = index
        x = float(step.x[index])
        return [
            _product(_dy(step, (n, k)), Factor("2(c-x)", -2 * self._past(step, k, i, x)))
            for k in range(step.y.shape[1])
        ]


class _LocalResponseNorm(Rule):
    formula = "y_c = x_c / s_c^beta, s_c = k + alpha/size sum over the channels j around c of x_j^2"
    gradients = {
        "x": "dx_c = sum over the windows j that hold c of "
        "([j=c] / s_j^beta - 2 alpha beta/size x_c x_j / s_j^(beta+1)) dy_j"
    }

    @staticmethod
    def _scale(step: Step, index: Index) -> float:
        layer: Any = step.layer
        n, c, i, j = index
        window = step.x[n, max(c - layer.size // 2, 0) : c + (layer.size - 1) // 2 + 1, i, j]
        return float(layer.k + layer.alpha / layer.size * sum(float(x) ** 2 for x in window))

    def forward(self, step: Step, index: Index) -> list[Term]:
        beta = step.layer.beta  # type: ignore[attr-defined]
        return [_product(_x(step, index), Factor("1/s^beta", self._scale(step, index) ** -beta))]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        layer: Any = step.layer
        n, c, i, j = index
        first, last = max(c - (layer.size - 1) // 2, 0), min(c + layer.size // 2, step.x.shape[1] - 1)
        terms = []
        for other in range(first, last + 1):
            place = (n, other, i, j)
            s = self._scale(step, place)
            products = float(step.x[index]) * float(step.x[place])
            share = -2 * layer.alpha * layer.beta / layer.size * products * s ** (-layer.beta - 1)
            terms.append(_product(_dy(step, place), Factor("share", share + (other == c) * s**-layer.beta)))
        return terms


class _Dropout(Rule):
    formula = "y = x m / (1 - p) in training, x in inference"
    gradients = {"x": "dx = dy m / (1 - p) in training, dy in inference"}

    def _mask(self, step: Step, index: Index) -> list[Factor]:
        return [] if step.cache is None else [Factor("m/(1-p)", float(step.cache[index]))]

    def forward(self, step: Step, index: Index) -> list[Term]:
        return [_product(_x(step, index), *self._mask(step, index))]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        return [_product(_dy(step, index), *self._mask(step, index))]


class _Flatten(Rule):
    formula = "y[n, (c H + i) W + j] = x[n,c,i,j]"
    gradients = {"x": "dx[n,c,i,j] = dy[n, (c H + i) W + j]"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        place = np.unravel_index(index[1], step.x.shape[1:])
        return [_product(_x(step, (index[0], *map(int, place))))]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        place = int(np.ravel_multi_index(index[1:], step.x.shape[1:]))
        return [_product(_dy(step, (index[0], place)))]


class _Pad2D(Rule):
    formula = "y[n,c,i+top,j+left] = x[n,c,i,j], a constant around it"
    gradients = {"x": "dx[n,c,i,j] = dy[n,c,i+top,j+left]"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        layer: Any = step.layer
        n, c, i, j = index
        u, v = i - layer.padding[0][0], j - layer.padding[1][0]
        H, W = step.x.shape[2:]
        if 0 <= u < H and 0 <= v < W:
            return [_product(_x(step, (n, c, u, v)))]
        return [_product(Factor("value", layer.value), note="padding")]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        layer: Any = step.layer
        n, c, u, v = index
        return [_product(_dy(step, (n, c, u + layer.padding[0][0], v + layer.padding[1][0])))]


class _PadChannels(Rule):
    formula = "y[n,c,i,j] = x[n,c,i,j], zeros in the channels after"
    gradients = {"x": "dx[n,c,i,j] = dy[n,c,i,j]"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        return [_product(_x(step, index))] if index[1] < step.x.shape[1] else []

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        return [_product(_dy(step, index))]


class _Add(Rule):
    formula = "y = x_1 + x_2 + ..."
    gradients = {"x": "dx_k = dy"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        return [_product(_x(step, index, slot)) for slot in range(len(step.x))]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        return [_product(_dy(step, index))]


class _Concat(Rule):
    formula = "y = [x_1, x_2, ...]"
    gradients = {"x": "dx_k = its part of dy"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        axis = step.layer.axis  # type: ignore[attr-defined]
        place, slot = index[axis], 0
        while place >= step.x[slot].shape[axis]:
            place -= step.x[slot].shape[axis]
            slot += 1
        return [_product(_x(step, (*index[:axis], place, *index[axis + 1 :]), slot))]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        axis = step.layer.axis  # type: ignore[attr-defined]
        before = sum(part.shape[axis] for part in step.x[:slot])
        return [_product(_dy(step, (*index[:axis], index[axis] + before, *index[axis + 1 :])))]


RULES: dict[type[Layer], Rule] = {
    Add: _Add(),
    AvgPool2D: _AvgPool2D(),
    BatchNorm1D: _BatchNorm(),
    BatchNorm2D: _BatchNorm(),
    Concat: _Concat(),
    Conv2D: _Conv2D(),
    Dense: _Dense(),
    Dropout: _Dropout(),
    Flatten: _Flatten(),
    GELU: _Activation("y = x Phi(x)"),
    GlobalAvgPool2D: _GlobalAvgPool2D(),
    LeakyReLU: _Activation("y = x if x > 0 else a x"),
    LocalResponseNorm: _LocalResponseNorm(),
    MaxPool2D: _MaxPool2D(),
    Pad2D: _Pad2D(),
    PadChannels: _PadChannels(),
    RadialBasis: _RadialBasis(),
    ReLU: _Activation("y = max(x, 0)"),
    ScaledTanh: _Activation("y = a tanh(s x)"),
    Sigmoid: _Activation("y = 1 / (1 + exp(-x))"),
    SparseConv2D: _SparseConv2D(),
    Tanh: _Activation("y = tanh(x)"),
}


def rule_for(layer: Layer) -> Rule:
    """Return the rule of a layer, or of the nearest class it derives from; TypeError if there is none."""
    for cls in type(layer).__mro__:
        if cls in RULES:
            return RULES[cls]
    raise TypeError(f"there is no rule to explain a {type(layer).__name__}; there are {_names()}.")


def _names() -> str:
    return ", ".join(cls.__name__ for cls in RULES)
