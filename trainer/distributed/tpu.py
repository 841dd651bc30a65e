"""`--strategy=tpu`. Never run: no TPU was at hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowrate.errors import ClusterError
from trainer.distributed.preflight import is_listening

if TYPE_CHECKING:
    import tensorflow as tf

# It resolves names on Google Cloud; TensorFlow would wait for it elsewhere.
_METADATA_SERVER = "metadata.google.internal:80"


def find_tpu(asked: str | None, environment: Mapping[str, str]) -> str:
    """Returns the TPU that `--tpu_name` or TPU_NAME names, as TPUClusterResolver takes it.

    Raises:
        ClusterError: neither names one, or it cannot be reached. No TensorFlow is needed to know.
    """
    name = asked or environment.get("TPU_NAME")
    address = name.removeprefix("grpc://") if name and name.startswith("grpc://") else None
    if not name:
        problem = "there is no TPU here, and neither --tpu_name nor TPU_NAME names one. Give "
        problem += "--tpu_name=NAME, grpc://host:port or local,"
    elif name == "local" and not importlib.util.find_spec("libtpu"):
        problem = "a TPU of this machine needs TensorFlow built for it; pip install tensorflow-tpu,"
    elif name != "local" and not is_listening(address or _METADATA_SERVER):
        problem = f"the TPU {name} does not answer; check the address,"
    else:
        return name
    raise ClusterError(f"--strategy=tpu: {problem} or use --strategy=mirrored.")


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
