"""Flags of an export, answered before TensorFlow is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.errors import ConfigError
from trainer.export import __main__ as program
from trainer.export.config import ExportConfig

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"format": "tfjs"}, "--format=tfjs: choose from keras, onnx, saved_model, tflite"),
        ({"format": "keras", "quantize": "int8"},
         "the format keras holds float32; choose --format=onnx or --format=tflite"),
        ({"format": "saved_model", "quantize": "float16"}, "saved_model holds float32"),
        ({"quantize": "int4"}, "--quantize=int4: choose from none, float16, int8"),
        ({"tolerance": 2.0}, "--tolerance=2.0: must be between -1 and 1"),
        ({"calibration_examples": 0}, "--calibration_examples=0: must be"),
    ],
)  # fmt: skip
def test_what_cannot_be(flags, message):
    with pytest.raises(ConfigError, match=message):
        ExportConfig(**flags)


@pytest.mark.parametrize(
    ("flags", "fall", "name"),
    [
        ({"format": "tflite", "quantize": "int8"}, 0.01, "tflite-int8"),
        ({"format": "onnx", "quantize": "float16"}, 0.002, "onnx-float16"),
        ({"format": "keras"}, 0.002, "keras"),
        ({"tolerance": 0.0}, 0.0, "keras"),
    ],
)
def test_defaults(flags, fall, name):
    config = ExportConfig(**flags)
    assert (config.largest_fall, config.name) == (fall, name)


def test_a_package_that_is_missing_is_named_with_what_to_do(tmp_path):
    # A package of the extra that is not there: a path without it, in a process without TensorFlow.
    code = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'tf2onnx' else find(name, *a)\n"
        "from trainer.export.__main__ import main\n"
        f"status = main(['export', {str(tmp_path)!r}, '--format=onnx'])\n"
        "assert not {'tensorflow', 'keras'} & sys.modules.keys()\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install -e .[export]" in done.stderr
    assert "tf2onnx" in done.stderr


@pytest.mark.parametrize("words", [[], ["one", "two"]])
def test_one_run_directory(words, capsys):
    assert program.main(["export", *words]) == 2
    assert f"give one run directory, not {len(words)}" in capsys.readouterr().err


def test_no_run(tmp_path, capsys):
    assert program.main(["export", str(tmp_path)]) == 5
    assert "holds no run" in capsys.readouterr().err


def test_help_explains_every_flag(capsys):
    assert program.main(["export", "--help"]) == 0
    printed = capsys.readouterr().out
    for name in ExportConfig.__dataclass_fields__:
        assert f"--{name}" in printed
