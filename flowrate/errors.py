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
from collections.abc import Iterable

INTERNAL_ERROR_EXIT_CODE = 7
# From here on a status says: try again.
FIRST_RETRYABLE_EXIT_CODE = 128


class FlowrateError(Exception):
    """An error with a one-line message for the user; never shown with a traceback."""

    exit_code = INTERNAL_ERROR_EXIT_CODE


class ConfigError(FlowrateError):
    """A flag, or a combination of flags, that cannot work."""

    exit_code = 2


class DataError(FlowrateError):
    """A data set that is missing, damaged or not what it should be."""

    exit_code = 3


class ClusterError(FlowrateError):
    """The workers of a run, or the way to them, are not what they should be."""

    exit_code = 4


class BusyMachineError(FlowrateError):
    """Something else uses the machine, so that a measurement would say nothing."""

    exit_code = 4


class UnfitMachineError(FlowrateError):
    """The machine, or what is installed on it, lacks what training needs."""

    exit_code = 4


class RunDirError(FlowrateError):
    """A run directory or checkpoint that cannot be used as asked."""

    exit_code = 5


class DivergedError(FlowrateError):
    """The loss or a weight is no longer a finite number."""

    exit_code = 6


class DiskError(FlowrateError):
    """No room, or no right, to write what must be written."""

    exit_code = 8


class OutOfMemoryError(FlowrateError):
    """The batch does not fit into memory."""

    exit_code = 9


class ExportError(FlowrateError):
    """A converter cannot take the model, or what it wrote does not answer as the model does."""

    exit_code = 10


class Preempted(FlowrateError):  # noqa: N818 (an outcome, not an error)
    """Asked to stop by a signal; what could be saved is saved."""

    exit_code = 143


class PeerLost(FlowrateError):  # noqa: N818 (an outcome, not an error)
    """Another worker is gone, and without it no step can be taken."""

    exit_code = 144


class Stalled(FlowrateError):  # noqa: N818 (an outcome, not an error)
    """A step or a compilation takes longer than the user allows."""

    exit_code = 145


def nearest_name(name: str, allowed: Iterable[str]) -> str:
    """Returns ` Did you mean X?` for the allowed name closest to `name`, or an empty string.

    Capitals do not count: `vgg16` is close to `VGG16`.
    """
    names = {allowed_name.lower(): allowed_name for allowed_name in allowed}
    matches = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f" Did you mean {names[matches[0]]!r}?" if matches else ""
