import numpy as np
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
    assert [one.name for one in exercises.list_exercises() if one.kind == "answer"] == list(ANSWERS)


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


CODE = [one for one in exercises.list_exercises() if one.kind == "code"]


@pytest.mark.parametrize("one", CODE, ids=lambda one: one.name)
def test_the_program_of_a_solution_is_right(one):
    verdict = exercises.check(one.name, one.program)
    assert verdict, verdict
    assert f"def {one.program.__name__}(" in exercises.solution(one.name)


@pytest.mark.parametrize("one", CODE, ids=lambda one: one.name)
def test_a_program_that_returns_its_first_argument_is_wrong(one):
    verdict = exercises.check(one.name, lambda first, *others: first)
    assert not verdict
    assert verdict.message.startswith("Not yet: ")


def test_something_that_is_no_function_where_code_is_asked_for():
    with pytest.raises(TypeError, match="asks for a function, got 3"):
        exercises.check("3.8", 3)


def right(name):
    (one,) = [one for one in CODE if one.name == name]
    return one.program


def only_stride_1(dy, x, w, stride, padding):
    return right("3.8")(dy, x, w, 1, padding)


def edges_forgotten(dy, x, w, stride, padding):
    dx, dw, db = right("3.8")(dy, x, w, stride, padding)
    if padding:
        dx[:, :, 0] = 0
    return dx, dw, db


def turned(dy, x, w, stride, padding):
    dx, dw, db = right("3.8")(dy, x, w, stride, padding)
    return dx, dw[..., ::-1, ::-1], db


def doubled(dy, x, w, stride, padding):
    dx, dw, db = right("3.8")(dy, x, w, stride, padding)
    return dx, dw, 2 * db


def writes(dy, x, w, stride, padding):
    x *= 1.5
    return right("3.8")(dy, x / 1.5, w, stride, padding)


def without_bias(dy, x, w, stride, padding):
    return right("3.8")(dy, x, w, stride, padding)[:2]


def in_float64(dy, x, w, stride, padding):
    return tuple(d.astype("float64") for d in right("3.8")(dy, x, w, stride, padding))


@pytest.mark.parametrize(
    ("program", "messages"),
    [
        (only_stride_1, ["right for one image", "padding 1, but with stride 2 dx["]),
        (edges_forgotten, ["but with padding 1 dx", "only at u = 0"]),
        (turned, ["with one image", "dw is turned by 180 degrees"]),
        (doubled, ["db is 2 times what it should be"]),
        (writes, ["it changes its input"]),
        (without_bias, ["it returns 2 results instead of 3: dx, dw, db"]),
        (in_float64, ["with float32 dx is float64 instead of float32"]),
        (lambda *arguments: 1 / 0, ["it raises ZeroDivisionError: division by zero"]),
    ],
)
def test_where_a_convolution_goes_wrong(program, messages):
    message = exercises.check("3.8", program).message
    for part in messages:
        assert part in message


def test_a_tie_in_max_pooling():
    def shared(dy, x, size):
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(dy.shape):
            window = (n, c, slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
            winners = x[window] == x[window].max()
            dx[window] = dy[n, c, i, j] * winners / winners.sum()
        return dx

    assert "but with a tie dx" in exercises.check("3.6", shared).message


def test_logits_that_overflow():
    def naive(z, t):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(t)), t]).mean()
        p[np.arange(len(t)), t] -= 1
        return loss, p / len(t)

    with np.errstate(all="ignore"):
        assert "logits around 1000 the loss is inf" in exercises.check("3.7", naive).message


def test_a_chapter_shows_questions_and_folds_solutions():
    chapter = exercises.chapter(3)
    text = chapter._repr_markdown_()
    assert text.count("<details>") == len(chapter.exercises) == 10
    assert "def conv2d_backward(" in text
    assert repr(chapter).startswith("3.1 ** Is TinyCNN")
    with pytest.raises(ValueError, match="number must be one of '1'"):
        exercises.chapter(99)


def test_an_open_question_is_not_checked():
    with pytest.raises(ValueError, match=r"3\.10 is an open question; compare with exercises\.solution"):
        exercises.check("3.10", 0)
    assert 'check("3.10"' not in exercises.chapter(3)._repr_markdown_()
    assert "1 - 1 = 0" in exercises.solution("3.10")


def test_exercises_are_in_the_order_of_their_numbers():
    names = [one.name for one in exercises.chapter(3).exercises]
    assert names == [f"3.{k}" for k in range(1, 11)]


def test_a_list_of_results_is_as_good_as_a_tuple():
    assert exercises.check("3.8", lambda *arguments: list(right("3.8")(*arguments)))


def test_complex_results_are_named():
    assert "dx is complex128 instead of float64" in exercises.check("3.4", lambda dy, x: dy + 1j).message


def test_a_forward_pass_that_ignores_padding():
    def unpadded(x, w, b, stride, padding):
        return right("1.4")(x, w, b, stride, 0)

    message = exercises.check("1.4", unpadded).message
    assert "several images, but with padding 1 y has shape (2, 3, 2, 3) instead of (2, 3, 4, 5)" in message
