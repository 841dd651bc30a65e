"""`--strategy=tpu`: finds a TPU and connects to it. Never run: no TPU was at hand.

What can be known without TensorFlow is checked first: its resolver would ask a metadata server that
is only on Google Cloud, and wait for addresses that do not answer.
"""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowrate.errors import ClusterError
from trainer.distributed.preflight import is_listening

if TYPE_CHECKING:
    import tensorflow as tf

# Where the environment names a TPU, in the order of TensorFlow's own client.
_VARIABLES = ("KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_NAME")
_METADATA_SERVER = "metadata.google.internal:80"
_DEFAULT_PORT = "8470"
_LOCAL = "local"


def find_tpu(asked: str | None, environment: Mapping[str, str]) -> str:
    """Returns the TPU to use, as TPUClusterResolver takes it.

    Args:
        asked: of `--tpu_name`.
        environment: names one where the flag does not.

    Raises:
        ClusterError: there is none, or it does not answer.
    """
    named = [environment[variable] for variable in _VARIABLES if environment.get(variable)]
    attached = [_LOCAL] if glob.glob("/dev/accel[0-9]*") else []
    name = next(iter([*([asked] if asked else []), *named, *attached]), None)
    if name is None:
        raise ClusterError(
            "--strategy=tpu: there is no TPU here, and neither --tpu_name nor TPU_NAME names one. "
            "Give --tpu_name=NAME, grpc://host:port or local, or use --strategy=mirrored."
        )
    if name == _LOCAL:
        if not importlib.util.find_spec("libtpu"):
            raise ClusterError(
                "--strategy=tpu: a TPU of this machine needs TensorFlow built for it; "
                "pip install tensorflow-tpu, or use --strategy=mirrored."
            )
    elif name.startswith("grpc://"):
        for address in name.split(","):
            _check_answers(name, address.removeprefix("grpc://"))
    elif not is_listening(_METADATA_SERVER):
        raise ClusterError(
            f"--strategy=tpu: the TPU {name!r} is found by its name on Google Cloud only, and its "
            "metadata server does not answer here. Give --tpu_name=grpc://host:port, or use "
            "--strategy=mirrored."
        )
    return name


def connect(name: str) -> tf.distribute.TPUStrategy:
    """Returns the strategy over the cores of a TPU.

    Raises:
        ClusterError: TensorFlow cannot connect to it.
    """
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ImportError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ClusterError(f"--strategy=tpu: cannot use the TPU {name!r}: {reason}.") from None


def _check_answers(name: str, address: str) -> None:
    host, colon, port = address.partition(":")
    port = port if colon else _DEFAULT_PORT
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ClusterError(f"--strategy=tpu: {name!r} is not an address; give grpc://host:port.")
    if not is_listening(f"{host}:{port}"):
        raise ClusterError(
            f"--strategy=tpu: the TPU {name} does not answer; check the address, or use "
            "--strategy=mirrored."
        )
