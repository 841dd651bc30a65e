"""Unpacking of archives that others made; tests/faults has thirty more."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
import zlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipelines.fetch import tar as _tar

TOP = "photos"
PARTS = st.sampled_from(["..", ".", "", "/", TOP, "a", "b.jpg", "out", "a\\b", "\n"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5
)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
                         tarfile.FIFOTYPE, tarfile.CHRTYPE])  # fmt: skip
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


def pack(members: list[tuple[str, bytes, str]], content: bytes = b"lead") -> bytes:
    """Returns a .tar.gz of (name, kind, what it links to)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def extract(folder: Path, content: bytes) -> None:
    (folder / "a.tgz").write_bytes(content)
    (folder / "to").mkdir()
    _tar.extract(folder / "a.tgz", folder / "to", TOP, max_files=100, max_bytes=2**20)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PATHS, KINDS, PATHS), max_size=5))
def test_nothing_leaves_the_folder(members):
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        (folder / "treasure").write_text("gold")
        with contextlib.suppress(tarfile.TarError, OSError, zlib.error):
            extract(folder, pack(members))
        assert {each.name for each in folder.iterdir()} == {"a.tgz", "to", "treasure"}
        assert (folder / "treasure").read_text() == "gold"
        assert {each.name for each in (folder / "to").iterdir()} <= {TOP}
        for each in (folder / "to").rglob("*"):
            assert not each.is_symlink()
            assert each.is_dir() or (each.is_file() and each.stat().st_nlink == 1)


def test_files_and_folders_are_taken(tmp_path):
    sound = [(TOP, tarfile.DIRTYPE, ""), (f"{TOP}/a/1.jpg", tarfile.REGTYPE, "")]
    extract(tmp_path, pack([*sound, (f"./{TOP}/b/2.jpg", tarfile.REGTYPE, "")]))
    assert (tmp_path / "to" / TOP / "a" / "1.jpg").read_bytes() == b"lead"
    assert (tmp_path / "to" / TOP / "b" / "2.jpg").read_bytes() == b"lead"


def test_wanted_files_are_read_without_unpacking(tmp_path):
    members = [(f"{TOP}/{name}", tarfile.REGTYPE, "") for name in ("a", "b", "c")]
    (tmp_path / "a.tgz").write_bytes(pack(members))
    found = _tar.read_files(tmp_path / "a.tgz", {"a", "c", "d"}, max_bytes=100)
    assert found == {"a": b"lead", "c": b"lead"}
