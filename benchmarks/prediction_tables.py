"""Prints what a folder's measurements foretell; first, how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import predict, scaling_model
from benchmarks.measure.workers import size_name
from benchmarks.predict import Collective, Step
from benchmarks.scaling_model import Link
from benchmarks.stated import NICS, Workload

NUM_WORKERS = (8, 16, 32, 64, 128, 256, 512, 1024)
# By the dtype in which they are sent.
GRADIENT_BYTES = {"float32": 4, "bfloat16": 2}
_SHARED = "cores shared"


def print_predictions(
    folder: str | Path,
    console: Console,
    *,
    models: Sequence[str] = (),
    gradient_dtype: str = "float32",
    overlap: float = 0.0,
) -> None:
    """Prints fitted links, predicted beside measured, and 8 to 1,024 workers.

    Args:
        folder: with the records of the suites collectives and scaling.
        console: where to.
        models: only these; all that have a step where empty.
        gradient_dtype: of the gradients on their way, a key of GRADIENT_BYTES.
        overlap: share of the computing that goes on beside the sum.

    Raises:
        ConfigError: nothing was measured, or no step of a model.
        DataError: a row is not as it should be.
    """
    collectives = predict.read_collectives(folder)
    chosen = predict.workloads(folder, models)
    links = predict.fit_links(collectives)
    console.print(_links_table(links, collectives), "")
    console.print(_collectives_table(links, collectives), "")
    if steps := predict.compare_steps(folder, links):
        console.print(_steps_table(steps), "")
    console.print(_ASSUMPTIONS.format(overlap=overlap), "", soft_wrap=True)
    named = {**{f"{name}, fitted": link for name, link in links.items()}, **NICS}
    for workload in chosen:
        num_bytes = GRADIENT_BYTES[gradient_dtype] * predict.num_gradient_values(workload)
        console.print(_prediction_table(workload, num_bytes, named, overlap), "")


_ASSUMPTIONS = (
    "Predicted: every worker keeps its batch (weak scaling) and computes as long as one alone; the "
    "gradients are summed in one message after the computing, {overlap:.0%} of which can go on "
    "beside the sum, by the faster of ring and tree. Links that are not fitted run at their line "
    "rate, each worker on one of its own. No stragglers, no input that falls behind."
)


def _links_table(links: dict[str, Link], collectives: Sequence[Collective]) -> Table:
    table = _table("Fitted links", "link", "latency, µs", "bandwidth, GB/s", "mean error")
    for name, link in links.items():
        alone = [c for c in collectives if c.link == name and not c.shares_cores]
        used = alone or [c for c in collectives if c.link == name]
        errors = [abs(_error(each, link)) for each in used]
        table.add_row(
            name, f"{1e6 * link.latency_seconds:,.1f}", f"{link.bytes_per_second / 1e9:,.3f}",
            f"{sum(errors) / len(errors):.0%} of {len(errors)} sizes",
        )  # fmt: skip
    return table


def _collectives_table(links: dict[str, Link], collectives: Sequence[Collective]) -> Table:
    table = _table(
        "All-reduces, predicted and measured", "link", "workers", "bytes", "measured, ms",
        "spread, ms", "predicted, ms", "error", "",
    )  # fmt: skip
    for each in collectives:
        predicted = scaling_model.ring_seconds(each.num_bytes, each.num_workers, links[each.link])
        table.add_row(
            each.link, str(each.num_workers), size_name(each.num_bytes), _ms(each.seconds),
            _ms(each.spread_seconds), _ms(predicted), f"{_error(each, links[each.link]):+.0%}",
            _SHARED if each.shares_cores else "",
        )  # fmt: skip
    return table


def _steps_table(steps: Sequence[Step]) -> Table:
    table = _table(
        "Steps, predicted and measured", "case", "link", "workers", "measured, ms",
        "predicted, ms", "error", "sum measured, ms", "sum predicted, ms", "",
    )  # fmt: skip
    for each in steps:
        error = scaling_model.relative_error(each.predicted_seconds, each.seconds)
        table.add_row(
            each.case, each.link, str(each.num_workers), _ms(each.seconds),
            _ms(each.predicted_seconds), f"{error:+.0%}", _ms(each.collective_seconds),
            _ms(each.predicted_collective_seconds), _SHARED if each.shares_cores else "",
        )  # fmt: skip
    return table


def _prediction_table(
    workload: Workload, num_bytes: int, links: dict[str, Link], overlap: float
) -> Table:
    compute = workload.compute_seconds
    table = _table(
        f"{workload.name}: {num_bytes / 1e6:,.3g} MB of gradients; a step of {workload.batch_size} "
        f"examples takes one worker {_ms(compute)} ms ({workload.source})",
        "link", "workers", "ring, ms", "tree, ms", "step, ms", "steps/s", "images/s", "efficiency",
    )  # fmt: skip
    for name, link in links.items():
        for number, count in enumerate(NUM_WORKERS):
            step = scaling_model.step_seconds(
                compute, scaling_model.all_reduce_seconds(num_bytes, count, link), overlap
            )
            table.add_row(
                "" if number else name, f"{count:,}",
                _ms(scaling_model.ring_seconds(num_bytes, count, link)),
                _ms(scaling_model.tree_seconds(num_bytes, count, link)),
                _ms(step), _number(1 / step), _number(count * workload.batch_size / step),
                f"{scaling_model.efficiency(compute, step):.1%}",
                end_section=count == NUM_WORKERS[-1],
            )  # fmt: skip
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        is_text = name in ("link", "case", "")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    return table


def _error(collective: Collective, link: Link) -> float:
    predicted = scaling_model.ring_seconds(collective.num_bytes, collective.num_workers, link)
    return scaling_model.relative_error(predicted, collective.seconds)


def _ms(seconds: float) -> str:
    return _number(1e3 * seconds)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
