"""Fixtures of the fine-grained benchmarks: `pytest benchmarks --benchmark-only`."""

from __future__ import annotations

import pytest

from flowrate.environment import describe_cpu, describe_environment
from flowrate.errors import DataError


@pytest.fixture
def build(tmp_path):
    """Returns a function that builds a run, without training, from fields of TrainConfig.

    A data set that is not here and cannot be fetched skips the benchmark, with the reason.
    """
    from flowrate.signals import StopRequest
    from trainer import build as building
    from trainer.clock import PhaseClock
    from trainer.config import TrainConfig
    from trainer.data import load_data
    from trainer.output.console import Console
    from trainer.run_dir.folder import RunDir

    def make(**flags):
        config = TrainConfig(run_dir=str(tmp_path / "run"), **flags)
        try:
            data = load_data(config)
        except DataError as error:
            pytest.skip(str(error))
        console = Console()
        run_dir = RunDir.open(config, console.say)
        return building.build_run(config, data, run_dir, console, PhaseClock(), StopRequest())

    return make


@pytest.fixture(autouse=True)
def _note_environment(request):
    """Puts where it was measured into the benchmark's own record."""
    if "benchmark" in request.fixturenames:
        facts = describe_environment(["pytest"])
        request.getfixturevalue("benchmark").extra_info["environment"] = {
            "cpu": describe_cpu(), "versions": facts["versions"], "commit": facts["commit"],
        }  # fmt: skip
