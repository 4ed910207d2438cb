"""Judge decisions about training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Case, judge
from neocog.exercises.judges.drawing import draws


@judge("early_stopping(losses, patience) -> best[], last[]")
def early_stopping(seed: int) -> Iterator[Case]:
    """Judge ``early_stopping(losses, patience) -> (best, last)`` as whole numbers.

    ``losses[k]`` is the validation loss after epoch k. Training ends with the first epoch that comes
    ``patience`` epochs after the best one so far, or with the last loss; ``best`` is the epoch of the
    smallest loss until then, the first one on a tie, and ``last`` the epoch at which training ended.
    """
    simple: dict[str, tuple[Any, ...]] = {
        "a loss that falls to the end": ((3.0, 2.0, 1.0), 2),
        "a loss that rises": ((3.0, 1.0, 2.0, 2.5, 2.6, 2.7), 2),
        "a smaller loss that comes too late": ((3.0, 2.0, 2.5, 2.5, 0.5), 2),
        "a smaller loss that comes just in time": ((3.0, 2.0, 2.5, 1.0, 1.5, 1.6, 1.7), 2),
        "a loss that stays the same": ((1.0, 1.0, 1.0, 1.0, 1.0), 3),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        losses = rng.normal(size=rng.integers(1, 30)).round(1)
        return tuple(losses.tolist()), int(rng.integers(1, 6))

    for draw in draws(seed, simple, sizes, "patience {1}", 10):
        losses, patience = draw.sizes
        best, last = _stop(losses, patience)
        mistakes = {
            "training ends after patience losses worse than the one before: compare with the best": (
                _rises(losses, patience)
            ),
            "the best epoch may not lie after the end of training": (int(np.argmin(losses)), last),
            "training ends an epoch late: best + patience is the last epoch": _stop(losses, patience + 1),
            "training ends an epoch early: best + patience is the last epoch": _stop(losses, patience - 1),
        }
        case = draw.case((list(losses), patience), best, last, mistakes=mistakes)
        label = draw.label if draw.seed is None else f"losses {list(losses)}, patience {patience}"
        yield dataclasses.replace(case, label=label)


def _stop(losses: tuple[float, ...], patience: int) -> tuple[int, int]:
    for last in range(len(losses)):
        best = int(np.argmin(losses[: last + 1]))
        if last - best >= patience:
            break
    return best, last


def _rises(losses: tuple[float, ...], patience: int) -> tuple[int, int]:
    rises = 0
    for last in range(len(losses)):
        rises = rises + 1 if last and losses[last] >= losses[last - 1] else 0
        if rises >= patience:
            break
    return int(np.argmin(losses[: last + 1])), last
