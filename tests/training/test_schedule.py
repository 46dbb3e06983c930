import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from pelage.common.errors import PelageError
from pelage.training.schedule import SCHEDULES, Schedule, cosine, one_cycle

PLATEAU = {"schedule": "plateau", "warmup": 0.0, "plateau_factor": 0.5, "plateau_patience": 1}


def rates_of_torch(scheduler, steps, **arguments):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = scheduler(optimizer, **arguments)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            schedule.step()
    return rates


def test_cosine_rises_and_falls():
    assert [cosine(step, 10, 0.3) for step in range(4)] == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1.0])
    assert cosine(5, 10, 0.0) == pytest.approx(0.5)
    assert cosine(9, 10, 0.0) == pytest.approx(0.0245, abs=1e-4)
    assert cosine(0, 1, 1.0) == 0.5


def test_cosine_without_warmup_is_that_of_torch():
    theirs = rates_of_torch(CosineAnnealingLR, 12, T_max=12)
    assert [cosine(step, 12, 0.0) for step in range(12)] == pytest.approx(theirs)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0.3), (40, 0.25), (7, 0.5), (20, 0.0), (20, 1.0)])
def test_one_cycle_is_that_of_torch(steps, warmup):
    theirs = rates_of_torch(OneCycleLR, steps, max_lr=1.0, total_steps=steps, pct_start=warmup, cycle_momentum=False)
    assert [one_cycle(step, steps, warmup) for step in range(steps)] == pytest.approx(theirs)


@given(st.integers(1, 60), st.floats(0, 1), st.sampled_from(SCHEDULES))
def test_any_factor_is_between_0_and_1_and_rises_before_it_falls(steps, warmup, name):
    schedule = Schedule({**PLATEAU, "schedule": name, "warmup": warmup}, steps)
    factors = [schedule.factor(step) for step in range(steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[:top] == sorted(factors[:top]) and factors[top:] == sorted(factors[top:], reverse=True)


def test_a_constant_rate_stays_whatever_validation_says():
    schedule = Schedule({**PLATEAU, "schedule": "constant", "warmup": 0.2}, 10)
    for value in (0.5, 0.1, 0.1, 0.1):
        schedule.judged(value)
    assert [schedule.factor(step) for step in (0, 1, 2, 5, 9)] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])


def test_a_plateau_waits_and_then_goes_down():
    schedule = Schedule(PLATEAU, 100)
    seen = []
    for value in (0.1, 0.2, 0.2, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3):
        schedule.judged(value)
        seen.append(schedule.factor(50))
    # the second in a row that is no better halves the rate
    assert seen == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_a_plateau_warms_up_too():
    schedule = Schedule({**PLATEAU, "warmup": 0.3}, 10)
    assert [schedule.factor(step) for step in (0, 1, 2, 3, 9)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])


def test_what_a_schedule_knows_can_be_kept_and_taken_up():
    first, again = Schedule(PLATEAU, 100), Schedule(PLATEAU, 100)
    for value in (0.4, 0.3, 0.3, 0.2):
        first.judged(value)
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for value in (0.4, 0.5, 0.1, 0.1):
        assert again.factor(70) == first.factor(70)
        first.judged(value)
        again.judged(value)
    assert again.factor(70) == first.factor(70) == 0.125  # 0.3 twice, 0.2 and 0.4, 0.1 twice


def test_unknown_names_are_told():
    with pytest.raises(PelageError, match=r"train.schedule is 'steps'; it must be one of constant, cosine"):
        Schedule({**PLATEAU, "schedule": "steps"}, 10)
