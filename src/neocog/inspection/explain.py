"""Explain any number of a network: list the terms that add up to it.

Every activation and every entry of a gradient is a sum of terms. Each term is a product of numbers that can
be explained in turn, down to the pixels of the input and up to the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.inspection.explanation import Contribution, Explanation, Number, Part
from neocog.inspection.rules import Factor, Index, Term, rule_for
from neocog.inspection.trace import LayerRecord, Trace, trace
from neocog.layers import Layer
from neocog.layers.activation import Sigmoid
from neocog.layers.outputs import PASSING, before_last, flat_shape
from neocog.layers.softmax import LogSoftmax, Softmax
from neocog.losses import Loss, LossTerm, SoftmaxLoss
from neocog.losses.base import gradient_terms
from neocog.validation import integer, one_of

KINDS = ("activation", "gradient")
_KEEPING = (*PASSING, Softmax, LogSoftmax, Sigmoid)
"""Layers whose outputs belong to the same classes as their inputs."""
_ANSWERS = {"logits": "softmax", "independent-logits": "sigmoid"}


@accepts_old_names
def explain(
    network: Layer,
    x: Any,
    at: str,
    index: Sequence[int] | int = (),
    *,
    of: str = "activation",
    y: Any = None,
    loss: Loss | None = None,
    training: bool = False,
) -> Explanation:
    """Explain one number of a network by the terms that add up to it.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W)
    at : str
        A layer's dotted name for its output, "input", a parameter's dotted name, "softmax" (of independent
        outputs "sigmoid") or "loss". A layer of that name comes first; of a network that ends in Softmax,
        "softmax" is that layer, as "sigmoid" is of one that ends in Sigmoid.
    index : sequence of int
        The entry, the image first: ``(0, 2, 3, 4)`` is filter 2 at row 3, column 4 for image 0.
    of : {"activation", "gradient"}
        The number itself, or the derivative of the loss in it.
    y : labels (N,), optional
        Needed for gradients and the loss; see :func:`~neocog.inspection.trace`.
    loss : default SoftmaxCrossEntropy()
        As for :func:`~neocog.inspection.trace`, by what the network's outputs are.
    training : bool
        Run the network in training mode: dropout drops, batch norm uses the statistics of the batch.

    Returns
    -------
    Explanation
        Its terms add up to the number; ``.explain(k)`` explains a number of term k in turn.

    Raises
    ------
    ValueError, IndexError
        If there is no such layer or parameter, the index does not fit, labels are needed, or the backward of
        a layer without a rule contradicts its forward.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    >>> answer = explain(tiny_cnn(), x, at="conv1", index=(0, 2, 3, 4))
    >>> len(answer.terms)  # nine products and the bias
    10
    >>> bool(abs(answer.total - answer.value) < 1e-12)
    True
    >>> explain(tiny_cnn(), x, at="conv1.weight", index=(2, 0, 1, 1), of="gradient", y=[0, 1]).explain()
    Explanation(d loss / d conv1[...] = ..., 1 terms)
    """
    return Inquiry(trace(network, x, y, loss=loss, training=training)).ask(at, index, of=of)


class Inquiry:
    """A trace of a network, any number of which can be explained.

    Parameters
    ----------
    seen : Trace

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> inquiry = Inquiry(trace(tiny_cnn(), np.ones((1, 1, 8, 8)), [0]))
    >>> inquiry.ask("pool1", (0, 0, 1, 1))
    Explanation(pool1[0,0,1,1] = 0, 4 terms)
    """

    def __init__(self, seen: Trace) -> None:
        self.trace, self.loss = seen, seen.loss_function
        # The graph: the sources of each layer's inputs, and the layers that read each value.
        self.sources: dict[str, tuple[str, ...]] = {}
        self.readers: dict[str, list[tuple[str, int]]] = {"input": []}

        def visit(name: str, layer: Layer, value: Any) -> str:
            self.sources[name] = value if isinstance(value, tuple) else (value,)
            self.readers[name] = []
            for slot, source in enumerate(self.sources[name]):
                self.readers[source].append((name, slot))
            return name

        self.output: str = seen.network.walk(visit, "input")
        # A shared parameter has the first name of its array; each of its layers adds to the gradient.
        first = {id(array): name for name, array in seen.network.params.items()}
        self.users: dict[str, list[tuple[LayerRecord, str]]] = {name: [] for name in first.values()}
        for record in seen:
            for key, array in record.layer.params.items():
                self.users[first[id(array)]].append((record, key))
        self._first = first
        self._outputs = self._of_outputs()

    def _of_outputs(self) -> set[str]:
        """Return the layers whose outputs belong to a class each: the last one, and those that it reads."""
        found, at = {self.output, self.answer}, self.output
        while at in self.trace.records and isinstance(self.trace[at].layer, _KEEPING):
            at = self.sources[at][0]
            if flat_shape(self._array(Number("activation", at, ())).shape) == self._logits.shape:
                found.add(at)
        return found

    def _named(self, number: Number) -> Number:
        """Return a number with the name of the class that it belongs to, if it is one of an output."""
        names = getattr(self.trace.network, "class_names", None)
        if not names or number.at not in self._outputs or len(number.index) < 2:
            return number
        k, outputs = number.index[1], self._logits.shape[1]
        name = names[-1] if outputs == 1 else names[k] if k < len(names) else ""
        return number if name == str(k) else replace(number, name=name)

    def ask(
        self, at: str, index: Sequence[int] | int | None = None, *, of: str = "activation"
    ) -> Explanation:
        """Explain an entry of an array; without an index, the entry of the largest magnitude.

        See :func:`explain` for the values of ``at`` and the errors.
        """
        one_of("of", of, KINDS)
        if self.trace.t is None and (of == "gradient" or at == "loss"):
            raise ValueError("y must be given: there is no loss, and no gradient, without labels.")
        if isinstance(index, int):
            index = (index,)
        if index is None:
            array = np.asarray(self._array(Number(of, self._place(at), ())))
            place: Index = tuple(int(i) for i in np.unravel_index(np.abs(array).argmax(), array.shape))
        else:
            place = tuple(integer("index", i, -(2**31)) for i in index)
        return self.explain(Number(of, at, place))

    @property
    def answer(self) -> str:
        """The name of what the network answers: "softmax", "sigmoid", or the output, which holds values."""
        return _ANSWERS.get(before_last(self.trace.output_kind), self.output)

    def _place(self, at: str) -> str:
        ends = [] if self.answer == self.output else [self.answer]
        one_of("at", at, ["input", *self.trace.records, *self.users, *ends, "loss"])
        made = before_last(self.trace.output_kind) != self.trace.output_kind  # by the last layer
        return self.output if made and at == self.answer and not self._is_layer(at) else at

    @property
    def _logits(self) -> Any:
        """The network's output, of shape (N, outputs)."""
        output = self.trace.output
        return output.reshape(flat_shape(output.shape))

    @property
    def _weights(self) -> tuple[float, ...] | None:
        """The class weights of training, which the probabilities do without."""
        weights: tuple[float, ...] | None = getattr(self.trace.network, "class_weight", None)
        return weights

    @property
    def _sigmoids(self) -> Any:
        """The probabilities of independent outputs: (N, outputs)."""
        p = self.trace.probabilities
        return p if p is None or self._logits.shape[1] > 1 else p[:, 1:]

    def _output_number(self, n: int, k: int) -> Number:
        """Return the output k for image n."""
        return Number("activation", self.output, (n, k, *(0,) * (self.trace.output.ndim - 2)))

    def _is_layer(self, at: str) -> bool:
        """Return whether a name is a layer's, which may be called "softmax" or "loss"."""
        return at in self.trace.records

    def explain(self, number: Number) -> Explanation:
        """Explain the number at an index."""
        number = Number(number.of, self._place(number.at), number.index)
        array = self._array(number)
        number = Number(number.of, number.at, _checked(number, np.shape(array)))
        value = float(np.asarray(array)[number.index])
        explainer = self._gradient if number.of == "gradient" else self._activation
        layer, formula, terms = explainer(number)
        terms = [
            replace(
                term,
                parts=tuple(
                    part if part.number is None else replace(part, number=self._named(part.number))
                    for part in term.parts
                ),
            )
            for term in terms
        ]
        dtype = self.trace.output.dtype
        return Explanation(self.explain, self._named(number), value, layer, formula, terms, dtype)

    def _array(self, number: Number) -> Any:
        """Return the array that holds a number."""
        seen, at = self.trace, number.at
        if number.of == "activation":
            if self._is_layer(at):
                return seen[at].y
            if at == self.answer and seen.probabilities is None:
                raise ValueError(f"at={at!r} needs an output of shape (N, classes).")
            special = {"input": seen.x, "loss": seen.loss, "softmax": seen.probabilities}
            if at == "sigmoid":
                return self._sigmoids
            return special[at] if at in special else seen.network.params[at]
        if at in (self.answer, "loss") and not self._is_layer(at):
            raise ValueError(f"at={at!r} has no gradient here; ask for that of {self.output!r}, the logits.")
        if at in self.users:
            return sum(record.grads[key] for record, key in self.users[at])
        total = seen.dz if at == self.output else 0
        for name, slot in self.readers[at]:
            dx = seen[name].dx
            total = total + (dx[slot] if seen[name].layer.several_inputs else dx)
        return total

    def _activation(self, number: Number) -> tuple[str, str, list[Contribution]]:
        if not self._is_layer(number.at):
            if number.at == "loss":
                return self._loss_terms()
            if number.at == "softmax":
                return self._softmax_terms(number.index)
            if number.at == "sigmoid":
                return self._sigmoid_terms(number.index)
            return "", "a pixel" if number.at == "input" else "a parameter", []
        record = self.trace[number.at]
        rule = rule_for(record.layer)
        terms = [self._known(record, term) for term in rule.forward(record, number.index)]
        return repr(record.layer), rule.forward_formula(record), terms

    def _gradient(self, number: Number) -> tuple[str, str, list[Contribution]]:
        terms: list[Contribution] = []
        readers: list[tuple[LayerRecord, str]] = []
        if number.at in self.users:
            for record, key in self.users[number.at]:
                found = rule_for(record.layer).parameter_gradient(record, key, number.index)
                terms += [self._known(record, term) for term in found]
                readers.append((record, key))
        else:
            if number.at == self.output:
                terms += self._loss_gradient_terms(number.index)
            for name, slot in self.readers[number.at]:
                record = self.trace[name]
                found = rule_for(record.layer).input_gradient(record, number.index, slot)
                terms += [self._known(record, term) for term in found]
                readers.append((record, "x"))
        if not readers:
            return repr(self.loss), "dz, the derivative of the loss in the logits", terms
        layers = ", ".join(repr(record.layer) for record, _ in readers)
        formulas = dict.fromkeys(rule_for(r.layer).gradient_formula(r, key) for r, key in readers)
        return layers, "; ".join(formulas), terms

    def _known(self, record: LayerRecord, term: Term) -> Contribution:
        """Replace a layer's own names in a term of its rule by those of the network."""
        return Contribution(tuple(self._part(record, f) for f in term.factors), term.value, term.note)

    def _part(self, record: LayerRecord, factor: Factor) -> Part:
        number = None
        if factor.kind == "x":
            number = Number("activation", self.sources[record.name][factor.slot], factor.index)
        elif factor.kind == "dy":
            number = Number("gradient", record.name, factor.index)
        elif factor.kind:
            name = self._first[id(record.layer.params[factor.kind])]
            number = Number("activation", name, factor.index)
        return Part(factor.symbol, factor.value, number)

    def _softmax_terms(self, index: Index) -> tuple[str, str, list[Contribution]]:
        """Return the share of each class in the sum of exponentials; only that at ``index`` has a value."""
        n, k = index
        z, p = self._logits, self.trace.probabilities
        assert p is not None
        terms = []
        for j in range(p.shape[1]):
            part = Part("z", float(z[n, j]), self._output_number(n, j))
            share = float(p[n, j])
            terms.append(Contribution((part,), share if j == k else 0.0, f"share {share:.4g}"))
        formula = "p[n,k] = exp(z[n,k]) / sum over j of exp(z[n,j]): each logit's share of that sum"
        if self._weights is not None:
            formula = (
                "p[n,k] = exp(z[n,k]) / w[k] / sum over j of exp(z[n,j]) / w[j]: each logit's share of that "
                f"sum, without the class weights w = {_listed(self._weights)} of training"
            )
        return "softmax", formula, terms

    def _sigmoid_terms(self, index: Index) -> tuple[str, str, list[Contribution]]:
        """Return the one output that the probability of an independent label is made of."""
        z = float(self._logits[index])
        part = Part("z", z, self._output_number(*index))
        formula = "p[n,k] = 1 / (1 + exp(-z[n,k]))"
        if self._weights is not None:
            ratio = "w[k]" if self._logits.shape[1] > 1 else "w[1] / w[0]"
            formula = (
                f"p[n,k] = 1 / (1 + {ratio} exp(-z[n,k])), without the class weights "
                f"w = {_listed(self._weights)} of training"
            )
        return "sigmoid", formula, [Contribution((part,), float(self._sigmoids[index]), "its sigmoid")]

    def _loss_terms(self) -> tuple[str, str, list[Contribution]]:
        """Return the loss of each image over N; a single term if the loss is not the mean over the images."""
        seen, t = self.trace, np.asarray(self.trace.t)
        images = len(seen.output)
        values = [float(self.loss(seen.output[n : n + 1], t[n : n + 1])[0]) for n in range(images)]
        terms = []
        for n, value in enumerate(values):
            number = None
            if isinstance(self.loss, SoftmaxLoss):
                number = self._of_probability((n, int(t[n])))
            parts = (Part("loss", value, number), Part("1/N", 1 / images, None))
            terms.append(Contribution(parts, value / images, f"image {n}"))
        assert seen.loss is not None
        if not math.isclose(sum(values) / images, seen.loss, rel_tol=1e-4):
            whole = Contribution((Part("loss", seen.loss, None),), seen.loss, "of the batch")
            return repr(self.loss), "one number of the whole batch, not the mean of its images'", [whole]
        return repr(self.loss), "the mean of the images' losses", terms

    def _loss_gradient_terms(self, index: Index) -> list[Contribution]:
        """Return the terms of ``dz[index]`` that the loss states; a single term if it states none."""
        assert self.trace.dz is not None
        found = gradient_terms(self.loss, self.trace.output, np.asarray(self.trace.t), index)
        if found is None:
            found = [LossTerm({"dz": float(self.trace.dz[index])}, "derivative of the loss")]
        terms = []
        for term in found:
            parts = tuple(
                Part(name, value, self._loss_part(name, index)) for name, value in term.factors.items()
            )
            terms.append(Contribution(parts, math.prod(term.factors.values()), term.note))
        return terms

    def _of_probability(self, index: tuple[int, int]) -> Number:
        """Return where a probability in the loss comes from: of weighted classes it is that of the logit."""
        if self._weights is not None:
            return self._output_number(*index)
        return Number("activation", self.answer, index)

    def _loss_part(self, symbol: str, index: Index) -> Number | None:
        """Return which number a factor is, by its symbol; see :class:`neocog.losses.LossTerm`."""
        if symbol.startswith("-"):
            return Number("activation", "loss", ())  # where the derivative starts
        if symbol == "p":
            return self._of_probability((index[0], index[1]))
        return Number("activation", self.output, index) if symbol == "z" else None


def _listed(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:.4g}" for weight in weights)


def _checked(number: Number, shape: tuple[int, ...]) -> Index:
    """Return the index without negative entries; IndexError if it does not fit."""
    index = number.index
    if len(index) != len(shape) or any(not -s <= i < s for i, s in zip(index, shape, strict=False)):
        raise IndexError(f"index of {number.at!r} must fit the shape {tuple(shape)}, got {tuple(index)}.")
    return tuple(i % s for i, s in zip(index, shape, strict=True))
