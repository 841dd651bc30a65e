"""Exit statuses, and the nearest name in a message."""

from __future__ import annotations

import re

import pytest

from flowrate import errors
from flowrate.errors import FlowrateError, nearest_name


def documented_statuses() -> dict[str, int]:
    """The table in the module's docstring: {class name: exit status}."""
    return {name: int(status) for name, status in re.findall(r"── (\w+)\s+(\d+) ", errors.__doc__)}


def test_each_error_ends_with_the_status_that_is_documented():
    statuses = {
        error.__name__: error.exit_code
        for error in FlowrateError.__subclasses__()
        if error.__module__ == errors.__name__
    }
    assert statuses == documented_statuses()
    assert statuses == {
        "ConfigError": 2, "DataError": 3, "ClusterError": 4, "BusyMachineError": 4,
        "UnfitMachineError": 4, "RunDirError": 5, "DivergedError": 6, "DiskError": 8,
        "OutOfMemoryError": 9, "ExportError": 10, "Preempted": 143, "PeerLost": 144, "Stalled": 145,
    }  # fmt: skip


def test_a_bare_error_counts_as_one_of_the_program_itself():
    assert FlowrateError.exit_code == errors.INTERNAL_ERROR_EXIT_CODE == 7


@pytest.mark.parametrize(
    ("name", "allowed", "hint"),
    [
        ("mnits", ["digits", "mnist", "flowers"], " Did you mean 'mnist'?"),
        ("MNIST", ["digits", "mnist", "flowers"], " Did you mean 'mnist'?"),
        ("vgg16", ["VGG16", "VGG19"], " Did you mean 'VGG16'?"),
        ("RESNET50v2", ["ResNet50", "ResNet50V2"], " Did you mean 'ResNet50V2'?"),
        ("zebra", ["digits", "mnist", "flowers"], ""),
        ("anything", [], ""),
    ],
)
def test_nearest_name(name, allowed, hint):
    assert nearest_name(name, allowed) == hint
    assert nearest_name(name, iter(allowed)) == hint
