"""The suites: each a file, whose cases are configs that the trainer takes."""

from __future__ import annotations

import pytest

from benchmarks.case import Choice
from benchmarks.main import main
from benchmarks.measure import PEER
from benchmarks.measure.metrics import METRICS, Metric
from benchmarks.peers import launch
from benchmarks.records import primary_metric, read_results
from benchmarks.suites import SUITES, tutorials
from trainer.config import TrainConfig

NEW_SUITE = """
from benchmarks.case import BenchmarkCase, Choice
from benchmarks.measure import INPUT
from benchmarks.measure.metrics import METRICS, Metric

TITLE = "the digits alone"
METRIC = METRICS["images_per_second"]
COLUMNS = (Metric("cpu_seconds", "Processor time", "s", "Of the whole process."),)


def cases(choice: Choice) -> list[BenchmarkCase]:
    flags = {"dataset": "digits", "cache": "memory"}
    case = BenchmarkCase(
        suite="only_digits", name="digits-memory", measure=INPUT, flags=flags, seconds=0.05
    )
    return choice.select([case])
"""


def cases_of(name: str, **choice):
    suite, _ = SUITES.load(name)
    return suite.cases(Choice(**choice))


def test_a_new_suite_is_one_file(tmp_path, monkeypatch, capsys):
    """Listed, run in a process of its own, and reported, with nothing else touched."""
    import benchmarks.suites

    (tmp_path / "only_digits.py").write_text(NEW_SUITE)
    monkeypatch.setattr(
        benchmarks.suites.__spec__, "submodule_search_locations",
        [*benchmarks.suites.__path__, str(tmp_path)],
    )  # fmt: skip
    monkeypatch.setattr(benchmarks.suites, "__path__", [*benchmarks.suites.__path__, str(tmp_path)])
    assert main(["", "list"]) == 0
    assert "only_digits: the digits alone" in capsys.readouterr().out
    folder = tmp_path / "results"
    assert main(["", "run", "--suite=only_digits", "--repeats=1", f"--output={folder}"]) == 0
    (row,) = read_results(folder)
    assert row["status"] == "ok", row["error"]
    assert row["metrics"]["images_per_second"] > 0
    page = (folder / "report.html").read_text()
    for words in ("Only digits", "The digits alone.", "Processor time", "Of the whole process."):
        assert words in page


@pytest.mark.parametrize("name", SUITES.names())
def test_a_suite_says_what_it_shows(name):
    suite, _ = SUITES.load(name)
    assert primary_metric(name) is suite.METRIC
    assert all(isinstance(metric, Metric) for metric in suite.COLUMNS)
    assert len({metric.name for metric in (suite.METRIC, *suite.COLUMNS)}) == 1 + len(suite.COLUMNS)


def test_less_is_better_for_times_and_sizes():
    lower = {name for name, metric in METRICS.items() if metric.is_lower_better}
    assert lower == {
        "seconds_to_target", "step_p50_ms", "step_p90_ms", "step_p99_ms", "epoch_seconds",
        "first_step_seconds", "wall_seconds", "peak_memory_bytes", "exchange_ms",
        "gradient_bytes_per_step",
    }  # fmt: skip


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", SUITES.names())
def test_cases_have_names_of_their_own_and_flags_that_work(name, full):
    cases = cases_of(name, full=full)
    assert cases
    assert len({(case.name, case.contender) for case in cases}) == len(cases)
    for case in cases:
        assert case.suite == name
        TrainConfig(**case.flags)
    if full:
        assert len(cases) >= len(cases_of(name))


@pytest.mark.parametrize("name", SUITES.names())
def test_models_datasets_and_contenders_choose(name):
    every = cases_of(name)
    for field in ("dataset", "model"):
        for value in {case.flags.get(field) for case in every} - {None}:
            chosen = cases_of(name, **{f"{field}s": (value,)})
            assert {case.flags.get(field) for case in chosen} == {value}
            assert chosen == [case for case in every if case.flags.get(field) == value]
    assert cases_of(name, models=("resnet18",), datasets=("digits",)) == []


def test_contenders_of_a_workload_do_the_same_work():
    groups: dict[str, list] = {}
    for case in cases_of("tutorials", full=True):
        groups.setdefault(case.name, []).append(case)
    assert len(groups) == 7
    for cases in groups.values():
        flags = [{**case.flags, "precision": "as asked"} for case in cases]
        assert all(each == flags[0] for each in flags)
        assert cases[0].contender == "flowrate"
        assert {case.contender for case in cases} - {"flowrate_bfloat16"} == {
            "flowrate", "keras_fit", "torch_eager", "torch_compiled", "jax_scan",
        }  # fmt: skip
        assert not any(case.arguments for case in cases)


@pytest.mark.parametrize("flags", [["avx2"], ["avx2", "amx_bf16"]])
def test_bfloat16_beside_float32_where_it_is_not_emulated_for_hours(monkeypatch, flags):
    monkeypatch.setattr(tutorials, "describe_cpu", lambda: {"flags": flags})
    monkeypatch.setattr(tutorials, "num_gpus", lambda: 0)
    found = {
        case.name: case.flags["precision"]
        for case in cases_of("tutorials")
        if case.contender == "flowrate_bfloat16"
    }
    assert set(found.values()) == {"mixed_bfloat16"}
    dense = {"fashion_mnist-mlp", "mnist-mlp16", "mnist-mlp64"}
    assert set(found) == dense if "amx_bf16" not in flags else len(found) == 7


def test_peers_run_a_part_of_the_long_workloads_unless_asked_for_all():
    parts = {(case.name, case.contender) for case in cases_of("tutorials") if case.arguments}
    assert ("flowers-flowers_cnn", "keras_fit") in parts
    assert ("mnist-cnn", "jax_scan") in parts
    assert not any("mlp" in name or "flowrate" in contender for name, contender in parts)


def test_peers_without_augmentation_say_so_and_are_not_started(tmp_path):
    augmented = [case for case in cases_of("tutorials") if "augmentation" in case.flags]
    peers = [case for case in augmented if case.measure == PEER and case.contender != "keras_fit"]
    assert launch.PEERS["keras_fit"].augments
    assert len(peers) == 3
    for case in peers:
        assert launch.command(case, 0, tmp_path / "answer.json") == "this peer has no augmentation"


def test_a_data_folder_is_taken_by_name_or_as_it_is(tmp_path):
    (tmp_path / "mnist").mkdir()
    for case in cases_of("tutorials", data_dir=str(tmp_path)):
        own = case.flags["dataset"] == "mnist"
        assert case.flags["data_dir"] == str(tmp_path / "mnist" if own else tmp_path)


def test_weak_scaling_grows_the_batch_and_strong_does_not():
    for case in cases_of("scaling"):
        replicas = case.arguments.get("num_workers") or case.flags.get("virtual_devices", 1)
        weak = case.labels["scaling"] == "weak"
        assert case.flags["global_batch_size"] == 256 * (replicas if weak else 1)
        assert case.name.endswith(f"-{replicas}")


def test_processes_are_scaled_over_loopback_and_between_virtual_hosts():
    found = {
        (case.arguments["link"], case.arguments["num_workers"])
        for case in cases_of("scaling")
        if "link" in case.arguments
    }
    assert found == {(link, n) for link in ("loopback", "namespaces") for n in (1, 2, 4)}
