"""The tables of documents: made from records, set between markers."""

from __future__ import annotations

import re

import pytest

from benchmarks.report.readme import (
    code,
    escaped,
    readme_table,
    replace_between_markers,
    update_file,
)
from flowrate.errors import ConfigError


def cells_of(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def tables_of(text):
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    return [[cells_of(line) for line in block] for block in blocks]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fashion_mnist-mlp", "fashion_mnist-mlp"),
        ("_a_", r"\_a\_"),
        ("a|b\nc  d", r"a\|b c d"),
        ("<b> & *c* [d](e) `f`", r"&lt;b&gt; &amp; \*c\* \[d\](e) \`f\`"),
    ],
)
def test_escaped(text, shown):
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a b", "`a b`"), ("a `b` c", "``a `b` c``"), ("`a", "`` `a ``"), ("a|b", r"`a\|b`")],
)
def test_code(text, shown):
    # Where the text begins or ends with a backtick, a space keeps the fence apart.
    assert code(text) == shown


def test_the_readme_table_sets_contenders_side_by_side(results, row):
    def rated(contender, rates, **fields):
        return [
            row(contender=contender, repeat=i, seed=i, **fields,
                metrics={"steps_per_second": rate, "test_accuracy": 0.88})
            for i, rate in enumerate(rates)
        ]  # fmt: skip

    rows = [
        *rated("flowrate", (4000.0, 4400.0)),
        *rated("keras_fit", (400.0, 440.0)),
        row(contender="torch_eager", status="failed", error="x"),
    ]
    folder = results(rows)
    text = readme_table(folder, "tutorials")
    speed, accuracy, wall = tables_of(text)
    assert speed[0] == ["Rate, steps/s", "`flowrate`", "`keras_fit`", "`torch_eager`"]
    assert speed[2] == [
        "fashion_mnist-mlp", "4,200 (4,000 to 4,400)", "420 (400 to 440), 10.0x", "failed",
    ]  # fmt: skip
    assert accuracy[2][1:] == ["0.8800 ± 0.0000", "0.8800 ± 0.0000", "\u2013"]
    assert wall[2][1:] == ["20.0", "20.0", "\u2013"]
    for words in ("n = 2", "AMD EPYC 7003, 2 cores", "tensorflow 2.21.0", "2026-11-22"):
        assert words in text
    assert text == readme_table(folder, "tutorials")


def test_a_suite_without_peers_has_a_line_for_each_case(results, realistic_rows):
    folder = results(realistic_rows)
    (table,) = tables_of(readme_table(folder, "throughput"))
    assert len(table) == 2 + 24


def test_a_suite_that_is_not_there(results, row):
    with pytest.raises(ConfigError, match="no results of the suite 'input'; it has tutorials"):
        readme_table(results([row()]), "input")


def test_replace_between_markers():
    text = "before\n<!-- table: a -->\nold\n<!-- end: a -->\nafter\n"
    new = replace_between_markers(text, "a", "| new |\n")
    assert new == "before\n<!-- table: a -->\n| new |\n<!-- end: a -->\nafter\n"
    assert replace_between_markers(new, "a", "| new |") == new


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- table: a -->", "<!-- end: a --> is missing"),
        ("<!-- end: a -->", "<!-- table: a --> is missing"),
        ("<!-- end: a --> <!-- table: a -->", "stands before"),
        ("<!-- table: a --> <!-- end: a --> <!-- end: a -->", "stands 2 times"),
    ],
)
def test_markers_that_do_not_pair(text, words):
    with pytest.raises(ConfigError, match=words):
        replace_between_markers(text, "a", "x")


def test_a_file_is_brought_up_to_date(results, row, tmp_path):
    folder = results([row(metrics={"steps_per_second": 12.0})])
    path = tmp_path / "README.md"
    path.write_text(
        "# A\n<!-- table: tutorials -->\nold\n<!-- end: tutorials -->\n"
        "<!-- table: input -->\nkept\n<!-- end: input -->\n"
    )
    update_file(folder, path)
    text = path.read_text()
    assert readme_table(folder, "tutorials") in text
    assert "old" not in text
    assert "kept" in text
    update_file(folder, path)
    assert path.read_text() == text


def test_a_file_that_cannot_be_brought_up_to_date(results, row, tmp_path):
    folder = results([row()])
    path = tmp_path / "README.md"
    with pytest.raises(ConfigError, match="cannot read"):
        update_file(folder, path)
    path.write_text("<!-- table: input --> <!-- end: input -->")
    with pytest.raises(ConfigError, match="has no marker <!-- table: NAME --> for tutorials"):
        update_file(folder, path)


def test_changes_beside_the_commit_are_said(results, row):
    environment = {**ENVIRONMENT, "commit": "0123456789abcdef-dirty"}
    text = readme_table(results([row()], environments=[environment]), "tutorials")
    assert "commit 0123456789ab with changes." in text


ENVIRONMENT = {
    "kind": "environment", "schema_version": 1, "environment_id": "9f3c", "hostname": "host",
    "platform": "Linux", "python": "3.11.2", "cpu": {"model": "AMD EPYC", "count": 2, "flags": []},
    "memory_bytes": 2**30, "versions": {"tensorflow": "2.21.0"}, "commit": None, "devices": [],
    "command": "run", "started_at": "2026-11-22T05:00:00+00:00",
}  # fmt: skip
