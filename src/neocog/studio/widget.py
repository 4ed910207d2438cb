"""Show a network in a notebook, trained or training: the view of the living page as a widget.

The widget's script is one file, joined from the same modules. Where there is no kernel, as on GitHub or in an
exported notebook, a still picture stands in its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from neocog.data import Split
from neocog.inspection.trace import trace
from neocog.layers import Container
from neocog.settings import Settings
from neocog.studio import messages, protocol
from neocog.studio.answers import plain
from neocog.studio.architecture import describe
from neocog.studio.bundle import WEB, bundle, stylesheet
from neocog.studio.embedding import page_content
from neocog.studio.live import Live
from neocog.studio.page import living_data
from neocog.training import History, Snapshots
from neocog.training.state import TrainingState
from neocog.validation import integer

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise ImportError(
        f"a widget needs {error.name}, and a notebook to show it: pip install 'neocog[notebook]'; or write a "
        "living page, which any browser opens: neocog page.",
        name=error.name,
    ) from None

__all__ = ["FitWidget", "NetworkWidget", "widget", "widget_fit"]

STATES_A_SECOND = 10
KINDS = ("open", "want", "play", "pause", "step", "restart", "set")
"""What the page of a training widget may send; the studio takes more."""


@cache
def _script() -> str:
    return bundle("widget.js", "export default entry.default;")


@cache
def _style() -> str:
    return f"{stylesheet()}\n{(WEB / 'widget.css').read_text(encoding='utf-8')}"


class NetworkWidget(anywidget.AnyWidget):
    """A network with some images; :func:`widget` makes one.

    Attributes
    ----------
    network : Container
    images : array (N, C, H, W)
    """

    data = traitlets.Bytes().tag(sync=True)
    training = traitlets.Bool(False).tag(sync=True)

    def __init__(self, network: Container, images: np.ndarray, data: bytes, training: bool = False) -> None:
        self.network, self.images = network, images
        self._esm, self._css = _script(), _style()
        super().__init__(data=data, training=training)

    def _repr_mimebundle_(self, **settings: Any) -> Any:
        bundled = super()._repr_mimebundle_(**settings)
        if bundled is None:
            return None
        found, metadata = bundled
        return {**found, **self._still()}, metadata

    def _still(self) -> dict[str, str]:
        """Return a still picture of what the first image becomes, for where no kernel runs."""
        from neocog import figures
        from neocog.figures.still import to_svg

        names = None if self.network.class_names is None else list(self.network.class_names)
        seen = trace(self.network, np.asarray(self.images[:1], self.network.dtype or np.float32))
        drawn = to_svg(figures.trace(seen, class_names=names))
        return {} if drawn is None else {"image/svg+xml": drawn}


class FitWidget(NetworkWidget):
    """A network that trains in a thread; :func:`widget_fit` makes one.

    The network is trained in place. Training begins at once, and no cell waits for it.

    Attributes
    ----------
    network : Container
    history : History
    """

    def __init__(
        self,
        network: Container,
        data: Split,
        settings: Settings,
        rng: np.random.Generator,
        content: Mapping[str, Any],
    ) -> None:
        self._samples, self._names, self._settings = content["samples"], data.class_names, settings
        self._rows: list[dict[str, float]] | None = None
        self._sent_rows, self._sent_state, self._greeted = 0, 0.0, False
        self._lock = threading.Lock()
        self._live = Live(network, data, settings, rng, self._tell, messages.encode)
        super().__init__(network, content["images"], b"", training=True)
        self.on_msg(self._receive)

    @property
    def history(self) -> History:
        """The table of what was measured so far, one row per epoch."""
        return History([dict(row) for row in self._live.rows])

    @property
    def playing(self) -> bool:
        """Whether it trains at the moment."""
        return self._live.playing and not self._live.closed

    def play(self, until: int | None = None) -> None:
        """Train on, without end or until an epoch is reached."""
        self._live.play(None if until is None else integer("until", until, 1))
        self._tell(None)

    def pause(self) -> None:
        """Stop after the current batch."""
        self._live.pause()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until training pauses or ends, at most so many seconds; return whether it has."""
        end = None if seconds is None else time.monotonic() + seconds
        while self.playing:
            if end is not None and time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def close(self) -> None:
        """End training, and free what the notebook holds of the widget."""
        self._live.close()
        super().close()

    # What the page is told; called from the thread that trains, and from the kernel's.

    def _tell(self, frame: bytes | None) -> None:
        if frame is not None:
            self.send({"kind": "frame"}, [frame])
        with self._lock:
            now = time.monotonic()
            if self._live.playing and now - self._sent_state < 1 / STATES_A_SECOND:
                return  # what comes next says it
            self._sent_state = now
            self._say_rows()
            self._say(self._state())

    def _say(self, header: Mapping[str, Any]) -> None:
        self.send(plain(header))

    def _say_rows(self) -> None:
        rows = self._live.rows
        anew = rows is not self._rows
        first = 0 if anew else self._sent_rows
        if anew or len(rows) > first:
            self._rows, self._sent_rows = rows, len(rows)
            self._say({"kind": "row", "rows": rows[first : self._sent_rows], "anew": anew})

    def _state(self) -> dict[str, Any]:
        live, state = self._live, self._live.state
        names = ("lr", "momentum", "batch_size", "optimizer")
        return {
            "kind": "state",
            "playing": live.playing,
            "until": live.until,
            "epoch": max(0, len(live.rows) - 1) if state is None else state.epoch,
            "batch": 0 if state is None else len(state.batch_losses),
            "batches": 0 if state is None else state.batches_per_epoch,
            "settings": {name: getattr(live.settings, name) for name in names},
            "epochs": sorted(live.moments),
            "problem": live.problem,
            "hints": live.hints,
        }

    def _hello(self) -> bytes:
        description = describe(self.network, self.images.shape[1:])
        header = {
            "kind": "hello",
            "version": protocol.VERSION,
            "description": description | {"class_names": list(self._names)},
            "data": {"id": "notebook", "notes": []},
            "samples": self._samples,
        }
        return messages.encode(plain(header), {"samples": np.asarray(self.images, np.float32)})

    # What the page asks.

    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        identifier = content.get("id") if isinstance(content, dict) else None
        try:
            answered = self._handle(protocol.check(content))
        except (ValueError, TypeError) as error:
            self._say({"kind": "error", "to": identifier, "text": str(error)})
            return
        if identifier is not None:
            self._say({"kind": "answer", "to": identifier, **answered})

    def _handle(self, message: dict[str, Any]) -> dict[str, Any]:
        live, kind = self._live, message["kind"]
        if kind not in KINDS:
            raise ValueError(f"a widget has no {kind!r}; start the studio: neocog studio.")
        if kind == "open":
            self.send({"kind": "hello"}, [self._hello()])
            self._rows, self._sent_state, self._greeted = None, 0.0, False
            self._tell(None)
        elif kind == "want" and "epoch" in message:
            moment = live.moments.get(message["epoch"])
            if moment is not None:
                header = {"kind": "snapshot", "epoch": moment.epoch, "exact": moment.exact}
                self.send({"kind": "snapshot"}, [messages.encode(header, moment.arrays)])
        elif kind == "want" and self._greeted and not live.ready.is_set():
            live.wanted = True  # still being compiled, the network stays as it was shown
        elif kind == "want":
            self._greeted = True
            live.want()
        elif kind == "play":
            self.play(message.get("until"))
        elif kind == "pause":
            self.pause()
        elif kind == "step":
            live.step(message["unit"], message.get("count", 1))
        elif kind == "set":
            self._set(message.get("settings", {}))
        else:
            self._restart(message.get("epoch", 0))
        return {}

    def _set(self, values: Mapping[str, Any]) -> None:
        checked = protocol.check_settings(values)
        if other := sorted(set(checked) - {"lr", "batch_size"}):
            raise ValueError(
                f"a widget can change lr and batch_size while it trains, got {', '.join(other)}."
            )
        self._settings = replace(self._settings, **checked)
        settings, live = self._settings, self._live
        live.do(lambda state: live.apply(settings, state)).add_done_callback(lambda _: self._tell(None))

    def _restart(self, epoch: int) -> None:
        live = self._live
        if epoch not in live.moments:
            stored = ", ".join(map(str, sorted(live.moments)))
            raise ValueError(f"epoch must be one that is stored, {stored}, got {epoch}.")
        moment = live.moments[epoch]

        def back(_: TrainingState) -> None:
            live.moments = {k: one for k, one in live.moments.items() if k <= epoch}
            live.begin_at(moment)

        live.pause()
        live.do(back)


def widget(
    network: Container,
    x: Any,
    y: Any = None,
    *,
    snapshots: Snapshots | Mapping[int, Mapping[str, np.ndarray]] | None = None,
    history: History | None = None,
) -> NetworkWidget:
    """Show a network with some images, in a notebook: the maps of each layer, the terms of each number.

    It works in JupyterLab, Notebook 7, marimo (``mo.ui.anywidget``) and VS Code. The network is computed in
    the page, so nothing is asked of the kernel; what is shown is a copy. VS Code may fetch a script from the
    makers of anywidget; where that is not wanted, write a living page: ``neocog page``.

    Parameters
    ----------
    network : Container
    x : floating point array (N, C, H, W)
        The first 36 images are shown.
    y : labels (N,), optional
    snapshots : Snapshots, or dict of int to dict of str to array, optional
        The parameters at some epochs, to go through; see :class:`neocog.training.Snapshots`.
    history : History, optional
        Its curves are drawn.

    Returns
    -------
    NetworkWidget
        The last line of a cell shows it.

    Raises
    ------
    ImportError
        If anywidget is not installed; the message says how.
    ValueError, TypeError
        If images or labels do not fit the network.

    Examples
    --------
    >>> import neocog
    >>> network = neocog.models.tiny_cnn()
    >>> images, labels = neocog.data.line_patterns("b").validation
    >>> neocog.widget(network, images, labels)  # doctest: +SKIP
    """
    content = page_content(network, x, y, snapshots, history)
    return NetworkWidget(network, content["images"], living_data(network, **content))


def widget_fit(
    network: Container,
    data: Split | tuple[Any, Any],
    *,
    epochs: int | None = None,
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    optimizer: str = "sgd",
    batch_size: int = 32,
    augment: str = "none",
    rng: int = 42,
    play: bool = True,
) -> FitWidget:
    """Train a network in a notebook, and look at every number while it trains.

    The network is trained in place, by a thread: the cell ends at once, and others can run. Pause, step,
    rewind, change the rate in the widget; or call ``play``, ``pause`` and ``wait`` of what is returned.

    Parameters
    ----------
    network : Container
    data : Split, or (images, labels)
    epochs : int, optional
        Where training pauses; None: nowhere.
    lr, momentum, weight_decay, optimizer, batch_size, augment
        As in :class:`neocog.settings.Settings`.
    rng : int
        Draws the order of the training images.
    play : bool
        Whether training begins at once.

    Returns
    -------
    FitWidget
        The last line of a cell shows it.

    Raises
    ------
    ImportError
        If anywidget is not installed; the message says how.
    ValueError, TypeError
        If the data do not fit the network, the page cannot compute it, or a setting is out of range.

    Examples
    --------
    >>> import neocog
    >>> network = neocog.models.tiny_cnn()
    >>> neocog.widget_fit(network, neocog.data.line_patterns("b"), lr=0.1)  # doctest: +SKIP
    """
    if not isinstance(data, Split):
        images, labels = data
        count = int(np.max(labels)) + 1 if len(labels) else 0
        names = network.class_names or tuple(map(str, range(count)))
        data = Split((images, labels), None, tuple(names))
    settings = Settings(
        source="npz:notebook",
        epochs=1 if epochs is None else epochs,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        optimizer=optimizer,
        batch_size=batch_size,
        augment=augment,
        schedule="constant",
        label_smoothing=0.0,
    )
    part = data.validation or data.train
    content = page_content(network, *part, None, None)
    description = describe(network, content["images"].shape[1:])
    if not description["page"]:
        raise ValueError(
            f"widget_fit needs a network that the page computes. {description['why_not']} Train it by "
            "neocog.fit, and show it by neocog.widget; or use the studio: neocog studio."
        )
    found = FitWidget(network, data, settings, np.random.default_rng(rng), content)
    found._live.start()
    if play:
        found._live.play(epochs)
    return found
