"""Archives made to write where they must not, or to take all room: none may leave its folder."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.faults._attempt import Attempt, check
from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import mnist
from input_pipelines.fetch import tar as _tar

TOP = "photos"
_MOST_FILES, _MOST_BYTES = 1000, 2**24
_GOOD = f"{TOP}/daisy/1.jpg"
Member = tuple[tarfile.TarInfo, bytes]


def attempts() -> list[Attempt]:
    """Returns one attempt of all archives."""
    return [Attempt("hostile archives", _unpack_all, is_quick=True)]


def _unpack_all(folder: Path) -> dict[str, float]:
    archives = [*_tars(), *_damaged_tars()]
    for name, content in archives:
        _try_tar(name, content, folder / "tar" / name)
    for name, write in _NPZ.items():
        _try_npz(name, write, folder / "npz" / name)
    _try_tar("a sound one", _pack([_file(_GOOD, b"a photo")]), folder / "sound", is_sound=True)
    return {"hostile_archives": len(archives) + len(_NPZ), "escapes": 0}


def _try_tar(name: str, content: bytes, folder: Path, is_sound: bool = False) -> None:
    """Checks that it is refused, and that nothing was written or changed outside its folder."""
    target = folder / "cache" / "unpacked"
    target.mkdir(parents=True)
    (folder / "treasure").write_text("gold")
    (folder / "a.tgz").write_bytes(content)
    try:
        _tar.extract(folder / "a.tgz", target, TOP, _MOST_FILES, _MOST_BYTES)
        refused = ""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        refused = str(error) or type(error).__name__
    check(bool(refused) != is_sound, f"{name}: {refused or 'was taken'}")
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    outside = [path for path in found if not path.startswith(f"cache/unpacked/{TOP}")]
    check(outside == ["a.tgz", "cache", "cache/unpacked", "treasure"], f"{name}: wrote {outside}")
    check((folder / "treasure").read_text() == "gold", f"{name}: wrote through a link")
    for path in target.rglob("*"):
        is_plain = path.is_dir() or (path.is_file() and path.stat().st_mode & 0o7111 == 0)
        check(is_plain and not path.is_symlink(), f"{name}: made {path.name}")


def _tars() -> Iterator[tuple[str, bytes]]:
    for number, path in enumerate(
        (
            "../treasure", f"{TOP}/../../../treasure", "/tmp/flowrate-escape", "//tmp/escape",
            f"{TOP}/..", f"{TOP}/daisy/../../x", "elsewhere/1.jpg", "1.jpg", ".", "..",
            f"{TOP}/a\nb.jpg", f"{TOP}/a\x1b[31m.jpg", f"{TOP}\\..\\..\\x",
            f"{TOP}/C:/x.jpg", f"{TOP}/{300 * 'n'}", f"{TOP}/{3000 * 'd/'}x", f"{TOP}//daisy/1.jpg",
            f"{TOP}/./x", f"~/{TOP}/x", f"{TOP}/a\u202egpj.exe",
        )
    ):  # fmt: skip
        yield f"name {number}", _pack([_file(path, b"lead")])
    with_nul, _ = _file(f"{TOP}/a", b"lead")
    with_nul.pax_headers = {"path": f"{TOP}/a\0b"}
    links = {
        "a name with a NUL": [(with_nul, b"lead")],
        "a link out": [_link(f"{TOP}/out", "../../../treasure")],
        "a link, then through it": [
            _link(f"{TOP}/out", "../../.."), _file(f"{TOP}/out/treasure", b"lead")
        ],
        "an absolute link": [_link(f"{TOP}/out", "/etc/passwd")],
        "the folder itself is a link": [_link(TOP, "../.."), _file(f"{TOP}/treasure", b"lead")],
        "a link within": [_file(_GOOD, b"x"), _link(f"{TOP}/also", "daisy/1.jpg")],
        "a hard link out": [_special(f"{TOP}/out", tarfile.LNKTYPE, "../../treasure")],
        "a hard link within": [_file(_GOOD, b"x"), _special(f"{TOP}/y", tarfile.LNKTYPE, _GOOD)],
        "a pipe": [_special(f"{TOP}/pipe", tarfile.FIFOTYPE)],
        "a character device": [_special(f"{TOP}/zero", tarfile.CHRTYPE)],
        "a block device": [_special(f"{TOP}/disk", tarfile.BLKTYPE)],
        "twice the same": [_file(_GOOD, b"x"), _file(_GOOD, b"y")],
        "apart by case only": [_file(_GOOD, b"x"), _file(_GOOD.upper(), b"y")],
        "a file, then a folder": [_file(f"{TOP}/x", b"x"), _file(f"{TOP}/x/y", b"y")],
        "too many": [_file(f"{TOP}/{number}", b"") for number in range(_MOST_FILES + 1)],
        "too large": [_file(f"{TOP}/zeros", bytes(_MOST_BYTES + 1))],
        "too large together": [_file(f"{TOP}/{n}", bytes(_MOST_BYTES // 4)) for n in range(5)],
        "an unknown kind": [_special(f"{TOP}/x", b"Z"), _file("../treasure", b"lead")],
    }  # fmt: skip
    for name, members in links.items():
        yield name, _pack(members)


def _damaged_tars() -> Iterator[tuple[str, bytes]]:
    whole = _pack([_file(_GOOD, os.urandom(5000))])
    yield "cut short", whole[: len(whole) // 2]
    yield "no archive", b"<html>404</html>"
    yield "empty", b""
    yield "an end that does not agree", whole[:-8] + bytes(8)
    for name, size in (("a promise of a terabyte", 2**40), ("a header of a gigabyte", 2**30)):
        member = tarfile.TarInfo(f"{TOP}/x")
        member.size = size
        member.type = tarfile.XHDTYPE if "header" in name else tarfile.REGTYPE
        yield name, _gzip(member.tobuf(tarfile.GNU_FORMAT) + bytes(2**16))


_NPZ: dict[str, Callable[[Path], None]] = {
    "names that lead out": lambda path: _zip(path, {"../../treasure.npy": b"lead"}),
    "an absolute name": lambda path: _zip(path, {"/tmp/flowrate-escape.npy": b"lead"}),
    "pickled objects": lambda path: np.savez(path, x_train=np.array([_Payload()], object)),
    "a bomb": lambda path: _zip(path, {"x_train.npy": bytes(2**27 + 1)}, zipfile.ZIP_DEFLATED),
    "a shape of terabytes": lambda path: _zip(path, {"x_train.npy": _HUGE_HEADER}),
    "no archive": lambda path: path.write_bytes(b"<html>404</html>"),
}
_HUGE_HEADER = b"\x93NUMPY\x01\x00v\x00" + (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000000, 28, 28), }".ljust(117)
    + b"\n"
)


class _Payload:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


def _try_npz(name: str, write: Callable[[Path], None], folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    write(folder / "data" / "mnist.npz")
    try:
        mnist.load(LoadOptions(image_shape=(28, 28, 1), data_dir=folder / "data"))
        check(False, f"{name}: was taken")
    except DataError as error:
        check("mnist.npz" in str(error), f"{name}: {error}")
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    check(found == ["data", "data/mnist.npz"], f"{name}: wrote {found}")
    check(not Path("pwned").exists(), f"{name}: ran code")


def _zip(path: Path, contents: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", kind, compresslevel=1) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def _pack(members: list[Member]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def _file(name: str, content: bytes) -> Member:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o6777
    return member, content


def _link(name: str, to: str) -> Member:
    return _special(name, tarfile.SYMTYPE, to)


def _special(name: str, kind: bytes, to: str = "") -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.devmajor, member.devminor = kind, to, 1, 5
    return member, b""
