"""Loaded without care, the files of P16's attempts do the harm that they are made for.

Not tried: the function by its name, which Keras has not taken since 3.9, and PyTorch's module.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults._runs import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tf")]
_SECRET = "the password is 1234"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The folder with the files, made as the attempts make them."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "files").mkdir()
    (folder / "secret").write_text(_SECRET)
    words = ["benchmarks.faults._hostile_model_files", folder / "files", folder / "secret"]
    subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "files"


def load_keras(path: Path) -> None:
    import keras

    keras.saving.load_model(path, safe_mode=False)


def load_json(path: Path) -> None:
    import keras
    from keras.src.saving.serialization_lib import SafeModeScope

    with SafeModeScope(False):
        keras.models.model_from_json(path.read_text())


def load_saved_model(path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.load(str(path))


def load_yaml(path: Path) -> None:
    import yaml

    yaml.unsafe_load(path.read_text())


def unpack(path: Path) -> None:
    """As tools do that join a folder and the name of an entry."""
    Path("a/b").mkdir(parents=True)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            Path("a/b", name).write_bytes(archive.read(name))


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("a Lambda.keras", load_keras),
        ("a Lambda of old.h5", load_keras),
        ("a Lambda.json", load_json),
        ("a SavedModel that writes", load_saved_model),
        ("a TFSMLayer.keras", load_keras),
        ("names that lead out.keras", unpack),
        ("a pickle.pkl", lambda path: pickle.loads(path.read_bytes())),
        ("a pickle in gzip.joblib", lambda path: pickle.loads(gzip.decompress(path.read_bytes()))),
        ("a pickled array.npy", lambda path: np.load(path, allow_pickle=True)),
        ("a program.yaml", load_yaml),
    ],
)
def test_it_runs_code_or_writes_outside(files, name, load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load(files / name)
    assert (tmp_path / "pwned").exists()


def weights_of(archive: Path) -> io.BytesIO:
    return io.BytesIO(zipfile.ZipFile(archive).read("model.weights.h5"))


@pytest.mark.parametrize(
    ("open_it", "name"),
    [
        (lambda files: files / "weights from elsewhere.h5", "layers/dense/vars/0"),
        (lambda files: weights_of(files / "weights from elsewhere.keras"), "layers/dense/vars/0"),
        (lambda files: files / "a link to another.h5", "layers"),
    ],
)
def test_it_shows_another_file(files, open_it, name):
    import h5py

    with h5py.File(open_it(files)) as file:
        assert _SECRET[:8].encode() == file[name][:].tobytes()[:8]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("weights from elsewhere.keras", "H5 file with external Dataset"),
        ("a shape of terabytes.keras", "potential decompression/shape bomb"),
    ],
)
def test_keras_knows_it_for_an_attack(files, name, reason):
    with pytest.raises(ValueError, match=reason):
        load_keras(files / name)


def test_it_takes_the_memory_of_the_machine(files):
    import h5py

    for weights in (
        files / "a shape of terabytes.h5", weights_of(files / "a shape of terabytes.keras")
    ):  # fmt: skip
        with h5py.File(weights) as file:
            assert file["layers/dense/vars/0"].size == 2**40
    config = files / "a config that grows.keras"
    with zipfile.ZipFile(config) as archive:
        assert archive.getinfo("config.json").file_size > 500 * config.stat().st_size
