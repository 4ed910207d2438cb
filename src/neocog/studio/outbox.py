"""Send to a page what it is to know, at the page's pace."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import numpy as np

from neocog.studio import messages
from neocog.studio.answers import plain
from neocog.studio.live import Live

__all__ = ["Outbox", "as_json"]

STATES_A_SECOND = 20


class Told(Protocol):
    """What a page is told of."""

    live: Live | None

    def hello(self) -> bytes:
        """Return the message that tells what there is."""

    def state(self, branches: bool = True) -> dict[str, Any]:
        """Return the message that tells where training stands."""


def as_json(header: Mapping[str, Any]) -> str:
    """Write a message without arrays."""
    return json.dumps(plain(header), allow_nan=False, separators=(",", ":"))


class Outbox:
    """Send to one page what it is to know; of what grows old only the newest, so that nothing piles up.

    Parameters
    ----------
    session : Told
    send : async function (str or bytes)
    """

    def __init__(self, session: Told, send: Callable[[str | bytes], Awaitable[None]]) -> None:
        self.session, self._send = session, send
        self.frame: bytes | None = None
        self.state_is_old = self.hello_is_old = True
        self.branches_are_old = True
        self._messages: deque[str | bytes] = deque()
        self._rows: list[dict[str, float]] | None = None
        self._sent_rows = 0
        self._sent_state = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Send what there is."""
        self._wake.set()

    def put(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Send an answer or an error, in order."""
        message = messages.encode(plain(header), arrays) if arrays else as_json(header)
        self._messages.append(message)
        self._wake.set()

    async def run(self) -> None:
        """Send until the connection ends."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._messages:
                await self._send(self._messages.popleft())
            session = self.session
            if session.live is None:
                continue
            if self.hello_is_old:
                self.hello_is_old, self.state_is_old, self._rows = False, True, None
                self.branches_are_old = True
                await self._send(session.hello())
            due = self._sent_state + 1 / STATES_A_SECOND - time.monotonic()
            if self.state_is_old and due > 0:
                if self._timer is None or self._timer.when() <= asyncio.get_running_loop().time():
                    self._timer = asyncio.get_running_loop().call_later(due, self._wake.set)
            elif self.state_is_old:
                self.state_is_old, self._sent_state = False, time.monotonic()
                await self._send_rows(session.live)
                state = session.state(self.branches_are_old)
                self.branches_are_old = False
                await self._send(as_json(state))
            if self.frame is not None:
                frame, self.frame = self.frame, None
                await self._send(frame)

    async def _send_rows(self, live: Live) -> None:
        rows = live.rows
        anew = rows is not self._rows
        first = 0 if anew else self._sent_rows
        if anew or len(rows) > first:
            self._rows, self._sent_rows = rows, len(rows)
            new = rows[first : self._sent_rows]
            await self._send(as_json({"kind": "row", "rows": new, "anew": anew}))
