"""Says whether this machine can train: `python -m trainer.doctor`.

Where the packages that flags need are not installed, it says what it can with Python's own library.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from collections.abc import Sequence

from trainer.doctor import diagnosis, machine, table


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    # As Ctrl-C: children are ended and folders removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not machine.python_is_allowed() or importlib.util.find_spec("absl") is None:
        return _without_packages(argv)
    from trainer.doctor.command import run

    return run(argv)


def _without_packages(argv: Sequence[str]) -> int:
    checks = diagnosis.without_packages()
    found = list(checks) if "--json" in argv else table.show(checks)
    if "--json" in argv:
        print(json.dumps(diagnosis.to_json(found), indent=2))
    print(f"error: {diagnosis.describe_failures(found)}", file=sys.stderr)
    return diagnosis.UNFIT_EXIT_CODE


if __name__ == "__main__":
    sys.exit(main(sys.argv))
