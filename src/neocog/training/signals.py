"""Convert SIGINT and SIGTERM into a request to stop after the current batch."""

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
    """Convert the first SIGINT or SIGTERM into a request to stop; in the main thread only."""
    previous: dict[int, Any] = {}
    # torchrun sends a Ctrl-C twice, and kills processes that do not end within 30 seconds.
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ

    def request_stop(signum: int, frame: Any) -> None:
        state.requested_stop = "interrupted"  # all processes stop after the same batch: see Engine.agree
        if not by_torchrun:
            restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler is not None and handler is not signal.SIG_IGN:  # ignored on purpose, as under nohup
                previous[number] = signal.signal(number, request_stop)
    try:
        yield
    except ConnectionError:  # torchrun ends this process, too: let it report why
        if by_torchrun:
            previous.pop(signal.SIGTERM, None)
        raise
    finally:
        restore()
