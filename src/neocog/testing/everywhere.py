"""Check a layer in all its uses: explained, compiled, saved and loaded, in PyTorch, in ONNX.

Each check takes a float64 layer, its input, and a generator. It raises UnsupportedError where there is no
counterpart, and AssertionError where the counterpart is wrong.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from neocog import layers as own
from neocog.gradcheck.measurement import STEPS, LossFunction
from neocog.kernels import use_kernels
from neocog.layers import Container, Conv2D, Dense, Dropout, Flatten, Graph, Layer, Reshape, Sequential
from neocog.layers.base import as_dtype, random_generators
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD
from neocog.serialization import load, save
from neocog.testing.common import TOLERANCE, Check, as_list, assert_same, each, random_dy, same_training

__all__ = ["EVERYWHERE", "between", "compiled", "explained", "in_onnx", "in_pytorch", "saved_and_loaded"]


class _Weighted:
    """A loss with any derivative that is wanted: ``L = sum of z t``, ``dz = t``."""

    def __call__(self, z: Any, t: Any, weight: Any = None) -> tuple[Any, Any]:
        return (z * t).sum(), t

    def correct(self, z: Any, t: Any) -> None:
        return


def _entries(shape: tuple[int, ...], rng: np.random.Generator, drawn: int = 2) -> list[tuple[int, ...]]:
    """List the first entry, the last, and some drawn ones."""
    size = int(np.prod(shape))
    chosen = {0, size - 1, *rng.integers(size, size=drawn).tolist()} if size else set()
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in sorted(chosen)]


def _wire(layer: Layer, x: Any, learn: bool = False) -> tuple[dict[str, Any], np.ndarray, list[str]]:
    """Return nodes of a graph that feed a layer of several inputs from one array of rows.

    Each input is a dense layer of the rows: one that picks the input out, or one that may learn.
    """
    rows = np.concatenate([part.reshape(len(part), -1) for part in as_list(x)], axis=1)
    nodes: dict[str, Any] = {}
    sources, start = [], 0
    for k, part in enumerate(as_list(x)):
        stop = start + part[0].size
        dense = Dense(rows.shape[1], stop - start, rng=k, dtype="float64")
        if not learn:
            dense.params["weight"][...] = np.eye(rows.shape[1])[:, start:stop]
        nodes[f"rows{k}"] = (dense, "input")
        nodes[f"part{k}"] = (Reshape((0, *part.shape[1:])), f"rows{k}")
        sources.append(f"part{k}")
        start = stop
    nodes["layer"] = (layer, *sources)
    return nodes, rows, sources


def explained(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    """Explain activations, ``dx`` and every parameter's gradient, in inference and in training.

    The numbers must be those of ``forward`` and of its derivative by complex step, the terms must add up to
    them, and each term must be what its entry contributes.
    """
    for training in (False, True):
        _Explained(layer, x, rng, training).check()


class _Explained:
    """Compare the explanations of one pass through one layer with the layer's own numbers."""

    def __init__(self, layer: Layer, x: Any, rng: np.random.Generator, training: bool) -> None:
        from neocog.inspection import Inquiry, trace

        self.layer, self.rng, self.training = layer, rng, training
        self.x = as_list(x)
        network: Layer
        if layer.several_inputs:
            nodes, rows, self.sources = _wire(layer, x)
            network = Graph(nodes, output="layer")
        else:
            network, rows, self.sources = Sequential(layer=layer), x, ["input"]
        self.y = copy.deepcopy(network).forward(rows, training=training)[0]
        self.dy = rng.normal(size=self.y.shape)
        self.inquiry = Inquiry(trace(network, rows, self.dy, loss=_Weighted(), training=training))
        dy = self.dy
        self.loss = LossFunction(network, rows, lambda z: ((z * dy).sum(), dy), "complex", training)

    def check(self) -> None:
        output = self.inquiry.output
        single = not isinstance(self.layer, Container)
        for index in _entries(self.y.shape, self.rng) if output != "input" else []:
            terms = self._compare("activation", output, index, float(self.y[index]))
            if single:
                self._compare_inputs(index, terms)
        for at, index, array, entry in self._gradients():
            terms = self._compare("gradient", at, index, self.loss.derivative(array, entry, STEPS["complex"]))
            if single:
                self._compare_outputs(at, index, terms)
        if not single:
            for step in self.inquiry.trace:
                for index in _entries(step.y.shape, self.rng, 0):
                    self._compare("activation", step.name, index, float(step.y[index]))
                    self._compare("gradient", step.name, index)

    def _gradients(self) -> Iterator[tuple[str, tuple[int, ...], np.ndarray, tuple[int, ...]]]:
        """Yield (place, index there, array of the measured network, index there) of gradients to explain."""
        start = 0
        for at, part in zip(self.sources, self.x, strict=True):
            for index in _entries(part.shape, self.rng):
                array = self.loss.arrays["input"]
                flat = int(np.ravel_multi_index(index, part.shape)) % part[0].size
                yield at, index, array, (index[0], start + flat) if self.layer.several_inputs else index
            start += part[0].size
        for name, array in self.loss.arrays.items():
            for index in _entries(array.shape, self.rng) if name.startswith("layer.") else []:
                yield name, index, array, index

    def _compare(self, of: str, at: str, index: tuple[int, ...], expected: float | None = None) -> list[Any]:
        """Explain a number; return the terms if they and the number are right."""
        answer = self.inquiry.ask(at, index, of=of)
        allowed = TOLERANCE * max(1.0, abs(answer.value), sum(abs(term.value) for term in answer.terms))
        place = f"training={self.training}: {answer.number}"
        assert abs(answer.total - answer.value) <= allowed, (
            f"{place} is {answer.value}, its terms add up to {answer.total}"
        )
        if expected is not None:
            assert abs(answer.value - expected) <= allowed, (
                f"{place} is explained as {answer.value}, the layer gives {expected}"
            )
        return answer.terms

    def _sums(self, terms: list[Any], of: str, places: list[str]) -> dict[tuple[str, Any], float]:
        """Add up the terms by the number at one of the places that each leads to; check these numbers."""
        arrays = dict(zip(self.sources, self.x, strict=True)) if of == "activation" else {"layer": self.dy}
        sums: dict[tuple[str, Any], float] = {}
        for term in terms:
            for part in term.parts:
                number = part.number
                if number is None or number.of != of or number.at not in places:
                    continue
                true = float(arrays[number.at][number.index])
                assert part.symbol not in ("x", "dy") or part.value == true, (
                    f"{number} is {true}, a term has {part.value}"
                )
                key = number.at, number.index
                sums[key] = sums.get(key, 0.0) + term.value
                break
        return sums

    def _compare_inputs(self, index: tuple[int, ...], terms: list[Any]) -> None:
        """Compare the terms of an output with ``x dy/dx``, if it is made of such terms and constants."""
        got = self._sums(terms, "activation", self.sources)
        step = self.inquiry.trace["layer"]
        one = np.zeros_like(self.y)
        one[index] = 1.0
        dx = as_list(step.layer.backward(one, step.cache)[0])
        expected: dict[tuple[str, Any], float] = {}
        for at, part, row in zip(self.sources, self.x, dx, strict=True):
            expected |= {
                (at, place): float(row[place] * part[place])
                for place in np.ndindex(*part.shape)
                if row[place]
            }
        total, linear = sum(got.values()), sum(expected.values())
        if abs(total - linear) <= TOLERANCE * max(1.0, *map(abs, expected.values()), 0.0):
            self._assert_terms(got, expected, f"output {index}")

    def _compare_outputs(self, at: str, index: tuple[int, ...], terms: list[Any]) -> None:
        """Compare the terms of a gradient with ``dy`` times the derivative of each output."""
        got = self._sums(terms, "gradient", ["layer"])
        twin = copy.deepcopy(self.layer).astype(np.complex128)
        inputs = [part.astype(np.complex128) for part in self.x]
        array = inputs[self.sources.index(at)] if at in self.sources else twin.params[at.split(".", 1)[1]]
        array[index] += 1j * STEPS["complex"]
        y = twin.forward(tuple(inputs) if self.layer.several_inputs else inputs[0], self.training)[0]
        share = self.dy * y.imag / STEPS["complex"]
        expected = {
            ("layer", place): float(share[place]) for place in np.ndindex(*share.shape) if share[place]
        }
        self._assert_terms(got, expected, f"the gradient of {at}{list(index)}")

    def _assert_terms(self, got: dict[Any, float], expected: dict[Any, float], what: str) -> None:
        scale = max(1.0, *map(abs, expected.values()), 0.0)
        for key in got.keys() | expected.keys():
            mine, true = got.get(key, 0.0), expected.get(key, 0.0)
            assert abs(mine - true) <= TOLERANCE * scale, (
                f"training={self.training}: to {what}, {key[0]}{list(key[1])} contributes {true}, "
                f"the rule gives {mine}"
            )


def is_vector(x: Any) -> bool:
    """Return whether an input has shape (N,), one number an image."""
    return not isinstance(x, tuple) and x.ndim == 1


def between(layer: Layer, x: Any) -> tuple[Container, np.ndarray]:
    """Return a network that holds the layer between two that learn and ends in 3 logits, and its input.

    Raises
    ------
    ValueError
        If the layer takes vectors (N,): no layer with parameters can precede it.
    """
    shape = each(np.shape, x)
    head = {"flatten": Flatten(), "head": Dense(int(np.prod(layer.output_shape(shape)[1:])), 3, rng=5)}
    if is_vector(x):
        raise ValueError("no layer with parameters can precede one that takes vectors.")
    network: Container
    if isinstance(x, tuple) or x.ndim == 3:
        nodes, rows, _ = _wire(layer, x, learn=True)
        last = "layer"
        for name, each_layer in head.items():
            nodes[name] = (each_layer, last)
            last = name
        network = Graph(nodes)
    else:
        rows = x
        features = shape[1]
        first = Conv2D(features, features, 3, padding=1, rng=4) if x.ndim == 4 else Dense(features, features)
        network = Sequential(first=first, layer=layer, **head)
    return network.astype("float64"), rows


def compiled(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    """Train the layer between two that learn, and infer, under the fused kernels as under ``reference``.

    The steps are of a few images and of many, as the fused kernels take many images in another way.
    """
    if is_vector(x):
        return
    network, rows = between(layer, x)
    batches = [rows[np.arange(n) % len(rows)] for n in (len(rows), 17, len(rows))]
    pairs = [(batch, rng.integers(3, size=network.output_shape(batch.shape)[0])) for batch in batches]
    for batch in (rows[:1], *batches[:2]):
        with use_kernels("reference"):
            expected = network.forward(batch)[0]
        with use_kernels("fused"):
            assert_same([network(batch)], [expected], TOLERANCE, f"inference of {len(batch)} images")
        inferred = network.for_inference()(batch)
        assert_same([inferred], [expected], TOLERANCE, f"for_inference, {len(batch)} images")
    same_training(network, SoftmaxCrossEntropy(), SGD(0.05, momentum=0.9), pairs)


def saved_and_loaded(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    """Save the layer, load it, and compare arrays and outputs; a class of your own is passed to ``load``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.neocog"
        save(layer, path)
        yours = {type(each) for each in _all_layers(layer)} - {getattr(own, name) for name in own.__all__}
        twin = load(path, layers=yours)
    assert repr(twin) == repr(layer), f"{layer!r} comes back as {twin!r}"
    for kind in ("params", "buffers"):
        mine, theirs = getattr(layer, kind), getattr(twin, kind)
        assert list(mine) == list(theirs), f"{kind} come back as {list(theirs)}"
        assert_same(list(theirs.values()), list(mine.values()), 0, kind)
    assert_same([twin.forward(x)[0]], [layer.forward(x)[0]], 0, "outputs")


def _all_layers(layer: Layer) -> Iterator[Layer]:
    yield layer
    if isinstance(layer, Container):
        for child in layer.children.values():
            yield from _all_layers(child)


def in_pytorch(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    """Compare outputs, gradients and statistics with the module's; what comes back must be the same layer."""
    if find_spec("torch") is None:
        return
    from neocog.interop.torch import from_torch, to_torch

    layer = copy.deepcopy(layer)
    back = from_torch(to_torch(layer))
    assert repr(back) == repr(layer), f"{layer!r} comes back from PyTorch as {back!r}"
    for name, array in {**layer.params, **layer.buffers}.items():
        assert_same([{**back.params, **back.buffers}[name]], [array], 0, f"{name} after a round trip")
    for _, leaf in layer.leaves():
        if isinstance(leaf, Dropout):
            leaf.p = 0.0  # the random numbers differ
    for training in (False, True):
        if not training or not random_generators(layer) or _drops_only(layer):
            _same_as_module(layer, to_torch(layer), x, random_dy(layer, x, rng), training)


def _drops_only(layer: Layer) -> bool:
    """Return whether no layer except dropout draws random numbers."""
    return all(isinstance(leaf, Dropout) or not random_generators(leaf) for _, leaf in layer.leaves())


def _same_as_module(layer: Layer, module: Any, x: Any, dy: np.ndarray, training: bool) -> None:
    import torch

    from neocog.interop.torch import load_from_torch

    layer, inputs = copy.deepcopy(layer), [torch.tensor(part, requires_grad=True) for part in as_list(x)]
    y_torch = module.train(training)(tuple(inputs) if layer.several_inputs else inputs[0])
    y, cache = layer.forward(x, training=training)
    dx, grads = layer.backward(dy, cache)
    assert y.shape == tuple(y_torch.shape), (
        f"PyTorch's output has shape {tuple(y_torch.shape)}, not {y.shape}"
    )
    y_torch.backward(torch.tensor(dy))
    twin = copy.deepcopy(layer)
    with torch.no_grad():  # gradients come back as weights do, in neocog's own layout
        for parameter in module.parameters():
            parameter.copy_(parameter.grad)
    load_from_torch(twin, module)
    got: list[Any] = [y_torch.detach(), *(part.grad for part in inputs)]
    got = [tensor.numpy() for tensor in got] + [*twin.params.values(), *twin.buffers.values()]
    expected = [y, *as_list(dx), *(grads[name] for name in layer.params), *layer.buffers.values()]
    assert_same(got, expected, 1e-10, f"in PyTorch, training={training}")


def in_onnx(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    """Compare ONNX Runtime's outputs, and those of the layer read back from the model."""
    if find_spec("onnx") is None:
        return
    from neocog.interop.onnx import from_onnx, to_onnx

    sizes = each(lambda part: part.shape[1:], x)
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-14)):
        typed = layer.astype(dtype)
        inputs = each(lambda part, dtype=dtype: as_dtype(part, np.dtype(dtype)), x)  # type: ignore[misc]
        again = from_onnx(to_onnx(typed, input_shape=sizes, dtype=dtype))
        y = again(inputs if again.several_inputs else as_list(inputs)[0])
        np.testing.assert_allclose(
            y, typed(inputs), rtol=tolerance, atol=tolerance, err_msg=f"read back in {dtype}"
        )
        if isinstance(layer, Sequential | Graph):
            mine, read = ({**each.params, **each.buffers} for each in (typed, again))
            assert set(mine) == set(read), f"the arrays {sorted(mine)} come back as {sorted(read)}"
            assert_same([read[name] for name in mine], list(mine.values()), 0, "arrays read back")
    if find_spec("onnxruntime") is not None:
        typed = layer.astype("float32")
        run = _runtime(to_onnx(typed, input_shape=sizes))
        for n in {1, 3, len(as_list(x)[0])}:
            inputs = each(lambda part, n=n: part[np.arange(n) % len(part)].astype("float32"), x)  # type: ignore[misc]
            y, expected = run(inputs), typed(inputs)
            assert y.shape == expected.shape, (
                f"ONNX Runtime's output has shape {y.shape}, not {expected.shape}"
            )
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5, err_msg=f"{n} images")


def _runtime(model: Any) -> Any:
    """Return a function that computes a model by ONNX Runtime."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_inputs()]
    return lambda x: session.run(None, dict(zip(names, as_list(x), strict=True)))[0]


EVERYWHERE: tuple[Check, ...] = (explained, compiled, saved_and_loaded, in_pytorch, in_onnx)
