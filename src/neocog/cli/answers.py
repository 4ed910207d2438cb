"""Say what a network answers for images, by the kind of its outputs: as a line, as JSON, as a table's row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.cli.common import class_names, escaped
from neocog.layers import Container
from neocog.layers.outputs import INDEPENDENT, MEANINGS

__all__ = ["Answers", "joined"]

SEPARATOR = ";"
"""Between the labels of one image, as tables of labels have it."""


def joined(names: Sequence[str]) -> str:
    """Return several labels as one cell."""
    return SEPARATOR.join(names)


class Answers:
    """What a network says of images, from its outputs (N, K).

    Attributes
    ----------
    kind : str
        What the outputs are.
    numbers : array (N, names)
        The probability of each class or label, or the values.
    names : tuple of str
    """

    def __init__(self, network: Container, outputs: np.ndarray) -> None:
        self.kind = network.output_kind
        self.numbers = outputs if self.kind == "values" else network.probabilities(outputs)
        self.names = class_names(network, self.numbers.shape[1])
        self.several = self.kind in INDEPENDENT and outputs.shape[1] > 1
        self.applying = network.applying(self.numbers) if self.several else np.zeros((len(outputs), 0), bool)
        self.order = (
            network.ranking(self.numbers) if self.kind != "values" else np.zeros((len(outputs), 0), int)
        )

    def best(self, n: int) -> int:
        """Return the class, label or value of an image that is predicted first, the highest."""
        return int(self.numbers[n].argmax() if self.kind == "values" else self.order[n, 0])

    @property
    def meaning(self) -> str:
        """What the outputs are, in words."""
        words = f"The outputs are taken for {MEANINGS[self.kind]}"
        if self.kind in INDEPENDENT and not self.several:
            number = "log-odds" if self.kind == "independent-logits" else "probability"
            words = (
                f"The output is taken for the {number} of {escaped(self.names[1])}, the second of two classes"
            )
        return f"{words} (--output {self.kind})."

    def _applying(self, n: int) -> list[int]:
        """Return the labels that are said of an image, the most probable first."""
        return [k for k in self.order[n].tolist() if self.applying[n, k]]

    def line(self, n: int, top: int) -> str:
        """Return what is said of an image, as markup."""
        numbers, names = self.numbers[n], self.names
        if self.kind == "values":
            if len(names) == 1:
                return f"[bold]{numbers[0]:.6g}[/]"
            return "  ".join(
                f"{escaped(name)} {value:.6g}" for name, value in zip(names, numbers, strict=True)
            )
        chosen = self._applying(n) if self.several else self.order[n, :top].tolist()
        said = [f"{escaped(names[k])} {numbers[k]:.1%}" for k in chosen]
        if self.several:
            best = self.order[n, 0]
            highest = f"[bold]no label[/]  (the most probable, {escaped(names[best])}, {numbers[best]:.1%})"
            return f"[bold]{'  '.join(said)}[/]" if said else highest
        return f"[bold]{said[0]}[/]  {'  '.join(said[1:])}".rstrip()

    def to_dict(self, n: int, top: int) -> dict[str, Any]:
        """Return the same as plain data."""
        found: dict[str, Any] = {"output": self.kind}
        if self.kind == "values":
            return found | {"values": dict(zip(self.names, self.numbers[n].tolist(), strict=True))}
        if self.several:
            found["labels"] = [self._of_class(n, k) for k in self._applying(n)]
        return found | {"classes": [self._of_class(n, k) for k in self.order[n, :top].tolist()]}

    def _of_class(self, n: int, k: int) -> dict[str, Any]:
        return {"class": self.names[k], "probability": float(self.numbers[n, k])}

    def cells(self, n: int) -> dict[str, Any]:
        """Return the cells of a table that say the answer; those of the single numbers follow them."""
        if self.kind == "values":
            return {"output": self.kind}
        if self.several:
            return {"predicted": joined([self.names[k] for k in self._applying(n)]), "output": self.kind}
        best = int(self.order[n, 0])
        return {
            "predicted": self.names[best],
            "probability": float(self.numbers[n, best]),
            "output": self.kind,
        }
