"""Compare and restore what a forward may change outside itself."""

from __future__ import annotations

import random

import numpy as np
import torch


def settings() -> tuple[bool, ...]:
    """Return what a ``with`` of PyTorch's can change in what a forward means."""
    return torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


class Generators:
    """The states of the global random generators of PyTorch, Python and NumPy."""

    def __init__(self) -> None:
        self._torch, self._python = torch.get_rng_state(), random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002, it is another's code that draws from it

    def restore(self) -> bool:
        """Restore the states, and return whether one had changed."""
        now = Generators()
        torch.set_rng_state(self._torch)
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        return not (
            torch.equal(now._torch, self._torch)
            and now._python == self._python
            and all(map(np.array_equal, now._numpy, self._numpy))
        )
