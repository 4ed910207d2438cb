import math

import pytest

from neocog.schedules import Constant, Cosine, StepDecay, WarmUp


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(0.5), {0: 0.5, 1: 0.5, 10**6: 0.5}),
        (Constant(0), {0: 0}),
        (StepDecay(8.0, every=3, factor=0.5), {0: 8, 2: 8, 3: 4, 5: 4, 6: 2, 9: 1}),
        (StepDecay(8.0, every=1, factor=0), {0: 8, 1: 0, 2: 0}),
        (StepDecay(1.0, every=10), {9: 1.0, 10: 0.1, 20: 0.01}),
        # cos 0, 60, 90, 120, 180 degrees = 1, 1/2, 0, -1/2, -1
        (Cosine(1.0, steps=6), {0: 1, 2: 0.75, 3: 0.5, 4: 0.25, 6: 0, 7: 0, 100: 0}),
        (Cosine(3.0, steps=6, final=1.0), {0: 3, 2: 2.5, 3: 2, 4: 1.5, 6: 1, 7: 1}),
        (Cosine(1.0, steps=6, final=2.0), {0: 1, 3: 1.5, 6: 2}),
        (WarmUp(Constant(8.0), steps=4), {0: 2, 1: 4, 2: 6, 3: 8, 4: 8}),
        (WarmUp(StepDecay(8.0, every=1, factor=0.5), steps=2), {0: 4, 1: 8, 2: 8, 3: 4, 4: 2}),
        (WarmUp(Cosine(4.0, steps=6), steps=1), {0: 4, 1: 4, 3: 3, 4: 2, 7: 0, 8: 0}),
        (WarmUp(WarmUp(Constant(8.0), steps=2), steps=2), {0: 2, 1: 4, 2: 4, 3: 8, 4: 8}),
    ],
)
def test_by_hand(schedule, expected):
    assert {step: schedule(step) for step in expected} == pytest.approx(expected, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant(-1), ValueError, r"lr must be in \[0, inf\], got -1"),
        (lambda: Constant("slow"), TypeError, "lr must be a number, got 'slow'"),
        (lambda: StepDecay(math.nan, 1), ValueError, "lr must be in"),
        (lambda: StepDecay(1.0, every=0), ValueError, "every must be at least 1, got 0"),
        (lambda: StepDecay(1.0, every=1.5), TypeError, "every must be an integer, got 1.5"),
        (lambda: StepDecay(1.0, 1, factor=-1), ValueError, "factor must be in .* got -1"),
        (lambda: Cosine(1.0, steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: Cosine(1.0, 2, final=-1), ValueError, "final must be in .* got -1"),
        (lambda: WarmUp(Constant(1.0), steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: WarmUp(Constant(1.0), steps=True), TypeError, "steps must be an integer, got True"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_schedules_compare_and_print_by_value():
    assert Cosine(1.0, 5) == Cosine(1.0, 5) != Cosine(1.0, 6)
    assert repr(WarmUp(Constant(0.5), 3)) == "WarmUp(schedule=Constant(lr=0.5), steps=3)"
