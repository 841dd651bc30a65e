"""result.json: how a run ended, in one flat record (docs/records.md)."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from flowrate.records import written_whole
from trainer.data import TrainingData
from trainer.model.frozen import TrainedPart, freeze
from trainer.run import TrainingRun
from trainer.trained.inference import plain_model, predict_split
from trainer.trained.learned import find_warnings, is_well_above

# Of the training split, to be evaluated at the end.
_MAX_TRAIN_EXAMPLES = 2000


def evaluate_test(run: TrainingRun) -> dict[str, Any]:
    """Returns {"accuracy", "loss", "examples"} of the final weights on the test split.

    Raises:
        DataError: an image cannot be decoded.
    """
    last = run.state.progress.evaluation
    is_current = last and last["split"] == "test" and last["step"] == run.state.progress.step
    if last and is_current and not run.config.early_stopping_patience:
        return last
    with run.clock.phase("evaluate"):
        return run.evaluator(run.sources["test"])


def evaluate_train(run: TrainingRun, test: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the same of training examples, drawn by the seed where they are many.

    None where the training accuracy, taken while the weights moved, is not far above the test
    accuracy: over-fitting, if evaluation confirms it.

    Raises:
        DataError: an image cannot be decoded.
    """
    trained = _trained(run).get("accuracy")
    if trained is None or not is_well_above(trained, test["accuracy"], test["examples"]):
        return None
    source = run.sources["train"]
    if len(source) > _MAX_TRAIN_EXAMPLES:
        generator = np.random.default_rng(run.config.seed)
        drawn = generator.choice(len(source), _MAX_TRAIN_EXAMPLES, replace=False)
        source = source.take(np.sort(drawn))
    with run.clock.phase("evaluate"):
        return run.evaluator(source)


def _trained(run: TrainingRun) -> dict[str, float]:
    # A run may end within an epoch: the longer of the two says more.
    epochs = (run.state.progress.last_epoch, run.state.progress.this_epoch)
    return max(epochs, key=lambda totals: totals.num_steps).means()


def describe(
    run: TrainingRun, data: TrainingData, test: dict[str, Any], train: dict[str, Any] | None
) -> dict[str, Any]:
    """Returns the record of a completed run; `test` and `train` as evaluated above."""
    progress, plan, trained = run.state.progress, run.plan, _trained(run)
    seconds, labels = run.clock.seconds, run.sources["test"].labels
    measured = seconds["train"] + seconds["input_wait"] + seconds["log"]
    speed = run.steps_measured / measured if run.steps_measured and measured else None
    record = {
        "status": "completed",
        "dataset": run.config.dataset,
        "model": data.model,
        "strategy": run.config.strategy,
        "num_workers": run.num_workers,
        "num_replicas": run.num_replicas,
        "global_batch_size": plan.global_batch_size,
        "precision": run.choices.precision,
        "jit": run.choices.jit,
        "cache": run.choices.cache,
        "global_step": progress.step,
        "planned_steps": plan.total_steps,
        "epochs": plan.epochs_at(progress.step),
        "train_accuracy": trained.get("accuracy"),
        "train_loss": trained.get("loss"),
        "train_accuracy_evaluated": train and train["accuracy"],
        "train_examples_evaluated": train and train["examples"],
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "test_examples": test["examples"],
        "majority_accuracy": float(np.bincount(labels).max() / len(labels)),
        "skipped_images": data.num_skipped,
        "best_evaluation": progress.best,
        "num_rollbacks": progress.num_rollbacks,
        "weights": progress.weights,
        "num_parameters": run.state.model.count_params(),
        "steps_per_second": speed,
        "examples_per_second": speed and speed * plan.global_batch_size,
        "exchange_share": (
            run.exchange_seconds / seconds["train"]
            if run.team and speed and not run.config.deterministic
            else None
        ),
        "first_step_seconds": run.first_step_seconds,
        "num_starts": run.run_dir.starts.number,
        "effective_training_share": run.run_dir.starts.effective_share(run.clock.counted_seconds),
        "seconds": {name: round(value, 6) for name, value in seconds.items()},
    }
    return record | {"warnings": find_warnings(record, len(data.class_names))}


def save_model(run: TrainingRun) -> None:
    """Writes model.keras, whole or not at all, with the weights it was evaluated with.

    Of several workers the chief writes; the others take part in merging what each has counted.

    Raises:
        DiskError: it cannot be written.
    """
    with run.state.weights_to_evaluate():
        if run.is_chief:
            with written_whole(run.run_dir.path / "model.keras") as temporary:
                run.state.model.save(temporary)


def save_predictions(run: TrainingRun, data: TrainingData) -> None:
    """Writes predictions.npz: each answer to the test split, for the report.

    By a model on one device, so that no worker waits for another.

    Raises:
        DiskError: it cannot be written.
    """
    with run.clock.phase("report"):
        model = plain_model(data.model, len(data.class_names), run.state)
        images = run.sources["test"]
        if run.state.part.takes_features:
            freeze(model, run.config.freeze)
            model, images = TrainedPart(model).head, data.sources["test"]
        if run.is_chief:
            found = predict_split(model, run.sources["test"], images, data.image_shape)
            found.save(run.run_dir.path)


def drop_report(run: TrainingRun) -> None:
    """Removes the report of an earlier end, for a run that went on and writes none."""
    for name in ("report.html", "predictions.npz"):
        (run.run_dir.path / name).unlink(missing_ok=True)
    shutil.rmtree(run.run_dir.path / "plots", ignore_errors=True)
