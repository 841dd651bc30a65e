"""A split evaluated with a trained model: the figures of training, and each example's answer."""

from __future__ import annotations

from flowrate.environment import describe_cpu
from input_pipelines.source import Source
from trainer.checkpoints.store import Checkpoint
from trainer.config import TrainConfig
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
    source: Source,
) -> tuple[dict[str, float], Predictions]:
    """Returns {"accuracy", "loss", "examples"} as training computes them, and the predictions.

    Args:
        config: of the run, for the devices here.
        trained: the run.
        checkpoint: with the weights.
        source: the split, of images of the size that the model takes.

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
    _, kept = keep_decoded(
        config.cache, {"asked": source}, trained.image_shape, strategy.num_replicas_in_sync
    )
    figures = Evaluator(state, config.micro_batch_size, jit.compile_evaluation)(kept["asked"])
    model = plain_model(trained.model, len(trained.class_names), state)
    return figures, predict_split(model, kept["asked"])
