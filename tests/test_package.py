"""What is published: the source distribution is complete, and the wheel works by itself."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import neocog

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.nightly, pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a source distribution, and of the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, timeout=600)
    return out


def test_the_source_distribution_is_what_the_repository_holds(built, tmp_path):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    held = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert set(tracked.split()) - held <= {".gitignore"}
    assert held - set(tracked.split()) == {"PKG-INFO"}


def test_the_wheel_holds_the_package_alone(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, check=True, capture_output=True, text=True)
    packaged = {name.removeprefix("src/") for name in tracked.stdout.split()}
    assert {"neocog/py.typed", "neocog/studio/web/network.js", "neocog/studio/web/style.css"} < packaged
    assert held == packaged


def test_the_wheel_works_in_a_fresh_environment(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    binaries = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    constraint = ["--constraint", str(ROOT / "constraints.txt")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=600
        ).stdout

    run(str(binaries / "python"), "-m", "pip", "install", "--quiet", *constraint, str(wheel))
    command = str(binaries / "neocog")
    assert run(command, "--version").strip() == neocog.__version__
    run(command, "train", "lines", "--epochs", "30", "--out", "run")
    assert "balanced accuracy" in run(command, "evaluate", "run")
    assert (tmp_path / "run/report.html").exists()
    code = "import neocog; print(neocog.load('run/model.neocog').parameter_count)"
    assert run(str(binaries / "python"), "-c", code).strip() == "114"
