"""Who may use a run directory, which run may go on in it, and what it keeps."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
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


HOLDER = """
import sys
from trainer.config import TrainConfig
from trainer.run_dir.folder import RunDir
held = RunDir.open(TrainConfig(run_dir=sys.argv[1]), print)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds `tmp_path/run` until it is told, or made, to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


# --- the lock ---------------------------------------------------------------------------------


def test_a_second_process_is_refused_with_the_pid_of_the_first(holder, open_run, tmp_path):
    message = (
        rf"^--run_dir={re.escape(str(tmp_path / 'run'))} is in use by pid {holder.pid} on "
        rf"{re.escape(platform.node())} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\S+; "
        r"stop it or choose another folder\.$"
    )
    with pytest.raises(ConfigError, match=message):
        open_run()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_goes_with_the_process_however_it_ends(holder, open_run, number):
    with pytest.raises(ConfigError, match=f"is in use by pid {holder.pid} "):
        open_run()
    holder.send_signal(number)
    holder.wait()
    run_dir = open_run()
    assert f"pid {os.getpid()} on " in (run_dir.path / "lock").read_text()
    assert str(holder.pid) not in (run_dir.path / "lock").read_text().split()


def test_a_second_opening_in_the_same_process_is_refused(open_run):
    first = open_run()
    with pytest.raises(ConfigError, match=f"is in use by pid {os.getpid()} "):
        open_run()
    first.close()
    first.close()  # closing twice is no error
    open_run()


def test_a_refused_process_leaves_no_trace(holder, open_run, tmp_path):
    before = (tmp_path / "run" / "lock").read_text()
    with pytest.raises(ConfigError, match="is in use"):
        open_run()
    assert (tmp_path / "run" / "lock").read_text() == before
    assert os.listdir(tmp_path / "run") == ["lock"]


# --- a later start of the same job takes it over ------------------------------------------------


def start_as(monkeypatch, job: str, restart: int) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restart))


@pytest.fixture
def cut_off(open_run, monkeypatch) -> RunDir:
    """The run directory of a process whose job was started anew elsewhere."""
    start_as(monkeypatch, "17", 0)
    earlier = open_run()
    earlier.write_config(TrainConfig(run_dir=str(earlier.path)))
    start_as(monkeypatch, "17", 1)
    later = open_run()
    assert later.path == earlier.path
    assert "Slurm job 17 1.0" in (later.path / "lock").read_text()
    later.check_still_held()
    return earlier


def test_the_earlier_start_may_write_nothing_more(cut_off):
    before = sorted(cut_off.path.rglob("*"))
    taken = r"was taken over by a later start of this run \(pid .* Slurm job 17 1\.0\)"
    for write in (
        lambda: cut_off.append_metrics("train", {"step": 1}),
        lambda: cut_off.checkpoints.save(ARRAYS, Progress(step=10)),
        lambda: cut_off.write_result({"status": "completed"}),
    ):
        with pytest.raises(ClusterError, match=taken):
            write()
    cut_off.record_failure(ClusterError("taken over"))
    # The folder of checkpoints is made before the one in it is refused.
    assert [p for p in sorted(cut_off.path.rglob("*")) if p.name != "checkpoints"] == before


@pytest.mark.parametrize(("job", "restart"), [("17", 0), ("18", 1), ("18", 0)])
def test_no_other_takes_it_over(open_run, monkeypatch, job, restart):
    start_as(monkeypatch, "17", 0)
    held = open_run()
    start_as(monkeypatch, job, restart)
    with pytest.raises(ConfigError, match="is in use by pid"):
        open_run()
    held.check_still_held()
    held.append_metrics("train", {"step": 1})


# --- where it lies ----------------------------------------------------------------------------


def test_folders_above_are_made(open_run, tmp_path):
    run_dir = open_run(run_dir=str(tmp_path / "deep" / "down" / "run"))
    assert run_dir.path == tmp_path / "deep" / "down" / "run"
    assert run_dir.path.is_dir()


def test_a_relative_path_is_made_absolute(open_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = open_run(run_dir="here")
    monkeypatch.chdir("/")
    assert run_dir.path == tmp_path / "here"


def test_a_tilde_is_the_home_folder(open_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_run(run_dir="~/run").path == tmp_path / "run"


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


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/run", "Not a directory"),
        ("file", "File exists"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_path_that_cannot_be_a_folder_is_refused(open_run, tmp_path, place, reason):
    (tmp_path / "file").write_text("")
    message = rf"^--run_dir=.*: cannot be used: {reason}; choose another folder\.$"
    with pytest.raises(ConfigError, match=message):
        open_run(run_dir=str(tmp_path / place))


def test_a_folder_that_cannot_be_written_is_refused(open_run, unwritable_folder):
    message = "cannot be used: (Permission denied|Read-only file system); choose another folder"
    for path in (unwritable_folder, unwritable_folder / "run"):
        with pytest.raises(ConfigError, match=message):
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


def test_the_same_flags_may_go_on(begin, open_run):
    begin(learning_rate=0.1 + 0.2, steps=30)
    open_run(learning_rate=0.1 + 0.2, steps=30)


def test_other_flags_are_refused_and_listed(begin, open_run, tmp_path):
    begin(learning_rate=0.01, steps=30, seed=3)
    before = (tmp_path / "run" / "config.json").read_bytes()
    message = re.escape(
        f"{tmp_path / 'run'} holds a run with other flags: --epochs=2 (it has None), "
        "--learning_rate=0.02 (it has 0.01), --steps=None (it has 30). "
        "Give the same flags to go on with it, or another --run_dir."
    )
    with pytest.raises(RunDirError, match=f"^{message}$"):
        open_run(learning_rate=0.02, epochs=2, seed=3)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    open_run(learning_rate=0.01, steps=30, seed=3)  # the refused one let go of the folder


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


def test_never_refuses_a_run_that_is_there(begin, open_run, tmp_path):
    open_run(resume="never").close()  # nothing is there yet
    begin(resume="never")
    message = re.escape(
        f"--resume=never: {tmp_path / 'run'} holds a run already; choose another --run_dir, or "
        "--resume=auto to go on with it."
    )
    with pytest.raises(RunDirError, match=f"^{message}$"):
        open_run(resume="never")


def test_must_refuses_a_folder_without_a_run(open_run, tmp_path):
    message = re.escape(
        f"--resume=must: {tmp_path / 'run'} holds no run; use --resume=auto to begin one."
    )
    with pytest.raises(RunDirError, match=f"^{message}$"):
        open_run(resume="must")
    assert os.listdir(tmp_path) == []  # and leaves none


def test_must_refuses_a_run_without_a_checkpoint(begin, open_run):
    begin()
    run_dir = open_run(resume="must")
    with pytest.raises(RunDirError, match=r"^--resume=must: .*/run holds no checkpoint to go on "):
        run_dir.restore("must")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe\x00"])
def test_a_damaged_config_is_refused(begin, open_run, content):
    path = begin() / "config.json"
    path.write_bytes(content)
    message = (
        rf"^{re.escape(str(path))} is damaged \(.+\); restore it or choose another --run_dir\.$"
    )
    with pytest.raises(RunDirError, match=message):
        open_run()
    assert path.read_bytes() == content


def test_a_flag_of_another_version_is_named(begin, open_run):
    path = begin() / "config.json"
    path.write_text(json.dumps({**read_json(path), "color": "red"}))
    with pytest.raises(RunDirError, match=r"other flags: --color=None \(it has red\)"):
        open_run()


# --- the data ---------------------------------------------------------------------------------


def test_the_same_data_may_go_on(open_run):
    run_dir = open_run()
    run_dir.check_data(FACTS, PLAN)
    run_dir.check_data(json.loads(json.dumps(FACTS)), PLAN)
    assert read_json(run_dir.path / "plan.json") == {**PLAN, "data": FACTS}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("class_names", ["cat", "cow"]),
        ("examples", {"train": 79, "test": 20}),
        ("image_shape", [24, 24, 1]),
        ("model", "mlp"),
        ("augmentation", []),
        ("class_weights", {"cat": 1.0, "dog": 3.0}),
    ],
)
def test_other_data_are_refused(open_run, name, value):
    run_dir = open_run()
    run_dir.check_data(FACTS, PLAN)
    before = (run_dir.path / "plan.json").read_bytes()
    message = re.escape(
        f"{run_dir.path}: the data set differs from what this run began with "
        f"({name}: {FACTS[name]} then, {value} now); give the same data or another --run_dir."
    )
    with pytest.raises(RunDirError, match=f"^{message}$"):
        run_dir.check_data(FACTS | {name: value}, PLAN)
    assert (run_dir.path / "plan.json").read_bytes() == before


def test_every_fact_that_differs_is_named(open_run):
    run_dir = open_run()
    run_dir.check_data(FACTS, PLAN)
    with pytest.raises(RunDirError, match=r"\(image_shape: .* now; model: cnn then, mlp now\)"):
        run_dir.check_data(FACTS | {"model": "mlp", "image_shape": [9, 9, 3]}, PLAN)


def test_a_damaged_plan_is_refused(open_run):
    run_dir = open_run()
    (run_dir.path / "plan.json").write_text("[1, 2")
    with pytest.raises(RunDirError, match=r"plan\.json is damaged \(.+\); restore it or choose"):
        run_dir.check_data(FACTS, PLAN)


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


def test_a_new_run_has_nothing_to_restore(open_run):
    run_dir = open_run()
    assert run_dir.restore("auto") is None
    assert not run_dir.metrics_path.exists()
    assert open_run.lines == []


def test_lost_checkpoints_are_refused_where_only_a_start_tells_of_them(begin, open_run):
    begin()
    for _ in range(2):
        run_dir = open_run()
        run_dir.begin_again()
        run_dir.restore("auto")
        run_dir.checkpoints.save(ARRAYS, Progress(step=20))
        run_dir.close()
    shutil.rmtree(run_dir.path / "checkpoints")
    run_dir = open_run()
    run_dir.begin_again()
    with pytest.raises(RunDirError, match="none is left, refusing to start over"):
        run_dir.restore("auto")


def test_lost_checkpoints_are_refused_where_a_stop_tells_of_them(begin, open_run):
    path = begin()
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
    assert not (path / "checkpoints").exists()


def test_damaged_ones_set_aside_are_no_reason_to_start_over(interrupted):
    folder = interrupted.path / "checkpoints"
    for path in sorted(folder.iterdir()):
        path.rename(path.with_suffix(".damaged"))
    interrupted.metrics_path.unlink()
    before = sorted(interrupted.path.rglob("*"))
    message = (
        r"^no checkpoint is left but damaged ones \(ckpt-00000010\.damaged, "
        r"ckpt-00000020\.damaged\), refusing to start over; start anew in another --run_dir\.$"
    )
    with pytest.raises(RunDirError, match=message):
        interrupted.restore("auto")
    assert sorted(interrupted.path.rglob("*")) == before


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


def test_only_a_completed_run_has_a_result(open_run):
    run_dir = open_run()
    assert run_dir.result(TrainConfig()) is None
    run_dir.write_result({"status": "completed", "test_accuracy": 0.5})
    expected = {"schema_version": 1, "status": "completed", "test_accuracy": 0.5}
    assert run_dir.result(TrainConfig()) == expected


def test_a_damaged_result_is_refused(open_run):
    run_dir = open_run()
    (run_dir.path / "result.json").write_text('{"status": "comp')
    with pytest.raises(RunDirError, match=r"result\.json is damaged \(.+\); restore it or choose"):
        run_dir.result(TrainConfig())
