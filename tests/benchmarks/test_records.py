"""A results folder is read as it was written, and a damaged row is named."""

from __future__ import annotations

import json

import pytest

from benchmarks.records import (
    PRIMARY_METRIC,
    SCHEMA_VERSION,
    check_row,
    group_repeats,
    is_lower_better,
    read_environments,
    read_results,
)
from flowrate.errors import ConfigError, DataError
from flowrate.records import append_json_lines


def make_environment(**changes):
    row = {
        "kind": "environment",
        "schema_version": 1,
        "environment_id": "9f3c",
        "hostname": "one",
        "platform": "Linux",
        "python": "3.11.9",
        "cpu": {"model": "EPYC", "count": 2, "flags": ["avx2"]},
        "memory_bytes": 2**33,
        "versions": {"tensorflow": "2.21.0", "torch": None},
        "commit": "abc",
        "devices": [{"name": "CPU:0"}],
        "command": "python -m benchmarks.main run --suite=tutorials",
        "started_at": "2026-11-22T05:00:00+00:00",
    }
    return row | changes


def make_result(**changes):
    row = {
        "kind": "result",
        "schema_version": 1,
        "environment_id": "9f3c",
        "suite": "tutorials",
        "case": "mnist-cnn",
        "contender": "flowrate",
        "repeat": 0,
        "seed": 0,
        "status": "ok",
        "error": None,
        "labels": {"global_batch_size": 32},
        "command": "python -m trainer.main --dataset=mnist",
        "started_at": "2026-11-22T05:00:01+00:00",
        "wall_seconds": 12.5,
        "metrics": {"steps_per_second": 100, "test_accuracy": 0.99},
        "samples": {"warmup": [[10, 1.0]], "segments": [[10, 0.1]]},
        "phases": {"train": 3.0},
        "verdict": {"bound": "compute", "text": "The step is the limit.", "flag": None},
        "health": {"noisy": False, "reasons": []},
    }
    return row | changes


def write(folder, *rows):
    folder.mkdir(exist_ok=True)
    append_json_lines(folder / "records.jsonl", rows)
    return folder


def test_both_kinds_are_read(tmp_path):
    environment, result = make_environment(), make_result()
    write(tmp_path, environment, result)
    assert read_results(tmp_path) == [result]
    assert read_results(str(tmp_path)) == [result]
    assert read_environments(tmp_path) == {"9f3c": environment}


def test_the_later_row_of_a_repeat_counts(tmp_path):
    broken = make_result(status="failed", error="killed", repeat=1)
    rows = [make_result(), broken, make_result(repeat=1, wall_seconds=1), make_result(seed=9)]
    found = read_results(write(tmp_path, make_environment(), *rows))
    assert found == [rows[3], rows[2]]
    assert group_repeats(rows) == {("tutorials", "mnist-cnn", "flowrate"): [rows[3], rows[2]]}


def test_a_later_failure_counts_too():
    rows = [make_result(), make_result(status="out_of_memory", error="batch of 32")]
    assert [*group_repeats(rows).values()] == [[rows[1]]]


def test_the_later_environment_of_an_id_counts(tmp_path):
    write(tmp_path, make_environment(), make_environment(hostname="two"))
    assert read_environments(tmp_path)["9f3c"]["hostname"] == "two"


@pytest.mark.parametrize("name", ["suite", "case", "contender"])
def test_groups_differ_in_suite_case_and_contender(name):
    other = {"suite": "throughput", "case": "mnist-mlp", "contender": "keras_fit"}[name]
    rows = [make_result(repeat=2), make_result(**{name: other}), make_result(repeat=0)]
    groups = group_repeats(rows)
    assert [*groups.values()] == [[rows[2], rows[0]], [rows[1]]]
    key = {"suite": "tutorials", "case": "mnist-cnn", "contender": "flowrate"} | {name: other}
    assert [*groups] == [("tutorials", "mnist-cnn", "flowrate"), tuple(key.values())]


def test_labels_and_seeds_do_not_part_a_group():
    rows = [make_result(), make_result(repeat=1, seed=5, labels={}, environment_id="other")]
    assert len(group_repeats(rows)) == 1


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path):
    write(tmp_path, make_environment(), make_result())
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write(json.dumps(make_result(repeat=1))[:200])
    append_json_lines(tmp_path / "records.jsonl", [make_result(repeat=2)])
    assert [row["repeat"] for row in read_results(tmp_path)] == [0, 2]


def test_what_cannot_be_read_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match="missing is not a folder"):
        read_results(tmp_path / "missing")
    with pytest.raises(ConfigError, match=r"has no records\.jsonl"):
        read_environments(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="file is not a folder"):
        read_results(tmp_path / "file")
    (tmp_path / "records.jsonl").mkdir()
    with pytest.raises(ConfigError, match="--output=DIR"):
        read_results(tmp_path)


def test_an_empty_file_is_a_usage_error(tmp_path):
    (tmp_path / "records.jsonl").write_text("not JSON\n")
    with pytest.raises(ConfigError, match="holds no rows"):
        read_results(tmp_path)


def test_a_file_that_may_not_be_read_is_a_usage_error(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    write(tmp_path, make_result())
    monkeypatch.setattr("benchmarks.records.read_json_lines", refuse)
    with pytest.raises(ConfigError, match="Permission denied"):
        read_results(tmp_path)


def test_the_damaged_row_is_named(tmp_path):
    damaged = make_result()
    del damaged["phases"]
    write(tmp_path, make_environment(), make_result(), damaged)
    for read in (read_results, read_environments):
        with pytest.raises(DataError, match=r"row 3: .*mnist-cnn flowrate.*phases is missing"):
            read(tmp_path)


@pytest.mark.parametrize("make", [make_environment, make_result])
def test_every_field_must_be_there(make):
    check_row(make())
    for name in make():
        row = make()
        del row[name]
        with pytest.raises(DataError, match=f"{name} is missing") as error:
            check_row(row)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [make_environment, make_result])
def test_every_field_has_its_type(make):
    for name in make():
        for wrong in (object(), True):
            with pytest.raises(DataError, match=f"{name} is "):
                check_row(make(**{name: wrong}))


def test_fields_that_may_be_null():
    check_row(make_environment(commit=None))
    check_row(make_result(verdict=None, error=None))
    for name in ("wall_seconds", "seed", "labels", "metrics", "health"):
        with pytest.raises(DataError, match=name):
            check_row(make_result(**{name: None}))


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None])
@pytest.mark.parametrize("make", [make_environment, make_result])
def test_another_schema_version_is_refused(make, version):
    assert SCHEMA_VERSION == 1
    with pytest.raises(DataError, match=r"schema_version is .*; this program reads 1"):
        check_row(make(schema_version=version))


def test_a_field_more_does_no_harm():
    check_row(make_result(note="more"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "sample"}, "kind is 'sample'; this program reads environment, result"),
        ({"suite": "tutorial"}, "suite is 'tutorial'; .*tutorials"),
        ({"status": "crashed"}, "status is 'crashed'; .*out_of_memory"),
        ({"status": "failed"}, "error says nothing"),
        ({"status": "skipped", "error": ""}, "error says nothing"),
        ({"metrics": {"steps": "5"}}, r"metrics\.steps is '5'"),
        ({"metrics": {"steps": None}}, r"metrics\.steps is None"),
        ({"metrics": {"steps": True}}, r"metrics\.steps is True"),
        ({"metrics": {"steps": float("nan")}}, r"metrics\.steps is nan"),
        ({"metrics": {"steps_per_second": 0}}, r"metrics\.steps_per_second is 0, not positive"),
        ({"metrics": {"steps_per_second": -1.5}}, "not positive"),
    ],
)
def test_wrong_values_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        check_row(make_result(**changes))


def test_values_that_are_right():
    check_row(make_result(status="skipped", error="no GPU", metrics={}))
    check_row(make_result(metrics={"test_accuracy": 0}))
    check_row(make_result(status="failed", error="x", metrics={"steps_per_second": 0}))
    for wrong in ([], "row", 3, None):
        with pytest.raises(DataError, match="should be a JSON object"):
            check_row(wrong)


def test_less_is_better_for_times_and_sizes():
    for name in ("first_step_seconds", "seconds_to_target", "step_p99_ms", "peak_memory_bytes"):
        assert is_lower_better(name), name
    for name in (
        "steps_per_second", "images_per_second", "test_accuracy", "efficiency", "peak_share",
        "images_per_cpu_second", "flops_per_second", "reached_target",
    ):  # fmt: skip
        assert not is_lower_better(name), name


def test_the_primary_metrics():
    assert set(PRIMARY_METRIC) == {
        "tutorials", "throughput", "scaling", "input", "accuracy", "startup", "equality",
        "collectives", "exchange",
    }  # fmt: skip
    assert [suite for suite, name in PRIMARY_METRIC.items() if is_lower_better(name)] == [
        "accuracy",
        "startup",
    ]
