"""Tests that need a browser: skipped where there is none, unless they decide what is published."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent / "studio" / "test_messages.py"


@pytest.mark.parametrize(
    ("ci", "status", "told"),
    [
        ("", 0, "SKIPPED [1] {}: there is no Chrome or Chromium"),
        ("true", 1, "no test that needs a browser is skipped: there is no Chrome or Chromium"),
    ],
)
def test_without_a_browser(ci, status, told):
    environment = {**os.environ, "PATH": "/nowhere", "BROWSER_PATH": "", "CI": ci}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{FILE}", "-k", "too_long"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == status, result.stdout + result.stderr
    assert told.partition(" {}")[0] in result.stdout
    assert told.partition("{}: ")[2] in result.stdout
