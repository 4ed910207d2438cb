"""A studio's server in a thread, and a page's half of the protocol without a browser."""

import asyncio
import contextlib
import json
import threading
import urllib.error
import urllib.request

import websockets

from neocog.studio import messages
from neocog.studio.hosting import StudioServer, bound
from neocog.studio.server import Studio
from neocog.studio.work import source_work

TOKEN = "the-token"
SOURCES = {"lines": ("line patterns", "lines"), "digits": ("digits", "digits")}
SECONDS = 60  # until a test gives up; never what it measures


@contextlib.contextmanager
def serving(runs, keep_seconds=60.0, begin_with=None, sources=SOURCES):
    """Serve a studio that begins with the line patterns; yield it and its address."""
    work = source_work("lines", *SOURCES["lines"], "im2col")
    studio = Studio(sources, begin_with or (lambda: work), runs, "im2col", keep_seconds, {"lines": work})
    listening = bound(0)
    port = listening.getsockname()[1]
    started = threading.Event()
    server = StudioServer(studio, port, TOKEN, started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        assert started.wait(SECONDS)
        studio.base = f"http://127.0.0.1:{port}"
        yield studio
    finally:
        server.should_exit = True
        thread.join(SECONDS)
        listening.close()


def cookie_of(base):
    """Enter by the address with the token; return the cookie."""
    with urllib.request.urlopen(f"{base}/?token={TOKEN}", timeout=SECONDS) as answer:
        return answer.headers["Set-Cookie"].partition(";")[0]


def fetch(base, path, cookie, body=None, origin=None):
    """Return status, headers and body of a request."""
    headers = {"Cookie": cookie} | ({"Origin": origin or base} if body is not None else {})
    request = urllib.request.Request(base + path, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Refused(Exception):  # noqa: N818
    """An ``error`` of the server's."""


class Client:
    """What a page does: open, ask, and keep what it is told."""

    def __init__(self, base, cookie):
        self.base, self.cookie = base, cookie
        self.state, self.hello, self.samples = {}, None, None
        self.rows, self.frames, self.snapshots, self.notices = [], [], {}, []
        self._waiting, self._number = {}, 0

    async def connect(self, version=1, **wish):
        self.socket = await websockets.connect(
            f"{self.base.replace('http', 'ws')}/ws",
            origin=self.base,
            additional_headers={"Cookie": self.cookie},
            max_size=2**28,
        )
        self.reading = asyncio.create_task(self._read())
        answer, _ = await self.ask("open", version=version, **wish)
        await self.until(lambda: self.hello and self.state)
        return answer["session"]

    async def _read(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for raw in self.socket:
                header, arrays = (json.loads(raw), {}) if isinstance(raw, str) else messages.decode(raw)
                self._take(header, arrays)

    def _take(self, header, arrays):
        kind = header["kind"]
        if kind in ("answer", "error"):
            future = self._waiting.pop(header["to"], None)
            if future is None:
                self.notices.append(header)
            elif kind == "answer":
                future.set_result((header, arrays))
            else:
                future.set_exception(Refused(header["text"]))
        elif kind == "hello":
            self.hello, self.samples = header, arrays["samples"]
        elif kind == "state":
            self.state = {**self.state, **header}
        elif kind == "row":
            self.rows = header["rows"] if header["anew"] else self.rows + header["rows"]
        elif kind == "frame":
            self.frames.append((header, arrays))
        elif kind == "snapshot":
            self.snapshots[header["epoch"]] = header, arrays

    async def ask(self, kind, arrays=None, **fields):
        """Send a message, and return its answer and arrays; raise Refused with the sentence of an error."""
        self._number += 1
        message = {"kind": kind, "id": self._number, **fields}
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        await self.socket.send(messages.encode(message, arrays) if arrays else json.dumps(message))
        return await asyncio.wait_for(future, SECONDS)

    async def tell(self, kind, **fields):
        """Send a message that has no answer."""
        await self.socket.send(json.dumps({"kind": kind, **fields}))

    async def until(self, happens):
        """Wait until something is so."""

        async def wait():
            while not happens():
                await asyncio.sleep(0.005)

        try:
            await asyncio.wait_for(wait(), SECONDS)
        except TimeoutError:
            raise AssertionError(f"it never happened; {self.state}, {self.notices}") from None

    async def idle(self, epoch):
        """Wait until training stands still at an epoch."""
        await self.until(lambda: not self.state["playing"] and self.state["epoch"] == epoch)

    async def weights(self):
        """Return the parameters of now."""
        await self.ask("pause")
        count = len(self.frames)
        await self.ask("edit", array="conv1.bias", index=[0], values=[0.0])  # so that there is a new frame
        await self.ask("edit", undo=True)
        await self.tell("want")
        await self.until(lambda: len(self.frames) > count)
        return self.frames[-1][1]

    async def close(self):
        await self.socket.close()
        await self.reading


def talk(studio, conversation):
    """Run a conversation with a studio: an async function of a function that makes clients."""
    cookie = cookie_of(studio.base)

    async def run():
        clients = []

        async def client(**wish):
            made = Client(studio.base, cookie)
            clients.append(made)
            await made.connect(**wish)
            return made

        try:
            await conversation(client)
        finally:
            for each in clients:
                if hasattr(each, "socket"):
                    await each.close()

    asyncio.run(run())
