"""Real signals to a real process: before there is a state to save, while there is, and after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Reads commands, one a line, and answers each: how a test knows where the process stands.
PROGRAM = """
import ctypes, os, sys, time
from flowrate.errors import DiskError, Preempted
from flowrate.signals import StopRequest
stop = StopRequest()
stop.install()
def save(signal_name):
    print("saving", signal_name, flush=True)
    if command == "meanwhile slow":
        time.sleep(60)
    raise {"meanwhile full": DiskError, "meanwhile odd": ValueError}.get(command, Preempted)
def give_up(error):
    print(type(error).__name__, flush=True)
    os._exit(error.exit_code)
stop.give_up = give_up
def wait():
    mutex = ctypes.create_string_buffer(64)  # PTHREAD_MUTEX_INITIALIZER
    for _ in range(2):  # The second call waits for ever, and no signal makes it return.
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
print("installed", flush=True)
for line in sys.stdin:
    command = line.strip()
    if command == "arm":
        stop.arm()
    elif command == "arm at first":
        stop.arm(has_trained=lambda: False)
    elif command == "native":
        print("native", flush=True)
        wait()
    elif command == "meanwhile short":
        with stop.saved_meanwhile(save):
            print("within", flush=True)
            time.sleep(0.2)
    elif command.startswith("meanwhile"):
        with stop.saved_meanwhile(save):
            print("native", flush=True)
            wait()
    elif command == "disarm":
        stop.disarm("runs/here")
    elif command == "slow":
        def before_leaving(exit_code):
            print("leaving", exit_code, flush=True)
            time.sleep(60)
        stop.before_leaving = before_leaving
    elif command == "broken":
        stop.before_leaving = lambda exit_code: 1 / 0
    elif command == "later":
        stop._asked_at -= 60
    elif command == "sleep":
        print("sleeping", flush=True)
        time.sleep(60)
    print(command, bool(stop), stop.signal_name, flush=True)
"""
NOTHING = "stopped before the first step; there is nothing to save."
AT_ONCE = "stopped by a second signal; what was done since the last checkpoint is lost."
SAVED = "stopped after the last step; its state is saved in runs/here."
NAMES = ["SIGTERM", "SIGINT", "SIGUSR1"]


@pytest.fixture
def process():
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout.readline() == "installed\n"
    yield started
    started.kill()
    started.communicate()


def ask(process: subprocess.Popen, command: str) -> str:
    process.stdin.write(command + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def send(process: subprocess.Popen, name: str) -> None:
    process.send_signal(getattr(signal, name))


def assert_left(process: subprocess.Popen, name: str, message: str) -> None:
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert errors == f"\n{name}: {message}\n"
    assert output == ""


@pytest.mark.parametrize("name", NAMES)
def test_while_training_the_first_signal_is_remembered(process, name):
    assert ask(process, "arm") == "arm False None"
    send(process, name)
    assert ask(process, "look") == f"look True {name}"
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize("name", NAMES)
def test_before_the_first_step_it_leaves_at_once(process, name):
    assert ask(process, "sleep") == "sleeping"
    send(process, name)
    assert_left(process, name, NOTHING)


@pytest.mark.parametrize(
    ("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGUSR1"), ("SIGUSR1", "SIGINT")]
)
def test_a_second_signal_leaves_at_once(process, first, second):
    ask(process, "arm")
    send(process, first)
    assert ask(process, "look") == f"look True {first}"
    if second != "SIGINT":  # On the heels of the first it is the same request, from a scheduler.
        for _ in range(3):
            send(process, second)
            assert ask(process, "look") == f"look True {first}"
        ask(process, "later")
    send(process, second)
    assert_left(process, second, AT_ONCE)


@pytest.mark.parametrize("name", NAMES)
def test_after_the_last_step_it_leaves_and_says_where_the_state_is(process, name):
    ask(process, "arm")
    assert ask(process, "disarm") == "disarm False None"
    send(process, name)
    assert_left(process, name, SAVED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("states", "message"),
    [([], NOTHING), (["arm at first"], NOTHING), (["arm", "disarm"], SAVED)],
)
def test_native_code_that_does_not_return_is_left_where_nothing_is_lost(process, states, message):
    for state in states:
        ask(process, state)
    assert ask(process, "native") == "native"
    send(process, "SIGTERM")
    assert_left(process, "SIGTERM", message)


@pytest.mark.slow
def test_native_code_while_training_is_left_at_a_second_signal(process):
    ask(process, "arm")
    assert ask(process, "native") == "native"
    send(process, "SIGTERM")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=7)
    send(process, "SIGINT")
    assert_left(process, "SIGINT", AT_ONCE)


def send_meanwhile(process: subprocess.Popen, command: str, name: str = "SIGTERM") -> None:
    """Sends a signal into native code beside which the state can be saved."""
    ask(process, "arm")
    assert ask(process, command) == "native"
    send(process, name)


@pytest.mark.slow
def test_a_save_meanwhile_that_fails_oddly_is_left_to_the_main_thread(process):
    send_meanwhile(process, "meanwhile odd")
    assert process.stdout.readline() == "saving SIGTERM\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)


@pytest.mark.slow
def test_a_second_signal_does_not_wait_for_a_save_meanwhile(process):
    send_meanwhile(process, "meanwhile slow")
    assert process.stdout.readline() == "saving SIGTERM\n"
    send(process, "SIGINT")
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (143, "", f"\nSIGINT: {AT_ONCE}\n")


@pytest.mark.slow
def test_what_is_over_soon_is_left_to_the_main_thread(process):
    ask(process, "arm")
    assert ask(process, "meanwhile short") == "within"
    send(process, "SIGTERM")
    assert process.stdout.readline() == "meanwhile short True SIGTERM\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=7)
    assert ask(process, "look") == "look True SIGTERM"


def test_a_signal_while_the_last_was_being_saved_is_not_forgotten(process):
    ask(process, "arm")
    send(process, "SIGTERM")
    assert ask(process, "look") == "look True SIGTERM"
    process.stdin.write("disarm\n")
    process.stdin.flush()
    assert_left(process, "SIGTERM", SAVED)


def test_what_is_to_be_done_before_leaving_does_not_hold_up_a_second_signal(process):
    assert ask(process, "slow") == "slow False None"
    send(process, "SIGTERM")
    assert process.stdout.readline() == "leaving 143\n"
    send(process, "SIGTERM")
    assert_left(process, "SIGTERM", NOTHING)


def test_an_error_before_leaving_does_not_keep_it(process):
    assert ask(process, "broken") == "broken False None"
    send(process, "SIGTERM")
    assert_left(process, "SIGTERM", NOTHING)
