"""The figures of a row: what each is called on a page, its unit there, and what it means."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure of a row's `metrics`.

    Attributes:
        name: in the row; its end is its unit.
        title: on a page.
        unit: on a page; may be empty.
        meaning: in a sentence or two.
        scale: what the figure is multiplied by to be in that unit.
        shown_as: of the repeats, `median` with its interval, `mean` and deviation over the seeds,
            or the `count` of those that are not 0.
    """

    name: str
    title: str
    unit: str
    meaning: str
    scale: float = 1.0
    shown_as: str = "median"

    @property
    def is_lower_better(self) -> bool:
        """Tells by the unit whether less is better: times and sizes, not rates."""
        # The unit ends the name, but for seconds_to_target.
        ends = ("_seconds", "_ms", "_bytes", "_bytes_per_step")
        return self.name.startswith("seconds_") or self.name.endswith(ends)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "steps_per_second", "Rate", "steps/s",
            "All steps over all seconds, with the wait for examples and the log lines, without "
            "evaluation and saving.",
        ),
        Metric("images_per_second", "Images", "images/s", "Images per second, all replicas."),
        Metric(
            "limit_steps_per_second", "Limit", "steps/s",
            "The bare compiled step on data that lies on the device, measured in the same process.",
        ),
        Metric(
            "efficiency", "Efficiency", "of the limit",
            "Rate over the lower of the limit and the input-only rate; 1 means nothing is lost.",
        ),
        Metric(
            "seconds_to_target", "Time to target", "s",
            "From the start of the process until an evaluation reached the target.",
        ),
        Metric(
            "reached_target", "Reached", "runs",
            "How many of the runs reached the target accuracy; the time is that of those runs.",
            shown_as="count",
        ),
        Metric(
            "test_accuracy", "Test accuracy", "mean ± deviation",
            "Mean and standard deviation over the seeds, on the whole test split.",
            shown_as="mean",
        ),
        Metric(
            "wall_seconds", "Wall time", "s",
            "Of the whole process, from its imports to its last file.",
        ),
        Metric("step_p50_ms", "Step p50", "ms", "Half of the steps took no longer."),
        Metric("step_p90_ms", "Step p90", "ms", "90 % of the steps took no longer."),
        Metric("step_p99_ms", "Step p99", "ms", "99 % of the steps took no longer."),
        Metric("epoch_seconds", "Epoch", "s", "Time of one epoch of training."),
        Metric("first_step_seconds", "First step", "s", "From process start to the first step."),
        Metric(
            "input_images_per_second", "Input only", "images/s",
            "How fast the input alone delivers images.",
        ),
        Metric(
            "flops_per_second", "Computed", "GFLOP/s",
            "Floating-point operations of a step by TensorFlow's cost analysis, times the rate.",
            1e-9,
        ),
        Metric(
            "peak_share", "Of peak", "%",
            "Share of the rate that a large matrix product reaches on this machine (measured).",
            100.0,
        ),
        Metric(
            "peak_memory_bytes", "Peak memory", "MiB", "Most memory the process held.", 2.0**-20
        ),
        Metric(
            "images_per_cpu_second", "Per CPU second", "images",
            "Images for each second of CPU time, over all cores.",
        ),
        Metric(
            "exchange_share", "In the exchange", "% of a step",
            "From the chief's gradients being ready to the sum over all workers, measured in the "
            "steps themselves: collectives, and the wait for a slower worker.",
            100.0,
        ),
        Metric("exchange_ms", "Exchange", "ms a step", "That share, in time."),
        Metric(
            "gradient_bytes_per_step", "Gradients", "MB a step",
            "Bytes of the gradients that each worker sends in a step.", 1e-6,
        ),
    )
}  # fmt: skip


def named(*names: str) -> tuple[Metric, ...]:
    """Returns the metrics of these names."""
    return tuple(METRICS[name] for name in names)
