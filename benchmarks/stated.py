"""Figures for predictions that are stated here and not measured: links, and a GPU's ResNet-50."""

from __future__ import annotations

import dataclasses

from benchmarks.scaling_model import Link

# Per message. Assumed: a message over TCP takes some tens of microseconds, most of them in the two
# kernels; one over RDMA a few, most of them in the library that sends it.
_TCP_SECONDS, _RDMA_SECONDS = 30e-6, 5e-6


def _nic(gigabits_per_second: float, latency_seconds: float) -> Link:
    """Returns a link that runs at its line rate; no software reaches quite that."""
    return Link(latency_seconds, gigabits_per_second * 1e9 / 8)


NICS = {
    "10 Gbit/s, TCP": _nic(10, _TCP_SECONDS),
    "25 Gbit/s, TCP": _nic(25, _TCP_SECONDS),
    "100 Gbit/s, RDMA": _nic(100, _RDMA_SECONDS),
    "200 Gbit/s, RDMA": _nic(200, _RDMA_SECONDS),
    "400 Gbit/s, RDMA": _nic(400, _RDMA_SECONDS),
}


@dataclasses.dataclass(frozen=True)
class Workload:
    """What a worker trains.

    Attributes:
        name: for the tables.
        model: of the catalog.
        image_shape: (height, width, channels).
        num_classes: of its data set.
        batch_size: examples per step of one worker.
        compute_seconds: of such a step on one worker.
        source: where that figure comes from.
    """

    name: str
    model: str
    image_shape: tuple[int, int, int]
    num_classes: int
    batch_size: int
    compute_seconds: float
    source: str


# 25.6 million parameters at 1,000 classes (keras.io/api/applications). The rate is that of one A100
# in NVIDIA's TensorFlow example (github.com/NVIDIA/DeepLearningExamples,
# TensorFlow/Classification/ConvNets/resnet50v1.5/README.md: mixed precision and XLA, batch 256,
# 2,375 images/s; 17,400 on the 8 of a DGX A100).
RESNET50 = Workload(
    name="resnet50",
    model="keras:ResNet50",
    image_shape=(224, 224, 3),
    num_classes=1000,
    batch_size=256,
    compute_seconds=256 / 2375,
    source="one A100, as NVIDIA publishes it",
)
