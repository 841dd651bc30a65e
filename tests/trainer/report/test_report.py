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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrate.errors import RunDirError
from flowrate.records import read_json, write_json
from trainer.report import __main__ as program
from trainer.report.page import render_comparison, render_page
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


def test_the_counts_are_those_of_the_evaluation(trained):
    record = RunRecord.read(trained)
    result = read_json(trained / "result.json")
    assert record.scores.accuracy == pytest.approx(result["test_accuracy"], abs=1e-12)
    text = (trained / "report.html").read_text()
    row = int(record.scores.confusion[3].sum())
    assert f'<th scope="row">3</th><td>{row}</td>' in text


def test_the_page_needs_the_folder_alone_and_is_the_same_again(trained, tmp_path, capsys):
    moved = shutil.copytree(trained, tmp_path / "elsewhere" / trained.name)
    before = (moved / "report.html").read_text()
    (moved / "report.html").unlink()
    shutil.rmtree(moved / "checkpoints")
    assert program.main(["report", str(moved)]) == 0
    assert capsys.readouterr().out.strip() == str(moved / "report.html")
    assert (moved / "report.html").read_text().replace(str(moved), str(trained)) == before


def test_hostile_texts_are_texts(copied):
    plan = read_json(copied / "plan.json")
    plan["data"]["class_names"][0] = HOSTILE
    write_json(copied / "plan.json", plan)
    text = write_report(copied)[0].read_text()
    write_json(copied / "result.json", {"status": "diverged", "error": HOSTILE, "exit_code": 6})
    failed = write_report(copied)[0].read_text()
    assert "Diverged: &lt;script&gt;" in failed
    for each in (text, failed):
        assert "script" not in Page(each).tags
        assert "&lt;script&gt;" in each


def test_a_run_that_was_stopped_shows_what_it_has(copied):
    for name in ("result.json", "predictions.npz", "report.html"):
        (copied / name).unlink()
    text = write_report(copied)[0].read_text()
    assert "The run has not ended" in text
    assert "Learning curves" in Page(text).headings
    assert "kept no predictions" in text


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
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{", '{"status": []}'])
def test_damaged_records_are_named_in_one_line(copied, capsys, name, text):
    (copied / name).write_text(text)
    if name == "result.json" or "status" not in text:
        assert program.main(["report", str(copied)]) == 5
        (line,) = capsys.readouterr().err.splitlines()
        assert name in line


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_change_of_a_result_is_shown_or_refused(trained, tmp_path, data):
    """Never an internal error."""
    folder = tmp_path / "changed"
    if not folder.exists():
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("checkpoints", "*.keras"))
    result = read_json(trained / "result.json")
    odd = st.sampled_from([None, "x", -1, 0, 1.5, 10**30, True, [], [None], {}, {"a": "b"}])
    for name in data.draw(st.lists(st.sampled_from(sorted(result)), min_size=1, max_size=3)):
        result[name] = data.draw(odd)
    for name in data.draw(st.lists(st.sampled_from(sorted(result)), max_size=2)):
        result.pop(name, None)
    write_json(folder / "result.json", result)
    try:
        record = RunRecord.read(folder)
    except RunDirError:
        return
    assert_opens_offline(render_page(record, [], []))
    render_comparison([record])


def test_rows_of_another_kind_are_left_out(copied):
    before = len(RunRecord.read(copied).train_rows)
    with (copied / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "train", "step": "many", "loss": None}) + "\n")
        file.write(json.dumps({"kind": "train", "step": 1, "loss": 1e300}) + "\n[1, 2]\n")
    assert len(RunRecord.read(copied).train_rows) == before


def test_a_run_that_logged_no_step_shows_how_it_ended(copied):
    lines = (copied / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copied / "metrics.jsonl").write_text("".join(x for x in lines if '"train"' not in x))
    (row,) = RunRecord.read(copied).train_rows
    result = read_json(copied / "result.json")
    assert (row["step"], row["loss"]) == (result["global_step"], result["train_loss"])
    text = write_report(copied)[0].read_text()
    assert "Learning curves" in Page(text).headings


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
