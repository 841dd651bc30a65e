"""What was asked of `python -m benchmarks.main run`: each option is written once."""

from __future__ import annotations

import dataclasses

from benchmarks.suites import SUITES
from benchmarks.suites._choice import Choice
from flowrate import options
from flowrate.errors import ConfigError
from flowrate.options import option
from input_pipelines.datasets import DATASETS
from models import MODELS

_WHAT, _HOW = "What to measure", "How"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Frozen, checked when made.

    Raises (on construction):
        ConfigError: a value that cannot work.
    """

    suite: str = option(
        "", group=_WHAT, help=f"One of {', '.join(SUITES.names())}; see `list`. Needed."
    )
    output: str = option(
        "", group=_WHAT,
        help="Results folder; one that holds rows is gone on with. Needed.",
    )  # fmt: skip
    models: str = option("", group=_WHAT, help="Only these, separated by commas.")
    datasets: str = option("", group=_WHAT, help="Only these, separated by commas.")
    contenders: str = option("", group=_WHAT, help="Only these, separated by commas.")
    cases: str = option(
        "", group=_WHAT, help="Only these of the suite, separated by commas; see `list`."
    )
    full: bool = option(
        False, group=_WHAT, help="Every combination, and every peer over the whole work: hours."
    )
    data_dir: str | None = option(
        None, group=_WHAT,
        help="Folder with the data sets' files, a folder for each or all in one; unset: the usual "
        "places.",
    )  # fmt: skip

    repeats: int | None = option(
        None, group=_HOW, lower_bound=1, upper_bound=1000,
        help="Processes per case, with seeds 0, 1, 2 and on; all cases once before any again. "
        "Unset: 3.",
    )  # fmt: skip
    seconds: float = option(
        3.0, group=_HOW, lower_bound=0.1, upper_bound=3600,
        help="How long a rate is measured, after warm-up.",
    )  # fmt: skip
    dry_run: bool = option(False, group=_HOW, help="Say what would be measured; measure nothing.")
    strict: bool = option(
        False, group=_HOW, help="Stop where something else used the machine meanwhile."
    )
    find_batch: bool = option(
        False, group=_HOW,
        help="After a case that runs out of memory, look for the largest batch that fits and "
        "measure that too, as a case of its own.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)
        for name in ("suite", "output"):
            if not getattr(self, name):
                raise ConfigError(
                    f"--{name} is missing; as in: python -m benchmarks.main run "
                    "--suite=tutorials --output=results/mine"
                )
        SUITES.check(self.suite)
        for name in _split(self.datasets):
            DATASETS.check(name)
        for name in _split(self.models):
            MODELS.check(name)

    def choice(self) -> Choice:
        """Returns what concerns the suite."""
        return Choice(
            models=_split(self.models),
            datasets=_split(self.datasets),
            contenders=_split(self.contenders),
            names=_split(self.cases),
            full=self.full,
            seconds=self.seconds,
            data_dir=self.data_dir,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """What was asked of `compare`, besides the two folders."""

    same_within: float = option(
        0.05, group=_HOW, lower_bound=0.001, upper_bound=0.5,
        help="Share within which two rates count as the same.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """What was asked of `predict`, besides the folder."""

    models: str = option("", group=_WHAT, help="Only these, separated by commas; or resnet50.")
    gradient_dtype: str = option(
        "float32", group=_HOW, choices=("float32", "bfloat16"),
        help="Of the gradients on their way; this trainer sends float32.",
    )  # fmt: skip
    overlap: float = option(
        0.0, group=_HOW, lower_bound=0.0, upper_bound=1.0,
        help="Share of the computing that goes on beside the sum over workers; this trainer has 0.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)

    def model_names(self) -> tuple[str, ...]:
        """Returns the models asked for; empty for all."""
        return _split(self.models)


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
