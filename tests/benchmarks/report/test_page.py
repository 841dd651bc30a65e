"""report.html and report.csv: whole, escaped, offline, and with every row of the records."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.records import read_records
from benchmarks.report.entry import suites_of
from benchmarks.report.pictures import pictures
from benchmarks.report.tables import suite_tables
from benchmarks.report.write import write_report
from flowrate.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[3]
VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}
LOADS = {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}


class Page(HTMLParser):
    """Checks that tags are balanced, and keeps what the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.loads, self.texts, self.scripts = [], [], [], [], 0
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.loads += [attributes[name] for name in LOADS & attributes.keys()]
        self.scripts += tag == "script"

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)


@pytest.fixture
def page(results):
    """Returns a function: the text of report.html made of some rows, and the parsed page."""

    def make(rows, **options):
        text = write_report(results(rows, **options))[0].read_text(encoding="utf-8")
        return text, Page(text)

    return make


@pytest.fixture
def suite_of(results):
    """Returns a function: rows of one suite -> what the report has of it."""

    def read(rows):
        (of,) = suites_of(read_records(results(rows)))
        return of

    return read


def test_the_page_is_whole_offline_and_has_every_row(page, realistic_rows):
    text, parsed = page(realistic_rows)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(target.startswith("#") and target[1:] in parsed.ids for target in parsed.loads)
    assert parsed.scripts == 1
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    assert "nan" not in re.findall(r"\w+", text.lower())
    for row in realistic_rows:
        assert row["command"] in parsed.text
        assert row["case"] in parsed.text
        assert (row["error"] or "") in parsed.text
        assert all(reason in parsed.text for reason in row["health"]["reasons"])
    assert f"{len(realistic_rows)} repeats" in parsed.text
    for words in ("0 of 3", "3 failed", "1 noisy"):
        assert words in parsed.text


def test_the_same_records_give_the_same_bytes(results, realistic_rows):
    first, second = (
        [path.read_bytes() for path in write_report(results(realistic_rows, name=name))]
        for name in "ab"
    )
    assert first == second


def test_hostile_text_is_shown_not_run(page, row):
    bad = "</td><script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [
        row(case=bad, contender=f"{bad}$x$", command=bad, labels={"dataset": bad, bad: bad},
            metrics={"steps_per_second": 1.0}, phases={bad: 1.0},
            verdict={"bound": bad, "text": bad, "flag": bad}),
        row(case=bad, metrics={"steps_per_second": 2.0}),
        row(case=bad, contender="torch_eager", status="failed", error=bad),
    ]  # fmt: skip
    text, parsed = page(rows)
    assert parsed.scripts == 1
    assert "<img" not in text
    assert "alert(1)" in parsed.text


def test_the_figures_of_the_tables(suite_of, row):
    def repeats(contender, rates, accuracies, **metrics):
        return [
            row(contender=contender, repeat=i, seed=i, wall_seconds=21.234,
                metrics={"steps_per_second": rate, "test_accuracy": accuracy, **metrics})
            for i, (rate, accuracy) in enumerate(zip(rates, accuracies))
        ]  # fmt: skip

    ours = repeats(
        "flowrate", (4000.0, 4400.0, 4840.0), (0.88, 0.89, 0.90), step_p50_ms=0.25,
        step_p99_ms=1.5, peak_memory_bytes=512 * 2**20,
    )  # fmt: skip
    theirs = repeats("keras_fit", (400.0, 440.0, 484.0), (0.87, 0.87, 0.87))
    (first, second), missing = suite_tables(suite_of([*ours, *theirs]))
    titles = [column.title for column in first.columns]
    assert titles == [
        "Case", "Contender", "Rate", "Flowrate ÷ this", "n", "Marks", "Test accuracy", "Wall time",
    ]  # fmt: skip
    flowrate, keras = (dict(zip(titles, cells)) for cells in first.rows)
    assert (flowrate["Rate"].text, flowrate["Rate"].detail) == ("4,400", "4,000 to 4,840")
    assert flowrate["Test accuracy"].text == "0.8900 ± 0.0100"
    assert [flowrate[title].text for title in ("n", "Marks", "Wall time")] == ["3", "ok", "21.2"]
    assert keras["Flowrate ÷ this"].text == "10.0x"
    assert first.highlighted == {0}
    # Of their steps, peers say nothing here.
    (cells,) = second.rows
    assert [cell.text for cell in cells[2:]] == ["0.250", "1.50", "512"]
    assert "Efficiency" in missing


def test_a_suite_of_ours_alone_names_no_contender_and_no_ratio(suite_of, row):
    ((table,), _) = suite_tables(
        suite_of([row(suite="throughput", metrics={"steps_per_second": 1})])
    )
    assert [column.title for column in table.columns] == ["Case", "Rate", "n", "Marks"]


def test_a_target_counts_its_misses(suite_of, row):
    rows = [
        row(suite="accuracy", repeat=i, metrics={"reached_target": int(i < 4)}) for i in range(5)
    ]
    ((table,), _) = suite_tables(suite_of(rows))
    assert "4 of 5" in [cell.text for cell in table.rows[0]]


def test_contenders_of_a_case_stand_together_with_the_limit(suite_of, row):
    rows = [
        row(case=case, contender=contender, metrics={"steps_per_second": rate, **more})
        for case in ("a", "b")
        for contender, rate, more in (
            ("flowrate", 4.0, {"limit_steps_per_second": 5.0}), ("keras_fit", 2.0, {}),
        )
    ]  # fmt: skip
    rows.append(row(case="b", contender="torch_eager", status="failed", error="x"))
    (picture,) = pictures(suite_of(rows))
    assert [panel.title for panel in picture.panels] == ["a", "b"]
    ours, theirs, failed = picture.panels[1].bars
    assert (ours.label, ours.value, ours.mark) == ("flowrate", 4.0, 5.0)
    assert (theirs.label, theirs.mark) == ("keras_fit", None)
    assert (failed.text, failed.parts) == ("failed", ())


def test_without_peers_the_cases_of_a_work_stand_together(suite_of, row):
    rows = [
        row(suite="throughput", case=f"mnist-{model}{change}", metrics={"steps_per_second": 1.0},
            labels={"dataset": "mnist", "model": model})
        for model in ("mlp", "cnn")
        for change in ("", "-jit_off")
    ]  # fmt: skip
    (picture,) = pictures(suite_of(rows))
    assert [panel.title for panel in picture.panels] == ["mnist · mlp", "mnist · cnn"]
    assert [bar.label for bar in picture.panels[0].bars] == ["mnist-mlp", "jit_off"]
    (single,) = pictures(suite_of(rows[::2]))
    assert [panel.title for panel in single.panels] == ["All cases"]
    assert pictures(suite_of([row(status="failed", error="x")])) == []


def test_where_it_was_measured(page, row):
    def environment(name, **changes):
        return {**ENVIRONMENT, "environment_id": name, **changes}

    environments = [
        environment("a", command="one"),
        environment("a", command="two"),
        environment("b", commit="b" * 40),
        environment("c", hostname="host-c"),
    ]
    rows = [row(environment_id=name, repeat=i) for i, name in enumerate("abcd")]
    text, _ = page(rows, environments=environments)
    for words in ("AMD EPYC", "2 cores", "15.6 GiB", "tensorflow 2.21.0", "abc123", "host-c"):
        assert words in text, words
    assert "come from 2 machines" in text
    assert text.count("Instruction sets") == 2
    assert "b" * 12 in text
    assert "b" * 13 not in text
    assert text.count("<code>one</code><code>two</code>") == 1
    assert "Environment d: named by results" in text


def test_what_is_left_out_is_said(page, row):
    text, _ = page([row(status="failed", error="first try"), row(), row(suite="no_more")])
    assert "1 earlier row was replaced" in text
    assert "first try" not in text
    assert "1 rows of the suite no_more" in text


def test_folders_without_results(results, row, tmp_path):
    for folder, words in (
        (tmp_path / "missing", "is not a folder"),
        (results([], name="nothing"), "no results in"),
        (results([row(suite="no_more")], name="old"), "no_more"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            write_report(folder)
        assert "\n" not in str(caught.value)
    bad = row(metrics={"steps_per_second": "fast"})
    with pytest.raises(DataError, match="steps_per_second"):
        write_report(results([bad], name="bad"))


def test_the_spreadsheet_has_a_line_for_each_result_with_all_digits(results, row):
    rows = [
        row(labels={"dataset": "mnist", "jit": None}, metrics={"steps_per_second": 0.1 + 0.2}),
        row(repeat=1, status="failed", error='one, "two"\nthree'),
    ]
    with write_report(results(rows))[1].open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert first["metrics.steps_per_second"] == "0.30000000000000004"
    assert (first["labels.dataset"], first["labels.jit"]) == ("mnist", "")
    assert second["metrics.steps_per_second"] == ""
    assert second["error"] == 'one, "two"\nthree'
    assert second["health.noisy"] == "False"


def test_neither_tensorflow_nor_matplotlib_is_loaded():
    code = (
        "import sys, benchmarks.report.write; "
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


ENVIRONMENT = {
    "kind": "environment", "schema_version": 1, "environment_id": "a", "hostname": "host",
    "platform": "Linux", "python": "3.11.2",
    "cpu": {"model": "AMD EPYC", "count": 2, "flags": []}, "memory_bytes": 15.6 * 2**30,
    "versions": {"tensorflow": "2.21.0"}, "commit": "abc123", "devices": [],
    "command": "python -m benchmarks.main run", "started_at": "2026-11-22T05:00:00+00:00",
}  # fmt: skip
