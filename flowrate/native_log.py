"""Keeps what native code writes to standard error out of the terminal."""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

from flowrate.records import disk_errors


def divert_native_stderr(path: Path) -> None:
    """From now on file descriptor 2 leads to `path`; Python's sys.stderr stays where it was.

    TensorFlow, XLA and CUDA print to descriptor 2 directly, whatever their log level says. A crash
    of native code still shows its Python stack on the terminal.

    Raises:
        DiskError: `path` cannot be written.
    """
    sys.stderr.flush()
    terminal = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    with disk_errors(path):
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    os.close(log)
    sys.stderr = terminal
    faulthandler.enable(terminal)
