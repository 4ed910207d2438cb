"""Ctrl-C and SIGTERM as wishes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from neocog.training.state import TrainingState


@contextlib.contextmanager
def interruptible(state: TrainingState) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop; only the main thread can."""
    previous: dict[int, Any] = {}
    # torchrun passes a Ctrl-C on that has come already; it kills those that do not end within 30 seconds.
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ

    def request_stop(signum: int, frame: Any) -> None:
        state.requested_stop = "interrupted"  # all processes stop at one place: see Engine.agree
        if not by_torchrun:
            restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler is not None and handler is not signal.SIG_IGN:  # as under nohup: then it is meant so
                previous[number] = signal.signal(number, request_stop)
    try:
        yield
    except ConnectionError:  # another process is lost: torchrun ends this one too, which is still to say why
        if by_torchrun:
            previous.pop(signal.SIGTERM, None)
        raise
    finally:
        restore()
