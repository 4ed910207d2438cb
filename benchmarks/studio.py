"""Measure the studio's server: acknowledgement of commands, the cost of watching, pausing, memory.

    python benchmarks/studio.py [--epochs 300] [--seconds 60]

The server is a process of its own, and this one a page without a browser, which draws nothing. Costs are in
the server's seconds of CPU, so that they can be told on a machine that does something else as well.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import websockets

from neocog.studio import messages

FRAMES_A_SECOND = 60
COMMANDS = 200


class Page:
    """One page: it opens a session, asks, and wants a frame as often as it would draw."""

    def __init__(self, base: str, cookie: str) -> None:
        self.base, self.cookie = base, cookie
        self.state: dict = {}
        self.frames = self.bytes = self.number = 0
        self.waiting: dict[int, asyncio.Future] = {}

    async def open(self, **wish: object) -> None:
        self.socket = await websockets.connect(
            f"{self.base.replace('http', 'ws')}/ws",
            origin=self.base,
            additional_headers={"Cookie": self.cookie},
            max_size=2**28,
        )
        self.reading = asyncio.create_task(self.read())
        await self.ask("open", version=1, **wish)
        while not self.state.get("ready"):
            await asyncio.sleep(0.01)

    async def read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for raw in self.socket:
                header = json.loads(raw) if isinstance(raw, str) else messages.decode(raw)[0]
                if header["kind"] == "state":
                    self.state = header
                elif header["kind"] == "frame":
                    self.frames, self.bytes = self.frames + 1, len(raw)
                elif header["kind"] in ("answer", "error") and header["to"] in self.waiting:
                    self.waiting.pop(header["to"]).set_result(header)

    async def ask(self, kind: str, **fields: object) -> dict:
        self.number += 1
        future = self.waiting[self.number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"kind": kind, "id": self.number, **fields}))
        return await future

    async def watch(self) -> None:
        """Want the next frame once the last has come, as often as a screen is drawn."""
        seen = -1
        while True:
            if seen != self.frames:
                seen = self.frames
                await self.socket.send('{"kind": "want"}')
            await asyncio.sleep(1 / FRAMES_A_SECOND)

    async def play_until(self, epoch: int) -> None:
        await self.ask("play", until=epoch)
        while self.state["playing"] or self.state["epoch"] < epoch:
            await asyncio.sleep(0.01)


def cpu_seconds(process: subprocess.Popen) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mebibytes(process: subprocess.Popen) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def quantiles(seconds: list[float]) -> str:
    ordered = sorted(1000 * s for s in seconds)
    parts = {"median": 0.5, "p95": 0.95, "largest": 1}
    return ", ".join(f"{name} {ordered[int(q * (len(ordered) - 1))]:.1f} ms" for name, q in parts.items())


async def measure(process: subprocess.Popen, base: str, cookie: str, epochs: int, seconds: float) -> None:
    page = Page(base, cookie)
    began = time.perf_counter()
    await page.open()
    print(f"first session, measured and compiled for: {time.perf_counter() - began:.2f} s")

    await page.play_until(20)
    costs: dict[str, list[float]] = {"unwatched": [], "watched": []}
    for way in ("unwatched", "watched", "watched", "unwatched"):
        await page.ask("restart", epoch=0)
        while page.state["epoch"]:
            await asyncio.sleep(0.01)
        frames, watching = page.frames, None
        if way == "watched":
            watching = asyncio.create_task(page.watch())
        before, began = cpu_seconds(process), time.perf_counter()
        await page.play_until(epochs)
        costs[way].append(cpu_seconds(process) - before)
        if watching is not None:
            watching.cancel()
            rate = (page.frames - frames) / (time.perf_counter() - began)
            print(f"frames: {rate:.0f} a second of {page.bytes / 1000:.1f} kB")
    plain, watched = (min(costs[way]) for way in ("unwatched", "watched"))
    cost = f"{plain:.2f} s of CPU; watched: {watched:.2f} s, {watched / plain - 1:+.1%}"
    print(f"{epochs} epochs unwatched: {cost}")

    watching = asyncio.create_task(page.watch())
    await page.ask("play")
    delays = []
    for k in range(COMMANDS):
        began = time.perf_counter()
        await page.ask("set", settings={"lr": 0.05 + k * 1e-6})
        delays.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    print(f"{COMMANDS} commands acknowledged while it trains and is watched: {quantiles(delays)}")

    sizes = []
    for _ in range(6):
        await asyncio.sleep(seconds / 6)
        sizes.append(mebibytes(process))
    print(f"memory over {seconds:.0f} s of training, MiB: {', '.join(f'{size:.0f}' for size in sizes)}")

    session = page.state["session"]
    watching.cancel()
    await page.socket.close()
    again = Page(base, cookie)
    began = time.perf_counter()
    await again.open(session=session)
    print(f"closed and come back: {time.perf_counter() - began:.3f} s, playing: {again.state['playing']}")
    await again.socket.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", nargs="?", default="digits")
    parser.add_argument("--epochs", type=int, default=300, help="that are trained with and without a page")
    parser.add_argument("--seconds", type=float, default=60, help="of training in which memory is looked at")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "neocog", "studio", options.source, "--no-browser", "--port", "0"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "300"}
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            address = re.search(r"http://\S+", process.stdout.readline())[0]
            with urllib.request.urlopen(address) as answer:
                cookie = answer.headers["Set-Cookie"].partition(";")[0]
            base = address.partition("/?")[0]
            asyncio.run(measure(process, base, cookie, options.epochs, options.seconds))
            began = time.perf_counter()
            process.send_signal(signal.SIGINT)
            print(process.communicate()[0].strip())
            print(f"Ctrl-C, and everything saved: {time.perf_counter() - began:.2f} s")
        finally:
            process.kill()


if __name__ == "__main__":
    main()
