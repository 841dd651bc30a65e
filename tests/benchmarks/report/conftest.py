"""A results folder like those that the suite writes, of every suite, status and contender."""

from __future__ import annotations

import json

import numpy as np
import pytest

HOSTILE = "<script>alert('x')</script> | a `b` $c$ & \"d\" *e* [f](g)"

ENVIRONMENT = {
    "kind": "environment",
    "schema_version": 1,
    "environment_id": "9f3c",
    "hostname": "bench-1",
    "platform": "Linux-6.1-x86_64",
    "python": "3.11.2",
    "cpu": {"model": "AMD EPYC 7003", "count": 2, "flags": ["avx2", "fma"]},
    "memory_bytes": 8 * 2**30,
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1", "torch": None},
    "commit": "8ddb4b9a2c1d",
    "devices": [{"name": "CPU:0"}],
    "command": "python -m benchmarks.main run --suite=tutorials --output=results",
    "started_at": "2026-11-22T05:00:00+00:00",
}

# Steps per second of each contender; None: it fails.
TUTORIALS = {
    ("fashion_mnist", "mlp"): {
        "flowrate": 4400, "keras_fit": 430, "torch_eager": 1604, "jax_scan": 4650,
    },
    ("mnist", "mlp16"): {"flowrate": 5886, "keras_fit": 609, "torch_eager": 1700, "jax_scan": 5200},
    ("mnist", "cnn"): {
        "flowrate": 185, "keras_fit": 84, "torch_eager": 188, "torch_compiled": None,
        "jax_scan": 69,
    },
    ("flowers", "flowers_cnn"): {"flowrate": 8.4, "keras_fit": 4.5, "torch_eager": None},
}  # fmt: skip
ACCURACY = {"mlp": 0.885, "mlp16": 0.945, "cnn": 0.991, "flowers_cnn": 0.639}


def make_row(**fields):
    """Returns a whole result row; `fields` replace or add."""
    row = {
        "kind": "result",
        "schema_version": 1,
        "environment_id": "9f3c",
        "suite": "tutorials",
        "case": "fashion_mnist-mlp",
        "contender": "flowrate",
        "repeat": 0,
        "seed": 0,
        "status": "ok",
        "error": None,
        "labels": {"dataset": "fashion_mnist", "model": "mlp"},
        "command": "python -m trainer.main --dataset=fashion_mnist --model=mlp",
        "started_at": "2026-11-22T05:10:00+00:00",
        "wall_seconds": 20.0,
        "metrics": {},
        "samples": {},
        "phases": {},
        "verdict": None,
        "health": {"noisy": False, "reasons": [], "load_average": 0.4},
    }
    assert fields.keys() <= row.keys()
    return {**row, **fields}


def write_records(folder, rows, environments=(ENVIRONMENT,)):
    """Writes records.jsonl as the suite does: an environment, then a line per result."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in (*environments, *rows)]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def row():
    """The function that makes a result row."""
    return make_row


@pytest.fixture
def results(tmp_path):
    """Returns a function that writes rows into a new results folder and returns the folder."""

    def write(rows, name="results", **options):
        return write_records(tmp_path / name, rows, **options)

    return write


@pytest.fixture
def realistic_rows():
    """Rows of five suites, all statuses, several contenders, repeats, noise, odd strings."""
    random = np.random.default_rng(0)
    return [
        *tutorials(random), *throughput(random), *scaling(random), *inputs(random),
        *accuracy(random),
    ]  # fmt: skip


def jitter(random, value, share=0.02):
    return float(value * random.lognormal(0, share))


def tutorials(random):
    for repeat in range(3):
        for (dataset, model), rates in TUTORIALS.items():
            for contender, rate in rates.items():
                yield tutorial_row(random, dataset, model, contender, rate, repeat)


def tutorial_row(random, dataset, model, contender, rate, repeat):
    common = {
        "case": f"{dataset}-{model}",
        "contender": contender,
        "repeat": repeat,
        "seed": repeat,
        "labels": {
            "dataset": dataset, "model": model, "global_batch_size": 32, "epochs": 10,
            "precision": "float32", "jit": "on", "cache": "device", "num_replicas": 1,
        },
        "command": f"python -m trainer.main --dataset={dataset} --model={model} --epochs=10"
        if contender == "flowrate"
        else f"python -m benchmarks.peers.{contender} --dataset={dataset} --model={model}",
    }  # fmt: skip
    if rate is None:
        out_of_memory = contender == "torch_eager"
        status = "out_of_memory" if out_of_memory else "failed"
        error = "12.4 GiB asked, 7.8 GiB there" if out_of_memory else f"RuntimeError: {HOSTILE}"
        return make_row(**common, status=status, error=error, wall_seconds=3.0)
    rate = jitter(random, rate)
    train = 18750 / rate
    ours = contender == "flowrate"
    limit = jitter(random, rate * 1.02, 0.005)
    metrics = {
        "steps_per_second": rate,
        "images_per_second": 32 * rate,
        "epoch_seconds": train / 10,
        "test_accuracy": ACCURACY[model] + float(random.normal(0, 0.003)),
        "peak_memory_bytes": jitter(random, 900e6),
        "first_step_seconds": jitter(random, 5.4),
    }
    if ours:
        metrics |= {
            "limit_steps_per_second": limit, "efficiency": rate / limit,
            "step_p50_ms": 1e3 / rate, "step_p90_ms": 1.1e3 / rate, "step_p99_ms": 1.4e3 / rate,
            "flops_per_second": jitter(random, 4.1e9), "peak_share": 0.041,
            "input_images_per_second": 900_000.0,
        }  # fmt: skip
    phases = {"import": 4.0, "data": 0.3, "build": 0.1, "compile": 1.2, "train": train,
              "input_wait": 0.2, "evaluate": 1.5, "checkpoint": 0.1}  # fmt: skip
    noisy = repeat == 2 and contender == "keras_fit"
    reasons = ["load average 3.1 before the start", "chromium used 80 % of a core"]
    return make_row(
        **common,
        wall_seconds=sum(phases.values()) + 0.8,
        metrics=metrics,
        phases=phases if ours or contender == "keras_fit" else {},
        verdict={"bound": "compute", "text": "The compiled step takes 98 % of the time.",
                 "flag": "--precision=mixed_bfloat16"} if ours else None,
        health={"noisy": noisy, "reasons": reasons if noisy else [], "load_average": 0.4},
    )  # fmt: skip


def throughput(random):
    rates = {"mlp": 4400, "cnn": 185, "resnet18": 3.1}
    for model, base in rates.items():
        for precision, gain in (("float32", 1.0), ("mixed_bfloat16", 1.4)):
            for jit in ("on", "off"):
                for cache in ("device", "memory"):
                    trap = jit == "on" and model == "cnn"
                    rate = base * gain * (0.04 if trap else 1) * (0.8 if cache == "memory" else 1)
                    for repeat in range(2):
                        yield throughput_row(random, model, precision, jit, cache, rate, repeat)


def throughput_row(random, model, precision, jit, cache, rate, repeat):
    common = {
        "suite": "throughput",
        "case": f"fashion_mnist-{model}-{precision}-jit_{jit}-{cache}",
        "repeat": repeat,
        "labels": {"dataset": "fashion_mnist", "model": model, "precision": precision, "jit": jit,
                   "cache": cache, "global_batch_size": 128, "num_replicas": 1},
        "command": f"python -m trainer.main --dataset=fashion_mnist --model={model} "
        f"--precision={precision} --jit={jit} --cache={cache} --global_batch_size=128",
    }  # fmt: skip
    if model == "resnet18" and precision == "mixed_bfloat16":
        error = "this CPU has neither AMX nor AVX512-BF16; bfloat16 would be slower"
        return make_row(**common, status="skipped", error=error, wall_seconds=0.0)
    rate = jitter(random, rate)
    limit = rate * (1.02 if cache == "device" else 1.24)
    bound = "compute" if cache == "device" else "input"
    return make_row(
        **common,
        metrics={
            "steps_per_second": rate, "images_per_second": 128 * rate,
            "limit_steps_per_second": limit, "efficiency": rate / limit,
            "step_p50_ms": 1e3 / rate, "step_p90_ms": 1.2e3 / rate, "step_p99_ms": 2e3 / rate,
        },
        phases={"import": 4.0, "data": 0.3, "build": 0.1, "compile": 1.2, "train": 20.0,
                "input_wait": 0.2 if cache == "device" else 4.0},
        wall_seconds=30.5,
        verdict={"bound": bound, "text": f"It is bound by {bound}.",
                 "flag": None if bound == "compute" else "--cache=device"},
    )  # fmt: skip


def scaling(random):
    for kind in ("weak", "strong"):
        for replicas, gain in ((1, 1.0), (2, 1.7), (4, 2.6)):
            batch = 64 * replicas if kind == "weak" else 64
            images = 6000 * gain * (1 if kind == "weak" else 0.85 if replicas > 1 else 1)
            for repeat in range(3):
                rate = jitter(random, images / batch)
                yield make_row(
                    suite="scaling",
                    case=f"mnist-cnn-{kind}-{replicas}",
                    repeat=repeat,
                    labels={"dataset": "mnist", "model": "cnn", "scaling": kind,
                            "num_replicas": replicas, "global_batch_size": batch,
                            "strategy": "mirrored" if replicas > 1 else "one_device"},
                    command="python -m trainer.main --dataset=mnist --strategy=mirrored "
                    f"--virtual_devices={replicas} --global_batch_size={batch}",
                    metrics={"steps_per_second": rate, "images_per_second": rate * batch},
                )  # fmt: skip


def inputs(random):
    rates = {"flowrate": 610, "image_dataset_from_directory": 350, "torch_dataloader": 420}
    for cache, gain in (("none", 1), ("memory", 60)):
        for contender, rate in rates.items():
            if cache == "memory" and contender != "flowrate":
                gain = 5
            for repeat in range(3):
                yield make_row(
                    suite="input",
                    case=f"flowers-180-{cache}",
                    contender=contender,
                    repeat=repeat,
                    labels={"dataset": "flowers", "image_size": 180, "cache": cache,
                            "augmentation": "none"},
                    metrics={"images_per_second": jitter(random, rate * gain),
                             "images_per_cpu_second": jitter(random, rate * gain / 2)},
                )  # fmt: skip


def accuracy(random):
    for seed in range(5):
        for contender, seconds in (("flowrate", 12), ("keras_fit", 44)):
            missed = contender == "keras_fit" and seed == 3
            metrics = {"reached_target": 0 if missed else 1, "test_accuracy": 0.88 + seed / 1000}
            if not missed:
                metrics["seconds_to_target"] = jitter(random, seconds, 0.1)
            yield make_row(
                suite="accuracy",
                case="fashion_mnist-mlp-0.88",
                contender=contender,
                repeat=seed,
                seed=seed,
                metrics=metrics,
            )
