"""What is said of GPUs, by facts in the form that NVML's documentation gives."""

from __future__ import annotations

import pytest

from trainer.doctor import gpu, nvml_child, tensorflow_child
from trainer.doctor.gpu import judge

GIB = 2**30
H100 = {
    "name": "NVIDIA H100 80GB HBM3", "memory_total_bytes": 80 * GIB, "memory_free_bytes": 79 * GIB,
    "processes": [],
}  # fmt: skip
DRIVER = {
    "driver_version": "570.86.15", "cuda_version": "12.8", "devices": [H100, H100],
    "nodes": ["/dev/nvidia0", "/dev/nvidia1"], "on_pci_bus": 2,
}  # fmt: skip
TENSORFLOW = {
    "version": "2.21.0", "is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9",
    "gpus": ["/physical_device:GPU:0", "/physical_device:GPU:1"],
}  # fmt: skip
UNSEEN = {**TENSORFLOW, "gpus": []}
NO_DRIVER = {"error": "NVML Shared Library Not Found", "nodes": [], "on_pci_bus": 0}


def found(driver, tensorflow, environment=None) -> dict:
    return dict(judge(driver, tensorflow, environment or {}))


def test_two_gpus_that_work():
    checks = found(DRIVER, TENSORFLOW)
    assert {check.verdict for name, check in checks.items() if name != "nvidia-smi"} == {"ok"}
    assert "79.0 GiB of 80.0 GiB" in checks["GPU 0"].found
    assert "570.86.15" in checks["driver"].found
    assert checks["seen by TensorFlow"].found == "2 of 2"


def test_no_gpu_is_no_mistake():
    ((_, check),) = judge(NO_DRIVER, UNSEEN, {})
    assert (check.verdict, check.to_do) == ("absent", "")


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({"on_pci_bus": 1}, "warning", ["docker run --gpus all", "driver"]),
        ({"nodes": ["/dev/nvidia0"]}, "failed", ["restart after its update"]),
    ],
)
def test_a_gpu_without_a_driver_that_answers(change, verdict, words):
    ((_, check),) = judge({**NO_DRIVER, **change}, UNSEEN, {})
    assert check.verdict == verdict
    for word in words:
        assert word in check.to_do


@pytest.mark.parametrize(
    ("driver", "tensorflow", "environment", "name", "verdict", "words"),
    [
        ({}, UNSEEN, {"CUDA_VISIBLE_DEVICES": ""}, "seen by TensorFlow", "warning",
         "unset CUDA_VISIBLE_DEVICES"),
        ({"cuda_version": "11.4"}, UNSEEN, {}, "seen by TensorFlow", "failed",
         "too old for CUDA 12: update it to 525.60.13"),
        ({"nodes": []}, UNSEEN, {}, "seen by TensorFlow", "failed", "/dev/nvidia0 is not there"),
        ({}, UNSEEN, {}, "seen by TensorFlow", "failed", "pip install -e .[gpu]"),
        ({}, {**UNSEEN, "is_cuda_build": False, "cuda_version": None}, {}, "seen by TensorFlow",
         "failed", "pip uninstall"),
        ({"devices": [{**H100, "memory_free_bytes": GIB}]}, TENSORFLOW, {}, "GPU 0", "warning",
         "CUDA_VISIBLE_DEVICES"),
        ({"devices": [{**H100, "processes": [1]}]}, TENSORFLOW, {}, "GPU 0", "warning", "end what"),
    ],
)  # fmt: skip
def test_what_lies_between_a_gpu_and_tensorflow(
    driver, tensorflow, environment, name, verdict, words
):
    check = found({**DRIVER, **driver}, tensorflow, environment)[name]
    assert check.verdict == verdict
    assert words in check.to_do


def test_the_program_that_gpus_are_shared_out_by():
    assert gpu.check_program("/usr/bin/nvidia-smi").verdict == "ok"
    assert gpu.check_program(None).verdict == "warning"


def test_gpus_on_the_pci_bus_are_counted(tmp_path):
    for name, vendor, kind in (
        ("0000:00:04.0", "0x10de", "0x030200"), ("0000:00:05.0", "0x10de", "0x040300"),
        ("0000:00:06.0", "0x1af4", "0x030000"), ("0000:00:07.0", "0x10de", "0x030000"),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    assert nvml_child.num_on_pci_bus(tmp_path) == 2
    assert nvml_child.num_on_pci_bus(tmp_path / "none") == 0


def test_the_driver_and_tensorflow_here_are_asked():
    facts = nvml_child.facts()
    assert ("error" in facts) != ("devices" in facts)
    assert nvml_child.num_gpus() == len(facts.get("devices", []))
    facts, ended = tensorflow_child.facts()
    assert facts, ended
    assert facts["import_seconds"] > 0
