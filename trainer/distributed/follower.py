"""What a worker that is not the chief has in place of what the chief writes with.

It takes part in every step and every sum, and leaves the records to the chief: all it writes into
the run directory is its own status (trainer/distributed/peers.py) and the log of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.checkpoints.store import Checkpoint
from trainer.config import TrainConfig
from trainer.run_dir.folder import RunDir


class FollowerDir(RunDir):
    """The run directory of a worker that writes no records."""

    worker: str

    @classmethod
    def join(cls, config: TrainConfig, worker: str) -> FollowerDir:
        """Opens the folder, which the chief may not have made yet, without locking it."""
        assert config.run_dir is not None  # Several workers need one; TrainConfig checks it.
        self = cls(Path(config.run_dir).expanduser().absolute(), config.keep_checkpoints, print)
        self.worker = worker.replace(" ", "-")
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    @property
    def native_log_path(self) -> Path:
        return self.path / f"tensorflow-{self.worker}.log"

    @property
    def traceback_path(self) -> Path:
        return self.path / f"traceback-{self.worker}.txt"

    def begin_again(self) -> None: ...

    def write_config(self, config: TrainConfig) -> None: ...

    def write_environment(self, environment: dict[str, Any]) -> None: ...

    def check_data(self, *_) -> None: ...

    def restore(self, resume: str, total_steps: int = 0) -> Checkpoint | None:
        """The chief reads the checkpoint and hands it on."""
        return None

    def read_checkpoint(self, step: int) -> Checkpoint | None:
        """The chief reads the checkpoint and hands it on."""
        return None

    def go_back(self, num_rollbacks: int, total_steps: int) -> Checkpoint | None:
        """The chief reads the checkpoint and hands it on."""
        return None

    def write_result(self, result: dict[str, Any]) -> None: ...


class NoSaver:
    """A BackgroundSaver that saves nothing."""

    def is_due(self) -> bool:
        return False

    def start(self, *_) -> list:
        return []

    def hold_best(self, *_) -> None: ...

    def finished(self) -> list:
        return []

    def finish(self) -> list:
        return []

    def forget(self) -> None: ...

    def close(self) -> None: ...


class Silent:
    """A RunWriter, or a Console, whose every method does nothing: the chief reports the run."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None
