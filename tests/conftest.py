import gc
import json
import os
import signal
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes share the cores: several threads of BLAS in each would wait for each other.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

os.environ["NEOCOG_PROGRESS"] = "off"  # what the tests solve is nobody's progress

import numpy as np
import pytest
from hypothesis import Phase, settings

# The same cases in each run. A failing one is shown as drawn: shrinking one that compiles takes minutes.
QUICK = {"derandomize": True, "phases": (Phase.explicit, Phase.generate)}
settings.register_profile("quick", deadline=None, **QUICK)
# Other cases in each run, and ten times as many: `make nightly`.
settings.register_profile("nightly", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("quick")

# Under nohup and in background jobs Ctrl-C is ignored, and children inherit that; here it is sent on purpose.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the garbage collector from searching the collected tests, most of a million objects, for cycles.

    It would do so again and again while they are made, which takes a third of the time, and after that.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of a file in one process, where they share fixtures, unless they name a group."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a test that needs a browser instead of skipping it, where it decides what is published."""
    report = yield
    if report.skipped and item.get_closest_marker("browser") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"where CI is true, no test that needs a browser is skipped: {call.excinfo.value}"
    return report


@pytest.fixture(scope="session")
def golden():
    """The textbook's own figures; see golden/README.md."""
    return json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())


@pytest.fixture
def rng():
    return np.random.default_rng(0)
