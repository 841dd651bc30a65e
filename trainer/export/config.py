"""The flags of an export."""

from __future__ import annotations

import dataclasses
import importlib.util
from types import ModuleType

from flowrate import options
from flowrate.errors import ConfigError
from flowrate.options import option
from trainer.export.formats import FORMATS
from trainer.trained.run import FINAL

_GROUP = "Export"
QUANTIZATIONS = ("none", "float16", "int8")
# The fall of accuracy on the test split that is taken where --tolerance is not given. Eight bits
# cost a few answers; anything else is to answer the same but for rounding.
DEFAULT_TOLERANCE = {"none": 0.002, "float16": 0.002, "int8": 0.01}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export, and what of it is good enough."""

    format: str = option(
        "keras", group=_GROUP, choices=FORMATS.names, help="What is written; see docs/export.md."
    )
    quantize: str = option(
        "none", group=_GROUP, choices=QUANTIZATIONS,
        help="Numbers of the exported model; int8 is calibrated on training images.",
    )  # fmt: skip
    tolerance: float | None = option(
        None, group=_GROUP, lower_bound=-1, upper_bound=1,
        help="Largest fall of accuracy on the test split that is accepted, as a share of the "
        "examples (below 0: it must rise); unset: 0.01 with int8, else 0.002.",
    )  # fmt: skip
    output: str | None = option(
        None, group=_GROUP,
        help="The folder to write; an earlier export there is replaced. "
        "unset: export/FORMAT or export/FORMAT-QUANTIZE in the run's folder.",
    )  # fmt: skip
    checkpoint: str = option(
        FINAL, group=_GROUP,
        help="final (what result.json tells of), best (of the evaluations), latest, or a step.",
    )  # fmt: skip
    data_dir: str | None = option(
        None, group=_GROUP, help="Folder with the data set's files; unset: the run's own."
    )
    calibration_examples: int = option(
        256, group=_GROUP, lower_bound=1, upper_bound=100_000,
        help="Training images that int8 is calibrated on, as many of each class as can be.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)
        self.format_module()

    def format_module(self) -> ModuleType:
        """Returns the file of the format.

        Raises:
            ConfigError: it cannot be quantized so.
        """
        module, _ = FORMATS.load(self.format)
        if self.quantize not in module.QUANTIZATIONS:
            able = [name for name in FORMATS.names() if self._can_quantize(name)]
            raise ConfigError(
                f"--quantize={self.quantize}: the format {self.format} holds float32; choose "
                f"--format={' or --format='.join(able)}."
            )
        return module

    def check_packages(self) -> None:
        """Raises ConfigError if a package that the format needs is not installed."""
        required = self.format_module().REQUIRES
        missing = [name for name in required if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"--format={self.format} needs {', '.join(missing)}, not installed here; "
                "pip install -e .[export]."
            )

    @property
    def name(self) -> str:
        """The folder's name, where none is given."""
        return self.format if self.quantize == "none" else f"{self.format}-{self.quantize}"

    @property
    def largest_fall(self) -> float:
        """`tolerance`, its default resolved."""
        given = self.tolerance
        return DEFAULT_TOLERANCE[self.quantize] if given is None else given

    def _can_quantize(self, format: str) -> bool:
        return self.quantize in FORMATS.load(format)[0].QUANTIZATIONS
