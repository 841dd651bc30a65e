"""From records to predictions: the link that the records were made from is found again."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from benchmarks import predict, scaling_model
from benchmarks.main import main
from benchmarks.prediction_tables import print_predictions
from benchmarks.scaling_model import Link
from benchmarks.stated import NICS, RESNET50
from flowrate.errors import ConfigError

LINK = Link(latency_seconds=1e-3, bytes_per_second=5e8)
SIZES = [2**10 * 4**power for power in range(9)]
GRADIENT_BYTES = 4 * 93_322
STEP_SECONDS = 0.05


def environment(cores: int) -> dict:
    return {
        "kind": "environment", "schema_version": 1, "environment_id": "e", "hostname": "h",
        "platform": "p", "python": "3.11", "cpu": {"model": "m", "count": cores},
        "memory_bytes": 1, "versions": {}, "commit": None, "devices": [], "command": "c",
        "started_at": "2026-11-22T00:00:00+00:00",
    }  # fmt: skip


def result(**fields) -> dict:
    return {
        "kind": "result", "schema_version": 1, "environment_id": "e", "contender": "flowrate",
        "repeat": 0, "seed": 0, "status": "ok", "error": None, "command": "c",
        "started_at": "2026-11-22T00:00:00+00:00", "wall_seconds": 1.0, "metrics": {},
        "samples": {}, "phases": {}, "verdict": None, "health": {"noisy": False, "reasons": []},
        **fields,
    }  # fmt: skip


def collectives(num_workers: int, slower: float = 1.0) -> dict:
    random = np.random.default_rng(num_workers)
    samples = []
    for size in SIZES:
        seconds = slower * scaling_model.ring_seconds(size, num_workers, LINK)
        samples.append([size, list(seconds * np.exp(0.02 * random.standard_normal(7)))])
    labels = {"num_workers": num_workers, "num_replicas": num_workers, "link": "loopback",
              "device": "CPU", "cores_per_worker": 1}  # fmt: skip
    return result(
        suite="collectives", case=f"loopback-{num_workers}", labels=labels,
        samples={"all_reduce": samples}, metrics={"bus_gigabytes_per_second": 0.5},
    )  # fmt: skip


def step(num_workers: int, scaling: str, cores: int) -> dict:
    """What the model itself says: the predictions must come out at 0 % error."""
    compute = STEP_SECONDS / (num_workers if scaling == "strong" else 1)
    compute *= max(1.0, num_workers / cores)
    collective = scaling_model.ring_seconds(GRADIENT_BYTES, num_workers, LINK)
    labels = {
        "dataset": "mnist", "model": "cnn", "scaling": scaling, "link": "loopback",
        "num_workers": num_workers, "num_replicas": num_workers, "cores_per_worker": 1,
        "global_batch_size": 256,
    }  # fmt: skip
    metrics = {
        "steps_per_second": 1 / (compute + collective), "all_reduce_ms": 1e3 * collective,
        "gradient_bytes_per_step": GRADIENT_BYTES,
    }  # fmt: skip
    case = f"mnist-cnn-{scaling}-loopback-{num_workers}"
    return result(suite="scaling", case=case, labels=labels, metrics=metrics)


@pytest.fixture
def folder(tmp_path):
    """Returns a function: rows -> a results folder."""

    def make(rows: list[dict], cores: int = 2):
        lines = "".join(json.dumps(row) + "\n" for row in [environment(cores), *rows])
        (tmp_path / "records.jsonl").write_text(lines)
        return tmp_path

    return make


def test_the_link_is_found_again(folder):
    links = predict.fit_links(predict.read_collectives(folder([collectives(2)])))
    assert links["loopback"].latency_seconds == pytest.approx(1e-3, rel=0.05)
    assert links["loopback"].bytes_per_second == pytest.approx(5e8, rel=0.05)


def test_workers_that_share_cores_are_marked_and_not_fitted_to(folder):
    """Four workers on two cores, twice as slow: the link of two workers stands."""
    rows = [collectives(2), collectives(4, slower=2.0)]
    found = predict.read_collectives(folder(rows))
    assert {each.num_workers: each.shares_cores for each in found} == {2: False, 4: True}
    links = predict.fit_links(found)
    assert links["loopback"].bytes_per_second == pytest.approx(5e8, rel=0.05)
    alone = predict.fit_links([each for each in found if each.shares_cores])
    assert alone["loopback"].bytes_per_second == pytest.approx(2.5e8, rel=0.05)


def test_repeats_count_together(folder):
    again = {**collectives(2), "repeat": 1}
    again["samples"] = {"all_reduce": [[size, [9.0]] for size in SIZES]}
    found = predict.read_collectives(folder([collectives(2), again]))
    assert len(found) == len(SIZES)
    # Eight samples: one at 9 s moves the median little.
    assert all(each.seconds < 1 for each in found)


def test_steps_of_several_workers_are_foretold_from_that_of_one(folder):
    rows = [collectives(2)]
    rows += [step(n, scaling, cores=2) for scaling in ("strong", "weak") for n in (1, 2, 4)]
    path = folder(rows)
    steps = predict.compare_steps(path, {"loopback": LINK})
    assert [(each.case, each.num_workers) for each in steps] == [
        (f"mnist-cnn-{scaling}", n) for scaling in ("strong", "weak") for n in (2, 4)
    ]
    for each in steps:
        assert each.predicted_seconds == pytest.approx(each.seconds)
        assert each.predicted_collective_seconds == pytest.approx(each.collective_seconds)
        assert each.shares_cores == (each.num_workers == 4)


def test_failed_rows_count_for_nothing(folder):
    bad = {**collectives(2), "status": "failed", "error": "it broke"}
    with pytest.raises(ConfigError, match=r"no measured all-reduces; first run: .*collectives"):
        predict.read_collectives(folder([bad]))


def test_workloads_are_resnet50_and_what_one_replica_measured(folder):
    path = folder([collectives(2), step(1, "strong", 2), step(2, "strong", 2)])
    resnet50, cnn = predict.workloads(path)
    assert resnet50 is RESNET50
    assert (cnn.name, cnn.image_shape, cnn.num_classes) == ("cnn", (28, 28, 1), 10)
    assert cnn.compute_seconds == pytest.approx(STEP_SECONDS)
    assert predict.workloads(path, ["cnn"]) == [cnn]
    with pytest.raises(ConfigError, match="holds no step of mlp on one replica; it has resnet50"):
        predict.workloads(path, ["mlp"])


def test_parameters_are_counted_in_the_models_themselves(tf):
    counts = {
        ("cnn", (28, 28, 1), 10): 93_322,
        # 25,636,712 of keras.io/api/applications, less BatchNorm's 53,120 moving statistics.
        (RESNET50.model, RESNET50.image_shape, RESNET50.num_classes): 25_583_592,
    }
    for (model, image_shape, num_classes), expected in counts.items():
        workload = predict.Workload("any", model, image_shape, num_classes, 1, 1.0, "")
        assert predict.num_gradient_values(workload) == expected


def test_the_tables(folder, tf):
    rows = [collectives(2), step(1, "weak", 2), step(2, "weak", 2)]
    console = Console(file=io.StringIO(), width=160, highlight=False)
    print_predictions(folder(rows), console, models=("cnn",))
    text = console.file.getvalue()
    order = ["Fitted links", "All-reduces, predicted and measured",
             "Steps, predicted and measured", "cnn: 0.373 MB of gradients"]  # fmt: skip
    places = [text.index(title) for title in order]
    assert places == sorted(places)
    for name in ("loopback, fitted", *NICS):
        assert name in text
    for count in ("8", "64", "1,024"):
        assert f" {count} " in text
    # By hand: 2 x 7 messages of a millisecond, and 7/4 of the bytes, round a ring of eight.
    ring = 14e-3 + 7 / 4 * GRADIENT_BYTES / 5e8
    (line,) = [line for line in text.splitlines() if "loopback, fitted" in line]
    found = float(line.split("│")[3])
    assert found == pytest.approx(1e3 * ring, rel=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "predict needs one results folder; 0 given."),
        (["a", "b"], "predict needs one results folder; 2 given."),
        (["nowhere"], "nowhere is not a folder"),
        (["x", "--gradient_dtype=float8"], "choose from float32, bfloat16"),
        (["x", "--overlap=2"], "must be between 0 and 1"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmarks.main", "predict", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1


def test_help_tells_of_predict(capsys):
    assert main(["benchmarks.main", "predict", "--help"]) == 0
    assert "--gradient_dtype" in capsys.readouterr().out
