"""Run the studio's server on the loopback interface: its port, the browser, and the end by Ctrl-C."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from neocog.studio.guard import Guard, redirect_file
from neocog.studio.protocol import LIMITS
from neocog.studio.server import Studio

__all__ = ["StudioServer", "bound", "serve"]

PING_SECONDS = 5.0
"""Between two pings; a page that answers none for four times as long is lost: a busy machine is slow."""
WARM_AFTER = 3.0
"""Seconds after which there is time to import what is needed later."""
PORT = 7391


class StudioServer(uvicorn.Server):
    """A server that ends its studio first: all is saved, and the pages are told."""

    def __init__(
        self, studio: Studio, port: int, token: str, started: Callable[[], None] = lambda: None
    ) -> None:
        guarded = Guard(studio.app(), port, token, LIMITS["upload_bytes"])
        super().__init__(
            uvicorn.Config(
                guarded,
                ws="websockets-sansio",
                ws_max_size=LIMITS["message_bytes"],
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=4 * PING_SECONDS,
                ws_per_message_deflate=False,
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        self.studio, self.saved, self._when_started = studio, list[str](), started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.saved = await self.studio.end("The server was stopped.")
        await super().shutdown(sockets)


def bound(port: int | None) -> socket.socket:
    """Return a socket on the loopback interface; without a port the usual one, or any that is free."""
    for wanted in (PORT, 0) if port is None else (port,):
        listening = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle's delay on
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", wanted))
        except OSError:
            listening.close()
            if wanted != PORT or port is not None:
                raise OSError(f"port {wanted} cannot be used: another program has it.") from None
            continue
        return listening
    raise AssertionError("port 0 is always free")


def _warm_up() -> None:
    """Import what the first confusion matrix and the first save need, so that nobody waits for it."""
    import scipy.stats  # noqa: F401
    import sklearn.metrics  # noqa: F401


def serve(
    studio: Studio, port: int | None = None, browser: bool = True, say: Callable[[str], None] = print
) -> list[str]:
    """Serve until Ctrl-C; return where the sessions are saved.

    Parameters
    ----------
    studio : Studio
    port : int, optional
    browser : bool
        Whether to open the page; else the address is printed.
    say : function
        Prints a line.

    Raises
    ------
    OSError
        If the port is taken.
    """
    listening = bound(port)
    port = listening.getsockname()[1]
    token = secrets.token_urlsafe(24)
    address = f"http://127.0.0.1:{port}/?token={token}"
    redirect = redirect_file(address) if browser else ""

    def started() -> None:
        warming = threading.Timer(WARM_AFTER, _warm_up)
        warming.daemon = True
        warming.start()
        if browser:
            say(
                f"The studio is open in the browser, at http://127.0.0.1:{port}/ (Ctrl-C ends it, and saves)."
            )
            say(f"If no page has opened, open {address}")
            threading.Thread(target=webbrowser.open, args=(Path(redirect).as_uri(),), daemon=True).start()
        else:
            say(f"Open {address} (Ctrl-C ends the studio, and saves).")

    server = StudioServer(studio, port, token, started)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    finally:
        if redirect:
            Path(redirect).unlink(missing_ok=True)
    return server.saved
