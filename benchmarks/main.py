"""The benchmark suite: `python -m benchmarks.main run --suite=tutorials --output=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from flowrate import options
from flowrate.command import exit_status
from flowrate.errors import ConfigError

USAGE = """Measures the trainer, and what people use instead.

    python -m benchmarks.main run --suite=NAME --output=DIR [--flag=value ...]
    python -m benchmarks.main compare DIR_A DIR_B     is B faster than A? exit status 0 no case is
                                                      slower, 1 some case is, 2 cannot compare
    python -m benchmarks.main report DIR              writes DIR/report.html and report.csv
    python -m benchmarks.main readme DIR FILE.md      puts its tables between FILE.md's markers
    python -m benchmarks.main list                    the suites and their cases"""


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status."""
    return exit_status(
        lambda: _choose(argv),
        when_stopped="stopped; the rows so far are kept, the same command goes on.",
    )


def _choose(argv: Sequence[str]) -> int:
    command, *words = argv[1:] or ["--help"]
    if command in ("--help", "-h", "help"):
        print(_help())
        return 0
    if command not in _COMMANDS:
        raise ConfigError(f"{command!r}: choose from {', '.join(_COMMANDS)}; see --help.")
    return _COMMANDS[command](words)


def _help() -> str:
    from benchmarks.config import RunConfig

    return options.render_help(RunConfig, f"{USAGE}\n\nFlags of run:")


def _run(words: list[str]) -> int:
    from benchmarks.config import RunConfig
    from benchmarks.suites import SUITES
    from input_pipelines.fetch.download import existing_folder

    config = options.parse(RunConfig, ["run", *words])
    if config is None:
        print(_help())
        return 0
    suite, _ = SUITES.load(config.suite)
    cases = suite.cases(config.choice())
    if not cases:
        raise ConfigError(
            f"--suite={config.suite} has no case of these --models, --datasets, --contenders and "
            "--cases; "
            "see `list`."
        )
    if config.data_dir:
        existing_folder(Path(config.data_dir), config.suite)
    if config.dry_run:
        for case in cases:
            _say(f"{case.name} {case.contender}")
        return 0
    from benchmarks.runner import Runner

    runner = Runner(
        Path(config.output), ["benchmarks.main", "run", *words], config.strict, _say,
        find_batch=config.find_batch,
    )  # fmt: skip
    runner.run(cases, config.repeats)
    return _report([config.output])


def _compare(words: list[str]) -> int:
    from benchmarks.compare import compare_folders, print_comparison
    from benchmarks.config import CompareConfig

    config, folders = options.parse_with_words(CompareConfig, ["compare", *words])
    if config is None:
        print(options.render_help(CompareConfig, USAGE))
        return 0
    if len(folders) != 2:
        raise ConfigError(f"compare needs two results folders; {len(folders)} given.")
    comparison = compare_folders(folders[0], folders[1], same_within=config.same_within)
    print_comparison(comparison)
    return comparison.exit_status


def _report(words: list[str]) -> int:
    if len(words) != 1:
        raise ConfigError(f"report needs one results folder; {len(words)} given.")
    from benchmarks.report.write import write_report

    for path in write_report(Path(words[0])):
        _say(str(path))
    return 0


def _readme(words: list[str]) -> int:
    if len(words) != 2:
        raise ConfigError(f"readme needs a results folder and a file; {len(words)} given.")
    from benchmarks.report.readme import update_file

    update_file(Path(words[0]), Path(words[1]))
    return 0


def _list(words: list[str]) -> int:
    from benchmarks.case import Choice
    from benchmarks.suites import SUITES

    if words:
        raise ConfigError(f"list takes nothing; {words[0]!r} given.")
    for name in SUITES.names():
        suite, _ = SUITES.load(name)
        _say(f"{name}: {suite.TITLE}")
        groups: dict[str, list[str]] = {}
        for case in suite.cases(Choice()):
            groups.setdefault(case.name, []).append(case.contender)
        for case_name, contenders in groups.items():
            _say(f"    {case_name}  ({', '.join(contenders)})")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": _run, "compare": _compare, "report": _report, "readme": _readme, "list": _list,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv))
