"""Who may use a run directory, which run may go on in it, and what it keeps."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import (
    ClusterError,
    ConfigError,
    DataError,
    DiskError,
    DivergedError,
    Preempted,
    RunDirError,
)
from flowrate.records import read_json, read_json_lines
from trainer.checkpoints.progress import Progress
from trainer.config import CHANGEABLE_ON_RESUME, TrainConfig
from trainer.run_dir.folder import RunDir

ROOT = Path(__file__).resolve().parents[3]
ARRAYS = {"model/0000/kernel": np.arange(6, dtype=np.float32)}
FACTS = {
    "class_names": ["cat", "dog"],
    "examples": {"train": 80, "test": 20},
    "image_shape": [24, 24, 3],
    "model": "cnn",
    "augmentation": ["flip"],
    "class_weights": {"cat": 1.0, "dog": 2.0},
}
PLAN = {"total_steps": 30, "epochs": 3.0}


@pytest.fixture
def open_run(tmp_path):
    """Returns a function that opens `tmp_path/run` with these flags; closed after the test."""
    opened = []

    def run(**flags) -> RunDir:
        config = TrainConfig(**{"run_dir": str(tmp_path / "run"), **flags})
        run_dir = RunDir.open(config, lines.append)
        opened.append(run_dir)
        return run_dir

    lines = run.lines = []
    yield run
    for run_dir in opened:
        run_dir.close()


@pytest.fixture
def begin(open_run):
    """Returns a function that begins a run with these flags, and leaves it."""

    def run(**flags) -> Path:
        run_dir = open_run(**flags)
        run_dir.write_config(TrainConfig(**{"run_dir": str(run_dir.path), **flags}))
        run_dir.close()
        return run_dir.path

    return run


# --- a later start of the same job takes it over ------------------------------------------------


def test_the_earlier_start_may_write_nothing_more(open_run, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    cut_off = open_run()
    cut_off.write_config(TrainConfig(run_dir=str(cut_off.path)))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    open_run().check_still_held()
    before = sorted(cut_off.path.rglob("*"))
    for write in (
        lambda: cut_off.append_metrics("train", {"step": 1}),
        lambda: cut_off.checkpoints.save(ARRAYS, Progress(step=10)),
        lambda: cut_off.write_result({"status": "completed"}),
    ):
        with pytest.raises(ClusterError, match=r"taken over by .* Slurm job 17 1\.0"):
            write()
    cut_off.record_failure(ClusterError("taken over"))
    # The folder of checkpoints is made before the one in it is refused.
    assert [p for p in sorted(cut_off.path.rglob("*")) if p.name != "checkpoints"] == before


# --- where it lies ----------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["deep/down/run", "~/deep/down/run"])
def test_folders_above_are_made_and_the_path_is_absolute(open_run, tmp_path, monkeypatch, given):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run_dir = open_run(run_dir=given)
    assert run_dir.path == tmp_path / "deep" / "down" / "run"
    assert run_dir.path.is_dir()


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({}, "digits"),
        ({"dataset": "mnist", "model": "cnn"}, "mnist-cnn"),
        ({"dataset": "tfds:a/b:1.0.0", "model": "keras:VGG16"}, "tfds_a_b_1.0.0-keras_VGG16"),
    ],
)
def test_the_default_name_tells_what_and_when(open_run, tmp_path, monkeypatch, flags, name):
    monkeypatch.chdir(tmp_path)
    path = open_run(run_dir=None, **flags).path
    assert path.parent == tmp_path / "runs"
    assert re.fullmatch(rf"{re.escape(name)}-\d{{8}}-\d{{6}}", path.name)


def test_a_folder_that_cannot_be_written_is_refused(open_run, unwritable_folder):
    for path in (unwritable_folder, unwritable_folder / "run"):
        with pytest.raises(ConfigError, match=f"--run_dir={path}: cannot be used"):
            open_run(run_dir=str(path))


# --- removed where nothing came of it ---------------------------------------------------------


def test_an_unused_folder_is_removed_with_those_made_for_it(open_run, tmp_path):
    run_dir = open_run(run_dir=str(tmp_path / "runs" / "july" / "run"))
    run_dir.native_log_path.write_text("chatter")
    run_dir.remove_if_unused()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_there_before_is_not_removed(open_run, tmp_path):
    (tmp_path / "run").mkdir()
    run_dir = open_run(run_dir=str(tmp_path / "run" / "deep"))
    run_dir.remove_if_unused()
    assert os.listdir(tmp_path) == ["run"]
    run_dir = open_run()
    run_dir.remove_if_unused()
    assert os.listdir(tmp_path) == ["run"]
    assert os.listdir(tmp_path / "run") == []


def test_a_folder_in_use_is_not_removed(open_run, tmp_path):
    run_dir = open_run()
    run_dir.write_config(TrainConfig(run_dir=str(tmp_path / "run")))
    run_dir.remove_if_unused()
    assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "lock", "starts.jsonl"]


def test_a_folder_with_other_files_is_not_touched(open_run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    open_run().remove_if_unused()
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_a_neighbour_in_a_folder_above_is_not_touched(open_run, tmp_path):
    run_dir = open_run(run_dir=str(tmp_path / "runs" / "one"))
    other = open_run(run_dir=str(tmp_path / "runs" / "two"))
    run_dir.remove_if_unused()
    assert os.listdir(tmp_path / "runs") == ["two"]
    assert other.path.is_dir()


# --- which run may go on ----------------------------------------------------------------------


# Another value for every flag, valid together with the defaults, a batch of 32 and NEEDS.
OTHER = {
    "dataset": "synthetic", "data_dir": "/elsewhere", "image_size": 16, "validation_examples": 9,
    "augmentation": "flip", "cache": "none", "accept_data_change": True, "on_bad_image": "skip",
    "model": "mlp", "label_smoothing": 0.1, "class_weights": "balanced", "balance": True,
    "gradient_accumulation": 2, "weights": "imagenet", "freeze": "backbone", "unfreeze_at": 1,
    "backbone_rate": 0.1,
    "strategy": "mirrored", "virtual_devices": 1, "precision": "mixed_bfloat16", "jit": "off",
    "steps_per_call": 7, "gradient_dtype": "bfloat16", "gradient_bucket_mib": 8,
    "columns": "label=kind", "global_batch_size": 64, "epochs": 3, "steps": 50, "optimizer": "lamb",
    "learning_rate": 0.5, "momentum": 0.5, "schedule": "cosine", "warmup_steps": 5,
    "schedule_milestones": "0.9", "weight_decay": 0.1, "gradient_clip_norm": 1.0, "ema_decay": 0.9,
    "early_stopping_patience": 4, "resume": "must", "seed": 5, "deterministic": True,
    "log_every_steps": 9, "evaluate_every_steps": 9, "checkpoint_every_steps": 9,
    "keep_checkpoints": 9, "profile_steps": "3,4", "bringup_timeout": 9, "tpu_name": "other",
    "report": False, "on_divergence": "rollback", "max_rollbacks": 9,
    "stall_timeout": 99, "debug_nan": True,
}  # fmt: skip
NEEDS = {
    "tpu_name": {"strategy": "tpu"},
    "freeze": {"weights": "imagenet"},
    "unfreeze_at": {"weights": "imagenet", "freeze": "head"},
}
NAMES = [f.name for f in dataclasses.fields(TrainConfig) if f.name != "run_dir"]


@pytest.mark.parametrize("name", sorted(CHANGEABLE_ON_RESUME - {"run_dir"}))
def test_flags_that_may_change(begin, open_run, name):
    begin()
    open_run(**NEEDS.get(name, {}), **{name: OTHER[name]})


def test_the_folder_may_be_moved(begin, open_run, tmp_path):
    begin().rename(tmp_path / "moved")
    open_run(run_dir=str(tmp_path / "moved"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHANGEABLE_ON_RESUME])
def test_flags_that_may_not_change(begin, open_run, name):
    base = {"optimizer": "sgd", **NEEDS.get(name, {})}  # which every other flag goes with
    begin(**base)
    now = re.escape(str(OTHER[name]))
    with pytest.raises(RunDirError, match=rf"holds a run with other flags: --{name}={now} \(it "):
        open_run(**{**base, name: OTHER[name]})


def test_a_run_older_than_a_flag_has_its_default(begin, open_run):
    path = begin(steps=30) / "config.json"
    older = read_json(path)
    for name in ("balance", "class_weights", "gradient_accumulation"):
        del older[name]
    path.write_text(json.dumps(older))
    open_run(steps=30).close()
    with pytest.raises(RunDirError, match=r"other flags: --balance=True \(it has False\)\. "):
        open_run(steps=30, balance=True)


def test_must_refuses_a_run_without_a_checkpoint(begin, open_run):
    begin()
    run_dir = open_run(resume="must")
    with pytest.raises(RunDirError, match=r"^--resume=must: .*/run holds no checkpoint to go on "):
        run_dir.restore("must")


# --- the data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FACTS)
def test_other_data_are_refused(open_run, name):
    run_dir = open_run()
    run_dir.check_data(FACTS, PLAN)
    before = (run_dir.path / "plan.json").read_bytes()
    message = re.escape(f"({name}: {FACTS[name]} then, other now)")
    with pytest.raises(RunDirError, match=message):
        run_dir.check_data(FACTS | {name: "other"}, PLAN)
    run_dir.check_data(FACTS | {name: FACTS[name]}, PLAN)
    assert (run_dir.path / "plan.json").read_bytes() == before
    run_dir.check_data(FACTS | {name: "other"}, PLAN, may_differ=[name])


# --- what came after the checkpoint -----------------------------------------------------------


def steps_of(run_dir: RunDir) -> list[tuple[str, int]]:
    return [(row["kind"], row["step"]) for row in read_json_lines(run_dir.metrics_path)]


@pytest.fixture
def interrupted(open_run) -> RunDir:
    """A run with a checkpoint of step 20, and rows up to step 30."""
    run_dir = open_run()
    for step in (10, 20, 30):
        run_dir.append_metrics("train", {"step": step, "loss": step / 7})
        if step < 30:
            run_dir.checkpoints.save(ARRAYS, Progress(step=step))
            run_dir.append_metrics("checkpoint", {"step": step, "seconds": 0.1})
    return run_dir


def test_rows_after_the_checkpoint_are_dropped(interrupted):
    before = interrupted.metrics_path.read_text().splitlines()
    checkpoint = interrupted.restore("auto")
    assert checkpoint.progress.step == 20
    assert interrupted.metrics_path.read_text().splitlines() == before[:4]
    assert steps_of(interrupted) == [
        ("train", 10), ("checkpoint", 10), ("train", 20), ("checkpoint", 20),
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["cut", "no line end", "zeros", "bytes"])
@pytest.mark.parametrize("rows_kept", [4, 5])
def test_a_torn_last_line_harms_no_other(interrupted, damage, rows_kept):
    lines = interrupted.metrics_path.read_bytes().splitlines(keepends=True)[:rows_kept]
    torn = {
        "cut": b"".join(lines) + b'{"schema_version": 1, "kind": "eval',
        "no line end": b"".join(lines)[:-1],
        "zeros": b"".join(lines) + bytes(100),
        "bytes": b"".join(lines) + b"\xff\xfe\x80",
    }
    interrupted.metrics_path.write_bytes(torn[damage])
    interrupted.restore("auto")
    interrupted.append_metrics("train", {"step": 30, "loss": 0.5})
    assert steps_of(interrupted) == [
        ("train", 10), ("checkpoint", 10), ("train", 20), ("checkpoint", 20), ("train", 30),
    ]  # fmt: skip
    for line in interrupted.metrics_path.read_text().splitlines():
        json.loads(line)


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(open_run):
    run_dir = open_run()
    run_dir.append_metrics("train", {"step": 5, "loss": 1.0})
    assert run_dir.restore("auto") is None
    assert run_dir.metrics_path.read_text() == ""
    assert "step 0" in open_run.lines[-1]


def test_lost_checkpoints_are_refused(interrupted):
    for path in sorted((interrupted.path / "checkpoints").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    before = interrupted.metrics_path.read_bytes()
    for resume in ("auto", "must"):
        with pytest.raises(RunDirError, match="none is left, refusing to start over"):
            interrupted.restore(resume)
    assert interrupted.metrics_path.read_bytes() == before


def test_lost_checkpoints_are_refused_where_only_a_start_tells_of_them(begin, open_run):
    begin()
    run_dir = open_run()
    run_dir.begin_again()
    run_dir.restore("auto")
    run_dir.starts.measure = lambda: {"step": 20}
    run_dir.starts.end(143)
    run_dir.close()
    run_dir = open_run()
    run_dir.begin_again()
    with pytest.raises(RunDirError, match="none is left, refusing to start over"):
        run_dir.restore("auto")


def test_checkpoints_may_lie_elsewhere(interrupted, tmp_path):
    (interrupted.path / "checkpoints").rename(tmp_path / "large-disk")
    (interrupted.path / "checkpoints").symlink_to(tmp_path / "large-disk")
    assert interrupted.restore("auto").progress.step == 20
    interrupted.checkpoints.save(ARRAYS, Progress(step=30))
    assert (tmp_path / "large-disk" / "ckpt-00000030").is_dir()


@pytest.mark.parametrize(
    "line",
    [b"[" * 100_000, b'{"a":' * 50_000, bytes(200), b"3", b"null", b'{"step": "5"}', b"{}",
     b'{"step": true}', b'{"step": 5, "loss": NaN}', b'{"step": ' + b"9" * 9_999 + b"}"],
    ids=range(10),
)  # fmt: skip
def test_a_hostile_line_of_metrics_harms_no_other(interrupted, open_run, line):
    whole = interrupted.metrics_path.read_bytes().splitlines(keepends=True)
    interrupted.metrics_path.write_bytes(b"".join([*whole[:2], line + b"\n", *whole[2:]]))
    assert interrupted.restore("auto").progress.step == 20
    assert interrupted.metrics_path.read_bytes() == b"".join(whole[:4])
    if b'"step": "5"' not in line and line not in (b"{}", b'{"step": true}'):
        path = interrupted.metrics_path
        assert open_run.lines == [f"warning: 1 of 6 lines of {path} cannot be read."]


def test_a_full_disk_leaves_the_earlier_record_and_no_litter(make_disk, open_run):
    run_dir = open_run(run_dir=str(make_disk("size=64k") / "run"))
    run_dir.check_data(FACTS, PLAN)
    before = (run_dir.path / "plan.json").read_bytes()
    with pytest.raises(OSError, match="No space left on device"):
        (run_dir.path / "filler").write_bytes(bytes(2**20))
    for write, name in (
        (lambda: run_dir.check_data(FACTS, PLAN), "plan.json"),
        (lambda: run_dir.write_result({"status": "completed"}), "result.json"),
        (lambda: run_dir.append_metrics("train", {"step": 1}), "metrics.jsonl"),
    ):
        message = rf"^cannot write {run_dir.path}/{name}: No space left on device\.$"
        with pytest.raises(DiskError, match=message):
            write()
    assert (run_dir.path / "plan.json").read_bytes() == before
    assert not list(run_dir.path.glob("*tmp*"))


# --- how it ended -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [
        (Preempted("SIGTERM: preempted at step 7, saved."), "preempted", 143),
        (DivergedError("the loss is not finite"), "diverged", 6),
        (DataError("1 image cannot be used"), "failed", 3),
    ],
)
def test_a_failure_is_recorded(open_run, error, status, exit_code):
    run_dir = open_run()
    run_dir.write_config(TrainConfig())
    run_dir.record_failure(error)
    assert read_json(run_dir.path / "result.json") == {
        "schema_version": 1, "status": status, "exit_code": exit_code, "error": str(error),
    }  # fmt: skip
    assert run_dir.result(TrainConfig()) is None


def test_a_failure_before_the_start_says_nothing_of_another_run(open_run):
    run_dir = open_run()
    run_dir.write_result({"status": "completed", "test_accuracy": 0.5})
    run_dir.record_failure(ConfigError("a flag"))
    assert run_dir.result(TrainConfig())["test_accuracy"] == 0.5


def test_a_damaged_result_is_refused(open_run):
    run_dir = open_run()
    (run_dir.path / "result.json").write_text('{"status": "comp')
    with pytest.raises(RunDirError, match=r"result\.json is damaged"):
        run_dir.result(TrainConfig())
