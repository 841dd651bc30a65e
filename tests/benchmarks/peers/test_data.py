"""The file that the peers read their data from."""

from __future__ import annotations

from benchmarks.peers.data import main


def test_help_writes_nothing(tmp_path, capsys):
    assert main(["data", str(tmp_path / "place.json"), "--help"]) == 0
    assert "--dataset" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
