"""The processes of a run on this machine: which ends are final, and which are begun anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.distributed.process_group import ProcessGroup

# Its first worker to come ends at once; all others wait for what becomes of it.
PROGRAM = """
import os, pathlib, sys, time
try:
    pathlib.Path(sys.argv[1], os.environ["FLOWRATE_ATTEMPT"].split()[-1]).touch(exist_ok=False)
except FileExistsError:
    time.sleep(0.5)
    sys.exit(144)
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs two workers that end with a status; returns the group's."""
    (tmp_path / "ends.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(exit_code: int, max_restarts: int) -> int:
        (tmp_path / "came").mkdir()
        program = ["ends", str(tmp_path / "came"), str(exit_code)]
        return ProcessGroup(program, tmp_path, 2, max_restarts=max_restarts).run()

    return run


@pytest.mark.parametrize("exit_code", [1, *range(2, 10), 42, 126, 127])
def test_a_permanent_status_is_never_begun_anew(run, tmp_path, capfd, exit_code):
    assert run(exit_code, max_restarts=3) == exit_code
    assert names(tmp_path / "came") == ["0"]
    said = capfd.readouterr().out
    assert f"failed first, with status {exit_code}." in said
    assert "begin again" not in said


@pytest.mark.parametrize("exit_code", [128, 143, 145])
def test_a_passing_one_is_begun_anew_as_often_as_asked(run, tmp_path, capfd, exit_code):
    assert run(exit_code, max_restarts=1) == exit_code
    assert names(tmp_path / "came") == ["0", "1"]
    assert capfd.readouterr().out.count("begin again") == 1


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
