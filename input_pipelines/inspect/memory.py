"""What the decoded images take, and where training would keep them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from input_pipelines.cache import choose_tier
from input_pipelines.device_memory import free_device_bytes
from input_pipelines.source import ArraySource, Source


@dataclasses.dataclass(frozen=True)
class Memory:
    """Where `--cache=auto` would keep the images of this data set on this machine, now.

    Attributes:
        decoded_bytes: of all splits, one byte for each channel of a pixel.
        cache: the tier.
        reason: in words.
    """

    decoded_bytes: int
    cache: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Returns it JSON-able."""
        return dataclasses.asdict(self)


def estimate_memory(sources: Mapping[str, Source], image_shape: tuple[int, int, int]) -> Memory:
    """Estimates as training on one device does."""
    num_bytes = sum(map(len, sources.values())) * math.prod(image_shape)
    tier = choose_tier(
        "auto",
        num_bytes=num_bytes,
        is_decoded=isinstance(sources["train"], ArraySource),
        device_bytes=num_bytes,
        free_device_bytes=free_device_bytes(),
    )
    return Memory(num_bytes, tier.tier, tier.reason)
