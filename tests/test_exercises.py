import pytest

from neocog import exercises, experiments

from .studies import result

pytestmark = pytest.mark.xdist_group("studies")


@pytest.fixture(autouse=True)
def studies_run_once(monkeypatch):
    monkeypatch.setattr(experiments, "run", result)


# Worked out by hand, or the textbook's own figures.
ANSWERS = {
    "1.1": (16, 8, 28, 28),
    "1.2": 8 * (3 * 25 + 1),
    "1.3": 6,
    "2.1": 64 * 27 + 27 + 27 * 3 + 3,
    "2.2": 28,
    "2.3": 4,
    "3.1": "No",
    "3.2": "yes",
    "4.1": 2,
    "4.2": 3,
    "5.1": 1.0,
    "5.2": 3 * 26 + 13 * 3,
    "6.1": 13,
    "6.2": 33_280 - 80,
}
WRONG = {"1.1": (16, 8, 32, 32), "3.1": "yes", "3.2": "no", "5.1": 0.9}


def test_every_exercise_has_an_answer_here():
    assert [exercise.name for exercise in exercises.list_exercises()] == list(ANSWERS)


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
    with pytest.raises(ValueError, match=r"name must be one of '1\.1'"):
        exercises.check("7.9", 1)
