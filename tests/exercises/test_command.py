import json
import re
import textwrap

import pytest
from typer.testing import CliRunner

from neocog import exercises
from neocog.cli import app
from neocog.exercises import course
from neocog.exercises.exercise import EXERCISES
from neocog.exercises.plain_math import plain_math


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("NEOCOG_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(course, "_in_session", {})


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["exercises", *map(str, arguments)])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(textwrap.dedent(text))
        return path

    return write


def test_formulas_are_shown_as_a_terminal_can():
    for one in EXERCISES.values():
        for text in (one.question, one.hint, one.solution):
            without_code = re.sub(r"`[^`]*`", "", plain_math(text))
            assert not re.search(r"\\[a-z]|\$|[_^]\{", without_code), one.name
    assert plain_math(r"$\frac{\lambda}{2} \sum_{ij} w_{ij}^2$, $p^{10}$") == "λ/2 ∑_ij w_ij², p¹⁰"
    assert plain_math(r"$\tfrac\pi3 \cdot \sqrt{v + \varepsilon}$") == "π/3 · √(v + ε)"
    asked = next(one for one in EXERCISES.values() if r"\cdot" in one.question + one.solution)
    assert "\\cdot" not in run(asked.name) + run(asked.name, "--solution")


def test_chapters_and_what_is_solved():
    assert "0 of" in run()
    assert run("1.2", "--answer", 608).startswith("Right.")
    assert "1 of" in run()
    listed = json.loads(run("--json"))
    assert listed["next"] == "1.3"
    assert {"number", "title", "solved", "exercises", "stars", "all_stars"} == set(listed["chapters"][0])


def test_the_questions_of_a_chapter():
    run("1.2", "--answer", 608)
    lines = run("1").splitlines()
    assert lines[0].split()[:2] == ["1.1", "★"]
    assert lines[1].split()[:3] == ["✓", "1.2", "★"]
    questions = json.loads(run("1", "--json"))
    assert [one["name"] for one in questions if one["solved"]] == ["1.2"]
    assert len(run("1.2").splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "answer"), [("1.1", "16,8,28,28"), ("1.1", "(16, 8, 28, 28)"), ("1.2", " 608 ")]
)
def test_right_answers(name, answer):
    assert run(name, "--answer", answer).startswith("Right.")


def test_a_wrong_answer_has_exit_code_1():
    assert run("1.2", "--answer", "many", code=1).startswith("Not yet: ")
    wrong = json.loads(run("1.2", "--answer", 7, "--json", code=1))
    assert wrong["right"] is False


def test_a_solution():
    assert "608" in run("1.2", "--solution")
    assert json.loads(run("1.2", "--solution", "--json"))["solution"] == exercises.solution("1.2")


CODE = next(e for e in exercises.list_exercises() if getattr(e.program, "__name__", "") == "conv2d")


def test_a_program_in_a_file(write):
    path = write("""
        import numpy as np
        import beside  # a module in the same folder

        def conv2d(x, w, b, stride, padding):
            x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
            k = w.shape[2]
            cut = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]
            return np.einsum("fcpq,ncijpq->nfij", w, cut) + b[:, None, None] * beside.ONE
    """)
    path.with_name("beside.py").write_text("ONE = 1")
    assert run(CODE.name, "--file", path).startswith("Right.")
    path.with_name("mine.py").write_text("def conv2d(x, w, b, stride, padding):\n    return x.shapes\n")
    output = run(CODE.name, "--file", path, code=1)
    assert "it raises AttributeError" in output
    assert "See line 2 of your code: `return x.shapes`" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def conv(x): return x", "must define conv2d, and defines conv."),
        ("import numpy", "must define conv2d, and defines no function."),
        ("x = 1\n1 / 0", "raises ZeroDivisionError in line 2: division by zero"),
        ("def conv2d(x:", "was never closed"),
    ],
)
def test_a_file_without_the_function(write, text, message):
    assert message in run(CODE.name, "--file", write(text), code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["77"], "number must be one of '0'"),
        (["77.1"], "name must be one of"),
        (["one"], "must be a chapter, as 4, or an exercise, as 4.3"),
        (["--answer", "3"], "need an exercise, as 4.3"),
        (["1", "--solution"], "need an exercise, as 4.3"),
        (["1.2", "--solution", "--answer", "3"], "only one of"),
        (["1.2", "--file", "mine.py"], "asks for no function"),
        ([CODE.name, "--file", "missing.py"], "there is no file missing.py"),
        ([CODE.name, "--answer", "3"], "asks for a function, got 3"),
        (["4.10", "--answer", "3"], "is an open question"),
    ],
)
def test_bad_input(arguments, message):
    if arguments[0] == "4.10":
        arguments[0] = next(one.name for one in exercises.list_exercises() if one.kind == "open")
    assert message in run(*arguments, code=2)
