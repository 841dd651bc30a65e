"""`--precision=auto`: the rule, for each kind of device."""

from __future__ import annotations

import pytest

from flowrate.errors import RunDirError
from trainer.model.precision import choose_precision


@pytest.mark.parametrize(
    ("cpu_flags", "capability", "policy"),
    [
        (["avx2", "fma"], None, "float32"),
        (["avx2", "avx512_bf16"], None, "mixed_bfloat16"),
        (["amx_bf16"], None, "mixed_bfloat16"),
        (["amx_bf16"], (6, 1), "float32"),
        ([], (7, 0), "mixed_float16"),
        ([], (7, 5), "mixed_float16"),
        ([], (8, 0), "mixed_bfloat16"),
        ([], (9, 0), "mixed_bfloat16"),
        ([], (12, 0), "mixed_bfloat16"),
    ],
)
def test_auto_takes_what_the_device_is_built_for(cpu_flags, capability, policy):
    choice = choose_precision("auto", cpu_flags, capability)
    assert choice.policy == policy
    assert choice.reason


@pytest.mark.parametrize("asked", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_is_asked_for_is_taken(asked):
    choice = choose_precision(asked, ["amx_bf16"], (9, 0))
    assert (choice.policy, choice.reason) == (asked, f"--precision={asked}")


def test_a_run_says_what_auto_came_to(train, capsys, monkeypatch):
    from trainer import build

    monkeypatch.setattr(build, "describe_cpu", lambda: {"flags": ["amx_bf16"]})
    run = train(model="mlp16", steps=2, precision="auto")
    assert run.choices.precision == "mixed_bfloat16"
    assert run.state.model.layers[2].compute_dtype == "bfloat16"
    assert "precision mixed_bfloat16 (the CPU has amx_bf16)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_does_not_go_on_in_another_precision(train, monkeypatch, tmp_path):
    """Started on a machine with AMX, gone on with on one without: other numbers."""
    from trainer import build

    flags = {"model": "mlp16", "steps": 4, "precision": "auto", "run_dir": str(tmp_path / "run")}
    monkeypatch.setattr(build, "describe_cpu", lambda: {"flags": ["amx_bf16"]})
    train(**flags)
    monkeypatch.setattr(build, "describe_cpu", lambda: {"flags": []})
    with pytest.raises(RunDirError, match="precision: mixed_bfloat16 then, float32 now"):
        train(**flags)
