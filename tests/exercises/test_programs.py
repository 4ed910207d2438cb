import inspect
import re

import numpy as np
import pytest

from neocog import exercises
from neocog.exercises.exercise import find_exercise

CODE = [one for one in exercises.list_exercises() if one.kind == "code"]


@pytest.mark.parametrize("one", CODE, ids=lambda one: one.name)
def test_the_program_of_a_solution_is_right(one):
    verdict = exercises.check(one.name, one.program)
    assert verdict, verdict
    code = exercises.solution(one.name).split("```")[1].removeprefix("python\n")
    assert f"def {one.function}(" in code
    compile(code, one.name, "exec")


@pytest.mark.parametrize("one", CODE, ids=lambda one: one.name)
def test_a_question_names_the_function_and_its_arguments(one):
    arguments = ", ".join(inspect.signature(one.program).parameters)
    asked = re.search(rf"`{one.function}\((.*?)\)`", one.question)
    assert asked, one.question
    assert asked[1].replace("=1.96", "") == arguments


@pytest.mark.parametrize("one", CODE, ids=lambda one: one.name)
def test_a_program_that_returns_its_first_argument_is_wrong(one):
    verdict = exercises.check(one.name, lambda first, *others: first)
    assert not verdict
    assert verdict.message.startswith("Not yet: ")


def test_something_that_is_no_function_where_code_is_asked_for():
    with pytest.raises(TypeError, match="asks for a function, got 3"):
        exercises.check("4.15", 3)


def of(program):
    """Return the exercise of chapters 3 and 4 that asks for a program of this name."""
    (one,) = [one for one in CODE if one.chapter in (3, 4) and one.program.__name__ == program]
    return one


def right(program):
    return of(program).program


def check(name, program):
    return exercises.check(of(name).name, program)


def only_stride_1(dy, x, w, stride, padding):
    return right("conv2d_backward")(dy, x, w, 1, padding)


def edges_forgotten(dy, x, w, stride, padding):
    dx, dw, db = right("conv2d_backward")(dy, x, w, stride, padding)
    if padding:
        dx[:, :, 0] = 0
    return dx, dw, db


def turned(dy, x, w, stride, padding):
    dx, dw, db = right("conv2d_backward")(dy, x, w, stride, padding)
    return dx, dw[..., ::-1, ::-1], db


def doubled(dy, x, w, stride, padding):
    dx, dw, db = right("conv2d_backward")(dy, x, w, stride, padding)
    return dx, dw, 2 * db


def writes(dy, x, w, stride, padding):
    x *= 1.5
    return right("conv2d_backward")(dy, x / 1.5, w, stride, padding)


def without_bias(dy, x, w, stride, padding):
    return right("conv2d_backward")(dy, x, w, stride, padding)[:2]


def in_float64(dy, x, w, stride, padding):
    return tuple(d.astype("float64") for d in right("conv2d_backward")(dy, x, w, stride, padding))


@pytest.mark.parametrize(
    ("program", "messages"),
    [
        (only_stride_1, ["right for one image", "padding 1, but with stride 2 dx["]),
        (edges_forgotten, ["but with padding 1 dx", "only at u = 0"]),
        (turned, ["with one image", "dw is turned by 180 degrees"]),
        (doubled, ["db is 2 times what it should be"]),
        (writes, ["it changes its input x"]),
        (without_bias, ["it returns 2 results instead of 3: dx, dw, db"]),
        (in_float64, ["with float32 dx is float64 instead of float32"]),
        (lambda *arguments: 1 / 0, ["it raises ZeroDivisionError: division by zero"]),
    ],
)
def test_where_a_convolution_goes_wrong(program, messages):
    message = check("conv2d_backward", program).message
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

    assert "but with a tie the pixels of a tie share dy" in check("max_pool_backward", shared).message


def test_logits_that_overflow():
    def naive(z, t):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(t)), t]).mean()
        p[np.arange(len(t)), t] -= 1
        return loss, p / len(t)

    assert "logits around 1000 loss is inf" in check("softmax_cross_entropy", naive).message


def test_a_list_of_results_is_as_good_as_a_tuple():
    assert check("conv2d_backward", lambda *arguments: list(right("conv2d_backward")(*arguments)))


def test_complex_results_are_named():
    assert "dx is complex128 instead of float64" in check("relu_backward", lambda dy, x: dy + 1j).message


def test_a_forward_pass_that_ignores_padding():
    def unpadded(x, w, b, stride, padding):
        return find_exercise("1.9").program(x, w, b, stride, 0)

    message = exercises.check("1.9", unpadded).message
    assert "several images, but with padding 1 y has shape (2, 3, 2, 3) instead of (2, 3, 4, 5)" in message
