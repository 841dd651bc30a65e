"""The errors a user can cause or meet, each with the exit status it ends the program with.

    FlowrateError
    ├── ConfigError        2  a flag, or a combination of flags, that cannot work
    ├── DataError          3  a data set that is missing, damaged or not what it should be
    ├── ClusterError       4  the workers, or the way to them, are not what they should be
    ├── BusyMachineError   4  something else uses the machine that is to be measured
    ├── UnfitMachineError  4  the machine lacks what training needs
    ├── RunDirError        5  a run directory or checkpoint that cannot be used as asked
    ├── DivergedError      6  the loss or a weight is no longer a finite number
    ├── DiskError          8  no room, or no right, to write what must be written
    ├── OutOfMemoryError   9  the batch does not fit
    ├── ExportError       10  a converter cannot take the model, or its file answers worse
    ├── Preempted        143  asked to stop by a signal; the state is saved
    ├── PeerLost         144  another worker is gone; all begin again from the last checkpoint
    └── Stalled          145  a step or a compilation takes longer than the user allows

Status 7 is an error of the program itself (its traceback goes to a file). A status of 128 or more
may be tried again as it is; the others need a person. Messages say, on one line, what was given,
what is allowed and what to do.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

INTERNAL_ERROR_EXIT_CODE = 7
# From here on a status says: try again.
FIRST_RETRYABLE_EXIT_CODE = 128


class FlowrateError(Exception):
    """An error with a one-line message for the user; never shown with a traceback."""

    exit_code = INTERNAL_ERROR_EXIT_CODE


class ConfigError(FlowrateError):
    exit_code = 2


class DataError(FlowrateError):
    exit_code = 3


class ClusterError(FlowrateError):
    exit_code = 4


class BusyMachineError(FlowrateError):
    exit_code = 4


class UnfitMachineError(FlowrateError):
    exit_code = 4


class RunDirError(FlowrateError):
    exit_code = 5


class DivergedError(FlowrateError):
    exit_code = 6


class DiskError(FlowrateError):
    exit_code = 8


class OutOfMemoryError(FlowrateError):
    exit_code = 9


class ExportError(FlowrateError):
    exit_code = 10


class Preempted(FlowrateError):  # noqa: N818 (an outcome, not an error)
    exit_code = 143


class PeerLost(FlowrateError):  # noqa: N818 (an outcome, not an error)
    exit_code = 144


class Stalled(FlowrateError):  # noqa: N818 (an outcome, not an error)
    exit_code = 145


def nearest_name(name: str, allowed: Iterable[str]) -> str:
    """Returns ` Did you mean X?` for the allowed name closest to `name`, or an empty string.

    Capitals do not count: `vgg16` is close to `VGG16`.
    """
    names = {allowed_name.lower(): allowed_name for allowed_name in allowed}
    matches = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f" Did you mean {names[matches[0]]!r}?" if matches else ""


def as_out_of_resources(error: Exception) -> FlowrateError | None:
    """Returns the error that running out of memory or disk stands for; None where it is neither."""
    # By name: TensorFlow may not be imported yet.
    if type(error).__name__ not in ("ResourceExhaustedError", "MemoryError"):
        return None
    reason = (str(error).strip().splitlines() or ["out of memory"])[0][:160]
    if os.strerror(errno.ENOSPC) in str(error):  # TensorFlow has one error for disk and memory.
        return DiskError(f"cannot write: {reason}.")
    return OutOfMemoryError(
        f"out of memory ({reason}); lower --global_batch_size or --image_size, or use --cache=none."
    )
