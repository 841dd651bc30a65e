"""Files that are whole or absent, and lines that are appended."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from flowrate import records
from flowrate.errors import DiskError

FULL_DISK = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL_DISK.exists(), reason="needs /dev/full")


def test_json_there_and_back(tmp_path):
    value = {"name": "Zürich \u2028", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    records.write_json(tmp_path / "value.json", value)
    assert records.read_json(tmp_path / "value.json") == value
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_has_no_word_for(tmp_path, value):
    path = tmp_path / "value.json"
    records.write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write_json(path, {"loss": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.append_json_lines(tmp_path / "rows.jsonl", [{"loss": 1.0}, {"loss": value}])
    assert records.read_json(path) == {"loss": 1.0}
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_reader_sees_the_old_text_or_the_new_one(tmp_path):
    path = tmp_path / "text"
    texts = ["a" * 300_000, "b" * 500_000]
    records.write_text(path, texts[0])
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(40):
            records.write_text(path, texts[(number + 1) % 2])
    finally:
        done.set()
        reader.join()
    assert seen <= set(texts)
    assert path.read_text() == texts[0]


@pytest.mark.parametrize("write", [
    lambda path: records.write_text(path, "text"),
    lambda path: records.write_json(path, {}),
    lambda path: records.append_json_lines(path, [{}]),
])  # fmt: skip
def test_a_file_that_cannot_be_written_is_named(tmp_path, write):
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(DiskError) as caught:
        write(path)
    assert str(caught.value) == f"cannot write {path}: No such file or directory."


@needs_full_disk
def test_a_full_disk_is_named():
    with pytest.raises(DiskError, match=r"^cannot write /dev/full: No space left on device\.$"):
        records.append_json_lines(FULL_DISK, [{"step": 1}])


def test_a_failed_write_leaves_the_old_text(tmp_path):
    path = tmp_path / "text"
    records.write_text(path, "old")
    (tmp_path / "text.tmp").mkdir()  # where the new text would be written first
    with pytest.raises(DiskError, match="Is a directory"):
        records.write_text(path, "new")
    assert path.read_text() == "old"


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.keras"
    with records.written_whole(path) as place:
        assert place.parent == tmp_path
        assert place.suffix == ".keras"  # by which some tell the format
        place.write_bytes(b"old")

    def fail(error: type[BaseException]) -> None:
        with records.written_whole(path) as place:
            place.write_bytes(b"new, and only a part")
            raise error

    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error):
            fail(error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_rows_are_appended(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"step": step, "loss": 1 / step, "text": "a\nb\u2028c"} for step in range(1, 6)]
    records.append_json_lines(path, rows[:2])
    records.append_json_lines(path, [])
    records.append_json_lines(path, iter(rows[2:]))
    assert records.read_json_lines(path) == rows
    assert [json.loads(line) for line in path.read_text().split("\n")[:-1]] == rows


def test_a_last_line_cut_short_by_a_crash_spoils_nothing(tmp_path):
    path = tmp_path / "rows.jsonl"
    records.append_json_lines(path, [{"step": 1}, {"step": 2}])
    path.write_bytes(path.read_bytes()[:-4])
    assert records.read_json_lines(path) == [{"step": 1}]
    records.append_json_lines(path, [{"step": 3}])
    assert records.read_json_lines(path) == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b"NaN", b'{"loss": Infinity}', b"7", b'"a"', b"[1]", b"\xff\x00\xfe"]
)
def test_what_is_no_row_is_passed_over_with_one_line(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    assert records.read_json_lines(path) == []
    path.write_bytes(b'{"step": 1}\n%b\n{"step": 2}\n%b\n' % (line, line))
    lines = []
    assert records.read_json_lines(path, lines.append) == [{"step": 1}, {"step": 2}]
    assert lines == [f"warning: 2 of 4 lines of {path} cannot be read."]


def test_disk_errors_turns_only_what_the_disk_did(tmp_path):
    with pytest.raises(DiskError, match=r"^cannot write here: quota gone\.$"), \
            records.disk_errors(Path("here")):  # fmt: skip
        raise OSError("quota gone")
    with pytest.raises(KeyError), records.disk_errors(Path("here")):
        raise KeyError("not the disk")


def test_syncing_what_is_not_there(tmp_path):
    (tmp_path / "file").write_text("text")
    records.sync_to_disk(tmp_path / "file")
    records.sync_to_disk(tmp_path)
    num_open = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    with pytest.raises(FileNotFoundError):
        records.sync_to_disk(tmp_path / "other")
    if num_open is not None:
        assert len(os.listdir("/proc/self/fd")) == num_open
