"""Mistakes are answered with one line, in every peer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers._arrays import load_arrays
from benchmarks.peers._options import CannotRunError, parser, refuse_augmentation
from flowrate.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = {"keras_fit": "keras", "torch_loop": "torch", "jax_scan": "jax"}
GOOD = ["--data=x.npz", "--model=mlp", "--output=y.json"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--model=mpl"], "invalid choice: 'mpl'"),
        (["--epochs=0"], "'0' is no whole number of 1 or more"),
        (["--epochs=1.5"], "'1.5' is no whole number"),
        (["--global_batch_size=-1"], "'-1' is no whole number"),
        (["--precision=float16"], "invalid choice: 'float16'"),
        (["--batch=3"], "unrecognized arguments: --batch=3"),
        (["stray"], "unrecognized arguments: stray"),
    ],
)
def test_a_wrong_flag(flags, reason):
    with pytest.raises(ConfigError) as caught:
        parser("").parse_args([*GOOD, *flags])
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("peer", PACKAGES)
def test_a_wrong_flag_ends_the_process(peer, run_peer):
    pytest.importorskip(PACKAGES[peer])
    ended = run_peer(peer, "--data=x.npz", "--model=mpl")
    assert (ended.status, len(ended.errors), ended.record) == (2, 1, None)
    assert ended.errors[0].startswith("error: argument --model: invalid choice: 'mpl'")


@pytest.mark.parametrize("peer", ["torch_loop", "jax_scan"])
def test_a_missing_package(peer):
    code = (
        f"import sys, runpy; sys.modules['{PACKAGES[peer]}'] = None;"
        f"runpy.run_module('benchmarks.peers.{peer}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (f"error: {PACKAGES[peer]} is not installed: pip install -e .[peers]\n")


def test_augmentation_is_refused_where_there_is_none():
    with pytest.raises(CannotRunError, match="has no augmentation") as caught:
        refuse_augmentation(parser("").parse_args([*GOOD, "--augmentation=preset"]))
    assert caught.value.exit_code == 3


def test_max_steps_per_epoch_cuts_the_training_examples(digits_file):
    flags = [*GOOD, f"--data={digits_file}", "--max_steps_per_epoch=2", "--global_batch_size=10"]
    data = load_arrays(parser("").parse_args(flags))
    assert (len(data.train_images), len(data.train_labels)) == (20, 20)
    assert (len(data.test_images), len(data.test_labels)) == (360, 360)
    assert data.num_classes == 10


def test_data_that_cannot_be_read(tmp_path):
    no_archive = tmp_path / "text.npz"
    no_archive.write_text("no archive")
    incomplete = tmp_path / "incomplete.npz"
    np.savez(incomplete, train_images=np.zeros((2, 8, 8, 1), np.uint8))
    one_array = tmp_path / "one.npy"
    np.save(one_array, np.zeros(3))
    for path in (tmp_path / "absent.npz", no_archive, incomplete, one_array, tmp_path):
        with pytest.raises(DataError, match=r"Give an \.npz file of train_images") as caught:
            load_arrays(parser("").parse_args([*GOOD, f"--data={path}"]))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
