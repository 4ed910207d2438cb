import ast

import pytest

from neocog import exercises, experiments
from neocog.exercises.exercise import EXERCISES, Exercise

from ..studies import result  # noqa: TID252
from .answers import ANSWERS, WRONG

pytestmark = pytest.mark.xdist_group("studies")


@pytest.fixture(autouse=True)
def studies_run_once(monkeypatch):
    monkeypatch.setattr(experiments, "run", result)


def test_every_exercise_has_an_answer_here():
    asked = [one.name for one in exercises.list_exercises() if one.kind == "answer"]
    assert sorted(asked) == sorted(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_are_right_and_others_get_a_hint(name):
    verdict = exercises.check(name, ANSWERS[name])
    assert verdict
    assert repr(verdict).startswith("Right.")
    wrong = exercises.check(name, WRONG.get(name, 7))
    assert not wrong
    assert repr(wrong).startswith("Not yet: ")


@pytest.mark.parametrize("answer", [None, "many", (16, 8, 28), {}, 608.4])
def test_answers_of_another_kind_are_wrong(answer):
    assert not exercises.check("1.2", answer)


def test_a_solution_gives_answer_and_reason():
    assert exercises.solution("2.2").startswith("**28.** 27 weights and a bias.")


def test_an_unknown_exercise():
    with pytest.raises(ValueError, match=r"name must be one of '0\.1'"):
        exercises.check("7.99", 1)


def test_a_chapter_shows_questions_and_folds_solutions():
    chapter = exercises.chapter(4)
    text = chapter._repr_markdown_()
    assert text.count("<details>") == len(chapter.exercises) >= 10
    assert "def conv2d_backward(" in text
    assert repr(chapter).startswith("4.1 * `Conv2D(3, 8, 5)`")
    with pytest.raises(ValueError, match="number must be one of '0'"):
        exercises.chapter(99)


def test_an_open_question_is_not_checked():
    with pytest.raises(ValueError, match=r"4\.4 is an open question; compare with exercises\.solution"):
        exercises.check("4.4", 0)
    assert 'check("4.4"' not in exercises.chapter(4)._repr_markdown_()
    assert "1 - 1 = 0" in exercises.solution("4.4")


def test_exercises_are_in_the_order_of_their_numbers():
    names = [one.name for one in exercises.chapter(4).exercises]
    assert names == [f"4.{k}" for k in range(1, len(names) + 1)]


ASKED = [one.name for one in exercises.list_exercises() if one.kind == "answer"]


@pytest.mark.parametrize("name", ASKED)
def test_the_answer_that_a_solution_shows_is_right(name):
    text = exercises.solution(name).partition("**")[2].partition(".**")[0]
    try:
        answer = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        answer = text
    assert exercises.check(name, answer), text
    assert "e-1" not in text  # a rounding error is shown as 0


@pytest.mark.parametrize(
    ("expected", "answer", "message"),
    [
        (True, 3, "the answer is yes or no; hint."),
        (True, "no", "hint."),
        ("left", 3, "the answer is a word; hint."),
        (3, (3, 4), "the answer is one number; hint."),
        (3, "three", "the answer is one number; hint."),
        (3, len, "the answer is one number; hint."),
        ((3, 4), 3, "the answer is 2 numbers; hint."),
        (((3, 4), (5, 6)), (3, 4, 5, 6), "the answer is numbers in 2 rows; hint."),
        (3, 4, "hint."),
    ],
)
def test_an_answer_of_another_kind_is_told_what_is_asked_for(monkeypatch, expected, answer, message):
    one = Exercise("1.1", 1, "?", "", "hint.", answer=lambda: expected)
    monkeypatch.setitem(EXERCISES, "1.1", one)
    assert exercises.check("1.1", answer).message == f"Not yet: {message}"


def test_four_digits_suffice(monkeypatch):
    monkeypatch.setitem(EXERCISES, "1.1", Exercise("1.1", 1, "?", "", answer=lambda: 231.211))
    assert exercises.check("1.1", 231.2)
    assert not exercises.check("1.1", 231)
