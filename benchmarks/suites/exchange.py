"""What replicas send each other: float32 or bfloat16, in one message or in several, by link."""

from __future__ import annotations

from typing import Any

from benchmarks.case import BenchmarkCase, Choice
from benchmarks.measure import WORKERS_RATE
from benchmarks.measure.metrics import METRICS, named
from benchmarks.measure.worker_group import LINKS

TITLE = "gradients as float32 and bfloat16, in one message and in buckets, over fast and slow links"
METRIC = METRICS["steps_per_second"]
COLUMNS = named(
    "limit_steps_per_second", "efficiency", "exchange_share", "exchange_ms",
    "gradient_bytes_per_step",
)  # fmt: skip

_NUM_WORKERS = 2
# 0.4 and 16 MB of gradients.
_WORKS = (
    {"dataset": "mnist", "model": "mlp", "global_batch_size": 128},
    {"dataset": "flowers", "model": "flowers_cnn", "global_batch_size": 32},
)
_MESSAGES: dict[str, dict[str, Any]] = {
    "float32-whole": {"gradient_bucket_mib": 0},
    "float32-buckets": {"gradient_bucket_mib": 4},
    "bfloat16-whole": {"gradient_dtype": "bfloat16", "gradient_bucket_mib": 0},
    "bfloat16-buckets": {"gradient_dtype": "bfloat16", "gradient_bucket_mib": 4},
}


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases by work, link and what is sent."""
    return choice.select(
        BenchmarkCase(
            suite="exchange",
            name=f"{work['dataset']}-{work['model']}-{link}-{name}",
            measure=WORKERS_RATE,
            flags=choice.data_flags({**work, **message, "jit": "off"}),
            seconds=choice.seconds,
            arguments={"num_workers": _NUM_WORKERS, "link": link},
            labels={"message": name},
        )
        for work in _WORKS
        for link in LINKS
        for name, message in _MESSAGES.items()
    )
