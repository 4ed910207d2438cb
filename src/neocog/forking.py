"""Renew locks in a forked process, where the threads that held them do not exist."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["renew_after_fork"]


class _Owner(Protocol):
    def renew(self) -> None: ...


_owners: weakref.WeakSet[_Owner] = weakref.WeakSet()


def renew_after_fork(owner: _Owner) -> None:
    """Call ``owner.renew()`` in every process that is forked from now on; the owner is not kept alive."""
    _owners.add(owner)


def _renew() -> None:
    for owner in list(_owners):
        owner.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
