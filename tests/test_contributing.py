"""What CONTRIBUTING shows is done here: a layer, a loss, an optimizer, a source, a figure, a command."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

import neocog
from neocog.cli import app
from neocog.data.sources import SOURCES, sources_help

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (Add .*?)\n(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE))


@pytest.fixture
def names(monkeypatch):
    """The names of a module in which the blocks run; what they register is taken out again."""
    module = ModuleType("contribution")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # so that its classes can be pickled
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    sources = dict(SOURCES)
    yield vars(module)
    SOURCES.clear()
    SOURCES.update(sources)


def run(section, names):
    imports = re.findall(r"^(?:from|import) .*", SECTIONS["Add a layer"], re.MULTILINE)
    exec("\n".join(imports), names)  # which the other sections share
    for block in re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL):
        exec(compile(block, "CONTRIBUTING.md", "exec"), names)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_added_there_passes_its_checks(section, names):
    before = {*names, "np", "neocog", "Elementwise"}
    run(section, names)
    assert set(names) - before - {"__builtins__"}


def test_the_command_that_is_added_runs(names, tmp_path):
    run("Add a command, or an option", names)
    neocog.save(neocog.models.tiny_cnn(seed=1), tmp_path / "lines.neocog")
    for options, expected in ([], "114"), (["--layers"], "5"):
        result = CliRunner().invoke(app, ["count", str(tmp_path / "lines.neocog"), *options])
        assert (result.exit_code, result.stdout.strip()) == (0, expected)
    result = CliRunner().invoke(app, ["count", str(tmp_path / "absent.neocog")])
    assert result.exit_code == 2
    assert "there is no" in result.output


def test_the_source_that_is_added_trains(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("Add a source of images", names)
    result = CliRunner().invoke(app, ["train", "noise", "--epochs", "1", "--out", "run"])
    assert result.exit_code == 0, result.output
    assert "noise (noise, dark or bright)" in sources_help()


def test_the_map_names_what_there_is():
    block = re.search(r"^## Where things are\n(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)[1]
    named = set(re.findall(r"^ {4}(.*)$", block, re.MULTILINE))
    words = {word for line in named for word in re.findall(r"\b[a-z_]+(?:\.py|/)", line)}
    there = {path.name for path in (ROOT / "src" / "neocog").glob("*.py")} - {"__init__.py", "__main__.py"}
    there |= {f"{path.parent.name}/" for path in (ROOT / "src" / "neocog").glob("*/__init__.py")}
    assert there <= words, f"the map does not show {sorted(there - words)}"


def test_every_file_it_names_exists():
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", TEXT):
        assert any((ROOT / folder / name).exists() for folder in ("", "src", "src/neocog")), name
