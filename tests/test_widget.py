"""The notebook's widget: what it sends and takes, its script in a browser, and JupyterLab itself."""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import neocog
from neocog.studio import messages

from .browsers import BROWSER

pytest.importorskip("anywidget", reason="anywidget is not installed")


@pytest.fixture(scope="module")
def data():
    return neocog.data.line_patterns("b")


@pytest.fixture
def fitted(data):
    """A widget whose network waits to be trained, and the list of what it sends."""
    made = []

    def make(**settings):
        found = neocog.widget_fit(neocog.models.tiny_cnn(seed=1), data, play=False, lr=0.12, **settings)
        found.sent = []
        found.send = lambda content, buffers=None: found.sent.append(read(content, buffers))
        made.append(found)
        return found

    yield make
    for one in made:
        one.close()


def read(content, buffers):
    """A message as (header, arrays)."""
    return messages.decode(buffers[0]) if buffers else (json.loads(json.dumps(content)), {})


def ask(fitted, kind, **fields):
    """Send as the page does; return the answer."""
    before = len(fitted.sent)
    fitted._handle_custom_msg({"kind": kind, "id": 7, **fields}, [])
    answers = [header for header, _ in fitted.sent[before:] if header["kind"] in ("answer", "error")]
    assert len(answers) == 1
    assert answers[0]["to"] == 7
    return answers[0]


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def kinds(fitted):
    return [header["kind"] for header, _ in fitted.sent]


def test_the_widget_brings_all_it_needs(data):
    images, labels = data.validation
    network = neocog.models.tiny_cnn(seed=1)
    shown = neocog.widget(network, images, labels)
    state = shown.get_state()
    script = state["_esm"]
    assert script.rstrip().endswith("export default entry.default;")
    assert "\nimport " not in script
    assert ".neocog" in state["_css"]
    assert "@import" not in state["_css"]
    header, arrays = unpack(state["data"])
    assert header["epochs"] == [0]
    assert len(header["samples"]) == 36
    assert header["samples"][3]["label"] == labels[3]
    assert arrays["w/0/conv1.weight"] == [3, 1, 3, 3]


def unpack(data):
    size = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + size])
    return header, {name: shape for name, shape, _ in header["arrays"]}


def test_a_history_with_snapshots_can_be_gone_through(data):
    network, kept = neocog.models.tiny_cnn(seed=1), neocog.training.Snapshots()
    history = neocog.fit(
        network, data, optimizer=neocog.SGD(lr=0.12), epochs=3, batch_size=18, rng=0, callbacks=[kept]
    )
    shown = neocog.widget(network, *data.validation, snapshots=kept, history=history)
    header, _ = unpack(shown.data)
    assert header["epochs"] == [0, 1, 2, 3]
    assert header["start"] == 3
    assert header["history"]["val_accuracy"] == pytest.approx(history["val_accuracy"])


def test_a_network_that_has_seen_no_image_yet():
    network = neocog.layers.Sequential(flatten=neocog.Flatten(), dense=neocog.Dense(16, 2))
    shown = neocog.widget(network, np.zeros((1, 1, 4, 4)))
    assert unpack(shown.data)[0]["description"]["input"] == [1, 4, 4]


def test_a_still_picture_stands_where_no_kernel_runs(data):
    images, labels = data.validation
    found, _ = neocog.widget(neocog.models.tiny_cnn(), images, labels)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in found
    picture = ET.fromstring(found["image/svg+xml"])
    words = {"".join(element.itertext()) for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert any("conv1" in word for word in words)


def test_what_does_not_fit_is_said(data):
    images = data.validation[0]
    network = neocog.models.tiny_cnn()
    with pytest.raises(ValueError, match=r"\(2, 1, 12, 12\)|27"):
        neocog.widget(network, np.zeros((2, 1, 12, 12)), [0, 1])
    with pytest.raises(TypeError, match="x must be floating point"):
        neocog.widget(network, np.zeros((2, 1, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"y must be in 0..2, got 7"):
        neocog.widget(network, images[:2], [0, 7])
    with pytest.raises(ValueError, match="y must have shape"):
        neocog.widget(network, images[:2], [0])
    with pytest.raises(ValueError, match="lr must be"):
        neocog.widget_fit(network, data, lr=-1)
    with pytest.raises(ValueError, match="optimizer must be one of"):
        neocog.widget_fit(network, data, optimizer="sdg")
    large = neocog.layers.Sequential(
        conv=neocog.Conv2D(1, 600, 3, padding=1), more=neocog.Conv2D(600, 600, 3, padding=1),
        pool=neocog.GlobalAvgPool2D(), dense=neocog.Dense(600, 3),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"a network that the page computes\. .*Train it by neocog.fit"):
        neocog.widget_fit(large, data)


def test_training_takes_no_cell_and_is_that_of_fit(data):
    """The same numbers as neocog.fit, bit for bit, in another thread."""
    network, other = (neocog.models.tiny_cnn(seed=1) for _ in range(2))
    began = time.monotonic()
    fitted = neocog.widget_fit(network, data, epochs=3, lr=0.12, momentum=0.5, batch_size=18, rng=5)
    assert time.monotonic() - began < 5
    assert fitted.wait(60)
    optimizer = neocog.SGD(lr=0.12, momentum=0.5)
    with neocog.use_kernels(fitted._live.kernels):
        history = neocog.fit(
            other, data, optimizer=optimizer, epochs=3, batch_size=18, rng=np.random.default_rng(5)
        )
    assert fitted.history["val_loss"] == history["val_loss"]
    for name, array in network.params.items():
        assert np.array_equal(array, other.params[name]), name
    fitted.close()
    assert not any(thread.name == "neocog-studio-training" for thread in threading.enumerate())


def test_the_page_opens_and_gets_frames_as_it_draws(fitted, data):
    widget = fitted(batch_size=18)
    until(widget._live.ready.is_set)
    assert ask(widget, "open", version=1)["kind"] == "answer"
    hello, arrays = next(one for one in widget.sent if one[0]["kind"] == "hello")
    assert hello["description"]["class_names"] == list(data.class_names)
    assert np.array_equal(arrays["samples"], data.validation[0][:36].astype(np.float32))
    assert hello["samples"][2]["label"] == data.validation[1][2]
    state = next(header for header, _ in widget.sent if header["kind"] == "state")
    assert not state["playing"]
    assert state["settings"] == {"lr": 0.12, "momentum": 0.9, "batch_size": 18, "optimizer": "sgd"}
    row = next(header for header, _ in widget.sent if header["kind"] == "row")
    assert row["anew"]
    assert row["rows"][0]["epoch"] == 0
    widget.sent.clear()
    widget._handle_custom_msg({"kind": "want"}, [])
    until(lambda: "frame" in kinds(widget))
    frame, arrays = widget.sent[kinds(widget).index("frame")]
    assert frame["epoch"] == 0
    for name, array in widget.network.params.items():
        assert np.array_equal(arrays[name], array.astype(np.float32))
    # While it trains, a page that does not ask gets no frame.
    widget.sent.clear()
    assert ask(widget, "play", until=4)["kind"] == "answer"
    assert widget.wait(60)
    until(lambda: any(header["kind"] == "state" and not header["playing"] for header, _ in widget.sent))
    assert "frame" not in kinds(widget)
    last = [header for header, _ in widget.sent if header["kind"] == "state"][-1]
    assert last["epoch"] == 4
    assert last["epochs"] == [0, 1, 2, 3, 4]
    told = [row["epoch"] for header, _ in widget.sent if header["kind"] == "row" for row in header["rows"]]
    assert told == [1, 2, 3, 4]


def test_step_pause_set_and_rewind(fitted):
    widget = fitted(batch_size=18)
    ask(widget, "step", unit="epoch", count=2)
    assert widget.wait(60)
    assert len(widget.history) == 3
    ask(widget, "set", settings={"lr": 0.5})
    until(lambda: widget._live.optimizer.lr == 0.5)
    before = {name: array.copy() for name, array in widget._live.moments[0].arrays.items()}
    ask(widget, "restart", epoch=0)
    until(lambda: len(widget._live.rows) == 1)
    until(lambda: all(np.array_equal(widget.network.params[name], before[name]) for name in before))
    ask(widget, "play")
    assert widget.playing
    ask(widget, "pause")
    until(lambda: not widget.playing)
    widget.sent.clear()
    widget._handle_custom_msg({"kind": "want", "epoch": 0}, [])
    header, arrays = next(one for one in widget.sent if one[0]["kind"] == "snapshot")
    assert (header["epoch"], header["exact"]) == (0, True)
    assert np.array_equal(arrays["conv1.weight"], before["conv1.weight"].astype(np.float32))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"kind": "run"}, "kind must be one of"),
        ({"kind": "edit"}, "a widget has no 'edit'; start the studio"),
        ({"kind": "step", "unit": "year"}, "unit must be one of"),
        ({"kind": "set", "settings": {"seed": 1}}, "a widget can change lr and batch_size while it trains"),
        ({"kind": "set", "settings": {"lr": "fast"}}, "lr must be"),
        ({"kind": "restart", "epoch": 9}, "epoch must be one that is stored, 0, got 9"),
    ],
)
def test_what_the_page_may_not_send_is_answered_by_a_sentence(fitted, message, says):
    widget = fitted()
    until(lambda: 0 in widget._live.moments)
    answer = ask(widget, **message)
    assert answer["kind"] == "error"
    assert says in answer["text"]


def test_images_and_labels_without_a_split():
    rng = np.random.default_rng(0)
    network = neocog.models.tiny_cnn(seed=1)
    fitted = neocog.widget_fit(network, (rng.random((20, 1, 8, 8)), rng.integers(0, 3, 20)), epochs=1)
    assert fitted.wait(60)
    assert np.isfinite(fitted.history["train_loss"][-1])
    fitted.close()


def test_without_anywidget_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['anywidget'] = None\n"
        "import neocog\n"
        "assert 'widget' in dir(neocog)\n"
        "try:\n    neocog.widget(neocog.models.tiny_cnn(), [])\n"
        "except ImportError as problem:\n    print(problem)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("a widget needs anywidget, and a notebook to show it: pip install")


def test_importing_neocog_loads_no_anywidget():
    code = "import sys; from neocog import *; print('anywidget' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


# In a browser, with a host as anywidget is one.

HOST = """(data) => {
  globalThis.sent = [];
  const handlers = new Map();
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  globalThis.give = (content, buffer) => {
    const padded = new Uint8Array([0, ...(buffer ? bytes(buffer) : [])]); // as unaligned as a notebook's
    const views = buffer ? [new DataView(padded.buffer, 1)] : [];
    for (const handler of [...(handlers.get("msg:custom") ?? [])]) handler(content, views);
  };
  const known = { training: data === null, data: data === null ? null : new DataView(bytes(data).buffer) };
  const model = {
    get: (key) => known[key],
    send: (content) => sent.push(content),
    on: (event, handler) => handlers.set(event, new Set([...(handlers.get(event) ?? []), handler])),
    off: (event, handler) => handlers.get(event)?.delete(handler),
  };
  return import("/widget.mjs").then(({ default: widget }) => {
    globalThis.end = widget.render({ model, el: document.body });
    globalThis.listeners = () => handlers.get("msg:custom")?.size ?? 0;
  });
}"""


@pytest.fixture
def page():
    if BROWSER is None:
        pytest.skip("there is no Chrome or Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    from neocog.studio.widget import _script, _style

    complaints, refused = [], []

    def answer(route):
        path = route.request.url.removeprefix("http://notebook.test/")
        if path == "":
            html = f"<!doctype html><title>notebook</title><style>{_style()}</style><body>"
            route.fulfill(body=html, content_type="text/html")
        elif path == "widget.mjs":
            route.fulfill(body=_script(), content_type="text/javascript")
        else:
            refused.append(route.request.url)
            route.abort()

    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=BROWSER)
        page = chromium.new_page(viewport={"width": 1000, "height": 900})
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.route("**/*", answer)
        page.goto("http://notebook.test/")
        yield page
        chromium.close()
    assert complaints == []
    assert refused == []


@pytest.mark.browser
def test_the_widget_draws_and_explains(page, data):
    network = neocog.models.tiny_cnn(seed=1)
    images, labels = data.validation
    shown = neocog.widget(network, images, labels)
    page.evaluate(HOST, base64.b64encode(shown.data).decode())
    page.wait_for_selector(".neocog .answer .bar")
    best = int(network(images[:1]).argmax())
    page.wait_for_function("() => document.querySelector('.answer .verdict').textContent.includes('sure')")
    assert page.locator(".answer .verdict").inner_text().startswith(f"{best},")
    page.locator(".answer .bar.best").click()
    page.wait_for_function("() => /[0-9]/.test(document.querySelector('.why.pinned .value')?.textContent)")
    value = page.locator(".why .value").inner_text().replace("−", "-")
    assert float(value) == pytest.approx(float(network(images[:1])[0, best]), rel=1e-3)
    assert page.evaluate("location.href") == "http://notebook.test/"  # a widget leaves the address alone
    page.evaluate("end()")
    assert page.locator(".neocog").count() == 0


@pytest.mark.browser
def test_the_widget_follows_training_by_messages(page, fitted):
    widget = fitted(batch_size=18)
    until(widget._live.ready.is_set)
    raw = []
    widget.send = lambda content, buffers=None: raw.append((content, buffers))

    def pump(condition, seconds=30.0):
        """Carry messages both ways until something is so."""
        end = time.monotonic() + seconds
        while not page.evaluate(condition):
            assert time.monotonic() < end, condition
            for content in page.evaluate("sent.splice(0)"):
                widget._handle_custom_msg(content, [])
            while raw:
                content, buffers = raw.pop(0)
                encoded = base64.b64encode(buffers[0]).decode() if buffers else None
                page.evaluate("([content, buffer]) => give(content, buffer)", [content, encoded])
            time.sleep(0.005)

    page.evaluate(HOST, None)
    pump("() => document.querySelector('.transport .stand')?.textContent.startsWith('epoch 0')")
    page.locator(".transport .rate").fill("0.2")
    page.locator(".transport .rate").press("Enter")
    pump("() => true")
    pump("() => document.querySelector('.transport .rate').value === '0.2'")
    page.get_by_role("button", name="Step an epoch").click()
    pump("() => document.querySelector('.transport .stand').textContent.startsWith('epoch 1')")
    pump("() => document.querySelector('.epoch').textContent.startsWith('epoch 1')")
    assert widget._live.optimizer.lr == 0.2
    page.locator(".transport .toggle").click()
    pump("() => document.querySelector('.transport .toggle').textContent === 'Pause'")
    pump("() => /epoch ([3-9]|..)/.test(document.querySelector('.transport .stand').textContent)")
    page.locator(".transport .toggle").click()
    pump("() => document.querySelector('.transport .toggle').textContent === 'Play'")
    # What is shown is the network as it is now.
    now = widget._live.state.epoch
    pump(f"() => document.querySelector('.transport .stand').textContent.startsWith('epoch {now}')")
    best = int(widget.network(widget.images[:1]).argmax())
    pump(f"() => document.querySelector('.answer .verdict').textContent.startsWith('{widget._names[best]},')")
    page.locator(".transport .rate").fill("fast")
    page.locator(".transport .rate").press("Enter")
    pump("() => document.querySelector('.transport .status').textContent.includes('is not a number')")
    page.evaluate("end()")
    assert page.evaluate("listeners()") == 0


# In JupyterLab and Notebook 7 themselves.

SERVER = ("--no-browser", "--ServerApp.port=0", "--IdentityProvider.token=t", "--allow-root")


@pytest.fixture(params=["lab", "notebook"])
def jupyter(request, tmp_path):
    """A running server of one of the two, with a notebook; yields its address."""
    if BROWSER is None:
        pytest.skip("there is no Chrome or Chromium")
    pytest.importorskip("jupyterlab" if request.param == "lab" else "notebook", reason="it is not installed")
    nbformat = pytest.importorskip("nbformat")
    cells = (
        "import neocog\nnetwork, data = neocog.models.tiny_cnn(), neocog.data.line_patterns('b')",
        "fitted = neocog.widget_fit(network, data, epochs=40, lr=0.12)\nfitted",
        "print('a cell runs meanwhile:', fitted.playing)",
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder = tmp_path / "work"
    folder.mkdir()
    nbformat.write(book, folder / "book.ipynb")
    settings = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    source = str(Path(neocog.__file__).parents[1])
    environment = {**os.environ, **settings, "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": source}
    command = [sys.executable, "-m", "jupyter", request.param, *SERVER, f"--ServerApp.root_dir={folder}"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: list((tmp_path / "RUNTIME").glob("jpserver-*.json")), 120)
        (found,) = (tmp_path / "RUNTIME").glob("jpserver-*.json")
        server = json.loads(found.read_text())["url"]
        path = "lab/tree" if request.param == "lab" else "notebooks"
        yield server, f"{server}{path}/book.ipynb?token=t"
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.nightly
@pytest.mark.browser
def test_jupyter_shows_it_and_asks_nobody_else(jupyter):
    playwright = pytest.importorskip("playwright.sync_api")
    server, address = jupyter
    outside = []

    def asked(request):
        own = (server, server.replace("http", "ws", 1), "data:", "blob:")
        if not request.url.startswith(own):
            outside.append(request.url)

    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=BROWSER)
        page = chromium.new_page(viewport={"width": 1440, "height": 1000})
        page.on("request", asked)
        page.goto(address)
        page.locator(".jp-CodeCell .cm-content").first.click(timeout=120_000)
        for _ in range(3):
            page.keyboard.press("Shift+Enter")
            page.wait_for_timeout(500)
        page.wait_for_selector(".neocog .answer .bar", timeout=120_000)
        done = "() => document.querySelector('.transport .stand').textContent.startsWith('epoch 40')"
        page.wait_for_function(done, timeout=120_000)
        assert "a cell runs meanwhile: True" in page.locator(".jp-OutputArea-output").last.inner_text()
        page.locator(".neocog .answer .bar.best").click()
        page.wait_for_function("() => /[0-9]/.test(document.querySelector('.why .value').textContent)")
        chromium.close()
    assert outside == []


MARIMO = """
import marimo
app = marimo.App()

@app.cell
def _():
    import marimo as mo
    import neocog
    network, data = neocog.models.tiny_cnn(), neocog.data.line_patterns("b")
    mo.ui.anywidget(neocog.widget_fit(network, data, epochs=40, lr=0.12))
"""


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.nightly
@pytest.mark.browser
def test_marimo_shows_it_and_asks_nobody_else(tmp_path):
    if BROWSER is None:
        pytest.skip("there is no Chrome or Chromium")
    pytest.importorskip("marimo", reason="marimo is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "book.py").write_text(MARIMO)
    source = str(Path(neocog.__file__).parents[1])
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": source}
    command = [sys.executable, "-m", "marimo", "run", "book.py", "--headless", "--no-token", f"--port={port}"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    outside = []
    own = (f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", "data:", "blob:")
    try:
        until(lambda: answers(port), 120)
        with playwright.sync_playwright() as started:
            chromium = started.chromium.launch(executable_path=BROWSER)
            page = chromium.new_page(viewport={"width": 1440, "height": 1000})
            page.on("request", lambda request: request.url.startswith(own) or outside.append(request.url))
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector(".neocog .answer .bar", timeout=120_000)
            # It stands in a shadow tree, which locators look into.
            page.locator(".transport .stand", has_text="epoch 40").wait_for(timeout=120_000)
            chromium.close()
    finally:
        process.terminate()
        process.wait(60)
    assert outside == []
