"""The folder of a run: what it holds, who may use it, and whether a run there may go on.

config.json       what was asked            plan.json         what was planned
environment.json  on what machine           metrics.jsonl     a row per event
result.json       how it ended              model.keras       the trained model
checkpoints/      trainer/checkpoints/store.py    tensorboard/      the same for TensorBoard
lock              trainer/run_dir/lock.py       tensorflow.log    what TensorFlow's C++ code said
starts.jsonl      trainer/run_dir/launches.py
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from flowrate.errors import (
    ClusterError,
    ConfigError,
    DiskError,
    DivergedError,
    FlowrateError,
    Preempted,
    RunDirError,
)
from flowrate.records import (
    append_json_lines,
    iterate_json_lines,
    keep_json_lines,
    read_json,
    sync_to_disk,
    write_json,
)
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import Checkpoint, CheckpointStore
from trainer.config import TrainConfig
from trainer.run_dir.launch_id import find_attempt
from trainer.run_dir.launches import Starts
from trainer.run_dir.lock import RunLock
from trainer.run_dir.plain_files import check_contents
from trainer.run_dir.same_run import asks_for_more, check_same_run

METRICS_SCHEMA_VERSION = 1
RESULT_SCHEMA_VERSION = 1
_FAILURE_STATUS = {Preempted: "preempted", DivergedError: "diverged"}


class RunDir:
    """The folder of one run, held by this process from `open` until it ends.

    Attributes:
        path: the folder.
        checkpoints: its checkpoints.
        starts: the processes that have worked on the run, this one last.
    """

    def __init__(self, path: Path, keep_checkpoints: int, tell: Callable[[str], None]):
        self.path = path
        self.checkpoints = CheckpointStore(
            path / "checkpoints", keep_checkpoints, tell, self._before_checkpoint
        )
        self.starts = Starts(path / "starts.jsonl", self.check_still_held)
        self._tell = tell
        self._lock = RunLock(path, find_attempt(os.environ))
        self._made: list[Path] = []
        self._is_started = False

    @classmethod
    def open(cls, config: TrainConfig, tell: Callable[[str], None]) -> RunDir:
        """Makes or opens the folder, locks it, and checks that the run may go on in it.

        Raises:
            ConfigError: the folder cannot be written, or another process uses it.
            RunDirError: it holds another run, or `--resume` forbids what is found.
        """
        name = config.run_dir or default_name(config)
        path = Path(os.path.expanduser(name)).absolute()
        self = cls(path, config.keep_checkpoints, tell)
        try:
            os.fspath(path).encode()  # TensorFlow takes names of valid text only.
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            check_contents(path)
            self._lock.acquire()
            if self._lock.taken_over:
                tell(self._lock.taken_over)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a valid name"
            raise ConfigError(
                f"--run_dir={path}: cannot be used: {reason}; choose another folder."
            ) from None
        try:
            self._check_same_run(config)
        except RunDirError:
            self.remove_if_unused()
            self.close()
            raise
        return self

    def begin_again(self) -> None:
        """Notes a further start of the run that the folder holds, if it holds one."""
        if (self.path / "config.json").exists():
            self.starts.begin()

    def write_config(self, config: TrainConfig) -> None:
        """Records what was asked; from here on the folder is this run's."""
        write_json(self.path / "config.json", config.to_json())
        self._is_started = True
        self.starts.begin()

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Records on what machine this start of the run takes place."""
        write_json(self.path / "environment.json", environment)

    def check_data(
        self, facts: dict[str, Any], plan: dict[str, Any], may_differ: Container[str] = ()
    ) -> None:
        """Records the plan and the facts of the data; refuses other data under a resumed run.

        Args:
            facts: what must not change: classes, numbers of examples, model.
            plan: for the record.
            may_differ: names of facts that may be other ones now.

        Raises:
            RunDirError: a fact differs from what the run began with.
        """
        before = self._read("plan.json").get("data", {})
        differing = [
            f"{name}: {before[name]} then, {facts[name]} now"
            for name in facts
            if name in before and before[name] != facts[name] and name not in may_differ
        ]
        if differing:
            raise RunDirError(
                f"{self.path}: the data set differs from what this run began with "
                f"({'; '.join(differing)}); give the same data or another --run_dir."
            )
        write_json(self.path / "plan.json", plan | {"data": facts})

    def restore(self, resume: str, total_steps: int = 0) -> Checkpoint | None:
        """Finds the checkpoint to resume from, and drops the records of what came after it.

        Reports how the previous start ended, if it could not, and where training resumes.

        Args:
            resume: the flag.
            total_steps: where the run ends; where it had ended before, that end is taken back.

        Raises:
            RunDirError: there should be a checkpoint, and there is none that is whole.
        """
        last_step, kinds = 0, set()
        for row in iterate_json_lines(self.metrics_path, self._tell):
            if _has_step(row):
                last_step = max(last_step, row["step"])
                kinds.add(str(row.get("kind")))
        if lost := self.starts.describe_lost(last_step):
            self._tell(lost)
        self.checkpoints.sweep()
        checkpoint = self.checkpoints.latest()
        if checkpoint is None:
            if "checkpoint" in kinds or self.starts.has_saved():
                raise RunDirError(
                    f"{self.path}: checkpoints were written and none is left, refusing to start "
                    "over; choose another --run_dir."
                )
            if resume == "must":
                raise RunDirError(
                    f"--resume=must: {self.path} holds no checkpoint to go on from; "
                    "use --resume=auto to begin."
                )
            if kinds or self.starts.previous:
                self._tell("no checkpoint was written before: training begins at step 0 again.")
        progress = checkpoint.progress if checkpoint else Progress()
        self.starts.note(from_step=progress.step)
        self._keep_rows(progress, progress.num_rollbacks, total_steps)
        return checkpoint

    def go_back(self, num_rollbacks: int, total_steps: int) -> Checkpoint | None:
        """Returns the last checkpoint, or None, and drops the records of what came after it.

        Args:
            num_rollbacks: made before; their rows are kept.
            total_steps: where the run ends.

        Raises:
            RunDirError: no checkpoint is whole.
        """
        checkpoint = self.checkpoints.latest()
        if checkpoint:
            self._keep_rows(checkpoint.progress, num_rollbacks, total_steps)
        return checkpoint

    def _keep_rows(self, progress: Progress, num_rollbacks: int, total_steps: int) -> None:
        """Leaves the rows up to a step, without those of an end there, and of rollbacks so many."""
        step = progress.step
        of_end = progress.take_back_end() if step < total_steps else ()

        def is_kept(row: dict[str, Any]) -> bool:
            is_undone = row.get("kind") == "rollback" and row["number"] > num_rollbacks
            is_undone |= row.get("kind") in of_end and row.get("step") == step
            return _has_step(row) and row["step"] <= step and not is_undone

        # Always: this also takes away a last line cut short by a crash.
        keep_json_lines(self.metrics_path, is_kept)

    def read_checkpoint(self, step: int) -> Checkpoint | None:
        """Reads one checkpoint, as CheckpointStore.read does."""
        return self.checkpoints.read(step)

    def append_metrics(self, kind: str, *rows: dict[str, Any]) -> None:
        """Appends rows of one kind to metrics.jsonl (docs/records.md)."""
        self.check_still_held()
        head = {"schema_version": METRICS_SCHEMA_VERSION, "kind": kind}
        append_json_lines(self.metrics_path, [{**head, **row} for row in rows])

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes result.json (docs/records.md)."""
        self.check_still_held()
        write_json(self.path / "result.json", {"schema_version": RESULT_SCHEMA_VERSION, **result})

    def record_failure(self, error: FlowrateError) -> None:
        """Notes in result.json that the run ended without completing.

        Does nothing where this process has not begun to use the folder: what it then holds is the
        record of another run.
        """
        if not self._is_started:
            return
        if isinstance(error, ConfigError) and self._made and not self.metrics_path.exists():
            # A mistake that only TensorFlow could tell: the corrected command is another run.
            self._is_started = False
            return
        status = _FAILURE_STATUS.get(type(error), "failed")
        failure = {"status": status, "exit_code": error.exit_code, "error": str(error)}
        # The disk is full, which is reported; or the folder is no longer ours to write to.
        with contextlib.suppress(DiskError, ClusterError):
            self.write_result(failure)

    def _before_checkpoint(self) -> None:
        """Brings the rows up to the checkpoint to the disk: who goes on from it keeps them all."""
        with contextlib.suppress(OSError):  # The log is not worth a checkpoint.
            sync_to_disk(self.metrics_path)
            sync_to_disk(self.path)
        self.check_still_held()

    def check_still_held(self) -> None:
        """Raises what RunLock.check_held raises where a later start has taken the folder over."""
        self._lock.check_held()

    def end(self, exit_code: int) -> None:
        """Notes that this process ends, so that the next start need not ask what became of it."""
        self.starts.end(exit_code)

    def close(self) -> None:
        """Gives the folder up, so that another may open it."""
        self._lock.release()

    def remove_if_unused(self) -> None:
        """Removes what `open` made, folders above included, if nothing came of it."""
        if not self._lock.is_held or self._is_started:
            return
        names = ("config.json", "environment.json", "plan.json", "starts.jsonl")
        ours = {self.path / "lock", self.native_log_path}
        if self._made:
            ours |= {self.path / name for name in names}
        if set(self.path.iterdir()) <= ours:
            for path in ours:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # Another run may have begun in a folder above.
                for folder in self._made:
                    folder.rmdir()

    def result(self, config: TrainConfig) -> dict[str, Any] | None:
        """Returns result.json of a run that is complete, also for what is asked, else None."""
        result = self._completed()
        return None if result and asks_for_more(config, self._read("plan.json"), result) else result

    def _completed(self) -> dict[str, Any] | None:
        result = self._read("result.json")
        return result if result.get("status") == "completed" else None

    @property
    def native_log_path(self) -> Path:
        return self.path / "tensorflow.log"

    @property
    def traceback_path(self) -> Path:
        return self.path / "traceback.txt"

    @property
    def stacks_path(self) -> Path:
        return self.path / self.traceback_path.name.replace("traceback", "stacks")

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def _check_same_run(self, config: TrainConfig) -> None:
        if not (self.path / "config.json").exists():
            if config.resume == "must":
                raise RunDirError(
                    f"--resume=must: {self.path} holds no run; use --resume=auto to begin one."
                )
            return
        if config.resume == "never":
            raise RunDirError(
                f"--resume=never: {self.path} holds a run already; choose another --run_dir, or "
                "--resume=auto to go on with it."
            )
        before, plan = self._read("config.json"), self._read("plan.json")
        if line := check_same_run(config, self.path, before, plan, self._completed()):
            self._tell(line)

    def _read(self, name: str) -> dict[str, Any]:
        """Returns a record of the run; empty where there is none yet."""
        path = self.path / name
        if not path.exists():
            return {}
        try:
            value = read_json(path)
            if isinstance(value, dict):
                return value
            reason = "not an object"
        except (OSError, ValueError) as error:
            reason = str(error)
        raise RunDirError(f"{path} is damaged ({reason}); restore it or choose another --run_dir.")


def _has_step(row: dict[str, Any]) -> bool:
    return type(row.get("step")) is int


def default_name(config: TrainConfig) -> str:
    """Returns the folder of a run that names none: runs/DATASET-MODEL-DATE-TIME."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"{config.dataset}-{config.model}".replace(":", "_").replace("/", "_")
    return os.path.join("runs", f"{name.removesuffix('-auto')}-{now}")
