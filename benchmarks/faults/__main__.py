"""Makes the attempts at breaking one promise: `python -m benchmarks.faults kills --full`."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Sequence

from benchmarks.faults import PROMISES, _attempt, _runs
from flowrate import options
from flowrate.errors import ConfigError, FlowrateError
from flowrate.options import option

USAGE = f"""Breaks, or fails to break, what the program promises to stand.

    python -m benchmarks.faults PROMISE [PROMISE ...] [--flag=value ...]

Promises: {", ".join(PROMISES.names())}. Exit status 1: one was broken."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaultsConfig:
    """What was asked, besides the promises' names."""

    full: bool = option(False, group="What", help="All attempts, not only those of every change.")
    seed: int = option(0, group="What", lower_bound=0, help="What random moments are drawn from.")
    data_dir: str | None = option(
        None, group="What", help="Folder with the data sets' files; some attempts need mnist."
    )

    def __post_init__(self):
        options.check(self)


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status."""
    try:
        config, names = options.parse_with_words(FaultsConfig, argv)
        if config is None:
            print(options.render_help(FaultsConfig, USAGE))
            return 0
        if not names:
            raise ConfigError(f"which promise? Choose from {', '.join(PROMISES.names())}.")
        if config.data_dir:
            os.environ[_runs.DATA_VARIABLE] = os.path.abspath(config.data_dir)
        promises = [PROMISES.load(name)[0] for name in names]
        num_broken = sum(_is_broken(promise, config) for promise in promises)
        return int(num_broken > 0)
    except FlowrateError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _is_broken(promise, config: FaultsConfig) -> bool:
    tell = functools.partial(print, flush=True)
    tell(f"{promise.ID}: {promise.TITLE}")
    outcomes = _attempt.make_all(promise.attempts(config.full, config.seed), tell)
    kept = sum(outcome.status == "kept" for outcome in outcomes)
    figures = _attempt.in_words(_attempt.together(outcomes))
    tell(f"  kept in {kept} of {len(outcomes)} attempts: {figures}")
    return any(outcome.status == "broken" for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
