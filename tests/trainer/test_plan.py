"""Laws of the plan, over any examples, batch, length and intervals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import TrainConfig
from trainer.flags import DEFAULT_EPOCHS
from trainer.plan import TrainPlan, make_plan

law = settings(deadline=None, max_examples=300)

# 0 stands for once an epoch; of checkpoints, for none by step. Some batches are larger than the
# whole data set.
intervals = st.integers(0, 40)
plans = st.builds(
    TrainPlan,
    num_train_examples=st.integers(1, 400),
    global_batch_size=st.integers(1, 120),
    total_steps=st.integers(1, 200),
    log_every_steps=st.integers(1, 40),
    evaluate_every_steps=intervals,
    checkpoint_every_steps=intervals,
)


def epoch_ends(plan: TrainPlan) -> set[int]:
    """The steps in which the last example of some epoch is seen, found by counting examples."""
    ends = set()
    for step in range(1, plan.total_steps + 1):
        seen_before = (step - 1) * plan.global_batch_size // plan.num_train_examples
        seen_after = step * plan.global_batch_size // plan.num_train_examples
        if seen_after > seen_before:
            ends.add(step)
    return ends


def due_steps(plan: TrainPlan, every: int) -> set[int]:
    """The steps of this run after which something with this interval is due."""
    return set(range(every, plan.total_steps + 1, every)) if every else epoch_ends(plan)


@law
@given(plans)
def test_segments_cover_every_step_once_in_order(plan):
    steps = [n for s in plan.segments() for n in range(s.first, s.last + 1)]
    assert steps == list(range(1, plan.total_steps + 1))
    assert sum(segment.num_steps for segment in plan.segments()) == plan.total_steps


@law
@given(plans)
def test_every_due_step_is_a_cut_and_flagged(plan):
    due = {
        "evaluate": due_steps(plan, plan.evaluate_every_steps),
        "checkpoint": due_steps(plan, plan.checkpoint_every_steps)
        if plan.checkpoint_every_steps
        else set(),
        "ends_epoch": epoch_ends(plan),
    }
    segments = list(plan.segments())
    assert {s.last for s in segments} == set().union(*due.values()) | {plan.total_steps}
    for segment in segments[:-1]:
        for name, steps in due.items():
            assert getattr(segment, name) == (segment.last in steps), (name, segment)


@law
@given(plans)
def test_the_last_segment_evaluates_and_saves(plan):
    last = list(plan.segments())[-1]
    assert last.last == plan.total_steps
    assert last.evaluate
    assert last.checkpoint
    assert last.ends_epoch == (plan.total_steps in epoch_ends(plan))
    assert last.only_at_end == (plan.total_steps not in due_steps(plan, plan.evaluate_every_steps))
    assert not any(segment.only_at_end for segment in list(plan.segments())[:-1])


@law
@given(plans, st.data())
def test_logged_steps_are_due_wherever_a_call_begins_and_ends(plan, data):
    due = due_steps(plan, plan.log_every_steps) | {plan.total_steps}
    first = data.draw(st.integers(1, plan.total_steps), label="first")
    last = data.draw(st.integers(first, plan.total_steps), label="last")
    found = plan.logged_steps(first, last)
    assert found == sorted(step for step in due if first <= step <= last)


@law
@given(plans, st.data())
def test_the_cuts_after_a_resume_are_those_of_an_undisturbed_run(plan, data):
    start = data.draw(st.integers(0, plan.total_steps), label="start")
    beyond = [segment for segment in plan.segments() if segment.last > start]
    resumed = list(plan.segments(start))
    if not beyond:
        assert resumed == []
        return
    assert resumed[0].first == start + 1
    assert resumed[1:] == beyond[1:]
    flags = ("last", "evaluate", "checkpoint", "ends_epoch")
    assert [getattr(resumed[0], f) for f in flags] == [getattr(beyond[0], f) for f in flags]


@law
@given(plans, st.integers(1, 50))
def test_an_epoch_ends_with_the_first_step_that_has_seen_all_of_it(plan, epoch):
    end = plan.epoch_end(epoch)
    wanted = epoch * plan.num_train_examples
    assert end * plan.global_batch_size >= wanted
    assert (end - 1) * plan.global_batch_size < wanted


@law
@given(st.integers(1, 5000), st.integers(1, 700), st.integers(1, 30))
def test_epochs_become_the_fewest_steps_that_leave_nothing_out(examples, batch, epochs):
    plan = make_plan(TrainConfig(epochs=epochs, global_batch_size=batch), examples)
    assert plan.total_steps * batch >= epochs * examples
    assert (plan.total_steps - 1) * batch < epochs * examples
    assert plan.total_steps == plan.epoch_end(epochs)
    assert plan.epochs_at(plan.total_steps) >= epochs


@law
@given(st.integers(1, 5000), st.integers(1, 700), st.integers(1, 10**6))
def test_steps_are_taken_as_they_are(examples, batch, steps):
    plan = make_plan(TrainConfig(steps=steps, global_batch_size=batch), examples)
    assert plan.total_steps == steps
    assert plan.epochs_at(steps) == steps * batch / examples


def test_without_either_it_is_the_default_number_of_epochs():
    plan = make_plan(TrainConfig(global_batch_size=32), 1437)
    assert plan.total_steps == -(-DEFAULT_EPOCHS * 1437 // 32)


def test_the_plan_of_a_known_case():
    """1,437 digits in batches of 32: epochs of 44.9 steps, which end within a batch."""
    plan = make_plan(TrainConfig(epochs=2, log_every_steps=40), 1437)
    assert plan.total_steps == 90
    assert plan.steps_per_epoch == pytest.approx(44.90625)
    found = [(s.first, s.last, s.evaluate, s.checkpoint, s.ends_epoch) for s in plan.segments()]
    assert found == [(1, 45, True, False, True), (46, 90, True, True, True)]
    assert plan.logged_steps(1, 45) == [40]
    assert plan.logged_steps(46, 90) == [80, 90]


def test_the_intervals_come_from_the_flags():
    config = TrainConfig(
        steps=9, log_every_steps=2, evaluate_every_steps=3, checkpoint_every_steps=5
    )
    plan = make_plan(config, 100)
    assert plan.log_every_steps == 2
    assert plan.evaluate_every_steps == 3
    assert plan.checkpoint_every_steps == 5


@law
@given(plans)
def test_the_record_is_json_and_holds_every_number(plan):
    record = json.loads(json.dumps(plan.to_json(), allow_nan=False))
    assert record.pop("epochs") == plan.epochs_at(plan.total_steps)
    assert TrainPlan(**record) == plan
