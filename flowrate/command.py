"""A program of one command: flags and words in, an exit status and one line for a mistake out."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from flowrate import options
from flowrate.errors import INTERNAL_ERROR_EXIT_CODE, ConfigError, FlowrateError, Preempted
from flowrate.text import one_line

# As a shell gives it for Ctrl-C: 128 and the signal's number.
_INTERRUPTED = 130


def run_command(
    argv: Sequence[str],
    config_class: type,
    usage: str,
    action: Callable[[Any, list[str]], int | None],
    *,
    after_dashes: str = "",
    when_stopped: str = "stopped.",
) -> int:
    """Runs a program; returns its exit status (flowrate/errors.py).

    Args:
        argv: the command line, program name first.
        config_class: of its flags, as flowrate/options.py wants it.
        usage: what `--help` begins with.
        action: takes the config and the words beside the flags; returns an exit status, None for 0.
        after_dashes: what the words after `--` are, where they are another program's.
        when_stopped: what Ctrl-C is answered with.
    """

    def parse_and_act() -> int | None:
        parse = options.parse_until_dashes if after_dashes else options.parse_with_words
        try:
            config, words = parse(config_class, argv)
        except options.UnknownFlagError as error:
            if after_dashes and "--" not in argv:
                raise ConfigError(f"{error} Give the {after_dashes} after `--`.") from None
            raise
        if config is None:
            print(options.render_help(config_class, usage))
            return 0
        return action(config, words)

    return exit_status(parse_and_act, when_stopped)


def exit_status(action: Callable[[], int | None], when_stopped: str = "stopped.") -> int:
    """Runs an action as a whole program; returns the exit status that its end has.

    A mistake is one line on standard error, and so is Ctrl-C.

    Args:
        action: returns an exit status, None for 0.
        when_stopped: what Ctrl-C is answered with.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks must not end the program.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = action() or 0
        sys.stdout.flush()
        return status
    except Preempted as error:
        print(one_line(error), file=sys.stderr)
        return error.exit_code
    except FlowrateError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(when_stopped, file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # As with `| head`: nobody reads on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        traceback.print_exc()
        print(f"error: an error of the program itself: {type(error).__name__}.", file=sys.stderr)
        return INTERNAL_ERROR_EXIT_CODE
