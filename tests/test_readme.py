"""What the README shows runs as it stands."""

import operator
import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) >= 3
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    accuracy = float(re.search(r"val_accuracy=([\d.]+)", printed)[1])
    claimed = float(re.search(r"validation accuracy about ([\d.]+)", README)[1])
    assert accuracy == pytest.approx(claimed, abs=0.005)
    assert names["report"].passed


def test_commands_exist():
    from typer.main import get_command

    from neocog.cli import app

    commands = get_command(app).commands
    named = set(re.findall(r"^ {4}neocog ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= set(commands)


def test_make_targets_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z]+)", README):
        assert f"\n{target}:" in makefile


def test_what_the_table_names_exists():
    import neocog

    names = re.findall(r"neocog((?:\.[a-z_]+)+)\(", README)
    assert ".interop.torch.to_torch" in names
    assert ".interop.onnx.from_onnx" in names
    for name in names:
        operator.attrgetter(name[1:])(neocog)
