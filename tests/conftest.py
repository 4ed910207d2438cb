import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden():
    """The textbook's own figures; see golden/README.md."""
    return json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())


@pytest.fixture
def rng():
    return np.random.default_rng(0)
