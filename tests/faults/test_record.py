"""What the tests of a promise note becomes a row, and the rows a table."""

from __future__ import annotations

from faults.tools import promises
from faults.tools.promises import Attempt

from flowrate.records import read_json_lines


def test_figures_go_together_as_their_names_say():
    found = promises.merged([("kills", 2), ("kills", 3), ("most_steps", 5), ("most_steps", 2),
                             ("save_seconds", 1.5), ("least_x", 4), ("least_x", 3)])  # fmt: skip
    assert found == {"kills": 5, "most_steps": 5, "save_seconds": 1.5, "least_x": 3}
    assert promises.in_words(found) == "kills 5, most steps 5, save 1.50 s, least x 3"


def test_one_that_broke_fails_the_row_and_is_named(tmp_path, monkeypatch):
    page, records = tmp_path / "page.md", tmp_path / "records.jsonl"
    page.write_text("a\n<!-- table: faults -->\nold\n<!-- end: faults -->\nb\n")
    monkeypatch.setattr(promises, "PAGE", page)
    monkeypatch.setattr(promises, "RECORDS", records)
    attempts = [Attempt("flips", "failed", "not found", {}, 2.0),
                Attempt("cuts", "passed", "", {"damages": 1200}, 3.0),
                Attempt("mounts", "skipped", "needs root", {}, 0.0)]  # fmt: skip
    promises.write({"P4": attempts}, seed=0)
    (row,) = [row for row in read_json_lines(records) if row["kind"] == "result"]
    assert (row["status"], row["error"]) == ("failed", "flips: not found")
    assert row["metrics"] == {
        "attempts": 2, "attempts_kept": 1, "attempts_not_here": 1, "damages": 1200
    }  # fmt: skip
    assert "| 1 of 2 **broken** | damages 1,200 | 5 s |" in page.read_text()
    assert page.read_text().startswith("a\n<!-- table: faults -->\n| |")
    assert page.read_text().endswith(".\n<!-- end: faults -->\nb\n")


def test_the_page_has_the_table_of_the_records():
    page = promises.PAGE.read_text()
    assert promises.with_table(page, read_json_lines(promises.RECORDS)) == page
