"""Hold the studio's sessions and answer its pages: routes, the socket, and the life of a session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
import secrets
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from neocog.studio import messages
from neocog.studio.bundle import without_comments
from neocog.studio.commands import carry_out
from neocog.studio.lessons import find, names
from neocog.studio.outbox import Outbox, as_json
from neocog.studio.protocol import LIMITS, VERSION, check
from neocog.studio.session import Session
from neocog.studio.work import Work, run_work, source_work
from neocog.training import NonFiniteLossError

__all__ = ["Studio"]

T = TypeVar("T")

WEB = Path(__file__).parent / "web"
KEEP_SECONDS = 60.0
"""For how long a session without a page stays in memory, before it is saved and freed."""
OPEN_SECONDS = 30.0
"""In which the first message must come."""
MOST_RUNS = 50
TAKEN, ENDED, REFUSED, BROKEN = 4001, 4002, 4003, 1011

EXPECTED = (ValueError, TypeError, IndexError, OSError, MemoryError, ImportError, NonFiniteLossError)
"""What is told to the page as it is; anything else is a bug of neocog's, and said to be one."""


class Studio:
    """Hold all sessions of a server.

    Parameters
    ----------
    sources : dict of str to (str, str)
        The data that a page may choose, by id: what they are called, and the source.
    begin_with : function () -> Work
        What a page without a wish opens.
    runs_folder : path
        Where sessions are saved.
    kernels : str
    keep_seconds : float
    opened : dict of str to Work
        What has been read of the sources by now.
    """

    def __init__(
        self,
        sources: Mapping[str, tuple[str, str]],
        begin_with: Callable[[], Work],
        runs_folder: Path = Path("runs"),
        kernels: str = "auto",
        keep_seconds: float = KEEP_SECONDS,
        opened: Mapping[str, Work] | None = None,
    ) -> None:
        self.sources, self.begin_with, self.kernels = dict(sources), begin_with, kernels
        self.runs_folder, self.keep_seconds = Path(runs_folder), keep_seconds
        self.lessons = {name: find(name).title for name in names()}
        self.sessions: dict[str, Session] = {}
        self._sockets: dict[str, WebSocket] = {}
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opened = dict(opened or {})
        self.ended = ""
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="neocog-studio")

    def app(self) -> Starlette:
        """Return the application, which must stand behind a :class:`~neocog.studio.guard.Guard`."""
        mimetypes.add_type("text/javascript", ".js")  # whatever this machine's table says
        return Starlette(
            routes=[
                Route("/", self._page),
                WebSocketRoute("/ws", self._socket),
                Route("/upload", self._upload, methods=["POST"]),
                Route("/files/{session}/{name}", self._file),
                Mount("/", _Files(directory=WEB)),
            ]
        )

    async def compute(self, work: Callable[[], T]) -> T:
        """Run a function in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def runs(self) -> dict[str, Path]:
        """Return the runs that a page may open, by id: the newest first."""
        found = []
        with contextlib.suppress(OSError):  # whoever else works in the folder may remove what was there
            for path in self.runs_folder.iterdir():
                with contextlib.suppress(OSError):
                    found.append(((path / "model.neocog").stat().st_mtime, path))
        return {path.name: path for _, path in sorted(found, reverse=True)[:MOST_RUNS]}

    async def open_source(self, key: str) -> Work:
        """Open data by their id; those of all sessions are read once."""
        if key not in self.sources:
            raise ValueError(f"data must be one of {', '.join(map(repr, self.sources))}, got {key!r}.")
        if key not in self._opened:
            name, source = self.sources[key]
            self._opened[key] = await self.compute(lambda: source_work(key, name, source, self.kernels))
        return self._opened[key]

    # Sessions.

    async def open(self, message: Mapping[str, Any]) -> Session:
        """Return the session that an ``open`` asks for: one that goes on, a saved one, or a new one."""
        wanted = message.get("session") or message.get("run")
        if wanted in self.sessions:
            return self.sessions[wanted]
        self._check_room()
        if wanted is not None:
            path = self.runs().get(wanted)
            if path is None:
                raise ValueError(f"there is no session or run {wanted!r} any more.")
            key = wanted if wanted.startswith("studio-") else _new_id()
            work = await self.compute(lambda: run_work(path, wanted, self.kernels))
        else:
            key = _new_id()
            work = await self._wished(message)
        session = Session(self, key)
        try:
            await session.begin(work)
            if key not in self.sessions:
                self._check_room()
        except BaseException:
            await session.close()
            raise
        if key in self.sessions:  # another tab was faster
            await session.close()
            return self.sessions[key]
        self.sessions[key] = session
        if key == wanted:
            session.saved, session.saved_tick = str(self.runs_folder / key), session.live.tick  # type: ignore[union-attr]
        return session

    def _check_room(self) -> None:
        if self.ended:
            raise ValueError(self.ended)
        if len(self.sessions) >= LIMITS["sessions"]:
            raise ValueError(
                f"this server holds at most {LIMITS['sessions']} sessions; close another tab first."
            )

    async def _wished(self, message: Mapping[str, Any]) -> Work:
        if "data" in message:
            work = await self.open_source(message["data"])
        else:
            work = await self.compute(self.begin_with)
        if "network" in message or "blocks" in message:
            work = work.with_network(message.get("network"), message.get("blocks"))
        return work.with_settings(message.get("settings", {}), clamp=True)

    async def _attach(self, session: Session, websocket: WebSocket) -> Outbox:
        """Connect a page to a session; a page that had it before is told so."""
        if (timer := self._expiries.pop(session.id, None)) is not None:
            timer.cancel()
        before = self._sockets.get(session.id)
        outbox = session.outbox = Outbox(session, _sender(websocket))
        if session.live is not None:
            session.live.sent = -1  # a page that comes back has drawn nothing yet
        self._sockets[session.id] = websocket
        if before is not None and before is not websocket:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await before.close(TAKEN, "another page has taken over the session")
        return outbox

    def _detach(self, session: Session, outbox: Outbox) -> None:
        """Pause what a page has left; after a while it is saved and freed."""
        if session.outbox is not outbox:
            return
        session.outbox = None
        self._sockets.pop(session.id, None)
        if session.live is not None:
            session.live.pause()
        self._retire_later(session)

    def _retire_later(self, session: Session) -> None:
        retire = lambda: self.spawn(self.retire(session))  # noqa: E731
        self._expiries[session.id] = asyncio.get_running_loop().call_later(self.keep_seconds, retire)

    async def retire(self, session: Session) -> None:
        """Save a session that no page holds, and free it; its address opens it again."""
        if session.outbox is not None or session.id not in self.sessions:
            return
        try:
            await session.save()
        except Exception as error:  # such as a full disk: it stays in memory until it can be
            print(f"the session {session.id} cannot be saved: {sentence(error)}", file=sys.stderr)
            if session.outbox is None:
                self._retire_later(session)
            return
        if session.outbox is None:
            self.sessions.pop(session.id, None)
            self._expiries.pop(session.id, None)
            await session.close()

    async def end(self, reason: str) -> list[str]:
        """Pause and save every session, tell the pages why, and return where they are saved."""
        self.ended = reason
        for timer in self._expiries.values():
            timer.cancel()
        saved = await asyncio.gather(*(self._end(s, reason) for s in list(self.sessions.values())))
        for task in self._tasks:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
        return [path for path in saved if path]

    async def _end(self, session: Session, reason: str) -> str:
        path = ""
        try:
            if session.live is not None:
                session.live.pause()
            path = await session.save()
            where = f" What was trained is saved in {path}." if path else ""
        except Exception as error:  # one that cannot be saved must not cost the others
            reason_not = sentence(error)
            where = f" It could not be saved: {reason_not}"
            print(f"the session {session.id} cannot be saved: {reason_not}", file=sys.stderr)
        session.stopped = f"{reason}{where}"
        outbox, session.outbox = session.outbox, None
        websocket = self._sockets.pop(session.id, None)
        if websocket is not None and outbox is not None and session.live is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
                await websocket.send_text(as_json(session.state()))
                await websocket.close(ENDED, "the server ends")
        await session.close()
        return path

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine beside the others, and keep it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(
            error, WebSocketDisconnect | RuntimeError
        ):  # of a closed page
            print("".join(traceback.format_exception(error)), file=sys.stderr)

    # Routes.

    async def _page(self, request: Request) -> Response:
        return FileResponse(WEB / "studio.html")

    async def _upload(self, request: Request) -> Response:
        session = self.sessions.get(request.query_params.get("session", ""))
        if session is None:
            return JSONResponse({"error": "there is no such session."}, 404)
        try:
            name = request.query_params.get("name", "picture")
            content = await request.body()
            return JSONResponse(await self.compute(lambda: session.pictures.add(name, content)))
        except EXPECTED as error:
            return JSONResponse({"error": str(error)}, 400)

    async def _file(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["session"])
        path = None if session is None else session.files.get(request.path_params["name"])
        if path is None or not path.is_file():
            return Response("There is no such file; save it again.\n", 404)
        return FileResponse(path, filename=path.name)  # as a download

    async def _socket(self, websocket: WebSocket) -> None:
        """Talk to one page."""
        await websocket.accept()
        if self.ended:
            await websocket.close(ENDED, "the server ends")
            return
        session: Session | None = None
        outbox: Outbox | None = None
        sending: asyncio.Task[Any] | None = None
        try:
            while True:
                wait = OPEN_SECONDS if session is None else None
                raw = await asyncio.wait_for(websocket.receive(), wait)
                if raw["type"] == "websocket.disconnect":
                    return
                number = None
                try:
                    message, arrays, number = _decoded(raw)
                    if message["kind"] == "open":
                        if message["version"] != VERSION:
                            await _refuse(websocket, number, f"the page speaks version {message['version']}")
                            return
                        found = await self.open(message)
                        if sending is not None and session is not None and outbox is not None:
                            sending.cancel()
                            self._detach(session, outbox)
                        session, outbox = found, await self._attach(found, websocket)
                        outbox.put(_answered(number, "open", {"session": session.id}))
                        sending = self.spawn(_send_all(outbox, websocket))
                    elif session is None or outbox is None:
                        if message["kind"] != "want":
                            await _refuse(websocket, number, f"the first message was {message['kind']!r}")
                            return
                    elif message["kind"] == "want":
                        if (snapshot := session.want(message)) is not None:
                            outbox.put(*snapshot)
                    elif message["kind"] in ("ask", "attribute", "measure"):
                        self.spawn(_respond(session, outbox, message, arrays, number))
                    else:
                        await _respond(session, outbox, message, arrays, number)
                except Exception as error:
                    number = error.number if isinstance(error, _NumberedError) else number
                    failed = {"kind": "error", "to": number, "text": sentence(error)}
                    if outbox is None:
                        await websocket.send_text(as_json(failed))
                    else:
                        outbox.put(failed)
        except (WebSocketDisconnect, RuntimeError, TimeoutError, asyncio.CancelledError):
            return
        finally:
            if sending is not None:
                sending.cancel()
            if session is not None and outbox is not None:
                self._detach(session, outbox)


async def _respond(
    session: Session, outbox: Outbox, message: Mapping[str, Any], arrays: Any, number: int | None
) -> None:
    try:
        data, found = await carry_out(session, message, arrays)
        outbox.put(_answered(number, message["kind"], data), found)
    except Exception as error:
        outbox.put({"kind": "error", "to": number, "text": sentence(error)})


def _answered(number: int | None, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "kind": "answer", "to": number, "of": kind}


async def _send_all(outbox: Outbox, websocket: WebSocket) -> None:
    """Send until the connection ends; a page that can be told nothing more is let go, and comes back."""
    try:
        await outbox.run()
    except Exception:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await websocket.close(BROKEN, "the page cannot be told what there is")
        raise


async def _refuse(websocket: WebSocket, number: int | None, reason: str) -> None:
    text = f"{reason}; it must be open, of version {VERSION}. Reload the page."
    await websocket.send_text(as_json({"kind": "error", "to": number, "text": text}))
    await websocket.close(REFUSED, "reload the page")


def _decoded(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], int | None]:
    """Return a message, its arrays and its number; of a malformed one the number is lost."""
    arrays: dict[str, Any] = {}
    if raw.get("bytes") is not None:
        message, arrays = messages.decode(raw["bytes"])
    else:
        try:
            message = json.loads(raw.get("text") or "")
        except (ValueError, RecursionError):
            raise ValueError("a message must be JSON, or binary with a header.") from None
    number = message.get("id") if isinstance(message, dict) else None
    number = number if isinstance(number, int) and not isinstance(number, bool) else None
    try:
        return check(message), arrays, number
    except Exception as error:
        raise _NumberedError(number, error) from None


class _NumberedError(ValueError):
    """A message that cannot be taken, with its number."""

    def __init__(self, number: int | None, error: Exception) -> None:
        super().__init__(sentence(error))
        self.number = number


def sentence(error: BaseException) -> str:
    """Return an error as one sentence for the page; of a bug the traceback is printed, here."""
    if isinstance(error, EXPECTED):
        return " ".join(str(error).split()) or f"{type(error).__name__}: out of memory."
    print("".join(traceback.format_exception(error)), file=sys.stderr)
    return f"this is a bug in neocog: {type(error).__name__}: {' '.join(str(error).split())}"


def _sender(websocket: WebSocket) -> Callable[[str | bytes], Any]:
    async def send(data: str | bytes) -> None:
        if isinstance(data, str):
            await websocket.send_text(data)
        else:
            await websocket.send_bytes(data)

    return send


class _Files(StaticFiles):
    """The page's files; its own scripts without comments and spaces, as a living page has them."""

    def file_response(self, full_path: Any, *args: Any, **kwargs: Any) -> Response:
        path = Path(full_path)
        if path.suffix != ".js" or path.parent == WEB / "vendor":
            return super().file_response(full_path, *args, **kwargs)
        return Response(without_comments(path.read_text(encoding="utf-8")), media_type="text/javascript")


def _new_id() -> str:
    return f"studio-{secrets.token_hex(4)}"
