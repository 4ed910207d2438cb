"""What a terminal would obey is shown instead, wherever the command line prints what a file says."""

import io

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import neocog
from neocog.cli import app
from neocog.layers import Dense, Flatten, Sequential
from neocog.representation import markup, printable

EVIL = "cat\x1b[2J\x9b31m\u202egnp\u2066[red]\r\n"
SHOWN = r"cat\x1b[2J\x9b31m\u202egnp\u2066[red]\r\n"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "400"})


def is_clean(text):
    return printable(text, lines=True) == text


@pytest.fixture
def model(tmp_path):
    network = Sequential(flatten=Flatten(), **{f"dense{EVIL.replace('.', '')}": Dense(16, 2, rng=0)})
    network.class_names, network.input_shape = (EVIL, "dog"), (1, 4, 4)
    neocog.save(network, tmp_path / "esc.neocog")
    return tmp_path / "esc.neocog"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "i\x1b]0;title\x07\u202e.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    return path


def test_predict_shows_class_and_file_names_without_obeying_them(model, picture):
    result = run("predict", model, picture)
    assert result.exit_code == 0
    assert is_clean(result.output)
    assert SHOWN in result.output
    assert r"i\x1b]0;title\x07\u202e.png" in result.output


@pytest.mark.parametrize(
    "command",
    [
        ("summary", "MODEL"),
        ("check-gradients", "MODEL"),
        ("explain", "MODEL", "PICTURE"),
        ("predict", "MODEL", "gone\x1b[2J"),
        ("predict", "MODEL", "PICTURE", "--json"),
        ("evaluate", "MODEL", "digits"),
        ("evaluate", "MODEL", "folder:\x1b[2J"),
        ("evaluate", "\x1b[2J"),
        ("predict", "\x1b[2J", "PICTURE", "--traceback"),
        ("export", "MODEL", "\x1b[2J.txt"),
        ("sweep", "--show", "\x1b[2J.txt"),
        ("train", "--resume", "\x1b[2J"),
    ],
)
def test_every_command_prints_clean_text(command, model, picture):
    result = run(*({"MODEL": model, "PICTURE": picture}.get(word, word) for word in command))
    assert is_clean(result.output), ascii(result.output)
    assert result.exit_code in (0, 2)


def test_evaluate_prints_clean_text(model, tmp_path):
    labels = np.arange(8) % 2
    x = np.zeros((8, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=labels, class_names=np.array([EVIL, "dog"]))
    result = run("evaluate", model, f"npz:{tmp_path}/a.npz")
    assert result.exit_code == 0
    assert is_clean(result.output)
    assert "cat" in result.output


def test_text_that_a_terminal_only_shows_stays():
    text = "naïve 猫 👩‍👩‍👧 שלום a\u00a0b [bold]"
    assert printable(text) == text
    assert printable("a\tb\n", lines=True) == "a\tb\n"
    assert printable("a\udc80") == r"a\udc80"
    assert markup("[bold]\x1b") == r"\[bold]\x1b"


class WriteOnly:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


PRINTS = {
    "summary": lambda n, x: n.summary(),
    "gradients": lambda n, x: neocog.check_gradients(n, x, np.array([0]), max_entries=1).print(),
    "explanation": lambda n, x: neocog.inspection.explain(n, x, "conv1", (0, 0, 0, 0)).print(),
}


@pytest.mark.parametrize("name", PRINTS)
def test_tables_are_printed_to_any_stream_and_to_none(name, monkeypatch):
    network, x = neocog.models.tiny_cnn(1), np.ones((1, 1, 8, 8))
    stream = WriteOnly()
    monkeypatch.setattr("sys.stdout", stream)
    PRINTS[name](network, x)
    assert "conv1" in stream.text
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr("sys.stdout", stream)
        PRINTS[name](network, x)
