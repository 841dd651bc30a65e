"""A compiled call of many steps, and an evaluation, of each usual model."""

from __future__ import annotations

import itertools

import pytest

from trainer.plan import Segment

# Enough calls for a minimum and a deviation; each is about half a second at most.
ROUNDS = 5
WORKS = {
    "digits-mlp": ({"dataset": "digits", "model": "mlp"}, 500),
    "digits-cnn": ({"dataset": "digits", "model": "cnn"}, 50),
    "fashion_mnist-mlp": ({"dataset": "fashion_mnist", "model": "mlp"}, 1000),
    "mnist-cnn": ({"dataset": "mnist", "model": "cnn"}, 50),
    "flowers-flowers_cnn": ({"dataset": "flowers", "model": "flowers_cnn"}, 2),
    "synthetic-resnet18": ({"dataset": "synthetic", "image_size": 32, "model": "resnet18"}, 2),
}


@pytest.fixture(params=WORKS)
def work(request):
    """(flags, steps per call) of each usual model."""
    return WORKS[request.param]


@pytest.mark.parametrize("cache", ["device", "memory"])
def test_training_steps(benchmark, build, work, cache):
    flags, steps = work
    run = build(**flags, cache=cache, steps=1_000_000, steps_per_call=steps)
    endless = Segment(1, 1_000_000, evaluate=False, checkpoint=False, ends_epoch=False)
    calls = run.engine.run(endless)
    # The call that compiles, one that looks at the speed, and a full one.
    *_, results = itertools.islice(calls, 3)

    def train() -> None:
        # What is left of a block may be shorter than a call: go on to the full number.
        done = 0
        while done < steps:
            done += next(calls).num_steps

    benchmark.pedantic(train, rounds=ROUNDS, warmup_rounds=1)
    batch_size = run.config.global_batch_size
    benchmark.extra_info |= {
        "steps_per_call": steps,
        "images_per_second": steps * batch_size / benchmark.stats["mean"],
        "train_accuracy": float(results.metrics[-1, 1]) / batch_size,
        "test_accuracy": run.evaluator(run.sources["test"])["accuracy"],
        "precision": run.choices.precision,
        "jit": run.choices.jit,
    }


def test_evaluation(benchmark, build, work):
    flags, _ = work
    run = build(**flags, steps=1)
    source = run.sources["test"]
    found = benchmark.pedantic(run.evaluator, (source,), rounds=ROUNDS, warmup_rounds=1)
    assert found["examples"] == len(source)
    benchmark.extra_info |= {
        "images_per_second": len(source) / benchmark.stats["mean"],
        "accuracy": found["accuracy"],
    }
