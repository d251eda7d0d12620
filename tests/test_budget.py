import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opdbench.budget import (
    ACCOUNTINGS,
    AXES,
    OFF_BUDGET,
    PHASES,
    Budget,
    Charge,
    Ledger,
    StepRecord,
    charges_from_json,
    cut_batch,
    redone_seconds,
    replay,
    spend_by_accounting,
    spread,
    total,
)
from opdbench.errors import BudgetError

FRACTIONS = (0.25, 0.5, 0.75, 1.0)
COUNT = st.integers(0, 10**18)
SECONDS = st.floats(0, 1e6, allow_subnormal=False)


@st.composite
def charges(draw, lines=(*PHASES, *OFF_BUDGET)):
    return Charge(draw(st.sampled_from(lines)), *[draw(COUNT) for _ in range(5)], draw(SECONDS))


STEPS = st.lists(st.lists(charges(), max_size=5), max_size=6)
BUDGETS = st.builds(Budget, st.sampled_from(AXES), st.floats(1e-3, 1e19))


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def play(budget, steps):
    ledger, records = Ledger(budget, num_devices=2), []
    for step in steps:
        ledger.begin_step()
        for charge in step:
            ledger.charge(charge)
        records.append(ledger.end_step())
    return ledger, records


def spending(ledger, cost):
    ledger.begin_step()
    with ledger.phase("student_rollout") as meter:
        meter.add(generated_tokens=cost)
    return ledger.end_step()


@settings(max_examples=50)
@given(BUDGETS, STEPS)
def test_phases_add_up_to_spend(budget, steps):
    ledger, _ = play(budget, steps)
    flat = list(itertools.chain.from_iterable(steps))
    on = [charge for charge in flat if charge.phase in PHASES]
    assert ledger.spend("flops") == sum(row["flops"] for row in ledger.totals().values()) == sum(c.flops for c in on)
    assert ledger.spend("tokens") == sum(charge.generated_tokens for charge in on)
    assert ledger.spend("steps") == sum(charge.optimizer_steps for charge in on)
    seconds = sum(charge.device_seconds for charge in flat if charge.phase in (*PHASES, "redone"))
    assert math.isclose(ledger.spend("gpu_hours") * 3600, seconds, rel_tol=1e-12, abs_tol=1e-9)
    assert 0 <= ledger.progress() <= 1
    assert ledger.num_steps == len(steps)


@settings(max_examples=50)
@given(BUDGETS, STEPS, st.lists(charges(), max_size=3))
def test_json_round_trip_is_exact(budget, steps, pending):
    ledger, records = play(budget, steps)
    for charge in pending:
        ledger.charge(charge)
    again = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
    assert again == ledger
    assert again.to_json() == ledger.to_json()
    assert again.spend() == ledger.spend()
    assert again.close() == ledger.close()
    assert [StepRecord.from_json(json.loads(json.dumps(record.to_json()))) for record in records] == records
    assert charges_from_json(ledger.totals() | ledger.off_budget(), ledger.device_seconds()) == ledger.charges()


@settings(max_examples=50)
@given(BUDGETS, STEPS, st.lists(charges(), max_size=3))
def test_replay_gives_the_ledger_back(budget, steps, tail):
    ledger, records = play(budget, steps)
    for charge in tail:
        ledger.charge(charge)
    last = ledger.close()
    records += [last] if last else []
    assert replay(budget, records, num_devices=2) == ledger
    seconds = ledger.device_seconds()
    assert redone_seconds(records) == pytest.approx(sum(seconds.values()) - seconds["diagnostics"])


def test_replay_refuses_a_changed_log():
    ledger, records = play(Budget("tokens", 100), [[Charge("update", 3)], [Charge("update", 4)]])
    assert replay(ledger.budget, records, num_devices=2) == ledger
    changed = StepRecord(2, 3, 8, 100, records[1].charges)
    for log in ([records[0], changed], [records[1]], [records[0], records[0]], records[::-1]):
        with pytest.raises(BudgetError, match="spend log, record"):
            replay(ledger.budget, log)


@settings(max_examples=50)
@given(st.integers(1, 2000), st.lists(st.integers(1, 60), min_size=1, max_size=60))
def test_nothing_overruns(limit, costs):
    ledger = Ledger(Budget("tokens", limit), first_step_bound=60)
    for cost in costs:
        estimate = ledger.largest_recent_step()
        if not ledger.room_for():
            break
        spending(ledger, min(cost, estimate))
    assert ledger.spend() <= limit
    assert ledger.remaining() == limit - ledger.spend()


@settings(max_examples=50)
@given(st.integers(1, 500), st.lists(st.integers(0, 60), min_size=1, max_size=40), st.sampled_from([60, 90, None]))
def test_checkpoints_are_the_last_state_within_their_fraction(limit, costs, bound):
    ledger, kept, states = Ledger(Budget("tokens", limit)), {}, [0]
    snapshot = None
    for cost in costs:
        if ledger.due(FRACTIONS, bound):
            snapshot = ledger.spend_at_last_step()
        for fraction in spending(ledger, cost).crossed(FRACTIONS):
            assert fraction not in kept
            kept[fraction] = snapshot
        states.append(ledger.spend())
    for fraction in FRACTIONS:
        expected = max(state for state in states if state <= fraction * limit)
        assert kept.get(fraction, states[-1]) == expected


@settings(max_examples=50)
@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 400), st.integers(1, 4))
def test_cut_batch_is_the_largest_prefix_that_fits(costs, remaining, group):
    cut = cut_batch(costs, remaining, group)
    fitting = [n for n in range(0, len(costs) + 1, group) if sum(costs[:n]) <= remaining]
    assert cut == max(fitting)


def test_estimate_is_the_largest_of_the_last_eight():
    ledger = Ledger(Budget("tokens", 10_000), first_step_bound=70)
    assert ledger.largest_recent_step() == 70
    spending(ledger, 500)
    for _ in range(7):
        spending(ledger, 10)
    assert ledger.largest_recent_step() == 500
    spending(ledger, 20)
    assert ledger.largest_recent_step() == 20
    assert not Ledger(Budget("tokens", 10), first_step_bound=11).room_for()
    assert Ledger(Budget("tokens", 10), first_step_bound=11).room_for(10)


def test_time_outside_phases_is_idle():
    clock = Clock()
    ledger = Ledger(Budget("gpu_hours", 1), num_devices=4, clock=clock)
    clock.now = 5
    ledger.start_clock()
    clock.now = 7
    ledger.begin_step()
    with ledger.phase("update") as meter:
        clock.now = 17
        meter.add(trained_tokens=3, flops=5)
        meter.add(flops=5, optimizer_steps=1)
    with ledger.phase("evaluation"):
        clock.now = 117
    clock.now = 118
    ledger.end_step()
    clock.now = 120
    ledger.stop_clock()
    clock.now = 1000
    seconds = ledger.device_seconds()
    assert (seconds["update"], seconds["evaluation"], seconds["idle"]) == (40, 400, 20)
    assert ledger.spend() == 60 / 3600
    assert ledger.totals()["update"]["flops"] == 10
    assert ledger.off_budget()["evaluation"]["flops"] == 0


def test_work_that_fails_is_redone_work():
    clock = Clock()
    ledger = Ledger(Budget("tokens", 10), clock=clock)

    def fail():
        with ledger.phase("student_rollout") as meter:
            clock.now = 3600
            meter.add(generated_tokens=9)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert ledger.spend() == 0
    assert ledger.device_seconds()["redone"] == 3600
    assert ledger.spend("gpu_hours") == 1
    with ledger.phase("reward"):
        pass


def test_redone_work_is_no_step_cost():
    ledger = Ledger(Budget("gpu_hours", 10))
    ledger.charge_off_budget("redone", device_seconds=3600, generated_tokens=4)
    ledger.begin_step()
    ledger.charge(Charge("update", device_seconds=36))
    record = ledger.end_step()
    assert ledger.largest_recent_step() == 0.01
    assert (record.spend_before, record.spend_after) == (0, 1.01)
    assert ledger.spend("tokens") == 0


def test_three_accountings():
    ledger = Ledger(Budget("tokens", 100))
    for phase, cost in (("student_rollout", 1), ("teacher_generation", 2), ("teacher_scoring", 4), ("tuning", 8)):
        ledger.charge(Charge(phase, flops=cost))
    assert [spend_by_accounting(ledger, "flops", name) for name in ACCOUNTINGS] == [7, 5, 1]
    assert total(ledger.charges(), "flops") == 7


def test_misuse_is_refused():
    ledger = Ledger(Budget("tokens", 100))
    with pytest.raises(RuntimeError, match="no step"):
        ledger.end_step()
    ledger.begin_step()
    for wrong in (ledger.begin_step, ledger.close):
        with pytest.raises(RuntimeError, match="still open"):
            wrong()
    with pytest.raises(RuntimeError, match="inside phase"), ledger.phase("update"), ledger.phase("reward"):
        pass


@pytest.mark.parametrize("limit", [0, -1, math.inf, math.nan])
def test_budget_limit_is_positive(limit):
    with pytest.raises(BudgetError, match="positive and finite"):
        Budget("flops", limit)


def test_impossible_amounts_are_refused():
    for wrong in ({"flops": -1}, {"flops": 1.5}, {"device_seconds": -1.0}, {"device_seconds": math.nan}):
        with pytest.raises(BudgetError, match="update"):
            Charge("update", **wrong)
    for wrong in ({"phase": "sleep"}, {"phase": ""}):
        with pytest.raises(BudgetError, match="is unknown"):
            Charge(**wrong)
    with pytest.raises(BudgetError, match="is unknown"):
        Budget("euros", 1)
    with pytest.raises(BudgetError, match="not a ledger"):
        Ledger.from_json({"budget": {"axis": "flops", "limit": 1}})
    with pytest.raises(BudgetError, match="not a line"):
        StepRecord.from_json({"step": 1})
    with pytest.raises(BudgetError, match="flopz is unknown"):
        charges_from_json({"update": {"flopz": 1}}, {})


def test_a_step_above_one_percent_is_refused():
    Budget("flops", 1000).refuse_large_step(10)
    with pytest.raises(BudgetError, match="raise the limit to 1100"):
        Budget("flops", 1000).refuse_large_step(11)


def test_spread():
    assert spread([100, 98]) == 0.02
    assert spread([]) == spread([0, 0]) == 0
