"""Sums over steps: the same to the last bit, however a run is cut and wherever it is resumed."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrate.records import to_json
from trainer.checkpoints.progress import Progress, Totals

law = settings(deadline=None, max_examples=200)
BATCH = 32

finite = st.floats(0, 2.0**100, width=32)
steps = st.tuples(finite, st.integers(0, BATCH), finite)
runs = st.lists(steps, min_size=1, max_size=60)
evaluations = st.lists(
    # Few values, so that ties come up.
    st.tuples(st.sampled_from([0.5, 0.75, 0.9]), st.sampled_from([0.1, 0.2, 0.3])),
    min_size=1,
    max_size=20,
)


def as_metrics(rows) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 3)


def bits(totals: Totals) -> tuple:
    return (
        totals.num_steps, totals.num_examples, totals.num_correct,
        totals.loss.hex(), totals.gradient_norm.hex(),
    )  # fmt: skip


@law
@given(runs, st.lists(st.integers(0, 60), max_size=6))
def test_sums_do_not_depend_on_the_cut_into_calls(rows, cuts):
    whole, cut = Totals(), Totals()
    whole.add(as_metrics(rows), BATCH)
    edges = [0, *sorted(min(edge, len(rows)) for edge in cuts), len(rows)]
    for first, last in itertools.pairwise(edges):
        cut.add(as_metrics(rows[first:last]), BATCH)
    assert bits(cut) == bits(whole)


@law
@given(runs)
def test_sums_are_those_of_the_steps_in_order(rows):
    totals = Totals()
    totals.add(as_metrics(rows), BATCH)
    loss = 0.0
    for row in as_metrics(rows).tolist():
        loss += row[0]
    assert (totals.loss, totals.gradient_norm) == (loss, as_metrics(rows)[-1, 2])
    assert totals.num_correct == sum(row[1] for row in rows)
    assert totals.num_steps == len(rows)
    assert totals.num_examples == len(rows) * BATCH


@law
@given(runs)
def test_means(rows):
    totals = Totals()
    assert totals.means() == {}
    totals.add(as_metrics(rows), BATCH)
    means = totals.means()
    metrics = as_metrics(rows).astype(np.float64)
    assert means["loss"] == pytest.approx(metrics[:, 0].mean())
    assert means["accuracy"] == pytest.approx(metrics[:, 1].sum() / (len(rows) * BATCH))
    assert means["gradient_norm"] == metrics[-1, 2]
    assert means.keys() == {"loss", "accuracy", "gradient_norm"}


@law
@given(runs, runs, runs, evaluations)
def test_json_keeps_every_bit(first, second, third, judged):
    progress = Progress()
    progress.add_steps(as_metrics(first), BATCH)
    progress.end_epoch()
    progress.add_steps(as_metrics(second), BATCH)
    progress.start_log()
    progress.add_steps(as_metrics(third), BATCH)
    for step, (accuracy, loss) in enumerate(judged):
        progress.add_evaluation({"step": step, "split": "test", "accuracy": accuracy, "loss": loss})
    progress.evaluation_pending = True
    restored = Progress.from_json(json.loads(to_json(progress.to_json())))
    assert restored == progress
    for name in ("since_log", "this_epoch", "last_epoch"):
        assert bits(getattr(restored, name)) == bits(getattr(progress, name))


def test_the_sums_of_a_log_line_and_of_an_epoch_start_anew_apart():
    progress = Progress()
    progress.add_steps(as_metrics([(1, 1, 1)] * 3), BATCH)
    progress.start_log()
    progress.add_steps(as_metrics([(1, 1, 1)] * 2), BATCH)
    assert (progress.since_log.num_steps, progress.this_epoch.num_steps) == (2, 5)
    progress.end_epoch()
    assert (progress.since_log.num_steps, progress.this_epoch.num_steps) == (2, 0)
    assert progress.last_epoch.num_steps == 5
    assert progress.step == 5


@law
@given(evaluations)
def test_the_best_is_the_first_of_the_highest_accuracy_then_lowest_loss(judged):
    progress = Progress(evaluation_pending=True)
    rows = [
        {"step": step, "accuracy": accuracy, "loss": loss}
        for step, (accuracy, loss) in enumerate(judged)
    ]
    said_best = [row for row in rows if progress.add_evaluation(row)]
    best = max(rows, key=lambda row: (row["accuracy"], -row["loss"], -row["step"]))
    assert progress.best == best
    assert said_best[-1] == best
    assert progress.evaluations_since_best == len(rows) - 1 - best["step"]
    assert progress.evaluation == rows[-1]
    assert not progress.evaluation_pending
