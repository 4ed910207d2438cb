"""The choice of a backend: for good, for a block, for one thread."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from neocog import kernels
from neocog.kernels import BACKENDS, active_kernels, reference, use_kernels


@pytest.fixture(autouse=True)
def _start_and_end_with_auto():
    with use_kernels("auto"):
        yield


def test_auto_is_the_default():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(active_kernels).result() == "auto"


@pytest.mark.parametrize("name", BACKENDS)
def test_for_good(name):
    use_kernels(name)
    assert active_kernels() == name


@pytest.mark.parametrize("name", BACKENDS)
def test_for_a_block(name):
    with use_kernels(name):
        assert active_kernels() == name
    assert active_kernels() == "auto"


def test_blocks_nest():
    with use_kernels("reference"):
        with use_kernels("im2col"):
            assert active_kernels() == "im2col"
            with use_kernels("reference"):
                assert active_kernels() == "reference"
            assert active_kernels() == "im2col"
        assert active_kernels() == "reference"
    assert active_kernels() == "auto"


def test_a_block_restores_what_was_chosen_for_good():
    use_kernels("im2col")
    with use_kernels("reference"):
        pass
    assert active_kernels() == "im2col"


def test_a_choice_for_good_inside_a_block_ends_with_it():
    with use_kernels("reference"):
        use_kernels("im2col")
    assert active_kernels() == "auto"


def test_an_exception_restores_and_passes_through():
    with pytest.raises(ZeroDivisionError), use_kernels("reference"):
        raise ZeroDivisionError
    assert active_kernels() == "auto"


def test_unknown_name_lists_the_allowed():
    with pytest.raises(
        ValueError, match=r"'auto', 'reference', 'im2col', 'fused', got 'im2cool'. Did you mean 'im2col'"
    ):
        use_kernels("im2cool")
    assert active_kernels() == "auto"


@pytest.mark.parametrize("wrong", [None, 3, ["im2col"]])
def test_a_name_that_is_no_text(wrong):
    with pytest.raises(ValueError, match="kernels must be one of"):
        use_kernels(wrong)


def test_threads_do_not_see_each_other():
    together = threading.Barrier(2, timeout=10)

    def work(name):
        before = active_kernels()
        with use_kernels(name):
            together.wait()
            inside = active_kernels()
            together.wait()
        together.wait()
        return before, inside, active_kernels()

    use_kernels("im2col")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, ["reference", "im2col"]))
    assert results == [("auto", "reference", "auto"), ("auto", "im2col", "auto")]
    assert active_kernels() == "im2col"


def test_the_chosen_backend_does_the_work(monkeypatch):
    called = []
    x, w = np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2))
    dy, pool = np.zeros((1, 1, 1, 1)), ((2, 2), (2, 2))
    calls = {
        "conv2d": (x, w),
        "conv2d_input": (dy, w, x.shape),
        "conv2d_weight": (x, dy, w.shape),
        "max_pool2d": (x, *pool),
        "max_pool2d_input": (dy, dy, x.shape, *pool),
        "avg_pool2d": (x, *pool),
        "avg_pool2d_input": (dy, x.shape, *pool),
        "affine": (x, np.zeros((1, 2, 3))),
    }
    for name in calls:
        monkeypatch.setattr(reference, name, lambda *_, name=name: called.append(name))
    for name, arguments in calls.items():
        getattr(kernels, name)(*arguments)
        assert called == []
    with use_kernels("reference"):
        for name, arguments in calls.items():
            getattr(kernels, name)(*arguments)
    assert called == list(calls)


def test_a_choice_can_be_entered_again():
    choice = use_kernels("reference")
    with choice:
        assert active_kernels() == "reference"
    assert active_kernels() == "auto"
    with choice:
        assert active_kernels() == "reference"
    assert active_kernels() == "auto"
