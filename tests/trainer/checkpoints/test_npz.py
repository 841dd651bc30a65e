"""Arrays made to do harm: refused before memory is taken, nothing in them executed."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from trainer.checkpoints.npz import read_arrays


class Payload:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


def claim_terabytes(path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (9 * 10**12,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kernel.npy", header.getvalue())


HOSTILE = {
    "pickled objects": lambda path: np.savez(path, kernel=np.array([Payload()], object)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Payload())),
    "grows": lambda path: np.savez_compressed(path, kernel=np.zeros(2**24, np.uint8)),
    "terabytes": claim_terabytes,
    "another archive": lambda path: zipfile.ZipFile(path, "w").writestr("kernel.npy", b"text"),
}


def test_arrays_come_back(tmp_path):
    arrays = {"a/b": np.arange(6).reshape(2, 3), "empty": np.zeros((0, 2)), "scalar": np.array(3.0)}
    np.savez(tmp_path / "arrays.npz", **arrays)
    found = read_arrays(tmp_path / "arrays.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("write", HOSTILE.values(), ids=HOSTILE)
def test_harm_is_refused(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "arrays.npz")
    with pytest.raises((ValueError, zipfile.BadZipFile)):
        read_arrays(tmp_path / "arrays.npz")
    assert os.listdir(tmp_path) == ["arrays.npz"]
