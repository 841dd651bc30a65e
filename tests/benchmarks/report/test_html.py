"""report.html: whole, escaped, offline, and with every row of the records in it."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from subprocess import run

import matplotlib
import pytest

from benchmarks.report import write_report
from flowrate.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}
LOADS = {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}


class Page(HTMLParser):
    """Checks that tags are balanced, and keeps what the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.loads, self.scripts = [], [], [], 0
        self.tables, self.texts, self.svg_texts = [], [], []
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
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append([])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "text" in self.open:
            self.svg_texts.append(data.strip())
        if self.open and self.open[-1] in ("td", "th", "span", "code") and "tr" in self.open:
            self.tables[-1][-1][-1].append(data)

    def rows(self):
        return [[" ".join(cell) for cell in row] for table in self.tables for row in table]


@pytest.fixture
def page(results):
    """Returns a function: the text of report.html made of some rows, and the parsed page."""

    def make(rows, **options):
        folder = results(rows, **options)
        text = write_report(folder)[0].read_text(encoding="utf-8")
        return text, Page(text)

    return make


def test_the_files(results, realistic_rows):
    folder = results(realistic_rows)
    paths = write_report(folder)
    assert [path.name for path in paths] == ["report.html", "report.md", "report.csv"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["records.jsonl", *(path.name for path in paths)]
    )


def test_into_another_folder(results, row, tmp_path):
    source = results([row()])
    (tmp_path / "out").mkdir()
    paths = write_report(tmp_path / "out", [source])
    assert all(path.parent == tmp_path / "out" and path.exists() for path in paths)
    assert not (source / "report.html").exists()


def test_the_same_records_give_the_same_bytes(results, realistic_rows):
    first = [path.read_bytes() for path in write_report(results(realistic_rows, name="a"))]
    # Whatever the user's own matplotlib settings are.
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "path"}):
        second = [path.read_bytes() for path in write_report(results(realistic_rows, name="b"))]
    assert first == second


def test_the_page_is_whole_and_offline(page, realistic_rows):
    text, parsed = page(realistic_rows)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(target.startswith("#") and target[1:] in parsed.ids for target in parsed.loads)
    assert parsed.scripts == 1
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert "default-src 'none'" in text
    assert "nan" not in re.findall(r"\w+", text.lower())


def test_references_within_drawings_are_unambiguous(page, realistic_rows):
    text, parsed = page(realistic_rows)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(parsed.ids)
    assert "\ufffd" not in text


def test_text_of_drawings_stays_text(page, realistic_rows):
    _, parsed = page(realistic_rows)
    for word in (
        "flowrate",
        "keras_fit",
        "jax_scan",
        "failed",
        "out of memory",
        "replicas",
        "ideal",
    ):
        assert word in parsed.svg_texts


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
    assert "alert(1)" in "".join(parsed.texts)


def test_numbers_of_the_table(page, row):
    def repeats(contender, rates, accuracies):
        return [
            row(contender=contender, repeat=i, seed=i, wall_seconds=21.234,
                metrics={"steps_per_second": rate, "test_accuracy": accuracy,
                         "peak_memory_bytes": 512 * 2**20, "flops_per_second": 4.1e9,
                         "peak_share": 0.0412, "step_p50_ms": 0.25, "step_p90_ms": 0.3,
                         "step_p99_ms": 1.5})
            for i, (rate, accuracy) in enumerate(zip(rates, accuracies))
        ]  # fmt: skip

    ours = repeats("flowrate", (4000.0, 4400.0, 4840.0), (0.88, 0.89, 0.90))
    theirs = repeats("keras_fit", (400.0, 440.0, 484.0), (0.87, 0.87, 0.87))
    rows = page([*ours, *theirs])[1].rows()
    (flowrate,) = [r for r in rows if r[1:3] == ["flowrate", "4,400 4,000 to 4,840"]]
    assert flowrate == [
        "fashion_ mnist- mlp", "flowrate", "4,400 4,000 to 4,840", "\u2013", "3", "ok",
        "0.8900 ± 0.0100 3 seeds", "21.2 21.2 to 21.2",
    ]  # fmt: skip
    (keras,) = [r for r in rows if r[1:3] == ["keras_fit", "440 400 to 484"]]
    assert keras[3].startswith("10.0x ")
    assert [
        "fashion_ mnist- mlp",
        "keras_fit",
        "0.250",
        "0.300",
        "1.50",
        "4.10",
        "4.12",
        "512",
    ] in [row for row in rows if len(row) == 8]


def test_every_row_is_accounted_for(page, realistic_rows):
    text, parsed = page(realistic_rows)
    shown = "".join(parsed.texts)
    for row in realistic_rows:
        assert row["command"] in shown
        assert row["case"] in shown
        if row["error"]:
            assert row["error"] in shown
        for reason in row["health"]["reasons"]:
            assert reason in shown
    assert f"{len(realistic_rows)} repeats" in shown
    assert "0 of 3" in shown
    assert "3 failed" in shown
    assert "1 noisy" in shown
    assert "records.jsonl" in text


def test_a_replaced_row_is_mentioned(page, row):
    text, _ = page([row(status="failed", error="first try"), row()])
    assert "1 earlier row was replaced" in text
    assert "first try" not in text


def test_the_environment_is_shown(page, row):
    environments = [
        {**ENVIRONMENT, "environment_id": name, "hostname": f"host-{name}"} for name in ("a", "b")
    ]
    rows = [row(environment_id="a"), row(environment_id="c", repeat=1)]
    text, _ = page(rows, environments=environments)
    for words in ("AMD EPYC", "2 cores", "15.6 GiB", "tensorflow 2.21.0", "abc123", "host-a"):
        assert words in text, words
    assert "come from 2 machines" in text
    assert "Environment c: named by results" in text


def test_a_machine_is_shown_once_with_its_runs(page, row):
    environments = [
        {**ENVIRONMENT, "environment_id": name, "commit": name * 40} for name in ("a", "b")
    ]
    rows = [row(environment_id="a"), row(environment_id="b", repeat=1)]
    text, _ = page(rows, environments=environments)
    assert text.count("Instruction sets") == 1
    assert "machines (or versions" not in text
    for commit in ("a" * 12, "b" * 12):
        assert f"<code>{commit}</code>" in text


def test_no_figures_at_all(page, row):
    text, parsed = page([row(status="skipped", error="no accelerator")])
    assert "No case gave a figure." in text
    assert "no accelerator" in "".join(parsed.texts)
    assert "<figure" not in text


def test_a_single_repeat_has_no_interval(page, row):
    rows = page([row(metrics={"steps_per_second": 12.0, "efficiency": 0.5})])[1].rows()
    assert ["fashion_ mnist- mlp", "flowrate", "12.0", "1", "ok", "0.500", "20.0"] in rows


def test_an_empty_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"has no records\.jsonl") as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_neither_tensorflow_nor_a_window_is_loaded():
    code = (
        "import sys, benchmarks.report; "
        "print(sorted({'tensorflow', 'keras', 'matplotlib.pyplot'} & sys.modules.keys()))"
    )
    done = run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ENVIRONMENT = {
    "kind": "environment", "schema_version": 1, "environment_id": "a", "hostname": "host",
    "platform": "Linux", "python": "3.11.2",
    "cpu": {"model": "AMD EPYC", "count": 2, "flags": []}, "memory_bytes": 15.6 * 2**30,
    "versions": {"tensorflow": "2.21.0"}, "commit": "abc123", "devices": [],
    "command": "python -m benchmarks.main run", "started_at": "2026-11-22T05:00:00+00:00",
}  # fmt: skip
