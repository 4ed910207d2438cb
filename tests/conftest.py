import json
import signal
from pathlib import Path

import numpy as np
import pytest

# Under nohup and in background jobs Ctrl-C is ignored, and children inherit that; here it is sent on purpose.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Keep the tests of a file in one process, where they share fixtures, unless they name a group."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))


@pytest.fixture(scope="session")
def golden():
    """The textbook's own figures; see golden/README.md."""
    return json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())


@pytest.fixture
def rng():
    return np.random.default_rng(0)
