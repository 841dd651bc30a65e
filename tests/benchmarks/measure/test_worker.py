"""What a worker measures leaves the run as it would have been; failures become answers."""

from __future__ import annotations

import pytest

from benchmarks.measure import INPUT, RATE, RUN, TIME_TO_TARGET, worker
from flowrate.records import read_json, read_json_lines, write_json


@pytest.fixture
def ask(tf, tmp_path):
    """Returns a function: way and fields of a case -> the worker's answer, in this process."""

    def answer(measure: str, *, seconds: float = 0.2, arguments=None, **flags):
        case = {
            "measure": measure,
            "flags": flags,
            "seconds": seconds,
            "arguments": arguments or {},
        }
        write_json(tmp_path / "request.json", {"case": case, "seed": 3})
        assert worker.main(["", str(tmp_path / "request.json"), str(tmp_path / "answer.json")]) == 0
        return read_json(tmp_path / "answer.json")

    return answer


@pytest.fixture(autouse=True)
def _keep_the_process_as_it_is(tf, monkeypatch):
    """A worker has a process of its own; here TensorFlow is set up and its errors are ours."""
    from flowrate import native_log
    from trainer.distributed import strategy

    monkeypatch.setattr(native_log, "divert_native_stderr", lambda path: None)
    monkeypatch.setattr(strategy, "configure_devices", lambda config: None)


def test_measuring_the_limit_changes_no_weight_and_no_example(tf, train, tmp_path):
    """Loss for loss what the same run without a benchmark gives."""
    from benchmarks.measure.limit import measure_limit
    from trainer import loop

    flags = {
        "model": "cnn", "steps": 12, "log_every_steps": 1, "seed": 3, "steps_per_call": 4,
        "augmentation": "translation",
    }  # fmt: skip
    reference = train(**flags)
    original, limits = loop.train, []

    def train_between_limits(run):
        limits.append(measure_limit(run))
        original(run)
        limits.append(measure_limit(run))

    loop.train = train_between_limits
    try:
        run = train(**flags)
    finally:
        loop.train = original
    rows, expected = (
        [row["loss"] for row in read_json_lines(each.run_dir.metrics_path) if "loss" in row]
        for each in (run, reference)
    )
    assert rows == expected
    assert len(rows) == 13  # 12 steps and the evaluation at the end
    for limit in limits:
        assert limit.steps_per_second > 0
        assert len(limit.samples) >= 3


def test_a_whole_run(ask):
    answer = ask(RUN, dataset="digits", model="mlp", epochs=2)
    assert answer["status"] == "ok", answer["error"]
    assert answer["metrics"]["steps"] == 90
    assert answer["metrics"]["test_accuracy"] > 0.8
    assert sum(sample[0] for sample in answer["samples"]["segments"]) == 89
    assert answer["labels"]["epochs"] == 2
    assert answer["phases"]["compile"] > 0
    assert answer["wall_seconds"] > 0


@pytest.mark.parametrize(("target", "reached"), [(0.8, 1), (1.01, 0)])
def test_time_to_a_target_counts_misses(ask, target, reached):
    answer = ask(TIME_TO_TARGET, arguments={"target": target}, model="mlp", epochs=3)
    assert answer["metrics"]["reached_target"] == reached
    assert ("seconds_to_target" in answer["metrics"]) == bool(reached)
    evaluations = answer["samples"]["evaluations"]
    assert [seconds for seconds, _ in evaluations] == sorted(s for s, _ in evaluations)
    assert (evaluations[-1][1] >= target) == bool(reached)
    assert answer["metrics"]["test_accuracy"] == max(accuracy for _, accuracy in evaluations)


@pytest.mark.parametrize("cache", ["none", "memory", "device"])
def test_input_alone(ask, image_folder, cache):
    folder = image_folder(per_class=60)
    answer = ask(
        INPUT, dataset="image_folder", data_dir=str(folder), image_size=24, cache=cache,
        seconds=0.1,
    )  # fmt: skip
    assert answer["status"] == "ok", answer["error"]
    assert answer["metrics"]["images_per_second"] > 0
    ((count, seconds),) = answer["samples"]["segments"]
    assert answer["metrics"]["images_per_second"] == pytest.approx(count / seconds)


def test_other_loaders_read_the_same_folder(ask, image_folder):
    folder = image_folder(per_class=60)
    answer = ask(
        INPUT, dataset="image_folder", data_dir=str(folder), image_size=24, cache="none",
        seconds=0.1, arguments={"loader": "image_dataset_from_directory"},
    )  # fmt: skip
    assert answer["status"] == "ok", answer["error"]
    assert answer["metrics"]["images_per_second"] > 0


def test_a_failure_is_an_answer(ask):
    answer = ask(RATE, dataset="image_folder", data_dir="/nowhere")
    assert answer["status"] == "failed"
    assert "/nowhere" in answer["error"]
    assert "\n" not in answer["error"]


def test_out_of_memory_is_told_apart(ask, monkeypatch):
    from benchmarks.measure import training as measure_training

    def fail(*_):
        raise MemoryError("no room for 10 GiB")

    monkeypatch.setattr(measure_training, "measure_rate", fail)
    answer = ask(RATE, dataset="digits")
    assert answer["status"] == "out_of_memory"
    assert "no room for 10 GiB" in answer["error"]
