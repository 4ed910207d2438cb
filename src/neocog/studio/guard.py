"""Guard the studio's server: who may ask for what, checked before any other code sees a request.

The server listens on the loopback interface, which every page in the browser and every user of the machine
can reach. So that only the user's own page is served:

- ``Host`` must name the loopback interface and the server's port: else 421. A foreign name that is resolved
  to 127.0.0.1 (DNS rebinding) fails here, although its ``Origin`` and ``Host`` agree.
- A WebSocket, and a POST, must have an ``Origin`` that is exactly the page's; a missing one is refused: 403.
- The first address holds a token. It is answered by a page that sets a cookie, and at once goes on to the
  address without the token, which so is in no history and no ``Referer``. Everything else needs the cookie:
  it is HttpOnly, SameSite=Strict, and has the port in its name, as cookies ignore ports.
- Bodies are bounded (413), methods are GET, HEAD and POST (405), and every answer has a strict policy:
  scripts, styles and connections from here only, in no frame.

It is plain ASGI around everything, for Starlette's middleware classes do not see WebSockets.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs

__all__ = ["Guard", "redirect_file"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_ENTER = "/enter.js"
# The fragment, which is the page's state, stays; replace() leaves no history.
_SCRIPT = b'location.replace("/" + location.hash);\n'
_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>neocog studio</title>'
    f'<script src="{_ENTER}"></script><a href="/">neocog studio</a>\n'
).encode()


class Guard:
    """Wrap an ASGI application.

    Parameters
    ----------
    app : ASGI application
    port : int
    token : str
        Of the first address.
    most_bytes : int
        The largest body of a POST.
    """

    def __init__(self, app: App, port: int, token: str, most_bytes: int) -> None:
        self.app, self.token, self.most_bytes = app, token, most_bytes
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self.cookie = f"neocog_studio_{port}"
        self._key = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        status, text, extra = self.verdict(scope)
        if status == 0:
            if is_socket:
                await self.app(scope, receive, send)
            else:
                await self._answer(scope, receive, send)
        elif is_socket:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": text.decode()})
        else:
            kind = b"text/javascript" if text is _SCRIPT else b"text/html" if text is _PAGE else b"text/plain"
            headers = [(b"content-type", kind + b"; charset=utf-8"), *extra, *self._headers(scope)]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": text})

    def verdict(self, scope: Scope) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Return the status with which a request is answered here, text and headers; 0 if it may pass."""
        headers = _headers_of(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return 421, b"This server answers to the loopback address only.\n", []
        is_socket = scope["type"] == "websocket"
        if not is_socket and scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, b"The method must be GET, HEAD or POST.\n", [(b"allow", b"GET, HEAD, POST")]
        if is_socket or scope["method"] == "POST":
            if headers.get("origin", []) != [f"http://{hosts[0]}"]:
                return 403, b"The request must come from the studio's own page.\n", []
        elif scope["path"] == "/" and (
            given := parse_qs(scope["query_string"].decode("latin-1")).get("token")
        ):
            if secrets.compare_digest(given[0].encode(), self.token.encode()):
                value = f"{self.cookie}={self._key}; Path=/; HttpOnly; SameSite=Strict"
                return 200, _PAGE, [(b"set-cookie", value.encode())]
            return 403, b"The token is not this studio's; open the address that it has printed.\n", []
        if not self._has_cookie(headers):
            return 403, b"Open the address that the studio has printed: it holds a token.\n", []
        if not is_socket and scope["path"] == _ENTER:
            return 200, _SCRIPT, []
        lengths = headers.get("content-length", ["0"])
        if not lengths[0].isdecimal() or int(lengths[0]) > self.most_bytes:
            return 413, f"A body may have at most {self.most_bytes} bytes.\n".encode(), []
        return 0, b"", []

    def _has_cookie(self, headers: dict[str, list[str]]) -> bool:
        for text in headers.get("cookie", []):
            try:
                found = SimpleCookie(text).get(self.cookie)
            except CookieError:
                continue
            if found is not None and secrets.compare_digest(found.value.encode(), self._key.encode()):
                return True
        return False

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, with this server's headers, and a body that stays within the limit."""
        left, refused = self.most_bytes, False

        async def bounded() -> Message:  # a body without a length is counted as it comes
            nonlocal left, refused
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                refused = True
                return {"type": "http.disconnect"}
            return message

        async def with_headers(message: Message) -> None:
            if refused:
                return
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers(scope)]}
            await send(message)

        try:
            await self.app(scope, bounded, with_headers)
        except Exception:
            if not refused:
                raise
        if refused:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *self._headers(scope)]
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            text = f"A body may have at most {self.most_bytes} bytes.\n".encode()
            await send({"type": "http.response.body", "body": text})

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        host = _headers_of(scope).get("host", [""])[0].lower()
        socket = f" ws://{host}" if host in self.hosts else ""
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
            f"font-src 'self'; connect-src 'self'{socket}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        return [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cache-control", b"no-cache"),
        ]


def _headers_of(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def redirect_file(address: str) -> str:
    """Write a page that only the user can read and that leads to an address; return its path.

    A browser that is started with the path shows no token in the list of processes.
    """
    descriptor, path = tempfile.mkstemp(prefix="neocog-studio-", suffix=".html")  # of mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(address)}">\n')
    return path
