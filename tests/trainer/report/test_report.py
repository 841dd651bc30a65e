"""The page of a run, and of several: complete, self-contained, true to the records."""

from __future__ import annotations

import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.errors import RunDirError
from flowrate.records import read_json, read_json_lines, write_json
from trainer.report import __main__ as program
from trainer.report.run_record import RunRecord
from trainer.report.write import write_comparison, write_report

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = "<script>alert(1)</script>&\"'$x_1$"


def run_module(module: str, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words], cwd=cwd, capture_output=True, text=True,
        timeout=240, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "digits-run"
    done = run_module(
        "trainer.main", "--model=mlp16", "--epochs=3", "--validation_examples=137",
        f"--run_dir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"report          {folder}/report.html" in done.stdout
    return folder


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


class Page(html.parser.HTMLParser):
    """The elements of a page, and what they refer to."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self._in_heading = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._in_heading = tag in ("h1", "h2")
        self.addresses += [v or "" for n, v in attributes if n in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        if self._in_heading:
            self.headings.append(data)
            self._in_heading = False


def assert_opens_offline(text: str) -> None:
    for address in Page(text).addresses:
        assert address.startswith(("data:image/png;base64,", "#")), address[:60]
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_every_run_ends_with_a_page(trained):
    text = (trained / "report.html").read_text()
    assert_opens_offline(text)
    assert Page(text).headings == [
        "digits, mlp16", "Learning curves", "Confusion matrix", "Sample predictions",
        "Most confident mistakes", "Calibration", "Where the time went",
        "What was asked, and where it ran",
    ]  # fmt: skip
    result = read_json(trained / "result.json")
    assert f"Test accuracy {result['test_accuracy']:.2%} of 360 examples" in text
    assert f"--run_dir={trained}" in text
    assert "--validation_examples" in text


def test_the_page_needs_the_folder_alone_and_is_the_same_again(trained, tmp_path):
    moved = shutil.copytree(trained, tmp_path / "elsewhere" / trained.name)
    before = (moved / "report.html").read_text()
    (moved / "report.html").unlink()
    shutil.rmtree(moved / "checkpoints")
    (moved / "model.keras").unlink()
    done = run_module("trainer.report", str(moved), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(moved / "report.html")
    now = (moved / "report.html").read_text()
    assert now.replace(str(moved), str(trained)) == before


def test_the_counts_are_those_of_the_evaluation(trained):
    record = RunRecord.read(trained)
    result = read_json(trained / "result.json")
    assert record.scores.accuracy == pytest.approx(result["test_accuracy"], abs=1e-12)
    text = (trained / "report.html").read_text()
    row = int(record.scores.confusion[3].sum())
    assert f'<th scope="row">3</th><td>{row}</td>' in text


def test_hostile_names_are_names(copied):
    plan = read_json(copied / "plan.json")
    plan["data"]["class_names"][0] = HOSTILE
    write_json(copied / "plan.json", plan)
    text = write_report(copied)[0].read_text()
    assert "<script>alert" not in text
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;" in text


def test_a_run_that_was_stopped_shows_what_it_has(copied):
    for name in ("result.json", "predictions.npz", "report.html"):
        (copied / name).unlink()
    text = write_report(copied)[0].read_text()
    assert "The run has not ended" in text
    assert "Learning curves" in Page(text).headings
    assert "kept no predictions" in text


def test_a_run_that_failed_says_why(copied):
    (copied / "predictions.npz").unlink()
    write_json(copied / "result.json", {"status": "diverged", "error": HOSTILE, "exit_code": 6})
    text = write_report(copied)[0].read_text()
    assert "Diverged: &lt;script&gt;" in text


@pytest.mark.slow
def test_a_run_without_a_report(tmp_path):
    folder = tmp_path / "run"
    done = run_module(
        "trainer.main", "--model=mlp16", "--steps=3", "--noreport", f"--run_dir={folder}"
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "report.html").exists()
    assert not (folder / "predictions.npz").exists()
    assert "report.html" not in done.stdout


def test_several_runs_in_one_table(trained, copied):
    result = read_json(copied / "result.json")
    write_json(copied / "result.json", result | {"test_accuracy": 0.125, "model": HOSTILE})
    page = write_comparison([str(copied), str(trained)], copied / "page.html")
    text = page.read_text()
    assert_opens_offline(text)
    assert text.index(">digits-run<") < text.index(">copy<")  # The better one first.
    assert "digits-run is best, with a test accuracy of" in text
    assert "<td>0.1250</td>" in text
    assert "Accuracy of the evaluations" in text


def test_runs_of_one_name_are_told_apart(trained, tmp_path):
    one = shutil.copytree(trained, tmp_path / "a" / "run")
    two = shutil.copytree(trained, tmp_path / "b" / "run")
    text = write_comparison([str(one), str(two)], tmp_path / "page.html").read_text()
    assert ">a/run<" in text
    assert ">b/run<" in text


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "give one run directory or more"),
        (["nowhere"], 5, "nowhere holds no run: config.json is missing"),
        (["--outputs=x", "y"], 2, "--outputs: no such flag. Did you mean 'output'?"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, words, status, message):
    monkeypatch.chdir(tmp_path)
    assert program.main(["report", *words]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_damaged_line_of_metrics_is_passed_over_with_a_warning(copied, capsys):
    path = copied / "metrics.jsonl"
    rows = len(RunRecord.read(copied).train_rows)
    path.write_text("[" * 100_000 + "\n" + path.read_text())
    assert len(RunRecord.read(copied).train_rows) == rows
    assert re.search(
        rf"^warning: 1 of \d+ lines of {path} cannot be read\.$", capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["result.json", "environment.json"])
def test_damaged_records_are_named(copied, name):
    (copied / name).write_text("[" * 100_000)
    with pytest.raises(RunDirError, match=re.escape(name)):
        RunRecord.read(copied)


def test_rows_of_another_kind_are_left_out(copied):
    with (copied / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "train", "step": "many", "loss": None}) + "\n")
        file.write("[1, 2]\n")
    before = len(
        [r for r in read_json_lines(copied / "metrics.jsonl")[:-1] if r["kind"] == "train"]
    )
    assert len(RunRecord.read(copied).train_rows) == before


def test_the_pictures_are_in_tensorboard(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard" / "test"))
    events.Reload()
    names = {path.stem for path in (trained / "plots").glob("*.png")}
    assert names == {
        "curve-loss", "curve-accuracy", "confusion", "samples", "mistakes", "calibration"
    }  # fmt: skip
    assert set(events.Tags()["images"]) == names
    (image,) = events.Images("confusion")
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert image.step == read_json(trained / "result.json")["global_step"]
