"""The table of a job's runs, whatever their records hold."""

from __future__ import annotations

import csv
import io

from rich.console import Console

from trainer.submit import table

HOSTILE = ("[red]x[/red]", "[/]", "\x1b]0;owned\x07", ":smile:", "=1+1", "@x", "-1", 'a,b\n"c"')


def test_on_a_terminal_names_stay_names():
    text = io.StringIO()
    rows = [{"run": name, "status": name} for name in HOSTILE[:1]]
    rows += [{"run": str(number), "status": name} for number, name in enumerate(HOSTILE)]
    Console(file=text, force_terminal=True, width=200).print(table.show(rows))
    for name in ("[red]x[/red]", "[/]", r"\x1b]0;owned\x07", ":smile:"):
        assert name in text.getvalue()
    assert "\x1b]0" not in text.getvalue()


def test_in_a_spreadsheet_they_are_not_computed(tmp_path):
    path = table.write_csv(tmp_path, [{"run": name, "step": -1} for name in HOSTILE])
    with path.open(newline="") as file:
        found = [row["run"] for row in csv.DictReader(file)]
    assert found[4:7] == ["'=1+1", "'@x", "-1"]
    assert found[:4] == list(HOSTILE[:4])
    assert found[7] == HOSTILE[7]
