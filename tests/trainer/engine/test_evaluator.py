"""Evaluation counts every example once, whatever is left over."""

from __future__ import annotations

import numpy as np
import pytest

from flowrate.signals import StopRequest
from trainer.distributed.votes import Agreement
from trainer.engine.evaluator import Evaluator


@pytest.fixture(params=[1, 2, 4])
def trained(request, train):
    """A run of a few steps on 1, 2 and 4 replicas."""
    replicas = (
        {"strategy": "mirrored", "virtual_devices": request.param} if request.param > 1 else {}
    )
    return train(model="mlp16", steps=3, global_batch_size=8, **replicas)


def test_any_number_of_examples(tf, trained):
    """Every remainder of the batch, and sizes around whole blocks, against plain numpy."""
    evaluator = Evaluator(trained.state, 8, compile_with_xla=False)
    evaluator._batch_size = 8  # small, so that few examples fill several batches
    whole = trained.sources["test"]
    for num_examples in (*range(1, 18), 63, 64, 65, len(whole)):
        source = whole.take(np.arange(num_examples))
        found = evaluator(source)
        logits = trained.state.model(source.images, training=False).numpy().astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        losses = -log_shares[np.arange(num_examples), source.labels]
        assert found["examples"] == num_examples
        assert found["accuracy"] == np.mean(logits.argmax(axis=1) == source.labels)
        assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)


def agreed_to_stop() -> Agreement:
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    return Agreement(stop)


def test_interrupted_evaluation_gives_nothing(tf, trained):
    evaluator = Evaluator(trained.state, 8, compile_with_xla=False)
    assert evaluator(trained.sources["test"], agreed_to_stop()) is None


def test_examples_kept_on_the_devices_give_the_same_figures(tf, trained):
    """Several sources, one of them again, and again after the weights have changed."""
    plain = Evaluator(trained.state, 8, compile_with_xla=False)
    keeping = Evaluator(trained.state, 8, compile_with_xla=False, is_resident=True)
    whole = trained.sources["test"]
    sources = [whole, *(whole.take(np.arange(first, first + 9)) for first in range(5)), whole]
    for source in sources:
        assert keeping(source) == plain(source)
    before = keeping(whole)
    for variable in trained.state.model.trainable_variables:
        variable.assign(variable.numpy()[..., ::-1])
    assert keeping(whole) == plain(whole) != before


def test_what_an_interrupted_evaluation_left_is_not_taken_for_all(tf, trained):
    evaluator = Evaluator(trained.state, 8, compile_with_xla=False, is_resident=True)
    assert evaluator(trained.sources["test"], agreed_to_stop()) is None
    assert evaluator(trained.sources["test"])["examples"] == 360
