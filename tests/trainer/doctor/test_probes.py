"""Probes: which are tried, what the trainer refuses, and one that is really run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil
import pytest

from trainer.doctor import probes
from trainer.doctor.probes import Probe


@pytest.fixture
def temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def trainers(folder: Path) -> list[psutil.Process]:
    """The processes that train in a folder, whoever has started them."""
    return [
        process for process in psutil.process_iter(["cmdline"])
        if any(f"--run_dir={folder}" in word for word in process.info["cmdline"] or [])
    ]  # fmt: skip


def test_quick_is_one_of_each_strategy_and_full_is_the_product():
    quick, full = probes.list_probes(False), probes.list_probes(True)
    assert quick[0] == Probe("one_device")
    assert len({each.strategy for each in quick}) == len(quick) == 4
    assert len(set(full)) == len(full) == 4 * 3 * 2
    assert (full[0].strategy, full[0].precision) == ("one_device", "float32")


@pytest.mark.parametrize(
    ("probe", "word"),
    [
        (Probe("mirrored", jit="on"), "XLA cannot compile a loop over 2 replicas"),
        (Probe("multi_worker_mirrored", jit="on"), "XLA cannot compile a loop over 2 replicas"),
        (Probe("one_device", "mixed_bfloat16", "on"), None),
        (Probe("mirrored", "mixed_float16"), None),
        (Probe("multi_worker_mirrored"), None),
    ],
    ids=lambda each: each.name if isinstance(each, Probe) else "",
)
def test_what_is_refused_is_what_the_trainer_refuses(probe, word):
    said = probes.refusal(probe, 0)
    assert (said is None) == (word is None)
    assert not word or word in said


def test_a_tpu_is_not_here():
    if list(Path("/dev").glob("accel*")):
        pytest.skip("there is a TPU")
    assert "there is no TPU here" in probes.refusal(Probe("tpu"), 0)


@pytest.mark.parametrize(("num_gpus", "size"), [(0, 32), (1, 32), (2, 32), (3, 36), (8, 32)])
def test_the_batch_divides_among_the_gpus(num_gpus, size):
    mirrored = probes.flags(Probe("mirrored"), Path("run"), num_gpus)
    assert f"--global_batch_size={size}" in mirrored
    assert ("--virtual_devices=2" in mirrored) == (num_gpus < 2)


@pytest.mark.parametrize(
    ("num_gpus", "visible", "set_to"),
    [(0, None, None), (2, None, None), (1, None, ""), (3, None, "0,1"), (3, "4,5,6", "4,5")],
)
def test_two_workers_share_no_gpu(num_gpus, visible, set_to):
    found = probes.environment(Probe("multi_worker_mirrored"), num_gpus, visible)
    assert found.get("CUDA_VISIBLE_DEVICES") == set_to
    assert probes.environment(Probe("mirrored"), num_gpus, visible) == {}


def test_one_device_trains(temporary_folder):
    ((_, check),) = probes.try_all([Probe("one_device")], 0, 240)
    assert check.verdict == "ok", check
    assert 2.0 < check.facts["loss"] < 2.5
    assert check.facts["first_step_seconds"] > 0
    assert list(temporary_folder.iterdir()) == []


def test_a_training_that_does_not_end_is_ended(temporary_folder):
    ((_, check),) = probes.try_all([Probe("multi_worker_mirrored")], 0, 2)
    assert check.verdict == "failed"
    assert check.found.startswith("no end within 2 s")
    assert trainers(temporary_folder) == []
    assert list(temporary_folder.iterdir()) == []


def test_a_training_that_fails_says_so_in_the_trainers_words(temporary_folder, monkeypatch):
    """A poisoned scikit-learn, which brings the digits."""
    (temporary_folder / "sklearn").mkdir()
    (temporary_folder / "sklearn" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(temporary_folder))
    ((_, check),) = probes.try_all([Probe("one_device")], 0, 240)
    assert check.verdict == "failed"
    assert "ended with status 3: error: --dataset=digits" in check.found
    assert "--strategy=one_device" in check.to_do


def test_another_loss_is_no_success():
    outcome = {"loss": 2.28862, "first_step_seconds": 1.0, "num_replicas": 1}
    assert probes.judge(Probe("one_device"), outcome, None).verdict == "ok"
    assert probes.judge(Probe("mirrored"), outcome, None).verdict == "warning"
    assert probes.judge(Probe("mirrored"), outcome, 2.2887).verdict == "ok"
    # That of weights that do not move.
    check = probes.judge(Probe("mirrored"), outcome, 2.2963)
    assert (check.verdict, "2.29630" in check.found) == ("failed", True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_strategies_give_the_same_loss(temporary_folder):
    checks = dict(probes.try_all(probes.list_probes(False), 0, 280))
    verdicts = {name.split(",")[0]: check.verdict for name, check in checks.items()}
    assert verdicts.pop("tpu") == "absent"
    assert set(verdicts.values()) == {"ok"}, checks
    assert trainers(temporary_folder) == []
    assert list(temporary_folder.iterdir()) == []
