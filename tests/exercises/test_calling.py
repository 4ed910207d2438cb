import contextlib
import functools
import threading
import time

import numpy as np
import pytest
import torch

from neocog import exercises
from neocog.exercises.judges import calling, classification, convolution, dense, elementwise, optimizers

from . import programs as right


def test_a_loop_without_an_end_is_stopped_and_its_line_is_named(monkeypatch):
    monkeypatch.setattr(calling, "SECONDS", 0.3)

    def forever(x):
        n = 0
        while x.size:
            try:
                n += 1
            except Exception:
                n = 0
        return x

    before = set(threading.enumerate())  # tests that ran before may have left some
    began = time.perf_counter()
    message = elementwise.relu(forever)
    assert time.perf_counter() - began < 5
    assert "it has not ended after 0.3 seconds: is there a loop without an end?" in message
    assert "it was then in line" in message
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_a_program_that_ends_in_time_is_not_interrupted_later(monkeypatch):
    monkeypatch.setattr(calling, "SECONDS", 0.05)
    for _ in range(20):
        with (
            contextlib.suppress(calling.OutOfTime),
            calling.time_limit(0.001),
        ):  # on a slow machine it is over
            pass
    assert elementwise.relu(right.relu) == ""
    time.sleep(0.1)


def test_the_line_that_raises_is_named_although_it_called_numpy():
    def crooked(x, w, b):
        y = x @ w
        return np.concatenate([y, b])

    message = dense.dense(crooked)
    assert "with one image it raises ValueError: all the input arrays must" in message
    assert "of your code: `return np.concatenate([y, b])`" in message


def test_a_program_without_source():
    code = "def relu(x):\n    return x.missing\n"
    names = {}
    exec(compile(code, "<cell>", "exec"), names)
    assert "See line 2 of your code" in elementwise.relu(names["relu"])
    assert elementwise.relu(np.abs).endswith("y is the absolute value: negative numbers must become 0")


def test_printing_is_not_returning(capsys):
    assert "it prints its result, but returns None: end it with `return y`" in elementwise.relu(print)
    assert capsys.readouterr().out  # a reader's own output is not hidden
    assert "it returns None: end it with `return y`" in elementwise.relu(lambda x: None)


def test_lists_tensors_and_other_objects():
    assert "y is a list: return an array, np.array(y)" in elementwise.relu(lambda x: right.relu(x).tolist())
    assert "y is a PyTorch tensor: return a NumPy array" in elementwise.relu(lambda x: torch.tensor(x))
    assert "y is 'no', not an array of numbers" in elementwise.relu(lambda x: "no")
    assert "loss is 'no', not a number" in classification.cross_entropy(lambda p, t: "no")
    assert "it returns 2 results instead of 1: y" in elementwise.relu(lambda x: (x, x))
    assert "it returns 1 result instead of 2: w, v" in optimizers.momentum(lambda w, dw, v, lr, m: w)
    assert elementwise.relu(lambda x: (right.relu(x),)) == ""
    assert "v is None" in optimizers.momentum(
        lambda w, dw, v, lr, m: (right.momentum(w, dw, v, lr, m)[0], None)
    )


def test_arguments_that_do_not_fit():
    message = dense.dense(lambda x, w: x @ w)
    assert "it must take 3 arguments, (x, w, b), but takes (x, w)" in message
    assert dense.dense(functools.partial(lambda x, w, b, more: right.dense(x, w, b), more=1)) == ""


def test_a_reader_may_pass_a_result_instead_of_a_function():
    name = next(e.name for e in exercises.list_exercises() if e.kind == "code")
    with pytest.raises(TypeError, match="Pass its name alone, without calling it"):
        exercises.check(name, np.zeros(3))


def test_numbers_that_are_none():
    assert "y[0, 0] is NaN; 6 of 6 numbers are" in elementwise.relu(lambda x: x * np.nan)
    assert "loss is inf instead of" in classification.cross_entropy(lambda p, t: np.inf)


def test_a_drawn_case_can_be_repeated():
    def only_small(x):
        return right.relu(x) if x.ndim < 5 and x.shape not in SEEN else x

    for seed in range(100):
        shapes = []
        elementwise.relu(lambda x, shapes=shapes: shapes.append(x.shape) or right.relu(x), seed)
        fixed = {(1, 6), (2, 3, 4, 4), (3, 5)}
        if set(shapes[3:]) - fixed:
            break
    SEEN = set(shapes[3:]) - fixed
    message = elementwise.relu(only_small, seed)
    assert "right for a row; maps; float32, but with a drawn shape" in message
    assert f"(drawn with seed={seed})" in message
    assert elementwise.relu(only_small, seed) == message


def test_the_adjoint_identity_judges_large_shapes():
    def wrong_when_large(dy, x, w, stride, padding):
        dx, dw, db = right.conv2d_backward(dy, x, w, stride, padding)
        return (dx * 1.001 if x.size > 700 else dx), dw, db

    message = convolution.conv2d_backward(wrong_when_large, 3)
    assert (
        "(drawn with seed=3) dx is not the adjoint of the convolution: for y computed from random x, "
        in message
    )
    assert "sum(dy * y) = " in message
    assert "but sum(dx * x) = " in message

    def other_weights(dy, x, w, stride, padding):
        dx, dw, db = right.conv2d_backward(dy, x, w, stride, padding)
        return dx, (dw[..., ::-1, ::-1] if x.size > 700 else dw), db

    assert "dw is not the adjoint" in convolution.conv2d_backward(other_weights)

    def folded(columns, shape, k, stride, padding):
        x = right.col2im(columns, shape, k, stride, padding)
        return x[..., ::-1].copy() if x.size > 700 else x

    assert "it is not the adjoint of im2col: for random v" in convolution.col2im(folded)


def test_errors_at_one_border_or_at_all():
    def one(dy, x, w, stride, padding):
        dx, dw, db = right.conv2d_backward(dy, x, w, stride, padding)
        dx[:, :, :padding] = 0
        return dx, dw, db

    def all_around(dy, x, w, stride, padding):
        dx, dw, db = right.conv2d_backward(dy, x, w, stride, padding)
        if padding:
            inner = np.zeros_like(dx)
            inner[:, :, 1:-1, 1:-1] = dx[:, :, 1:-1, 1:-1]
            dx = inner
        return dx, dw, db

    assert "only at u = 0" in convolution.conv2d_backward(one)
    assert "only at the border" in convolution.conv2d_backward(all_around)


def test_factors_signs_and_shifts():
    def backward_times(factor, shift=0.0):
        def program(dy, x, w):
            dx, dw, db = right.dense_backward(dy, x, w)
            return dx, factor * dw + shift, db

        return dense.dense_backward(program)

    assert "dw has the wrong sign" in backward_times(-1)
    assert "dw is 3 times what it should be" in backward_times(3)
    assert "dw is 0.5 times what it should be" in backward_times(0.5)
    assert "dw is zero everywhere" in backward_times(0)
    assert "dw is too large by 0.25 everywhere" in backward_times(1, 0.25)
