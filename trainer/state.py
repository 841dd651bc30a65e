"""TrainState: model, optimizer and progress; to and from plain arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from flowrate.errors import RunDirError
from trainer.checkpoints import Checkpoint
from trainer.optimizers import without_loss_scale
from trainer.progress import Progress
from trainer.team import Team

# Optimizers name their variables after the layer, as in dense_3_kernel_momentum.
_COUNTER = re.compile(r"(_\d+)+(?=_)")


@dataclasses.dataclass
class TrainState:
    """All that changes while training."""

    model: keras.Model
    optimizer: keras.Optimizer
    strategy: tf.distribute.Strategy
    progress: Progress
    team: Team | None = None

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns weights, statistics and optimizer state by name, merged over replicas."""
        self.merge_replica_statistics()
        return {name: variable.numpy() for name, variable in self._variables().items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over what a checkpoint holds; it may come from another number of replicas.

        Raises:
            RunDirError: its arrays are not those of this model and optimizer.
        """
        variables = self._variables()
        arrays = checkpoint.arrays
        wrong = sorted(variables.keys() ^ arrays.keys()) or [
            name for name in variables if tuple(variables[name].shape) != arrays[name].shape
        ]
        if wrong:
            raise RunDirError(
                f"the checkpoint of step {checkpoint.progress.step} is of another model or "
                f"version: {wrong[0]} does not match; choose another --run_dir."
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self.progress = checkpoint.progress

    def merge_replica_statistics(self) -> None:
        """Averages what each replica counted by itself, such as BatchNorm's moving statistics.

        TensorFlow keeps such variables per replica and would read the first replica's alone.
        """
        variables = self.model.non_trainable_weights
        if self.strategy.num_replicas_in_sync == 1 or not variables:
            return
        means = [
            np.mean([value.numpy() for value in self._local_results(variable)], axis=0)
            for variable in variables
        ]
        if self.team:
            ends = np.cumsum([mean.size for mean in means])[:-1]
            merged = self.team.mean(np.concatenate([mean.ravel() for mean in means]))
            means = [part.reshape(mean.shape) for part, mean in zip(np.split(merged, ends), means)]
        for variable, mean in zip(variables, means):
            variable.assign(mean)

    def _local_results(self, variable: keras.Variable) -> tuple[tf.Tensor, ...]:
        return self.strategy.experimental_local_results(variable.value)

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
        optimizer.finalize_variable_values(variables)
        try:
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
