import dataclasses
import math

import pytest
import torch

from neocog.schedules import Constant, Cosine, OneCycle, Polynomial, StepDecay, WarmRestarts, WarmUp


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
        # up in two steps, then down in eight: cos 0, 45, 90, 135, 180 degrees at 2, 4, 6, 8, 10
        (
            OneCycle(4.0, steps=11, pct_start=3 / 11, div_factor=2, final_div_factor=2),
            {0: 2, 1: 3, 2: 4, 4: 2.5 + 1.5 * 0.5**0.5, 6: 2.5, 8: 2.5 - 1.5 * 0.5**0.5, 10: 1, 11: 1, 99: 1},
        ),
        (OneCycle(1.0, steps=3, pct_start=0), {0: 0.75 + 1e-6, 1: 0.25 + 3e-6, 2: 4e-6, 3: 4e-6}),
        # cycles of 2, 4 and 8 steps; half the way down each is the middle
        (WarmRestarts(4.0, 2, factor=2), {0: 4, 1: 2, 2: 4, 4: 2, 6: 4, 10: 2, 14: 4}),
        (WarmRestarts(4.0, 2, final=2.0), {0: 4, 1: 3, 2: 4, 3: 3, 10**6: 4, 10**6 + 1: 3}),
        (Polynomial(4.0, steps=4), {0: 4, 1: 3, 2: 2, 3: 1, 4: 0, 5: 0, 100: 0}),
        (Polynomial(5.0, steps=4, power=0.5, final=1.0), {0: 5, 3: 3, 4: 1, 9: 1}),
        (WarmUp(Constant(8.0), steps=4), {0: 2, 1: 4, 2: 6, 3: 8, 4: 8}),
        (WarmUp(StepDecay(8.0, every=1, factor=0.5), steps=2), {0: 4, 1: 8, 2: 8, 3: 4, 4: 2}),
        (WarmUp(Cosine(4.0, steps=6), steps=1), {0: 4, 1: 4, 3: 3, 4: 2, 7: 0, 8: 0}),
        (WarmUp(WarmUp(Constant(8.0), steps=2), steps=2), {0: 2, 1: 4, 2: 4, 3: 8, 4: 8}),
    ],
)
def test_by_hand(schedule, expected):
    assert {step: schedule(step) for step in expected} == pytest.approx(expected, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        (1, {}),
        (2, {}),
        (660, {}),
        (7, {"pct_start": 0.0}),
        (50, {"pct_start": 0.99}),
        (10, {"pct_start": 0.4, "div_factor": 10.0, "final_div_factor": 100.0}),
        (33, {"div_factor": 1.0, "final_div_factor": 1.0}),
    ],
)
def test_one_cycle_is_pytorchs(steps, options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    peer = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.02, total_steps=steps, cycle_momentum=False, **options
    )
    expected = []
    for step in range(steps):
        expected.append(peer.get_last_lr()[0])
        optimizer.step()
        if step < steps - 1:
            peer.step()
    schedule = OneCycle(0.02, steps, **options)
    assert [schedule(step) for step in range(steps)] == pytest.approx(expected, rel=1e-12, abs=1e-18)


def rates_of_pytorch(make, lr, steps):
    """The rates of the first steps under one of PyTorch's schedulers."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "peer"),
    [
        (WarmRestarts(0.3, 5), {"T_0": 5}),
        (WarmRestarts(0.3, 4, 2, 0.01), {"T_0": 4, "T_mult": 2, "eta_min": 0.01}),
        (WarmRestarts(0.3, 1, 3), {"T_0": 1, "T_mult": 3}),
    ],
)
def test_warm_restarts_are_pytorchs(schedule, peer):
    make = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts
    expected = rates_of_pytorch(lambda optimizer: make(optimizer, **peer), 0.3, 60)
    assert [schedule(step) for step in range(60)] == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("steps", "power"), [(1, 1.0), (30, 1.0), (30, 0.9), (50, 2.5)])
def test_polynomial_is_pytorchs(steps, power):
    make = torch.optim.lr_scheduler.PolynomialLR
    expected = rates_of_pytorch(lambda optimizer: make(optimizer, steps, power), 0.3, 40)
    schedule = Polynomial(0.3, steps, power)
    assert [schedule(step) for step in range(40)] == pytest.approx(expected, rel=1e-9, abs=1e-15)


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
        (lambda: OneCycle(-1.0, 2), ValueError, "lr must be in"),
        (lambda: OneCycle(1.0, steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: OneCycle(1.0, 2, pct_start=1), ValueError, r"pct_start must be in \[0, 1\), got 1"),
        (lambda: OneCycle(1.0, 2, div_factor=0.5), ValueError, "div_factor must be in .* got 0.5"),
        (lambda: OneCycle(1.0, 2, final_div_factor=0), ValueError, "final_div_factor must be in"),
        (lambda: WarmRestarts(1.0, 0), ValueError, "period must be at least 1, got 0"),
        (lambda: WarmRestarts(1.0, 2, factor=1.5), TypeError, "factor must be an integer, got 1.5"),
        (lambda: WarmRestarts(1.0, 2, final=-1), ValueError, "final must be in .* got -1"),
        (lambda: Polynomial(1.0, 0), ValueError, "steps must be at least 1, got 0"),
        (lambda: Polynomial(1.0, 2, power=0), ValueError, r"power must be in \(0, inf\), got 0"),
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


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(0.5),
        StepDecay(1.0, 2),
        Cosine(1.0, 5),
        WarmRestarts(1.0, 5),
        Polynomial(1.0, 5),
        OneCycle(1.0, 5),
        WarmUp(Constant(0.5), 3),
    ],
    ids=repr,
)
def test_schedules_do_not_change(schedule):
    """So that a schedule can be a key, and one that several optimizers share stays what it was."""
    for field in dataclasses.fields(schedule):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, field.name, 1)
    assert hash(schedule) == hash(dataclasses.replace(schedule))
