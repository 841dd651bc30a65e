"""TrainState: model, optimizer and progress; to and from plain arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from flowrate.errors import RunDirError
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import Checkpoint
from trainer.config import TrainConfig
from trainer.distributed.team import Team
from trainer.engine.optimizers import (
    Halved,
    Later,
    build_optimizer,
    build_schedule,
    without_loss_scale,
)
from trainer.model.frozen import TrainedPart, freeze
from trainer.model.initial_weights import head_of
from trainer.model.model import ModelOfData, build_model

# Optimizers name their variables after the layer, as in dense_3_kernel_momentum.
_COUNTER = re.compile(r"(_\d+)+(?=_)")
# Before the name of an array that has what each replica holds.
_REPLICA = "replica/"


@dataclasses.dataclass
class TrainState:
    """All that changes while training.

    Attributes:
        was_frozen: whether layers that are trained now were frozen earlier in the run. Checkpoints
            of that time have no optimizer state of them.
        part: the model as steps run it.
    """

    model: keras.Model
    optimizer: keras.Optimizer
    strategy: tf.distribute.Strategy
    progress: Progress
    team: Team | None = None
    was_frozen: bool = False

    def __post_init__(self):
        self.part = TrainedPart(self.model)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns weights, statistics and optimizer state by name, merged over replicas.

        What each replica counts by itself, such as BatchNorm's moving statistics, is there a second
        time as `replica/...`, [replicas, ...]: a save leaves the state as it is, so that when it
        falls makes no difference to the run.
        """
        arrays = {name: variable.numpy() for name, variable in self._variables().items()}
        for name, values in self._replica_values().items():
            arrays[name] = _mean(values)
            arrays[_REPLICA + name] = values
        return arrays

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over what a checkpoint holds; it may come from another number of replicas.

        Raises:
            RunDirError: its arrays are not those of this model and optimizer.
        """
        variables = self._variables()
        merged, replicas = _split(checkpoint.arrays)
        if self.was_frozen and variables.keys() != merged.keys():
            # The optimizer begins anew with the layers that it is given now.
            variables, merged = _of_model(variables), _of_model(merged)
        wrong = sorted(variables.keys() ^ merged.keys()) or [
            name
            for name, variable in variables.items()
            if merged[name].shape != tuple(variable.shape)
            or (name in replicas and replicas[name].shape[1:] != tuple(variable.shape))
        ]
        if wrong:
            raise RunDirError(
                f"the checkpoint of step {checkpoint.progress.step} is of another model or "
                f"version: {wrong[0]} does not match; choose another --run_dir."
            )
        for name, variable in variables.items():
            variable.assign(merged[name])
            values = replicas.get(name)
            if values is not None and len(values) == self.strategy.num_replicas_in_sync:
                self._assign_to_replicas(variable, values)
        self.progress = checkpoint.progress

    def merge_replica_statistics(self) -> None:
        """Averages what each replica counted by itself, such as BatchNorm's moving statistics.

        TensorFlow keeps such variables per replica and would read the first replica's alone.
        """
        variables = self._variables()
        for name, values in self._replica_values().items():
            variables[name].assign(_mean(values))

    def _replica_values(self) -> dict[str, np.ndarray]:
        """Returns what each replica of each worker has, [replicas, ...], of what may differ."""
        count = self.strategy.num_replicas_in_sync
        # A frozen layer changes nothing, so its weights are the same everywhere.
        layers = [layer for layer in self.model._flatten_layers() if layer.trainable]
        own = {id(each) for layer in layers for each in layer._non_trainable_variables}
        variables = {name: each for name, each in self._variables().items() if id(each) in own}
        if count == 1 or not variables:
            return {}
        local = [
            np.stack([value.numpy() for value in self._local_results(variable)])
            for variable in variables.values()
        ]
        if not self.team:
            return dict(zip(variables, local))
        rows = np.concatenate([values.reshape(len(values), -1) for values in local], axis=1)
        everywhere = np.zeros((count, rows.shape[1]), np.float32)
        everywhere[self._own_rows()] = rows  # A sum with zeros is exact.
        everywhere = self.team.sum(everywhere.ravel()).reshape(everywhere.shape)
        ends = np.cumsum([values[0].size for values in local])[:-1]
        return {
            name: part.reshape(count, *variable.shape)
            for (name, variable), part in zip(variables.items(), np.split(everywhere, ends, axis=1))
        }

    def _assign_to_replicas(self, variable: keras.Variable, values: np.ndarray) -> None:
        for value, row in zip(self._local_results(variable), values[self._own_rows()], strict=True):
            value.assign(row)

    def _own_rows(self) -> slice:
        """Returns which of all replicas are those of this process."""
        if not self.team:
            return slice(None)
        cluster = self.team.cluster
        count = self.strategy.num_replicas_in_sync // cluster.num_workers
        return slice(cluster.index * count, (cluster.index + 1) * count)

    def _local_results(self, variable: keras.Variable) -> tuple[tf.Tensor, ...]:
        return self.strategy.experimental_local_results(variable.value)

    def is_finite(self) -> tf.Tensor:
        """Returns whether all that is the same on every replica holds finite numbers, a scalar."""
        checked = [
            tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(variable.value)))
            for variable in (*self.model.trainable_variables, *self.optimizer.variables)
            if tf.as_dtype(variable.dtype).is_floating
        ]
        return tf.reduce_all(tf.stack(checked))

    @contextlib.contextmanager
    def weights_to_evaluate(self) -> Iterator[None]:
        """Within the block the model has the weights to judge it by: the averages, if kept."""
        self.merge_replica_statistics()
        optimizer = without_loss_scale(self.optimizer)
        if not optimizer.use_ema:
            yield
            return
        variables = self.model.trainable_variables
        weights = [variable.numpy() for variable in variables]
        try:
            optimizer.finalize_variable_values(variables)
            yield
        finally:
            for variable, weight in zip(variables, weights):
                variable.assign(weight)

    def _variables(self) -> dict[str, keras.Variable]:
        """Returns all variables under names that do not depend on Keras's counters."""
        groups = {"model": self.model.weights, "optimizer": self.optimizer.variables}
        return {
            f"{group}/{number:04d}/{_COUNTER.sub('', variable.name)}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }


def build_state(
    config: TrainConfig,
    data: ModelOfData,
    strategy: tf.distribute.Strategy,
    total_steps: int,
    is_frozen: bool = False,
    unfreeze_step: int = 0,
) -> tuple[TrainState, Halved]:
    """Builds model and optimizer, each replica with its copy of the variables.

    Args:
        config: what was asked for.
        data: whose model, classes and image size are meant.
        strategy: over the devices.
        total_steps: of the run.
        is_frozen: whether the layers of --freeze are frozen at this time of the run.
        unfreeze_step: after which they no longer are; 0: never.

    Returns:
        The state before step 1, and the learning-rate schedule its optimizer follows.
    """
    # Initial weights; the order, augmentation and dropout have seeds of their own.
    keras.utils.set_random_seed(config.seed)
    keras.mixed_precision.set_dtype_policy(config.precision)
    schedule = build_schedule(config, total_steps)
    with strategy.scope():
        schedule = Halved(schedule, config.on_divergence == "rollback")
        model = build_model(data.model, len(data.class_names), data.image_shape)
        was_frozen = config.freeze != "none" and not is_frozen
        if is_frozen:
            freeze(model, config.freeze)
        head = {id(variable) for variable in head_of(model).weights}
        optimizer = build_optimizer(
            config,
            # The optimizer counts its own steps, and begins anew with other layers.
            Later(schedule, unfreeze_step) if was_frozen else schedule,
            model.trainable_variables,
            [each for each in model.trainable_variables if id(each) not in head],
        )
    return TrainState(model, optimizer, strategy, Progress(), was_frozen=was_frozen), schedule


def _split(
    arrays: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns what is merged over replicas, and what each replica has, each by its name."""
    merged = {name: array for name, array in arrays.items() if not name.startswith(_REPLICA)}
    replicas = {
        name.removeprefix(_REPLICA): array
        for name, array in arrays.items()
        if name.startswith(_REPLICA) and array.ndim
    }
    return merged, replicas


def _of_model(named: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name.startswith("model/")}


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean over the replicas; where they are equal, just that."""
    if (values == values[:1]).all():
        return values[0]
    return np.mean(values, axis=0, dtype=values.dtype)
