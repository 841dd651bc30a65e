"""P16: archives made to write where they must not, or to take all room, are refused."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults.tools.refusals import Payload

from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import mnist
from input_pipelines.fetch import tar

TOP = "photos"
_MOST_FILES, _MOST_BYTES = 1000, 2**24
_GOOD = f"{TOP}/daisy/1.jpg"
Member = tuple[tarfile.TarInfo, bytes]


def _file(name: str, content: bytes = b"lead") -> Member:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o6777
    return member, content


def _special(name: str, kind: bytes, to: str = "") -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.devmajor, member.devminor = kind, to, 1, 5
    return member, b""


def _link(name: str, to: str) -> Member:
    return _special(name, tarfile.SYMTYPE, to)


def _pack(*members: Member) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _promise(size: int, kind: bytes) -> bytes:
    member = tarfile.TarInfo(f"{TOP}/x")
    member.size, member.type = size, kind
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(2**16)) + packer.flush()


_NAMES = (
    "../treasure", f"{TOP}/../../../treasure", "/tmp/flowrate-escape", "elsewhere/1.jpg", ".",
    f"{TOP}/a\nb.jpg", f"{TOP}\\..\\..\\x", f"{TOP}/{300 * 'n'}", f"{TOP}/{3000 * 'd/'}x",
)  # fmt: skip
_WHOLE = _pack(_file(_GOOD, os.urandom(5000)))
_TARS = {
    **{f"name {number}": _pack(_file(name)) for number, name in enumerate(_NAMES)},
    "a link out": _pack(_link(f"{TOP}/out", "../../../treasure")),
    "a link, then through it": _pack(_link(f"{TOP}/out", "../../.."), _file(f"{TOP}/out/treasure")),
    "the folder itself is a link": _pack(_link(TOP, "../.."), _file(f"{TOP}/treasure")),
    "a link within": _pack(_file(_GOOD), _link(f"{TOP}/also", "daisy/1.jpg")),
    "a hard link out": _pack(_special(f"{TOP}/out", tarfile.LNKTYPE, "../../treasure")),
    "a pipe": _pack(_special(f"{TOP}/pipe", tarfile.FIFOTYPE)),
    "a device": _pack(_special(f"{TOP}/zero", tarfile.CHRTYPE)),
    "twice the same": _pack(_file(_GOOD, b"x"), _file(_GOOD, b"y")),
    "apart by case only": _pack(_file(_GOOD, b"x"), _file(_GOOD.upper(), b"y")),
    "a file, then a folder": _pack(_file(f"{TOP}/x", b"x"), _file(f"{TOP}/x/y", b"y")),
    "too many": _pack(*(_file(f"{TOP}/{number}", b"") for number in range(_MOST_FILES + 1))),
    "too large together": _pack(*(_file(f"{TOP}/{n}", bytes(_MOST_BYTES // 4)) for n in range(5))),
    "cut short": _WHOLE[: len(_WHOLE) // 2],
    "no archive": b"<html>404</html>",
    "an end that does not agree": _WHOLE[:-8] + bytes(8),
    "a promise of a terabyte": _promise(2**40, tarfile.REGTYPE),
    "a header of a gigabyte": _promise(2**30, tarfile.XHDTYPE),
}


def _extract(content: bytes, folder: Path) -> str:
    """Returns why it is refused; nothing is written or changed outside its folder."""
    target = folder / "cache" / "unpacked"
    target.mkdir(parents=True)
    (folder / "treasure").write_text("gold")
    (folder / "a.tgz").write_bytes(content)
    refused = ""
    try:
        tar.extract(folder / "a.tgz", target, TOP, _MOST_FILES, _MOST_BYTES)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        refused = str(error) or type(error).__name__
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    outside = [path for path in found if not path.startswith(f"cache/unpacked/{TOP}")]
    assert outside == ["a.tgz", "cache", "cache/unpacked", "treasure"]
    assert (folder / "treasure").read_text() == "gold"
    for path in target.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or (path.is_file() and path.stat().st_mode & 0o7111 == 0)
    return refused


@pytest.mark.parametrize("name", _TARS)
def test_a_tar_is_refused(name, tmp_path, record):
    assert _extract(_TARS[name], tmp_path)
    record(hostile_archives=1, escapes=0)


def test_a_sound_tar_is_taken(tmp_path):
    assert not _extract(_WHOLE, tmp_path)


_HUGE_HEADER = b"\x93NUMPY\x01\x00v\x00" + (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000000, 28, 28), }".ljust(117)
    + b"\n"
)
_NPZ: dict[str, Callable[[Path], None]] = {
    "names that lead out": lambda path: _zip(path, "../../treasure.npy", b"lead"),
    "pickled objects": lambda path: np.savez(path, x_train=np.array([Payload()], object)),
    "a bomb": lambda path: _zip(path, "x_train.npy", bytes(2**27 + 1)),
    "a shape of terabytes": lambda path: _zip(path, "x_train.npy", _HUGE_HEADER),
}


def _zip(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, content)


@pytest.mark.parametrize("name", _NPZ)
def test_an_npz_is_refused(name, tmp_path, monkeypatch, record):
    monkeypatch.chdir(tmp_path)
    _NPZ[name](tmp_path / "mnist.npz")
    with pytest.raises(DataError, match=r"mnist\.npz"):
        mnist.load(LoadOptions(image_shape=(28, 28, 1), data_dir=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.npz"]
    record(hostile_archives=1, escapes=0)
