"""Where there is no TPU, that is said at once; with one it was never run."""

from __future__ import annotations

import socket

import pytest

from flowrate.errors import ClusterError
from trainer.distributed.tpu import find_tpu


@pytest.mark.parametrize(
    ("asked", "environment", "words"),
    [
        (None, {}, "neither --tpu_name nor TPU_NAME names one"),
        ("grpc://127.0.0.1:1", {}, "does not answer"),
        ("grpc://nowhere:port", {}, "does not answer"),
        (None, {"TPU_NAME": "grpc://127.0.0.1:1"}, "grpc://127.0.0.1:1 does not answer"),
        ("grpc://127.0.0.1:1", {"TPU_NAME": "other"}, "grpc://127.0.0.1:1 does not answer"),
        ("local", {}, "TensorFlow built for it"),
    ],
)
def test_a_tpu_that_cannot_be_reached_is_named(asked, environment, words):
    with pytest.raises(ClusterError, match=words):
        find_tpu(asked, environment)


def test_a_tpu_that_answers_is_taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        name = f"grpc://127.0.0.1:{server.getsockname()[1]}"
        assert find_tpu(None, {"TPU_NAME": name}) == name
