"""`python tie.py PID COMMAND ...`: becomes the command, and gets SIGTERM when process PID ends.

A program of its own: between fork and exec no Python may run where other threads do.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2); kept across exec.

if __name__ == "__main__":
    _, parent, *command = sys.argv
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # It ended before it could be waited for.
        sys.exit(128 + signal.SIGTERM)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}.", file=sys.stderr)
        sys.exit(127)
