"""A split evaluated with a trained model: the figures of training, and each example's answer."""

from __future__ import annotations

from flowrate.environment import describe_cpu
from trainer.checkpoints.store import Checkpoint
from trainer.config import TrainConfig
from trainer.data import TrainingData
from trainer.distributed.strategy import build_strategy, configure_devices, is_on_gpu
from trainer.engine.evaluator import Evaluator
from trainer.engine.inputs import keep_decoded
from trainer.engine.jit import choose_jit
from trainer.trained.inference import plain_model, predict_split
from trainer.trained.predictions import Predictions
from trainer.trained.run import TrainedRun
from trainer.trained.state import restored_state


def evaluate_split(
    config: TrainConfig,
    trained: TrainedRun,
    checkpoint: Checkpoint,
    data: TrainingData,
    split: str,
) -> tuple[dict[str, float], Predictions]:
    """Returns {"accuracy", "loss", "examples"} as training computes them, and the predictions.

    Args:
        config: of the run, for the devices here.
        trained: the run.
        checkpoint: with the weights.
        data: that the model takes.
        split: of the data.

    Raises:
        ConfigError, DataError, RunDirError: as build_state and Evaluator do.
    """
    configure_devices(config)
    strategy = build_strategy(config)
    state = restored_state(config, trained, checkpoint, strategy)
    jit = choose_jit(
        config, state.model, strategy.num_replicas_in_sync, is_on_gpu(), describe_cpu()["flags"],
        trained.total_steps,
    )  # fmt: skip
    # The other splits need not be decoded.
    _, sources = keep_decoded(
        config.cache, {split: data.sources[split]}, data.image_shape, strategy.num_replicas_in_sync
    )
    figures = Evaluator(state, config.micro_batch_size, jit.compile_evaluation)(sources[split])
    model = plain_model(trained.model, len(trained.class_names), state)
    return figures, predict_split(model, sources[split])
