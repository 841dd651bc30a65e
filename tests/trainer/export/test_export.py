"""`python -m trainer.export` on real runs, each file read back by the program it is meant for."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flowrate.records import read_json, write_json
from trainer.export.formats import FORMATS

ROOT = Path(__file__).resolve().parents[3]
DIGITS = tuple("0123456789")
WORKING = [
    (format, quantize)
    for format in FORMATS.names()
    for quantize in FORMATS.load(format)[0].QUANTIZATIONS
]
# Largest differences of a logit: rounding of float32, of float16, and of eight bits, where a few
# logits also lie beyond what calibration showed.
MOST = {"none": 1e-3, "float16": 0.1, "int8": 5.0}


def need(format: str) -> None:
    for package in FORMATS.load(format)[0].REQUIRES:
        pytest.importorskip(package, reason="pip install -e .[export]", exc_type=ImportError)


@pytest.fixture(scope="module")
def export(run_program, trained, tmp_path_factory):
    """Returns a function: exports once, and gives the folder."""
    folders = {}

    def run(model: str, format: str, quantize: str) -> Path:
        need(format)
        if (model, format, quantize) not in folders:
            folder = tmp_path_factory.mktemp("exported") / "out"
            done = run_program(
                "trainer.export", str(trained(model)), f"--format={format}",
                f"--quantize={quantize}", "--tolerance=0.02", f"--output={folder}",
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            assert "accuracy" in done.stdout
            folders[model, format, quantize] = folder
        return folders[model, format, quantize]

    return run


def check_record(folder: Path, run: Path, quantize: str) -> None:
    record, result = read_json(folder / "export.json"), read_json(run / "result.json")
    assert record["status"] == "accepted"
    assert record["examples"] == result["test_examples"] == 360
    assert record["accuracy_before"] == pytest.approx(result["test_accuracy"], abs=1e-6)
    assert record["accuracy_before"] - record["accuracy_after"] <= 0.02
    assert abs(record["accuracy_before"] - record["accuracy_after"]) * 360 <= (
        record["changed_answers"] + 1e-6
    )
    assert record["max_logit_difference"] < MOST[quantize]
    assert record["max_probability_difference"] <= 1
    if quantize == "none":
        assert record["changed_answers"] == 0
    assert 0 < record["latency_ms"]["p50"] <= record["latency_ms"]["p99"]
    assert record["latency_ms"]["calls"] == 200
    assert record["threads"] >= 1
    assert (
        f"-m trainer.export {run} --format={record['format']}" in record["environment"]["command"]
    )
    assert record["calibration_examples"] == (256 if quantize == "int8" else 0)


@pytest.mark.parametrize(("format", "quantize"), [("keras", "none"), ("tflite", "int8")])
def test_mlp16(trained, export, format, quantize):
    folder = export("mlp16", format, quantize)
    check_record(folder, trained("mlp16"), quantize)
    assert (folder / "labels.txt").read_text().splitlines() == list(DIGITS)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["export.json", "flowrate.json", "labels.txt", FORMATS.load(format)[0].FILE]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("format", "quantize"), WORKING)
def test_each_format_and_quantization_of_cnn(trained, export, format, quantize):
    check_record(export("cnn", format, quantize), trained("cnn"), quantize)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_quantized_files_are_as_much_smaller_as_their_numbers(export, format):
    sizes = [
        read_json(export("cnn", format, quantize) / "export.json")["size_bytes"]
        for quantize in ("none", "float16", "int8")
    ]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.4 * sizes[0]


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)


def check_outputs(logits, probabilities) -> None:
    assert logits.shape == probabilities.shape == (3, 10)
    assert logits.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=0.05)
    assert (logits.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_keras_reads_its_own_file(tf, export):
    import keras

    path = export("mlp16", "keras", "none") / "model.keras"
    model = keras.models.load_model(path, safe_mode=True)
    outputs = model(images())
    check_outputs(outputs["logits"].numpy(), outputs["probabilities"].numpy())
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("flowrate.json"))["class_names"] == list(DIGITS)


@pytest.mark.slow
def test_tensorflow_reads_the_saved_model(tf, export):
    path = export("mlp16", "saved_model", "none") / "saved_model"
    loaded = tf.saved_model.load(str(path))
    outputs = loaded.signatures["serving_default"](images=tf.constant(images()))
    check_outputs(outputs["logits"].numpy(), outputs["probabilities"].numpy())
    names = loaded.signatures["class_names"]()["class_names"].numpy()
    assert tuple(name.decode() for name in names) == DIGITS
    extra = json.loads((path / "assets.extra" / "flowrate.json").read_text())
    assert extra["class_names"] == list(DIGITS)
    # Each weight once: the digits' mlp16 has 64 x 16 + 16 x 16 + 16 x 10 and the biases.
    sizes = [
        math.prod(shape) for _, shape in tf.train.list_variables(str(path / "variables/variables"))
    ]
    assert sum(sizes) - 1 == 64 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_litert_reads_the_tflite_file(export, quantize):
    path = export("mlp16", "tflite", quantize) / "model.tflite"
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (image,) = interpreter.get_input_details()
    assert image["dtype"] == np.uint8
    assert image["quantization"] in ((0.0, 0), (1.0, 0))  # Pixels as they are.
    outputs = interpreter.get_signature_runner()(images=images())
    check_outputs(outputs["logits"], outputs["probabilities"])
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(DIGITS)


def test_integers_all_the_way(export):
    path = export("mlp16", "tflite", "int8") / "model.tflite"
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    of_float = {
        tensor["name"] for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] == np.float32
    }  # fmt: skip
    assert of_float == {output["name"] for output in interpreter.get_output_details()}


@pytest.mark.slow
def test_onnxruntime_reads_the_onnx_file(export):
    path = export("mlp16", "onnx", "none") / "model.onnx"
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("images", "tensor(uint8)", ["batch", 8, 8, 1])
    check_outputs(*session.run(["logits", "probabilities"], {"images": images()}))
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["class_names"].splitlines() == list(DIGITS)


@pytest.mark.parametrize(("format", "number"), [("tflite", 0), ("onnx", 1)])
def test_the_programs_in_the_documentation(export, monkeypatch, capsys, format, number):
    text = (ROOT / "docs" / "export.md").read_text()
    program = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number]
    monkeypatch.chdir(export("mlp16", format, "none"))
    exec(program, {"photo": images()[0]})
    name, probability = capsys.readouterr().out.split()
    assert name in DIGITS
    assert 0.1 <= float(probability) <= 1


@pytest.mark.slow
def test_averaged_weights_trained_in_mixed_precision_are_exported_in_float32(
    tf, run_program, trained, tmp_path
):
    run = trained("mlp64", "--precision=mixed_float16", "--ema_decay=0.9")
    done = run_program("trainer.export", str(run), f"--output={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    import keras

    exported = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert {layer.compute_dtype for layer in exported.layers} <= {"float32", "uint8"}
    judged = keras.models.load_model(run / "model.keras")
    for mine, theirs in zip(exported.weights, judged.weights, strict=True):
        assert mine.dtype == "float32"
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_an_accuracy_that_falls_too_far_is_refused(run_program, trained, tmp_path):
    # A share below 0 asks for a rise: no export of the same weights can give it.
    output = tmp_path / "out"
    arguments = (str(trained("mlp16")), f"--output={output}")
    done = run_program("trainer.export", *arguments, "--tolerance=-0.5")
    assert done.returncode == 10
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: accuracy falls from ")
    assert "by more than --tolerance=-0.5" in line
    assert not output.exists()
    rejected = tmp_path / "out.rejected"
    assert read_json(rejected / "export.json")["status"] == "rejected"
    assert [path.name for path in tmp_path.iterdir()] == [rejected.name]


@pytest.mark.slow
def test_an_earlier_export_is_replaced_and_nothing_else_is(run_program, trained, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    arguments = ("trainer.export", str(trained("mlp16")), f"--output={output}")
    done = run_program(*arguments)
    assert done.returncode == 2
    assert "something other than an export is in" in done.stderr
    assert [path.name for path in output.iterdir()] == ["thesis.txt"]
    (output / "thesis.txt").rename(output / "export.json")
    assert run_program(*arguments).returncode == 0
    assert read_json(output / "export.json")["status"] == "accepted"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_leaves_nothing(run_program, trained, make_disk):
    disk = make_disk("size=32k")
    done = run_program("trainer.export", str(trained("mlp16")), f"--output={disk / 'a' / 'out'}")
    assert done.returncode == 8, done.stderr
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line
    assert list(disk.iterdir()) == []


@pytest.mark.slow
def test_arrays_of_another_size_are_brought_to_the_model_s(run_program, tmp_path):
    run = tmp_path / "run"
    trained = run_program(
        "trainer.main", "--model=mlp16", "--steps=20", "--image_size=12", "--noreport",
        f"--run_dir={run}",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    done = run_program("trainer.export", str(run), "--format=keras")
    assert done.returncode == 0, done.stderr
    record = read_json(run / "export" / "keras" / "export.json")
    assert record["accuracy_before"] == read_json(run / "result.json")["test_accuracy"]
    assert record["changed_answers"] == 0


def test_weights_of_another_model_are_refused(run_program, trained, tmp_path):
    run = shutil.copytree(trained("mlp16"), tmp_path / "run")
    plan = read_json(run / "plan.json")
    plan["data"]["model"] = "mlp64"
    write_json(run / "plan.json", plan)
    done = run_program("trainer.export", str(run))
    assert done.returncode == 5, done.stderr
    (line,) = done.stderr.splitlines()
    assert "does not hold the weights of" in line
    assert not (run / "export").exists()


def test_data_of_other_classes_is_refused(run_program, trained, tmp_path):
    run = shutil.copytree(trained("mlp16"), tmp_path / "run")
    plan = read_json(run / "plan.json")
    plan["data"]["class_names"] = list("abcdefghij")
    write_json(run / "plan.json", plan)
    done = run_program("trainer.export", str(run))
    assert done.returncode == 3
    assert "the run was trained on" in done.stderr


def test_a_new_format_is_one_file(run_program, trained, tmp_path):
    """That of CONTRIBUTING.md, in a folder that each process adds to trainer/export/formats."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (shown,) = re.findall(
        r"`trainer/export/formats/dense.py`:\n\n```python\n(.*?)```", text, re.DOTALL
    )
    folder, start = tmp_path / "formats", tmp_path / "start"
    for each in (folder, start):
        each.mkdir()
    (folder / "dense.py").write_text(shown)
    (start / "sitecustomize.py").write_text(
        f"import trainer.export.formats as formats\nformats.__path__.append({str(folder)!r})\n"
    )
    output = tmp_path / "out"
    done = run_program(
        "trainer.export", str(trained("mlp16")), "--format=dense", f"--output={output}",
        PYTHONPATH=f"{start}{os.pathsep}{ROOT}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = read_json(output / "export.json")
    assert (record["format"], record["changed_answers"]) == ("dense", 0)
    assert record["runtime"].startswith("NumPy")
    assert (output / "weights.npz").is_file()
