"""Mistakes are answered with one line, in every peer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers._options import load_arrays, parser
from flowrate.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = {"keras_fit": "keras", "torch_loop": "torch", "jax_scan": "jax"}
GOOD = ["--data=x.npz", "--model=mlp", "--output=y.json"]


@pytest.mark.parametrize("peer", PACKAGES)
def test_a_wrong_flag_ends_the_process(peer, run_peer):
    pytest.importorskip(PACKAGES[peer])
    ended = run_peer(peer, "--data=x.npz", "--model=mpl")
    assert (ended.status, ended.record) == (2, None)
    assert "error: argument --model: invalid choice: 'mpl'" in ended.errors[-1]


@pytest.mark.parametrize("peer", ["torch_loop", "jax_scan"])
def test_a_missing_package(peer):
    code = (
        f"import sys, runpy; sys.modules['{PACKAGES[peer]}'] = None;"
        f"runpy.run_module('benchmarks.peers.{peer}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (f"error: {PACKAGES[peer]} is not installed: pip install -e .[peers]\n")


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
