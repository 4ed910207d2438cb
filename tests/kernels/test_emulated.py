"""The fused kernels' tests on a 64-bit ARM, which QEMU emulates.

AARCH64_ROOT names a folder into which a Python for aarch64 was unpacked (Debian's packages of python3 and of
what it needs), with the requirements of neocog[test] that these tests import, for aarch64, in its
usr/lib/python3/dist-packages.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
ROOT = os.environ.get("AARCH64_ROOT", "")
TESTS = Path(__file__).parent
PROCESSOR = "cortex-a76"  # NEON, as most have; QEMU's own has scalable vectors, too
NOT_HERE = "not (forked or environment or without or found_again)"  # these start processes of their own


@pytest.mark.nightly
@pytest.mark.skipif(platform.machine() == "aarch64", reason="this is a 64-bit ARM")
@pytest.mark.skipif(
    QEMU is None, reason="QEMU's user emulation of aarch64 (qemu-user-static) is not installed"
)
@pytest.mark.skipif(
    not ROOT, reason="AARCH64_ROOT names no root with a Python for aarch64 and the test packages"
)
def test_the_fused_kernels_on_arm(tmp_path):
    python = next(Path(ROOT, "usr", "bin").glob("python3.*[0-9]"))
    command = [QEMU, "-cpu", PROCESSOR, "-L", ROOT, str(python), "-m", "pytest", "-q", "-k", NOT_HERE]
    command += ["-p", "no:cacheprovider", str(TESTS / "test_fused.py")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS")}
    environment["PYTHONPATH"] = f"{TESTS.parents[1] / 'src'}:{ROOT}/usr/lib/python3/dist-packages"
    environment["NUMBA_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
