"""The server itself: its files, its first message, its end by Ctrl-C, and the command that starts it."""

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import websockets
from typer.testing import CliRunner

from neocog import models, runs, save
from neocog.cli.common import app
from neocog.settings import settings_for
from neocog.studio import commands, hosting
from neocog.studio.hosting import bound
from neocog.studio.protocol import VERSION
from neocog.studio.server import sentence
from neocog.studio.session import Session

from .serving import Client, Refused, cookie_of, fetch, serving, talk

SECONDS = 60


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("studio") / "runs") as served:
        yield served


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/studio.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/vendor/uplot.css", "text/css"),
    ],
)
def test_the_page_and_its_modules_are_served(studio, path, kind):
    status, headers, body = fetch(studio.base, path, cookie_of(studio.base))
    assert status == 200
    assert headers["Content-Type"].startswith(kind)
    assert len(body) > 100
    assert "script-src 'self'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.js",
        "/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "//etc/passwd",
        "/vendor/",
        "/ws",
    ],
)
def test_nothing_else_is_served(studio, path):
    status, _, body = fetch(studio.base, path, cookie_of(studio.base))
    assert status == 404
    assert b"import" not in body


def talk_raw(studio, conversation):
    async def run():
        headers = {"Cookie": cookie_of(studio.base)}
        url = f"{studio.base.replace('http', 'ws')}/ws"
        async with websockets.connect(url, origin=studio.base, additional_headers=headers) as socket:
            await conversation(socket)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ({"kind": "open", "version": 2, "id": 1}, "the page speaks version 2"),
        ({"kind": "open", "version": "1", "id": 1}, "the page speaks version 1"),
        ({"kind": "play", "id": 1}, "the first message was 'play'"),
    ],
)
def test_another_version_or_another_first_message_ends_the_connection(studio, first, text):
    async def conversation(socket):
        await socket.send(json.dumps(first))
        answer = json.loads(await socket.recv())
        assert answer["kind"] == "error"
        assert answer["to"] == 1
        assert text in answer["text"]
        assert f"it must be open, of version {VERSION}" in answer["text"]
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4003

    talk_raw(studio, conversation)


def test_a_wrong_wish_is_said_and_the_connection_stays(studio):
    async def conversation(socket):
        for wish in ({"data": "x"}, {"run": "x"}, {"network": "x"}, {"data": 3}):
            await socket.send(json.dumps({"kind": "open", "version": 1, "id": 4} | wish))
            assert json.loads(await socket.recv())["to"] == 4
        await socket.send(json.dumps({"kind": "open", "version": 1, "id": 5}))
        assert json.loads(await socket.recv())["kind"] == "answer"

    talk_raw(studio, conversation)


@pytest.mark.parametrize("headers", [{}, {"Cookie": "neocog_studio_1=x"}])
def test_a_socket_without_the_cookie_is_refused(studio, headers):
    async def run():
        url = f"{studio.base.replace('http', 'ws')}/ws"
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, origin=studio.base, additional_headers=headers)
        assert refused.value.response.status_code == 403

    asyncio.run(run())


def test_a_message_that_is_too_large_ends_the_connection_and_not_the_session(studio):
    async def conversation(client):
        page = await client()
        with contextlib.suppress(websockets.ConnectionClosed):
            await page.socket.send(b"x" * (16 * 2**20 + 1))
        await page.reading
        assert page.socket.close_code == 1009
        again = await client(session=page.state["session"])
        await again.ask("step", unit="batch")

    talk(studio, conversation)


def test_a_page_that_cannot_be_told_what_there_is_is_let_go_and_may_come_back(studio, monkeypatch, capsys):
    hello = Session.hello

    async def conversation(client):
        page = await client()

        def gone(session):
            monkeypatch.setattr(Session, "hello", hello)
            raise OSError("the images are gone")

        monkeypatch.setattr(Session, "hello", gone)
        await page.ask("swap", node="relu1", to="Tanh")
        await asyncio.wait_for(page.reading, SECONDS)
        assert page.socket.close_code == 1011
        again = await client(session=page.state["session"])
        assert again.hello["description"]["nodes"][1]["kind"] == "Tanh"

    talk(studio, conversation)
    assert "the images are gone" in capsys.readouterr().err


def test_a_folder_of_runs_that_cannot_be_read_has_none(studio, monkeypatch):
    def forbidden(path):
        raise PermissionError(path)

    monkeypatch.setattr(type(studio.runs_folder), "iterdir", forbidden)
    studio.runs_folder.mkdir(exist_ok=True)
    assert studio.runs() == {}


def test_a_page_that_comes_while_the_server_ends_is_told(tmp_path):
    with serving(tmp_path / "runs") as ending:
        ending.ended = "The server was stopped."

        async def conversation(socket):
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket.recv(), SECONDS)
            assert socket.close_code == 4002

        talk_raw(ending, conversation)


def test_a_bug_is_a_sentence_for_the_page_and_a_traceback_here(studio, monkeypatch, capsys):
    monkeypatch.setitem(commands._HANDLERS, "pause", lambda *_: 1 / 0)

    async def conversation(client):
        page = await client()
        with pytest.raises(Refused, match=r"^this is a bug in neocog: ZeroDivisionError: division by zero$"):
            await page.ask("pause")
        await page.ask("play", until=1)
        await page.idle(1)

    talk(studio, conversation)
    assert "Traceback" in capsys.readouterr().err


def test_sentences_have_one_line():
    assert sentence(ValueError("first,\n  then second.")) == "first, then second."
    assert sentence(MemoryError()) == "MemoryError: out of memory."


def test_lessons_are_bound_to_the_network_and_their_answers_checked(studio):
    async def conversation(client):
        page = await client(data="digits")
        await page.ask("step", unit="epoch")
        await page.idle(1)
        answer, _ = await page.ask("ask", about="lesson", lesson="convolution")
        steps = answer["lesson"]["steps"]
        step = next(k for k, one in enumerate(steps) if one.get("question"))
        answer, _ = await page.ask("ask", about="lesson", lesson="convolution", step=step, answer="-12345")
        assert answer["right"] is False
        assert answer["text"]
        with pytest.raises(Refused, match="asks nothing"):
            await page.ask("ask", about="lesson", lesson="convolution", step=1000, answer="1")

    talk(studio, conversation)


def test_the_usual_port_or_a_free_one():
    first = bound(0)
    port = first.getsockname()[1]
    first.listen()
    with pytest.raises(OSError, match=f"port {port} cannot be used: another program has it"):
        bound(port)
    first.close()


def test_messages_do_not_wait_for_the_acknowledgement_of_those_before():
    """Asyncio switches Nagle's delay off, but only for a socket that names TCP as its protocol."""

    found = []

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport):
            made = transport.get_extra_info("socket")
            found.append(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async def accepted():
        listening = bound(0)
        server = await asyncio.get_running_loop().create_server(Accepted, sock=listening)
        async with server:
            with socket.create_connection(listening.getsockname()):
                while not found:
                    await asyncio.sleep(0.001)

    asyncio.run(accepted())
    assert found[0]


def command(tmp_path, *arguments):
    """Start ``neocog studio``; return the process and the address that it prints."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "300"}
    process = subprocess.Popen(
        [sys.executable, "-m", "neocog", "studio", *arguments, "--no-browser", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    address = re.search(r"http://\S+", process.stdout.readline())
    assert address, process.communicate()
    return process, address[0]


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGINT to send")
def test_ctrl_c_once_saves_everything_and_tells_the_pages(tmp_path):
    process, address = command(tmp_path, "lines", "--kernels", "im2col")
    base, _, token = address.partition("/?token=")
    pages = []

    async def conversation():
        from urllib.request import urlopen

        with urlopen(f"{base}/?token={token}", timeout=SECONDS) as answer:
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        for _ in range(2):
            pages.append(Client(base, cookie))
            await pages[-1].connect()
            await pages[-1].ask("play")
        await pages[0].until(lambda: pages[0].state["epoch"] >= 2)
        process.send_signal(signal.SIGINT)
        for page in pages:
            await page.until(lambda page=page: page.state["stopped"])
            await page.reading
            assert page.socket.close_code == 4002
            path = page.state["saved"]
            assert page.state["stopped"] == f"The server was stopped. What was trained is saved in {path}."
            assert not page.state["playing"]

    asyncio.run(conversation())
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in err
    for page in pages:
        assert f"saved: {page.state['saved']}" in out
        run = runs.RunDirectory(tmp_path / page.state["saved"])
        assert len(run.result().history) == page.state["epoch"] + 1
        assert run.checkpoint.exists()
        assert run.settings().epochs == page.state["epoch"]
        assert CliRunner().invoke(app, ["evaluate", str(run.path)]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "got 'nowhere'"),
        (["wide.neocog"], "wide.neocog was made for images of your own: name them, too"),
        (["lines", "digits", "lines-b"], "name a run, images, or a model and images"),
        (["--kernels", "magic"], "kernels must be one of"),
        (["model.neocog", "digits"], "must have an output for each of the 10 classes"),
        (["graph.neocog", "digits"], "must have an output for each of the 10 classes"),
    ],
)
def test_what_cannot_be_opened_is_said_at_the_start(tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    save(models.tiny_cnn(), "model.neocog")
    save(models.digits_cnn(image_shape=(1, 9, 9)), "wide.neocog")
    from neocog.layers import Flatten, Graph

    save(Graph({"flatten": (Flatten(), "x")}, ("x",), "flatten"), "graph.neocog")
    result = CliRunner().invoke(app, ["studio", *arguments, "--no-browser"])
    assert result.exit_code == 2, result.output
    assert text in " ".join(result.output.split())


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets"])
def test_what_is_not_installed_is_said(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    result = CliRunner().invoke(app, ["studio", "--no-browser"])
    assert result.exit_code == 2
    assert f"the studio needs {package}: pip install 'neocog[studio]'." in " ".join(result.output.split())


def opened(monkeypatch, tmp_path, *arguments):
    """Return the studio that a command would serve."""
    monkeypatch.chdir(tmp_path)
    served = []
    monkeypatch.setattr(hosting, "serve", lambda studio, *_: served.append(studio) or [])
    result = CliRunner().invoke(app, ["studio", *arguments])
    assert result.exit_code == 0, result.output
    return served[0]


def test_a_model_and_images_a_run_and_a_folder_are_begun_with(tmp_path, monkeypatch):
    from PIL import Image

    network = models.digits_cnn(seed=9)
    save(network, tmp_path / "model.neocog")
    assert opened(monkeypatch, tmp_path, "model.neocog").begin_with().id == "digits"
    work = opened(monkeypatch, tmp_path, "model.neocog", "digits").begin_with()
    np.testing.assert_array_equal(work.make_network().params["conv1.weight"], network.params["conv1.weight"])
    expected = runs.train(settings_for("lines", epochs=1), tmp_path / "mine", io.StringIO())
    work = opened(monkeypatch, tmp_path, "mine").begin_with()
    assert len(work.beginning.rows) == 2
    network = work.make_network()
    np.testing.assert_array_equal(network.params["dense.weight"], expected.network.params["dense.weight"])
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(4):
            colour = (40 * k, 200 if name == "a" else 20, 90)
            Image.new("RGB", (12, 12), colour).save(tmp_path / "photos" / name / f"{k}.png")
    studio = opened(monkeypatch, tmp_path, "photos")
    assert studio.sources["given"][0] == "photos"
    work = studio.begin_with()
    assert work.data.class_names == ("a", "b")
    assert work.settings.schedule == "constant"
    assert work.make_network().output_shape((1, *work.image_shape)) == (1, 2)
