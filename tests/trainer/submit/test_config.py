"""What can be asked of a cluster, and what is refused with a reason."""

from __future__ import annotations

import pytest

from flowrate import options
from flowrate.errors import ConfigError
from trainer.submit.config import SubmitConfig


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400), ("90:30", 5430), ("1:30:05", 5405), ("2-12", 216_000),
        ("1-00:30", 88_200), ("1-00:30:01", 88_201),
    ],
)  # fmt: skip
def test_time_is_read_as_slurm_reads_it(text, seconds):
    assert SubmitConfig(cluster="local", time=text).time_seconds == seconds


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "--cluster=NAME is needed: one of slurm, kubernetes, local"),
        ({"cluster": "slrm"}, "--cluster=slrm: choose from slurm"),
        ({"cluster": "slurm", "time": "soon"}, "--time=soon: give minutes, H:MM:SS"),
        ({"cluster": "slurm", "time": "1:2:3:4"}, "--time=1:2:3:4"),
        ({"cluster": "slurm", "time": "2"}, "at least a minute more than --save_seconds=120"),
        ({"cluster": "slurm", "nodes": 0}, "--nodes=0: must be between"),
        ({"cluster": "slurm", "memory": "lots"}, "--memory=lots: give a number and K, M, G or T"),
        ({"cluster": "slurm", "partition": "a b"}, "--partition=a b: letters"),
        ({"cluster": "slurm", "partition": "--wrap=x"}, "--partition=--wrap=x"),
        ({"cluster": "slurm", "account": "x\n#SBATCH"}, "--account"),
    ],
)
def test_refused(flags, message):
    with pytest.raises(ConfigError) as caught:
        SubmitConfig(**flags)
    assert message in str(caught.value)


def test_a_flag_may_be_given_several_times():
    words = ["submit", "--cluster=local", "--sweep=seed=1..3", "--sweep", "learning_rate=0.1"]
    assert options.parse(SubmitConfig, words).sweep == ("seed=1..3", "learning_rate=0.1")
    assert options.parse(SubmitConfig, words[:2]).sweep == ()
