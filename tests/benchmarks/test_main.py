"""The command line: mistakes answered in a line, and one small real measurement from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.main import main
from benchmarks.records import read_results
from benchmarks.suites import throughput

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum"], "error: 'rum': choose from run, compare, report, readme, list; see"),
        (["run"], "error: --suite is missing; as in:"),
        (["run", "--suite=tutorials"], "error: --output is missing; as in:"),
        (["run", "--suite=tutrials", "--output=x"], "Did you mean 'tutorials'?"),
        (["run", "--suite=tutorials", "--output=x", "--models=cmn"], "Did you mean 'cnn'?"),
        (["run", "--suite=tutorials", "--output=x", "--datasets=mnst"], "Did you mean 'mnist'?"),
        (["run", "--suite=tutorials", "--output=x", "--repeats=0"], "--repeats=0: must be between"),
        (["run", "--suite=accuracy", "--output=x", "--models=resnet18"], "has no case of these"),
        (["compare", "one"], "error: compare needs two results folders; 1 given."),
        (["compare", "nowhere", "nowhere"], "nowhere is not a folder"),
        (["report"], "error: report needs one results folder; 0 given."),
        (["report", "nowhere"], "nowhere is not a folder"),
        (["readme", "nowhere"], "error: readme needs a results folder and a file; 1 given."),
        (["list", "more"], "error: list takes nothing; 'more' given."),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmarks.main", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_and_list_need_no_tensorflow(capsys):
    for words in ([], ["--help"], ["run", "--help"]):
        assert main(["benchmarks.main", *words]) == 0
        assert "--find_batch" in capsys.readouterr().out
    code = (
        "import sys; from benchmarks.main import main; main(['benchmarks.main', 'list']);"
        "print(sorted({'tensorflow', 'keras', 'scipy', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "tutorials: " in done.stdout
    assert "    fashion_mnist-mlp  (flowrate, flowrate_bfloat16, keras_fit, " in done.stdout


@pytest.mark.slow
def test_a_small_measurement_from_end_to_end(tmp_path, capsys, monkeypatch):
    """Real processes, real data: every promised figure is there and hangs together."""
    changes = ({}, {"precision": "mixed_bfloat16", "jit": "off", "cache": "memory"})
    monkeypatch.setattr(throughput, "_SMALL_CHANGES", changes)
    folder = tmp_path / "results"
    words = [
        "run", "--suite=throughput", "--datasets=digits", "--seconds=0.3", "--repeats=1",
        f"--output={folder}",
    ]  # fmt: skip
    assert main(["benchmarks.main", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {row["case"]: row for row in read_results(folder)}
    changed = "digits-mlp-mixed_bfloat16-jit_off-memory"
    assert list(rows) == ["digits-mlp", changed]
    for row in rows.values():
        assert row["status"] == "ok", row["error"]
        found = row["metrics"]
        assert found["images_per_second"] == pytest.approx(32 * found["steps_per_second"])
        # 64 x 128 and 128 x 10 weights, forward and backward twice over a batch of 32.
        assert found["flops_per_step"] > 2 * 32 * (64 * 128 + 128 * 10) * 2
        assert found["flops_per_second"] == pytest.approx(
            found["flops_per_step"] * found["steps_per_second"]
        )
        assert found["step_p50_ms"] <= found["step_p90_ms"] <= found["step_p99_ms"]
        bound = min(
            found["limit_steps_per_second"],
            found.get("input_images_per_second", float("inf")) / 32,
        )
        assert found["efficiency"] == pytest.approx(found["steps_per_second"] / bound)
        assert row["samples"]["limit_before"]
        assert row["samples"]["limit_after"]
        beside = row["samples"]["limit_beside"]
        # One for each call of the run.
        assert [call[0] for call in beside] == [call[0] for call in row["samples"]["segments"]]
        assert found["limit_steps_per_second"] == pytest.approx(
            sum(steps for steps, _ in beside) / sum(seconds for _, seconds in beside)
        )
        steps = sum(sample[0] for sample in row["samples"]["segments"])
        seconds = sum(sample[1] for sample in row["samples"]["segments"])
        assert seconds >= 0.3
        assert found["steps_per_second"] == pytest.approx(steps / seconds)
        assert row["verdict"]["bound"] in ("compute", "input", "host")
    found = [
        [rows[name]["labels"][label] for label in ("precision", "jit", "cache")]
        for name in ("digits-mlp", changed)
    ]
    assert found == [["float32", "on", "device"], ["mixed_bfloat16", "off", "memory"]]
    for name in ("report.html", "report.csv"):
        assert (folder / name).stat().st_size > 500
        assert str(folder / name) in lines
    assert main(["benchmarks.main", "compare", str(folder), str(folder)]) in (0, 2)
