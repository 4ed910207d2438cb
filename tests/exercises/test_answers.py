import pytest

from neocog import exercises, experiments

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
