"""Where the inputs of a run are kept: the cache tier; images, or features of frozen layers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from input_pipelines.cache import TierChoice, apply_tier, choose_tier
from input_pipelines.device_memory import free_device_bytes
from input_pipelines.source import ArraySource, Source
from trainer.distributed.strategy import is_on_gpu
from trainer.model.frozen import TrainedPart, features_of


def keep_inputs(
    cache: str,
    sources: dict[str, Source],
    image_shape: tuple[int, int, int],
    part: TrainedPart,
    num_replicas: int,
    tell: Callable[[str], None],
) -> tuple[TierChoice, dict[str, Source]]:
    """Returns the cache tier chosen, and the sources as it keeps them: where they fit, the features
    that frozen layers give for the images, which must be the same each time.

    Args:
        part: is given features from then on, if that is what is kept.

    Raises:
        ConfigError, DataError, DiskError: as keep_decoded does.
    """
    if part.frozen is None:
        return keep_decoded(cache, sources, image_shape, num_replicas, tell)
    num_examples = sum(len(source) for source in sources.values())
    shape = part.frozen.output_shape[1:]
    num_bytes = num_examples * math.prod(shape) * np.dtype(np.float32).itemsize
    tier = _choose_tier(cache, num_bytes, num_replicas, is_decoded=False)
    if tier.tier not in ("memory", "device"):
        return keep_decoded(cache, sources, image_shape, num_replicas, tell)
    tell(
        f"computing the features of {num_examples:,} images once: {math.prod(shape):,} numbers each"
    )
    features: dict[str, Source] = {
        split: features_of(part, source, image_shape) for split, source in sources.items()
    }
    part.takes_features = True
    return tier, features


def keep_decoded(
    cache: str,
    sources: dict[str, Source],
    image_shape: tuple[int, int, int],
    num_replicas: int,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[TierChoice, dict[str, Source]]:
    """Returns the cache tier chosen, and the sources as it keeps them.

    Args:
        cache: the flag.
        sources: the splits as they were loaded.
        image_shape: (height, width, channels) that the model gets.
        num_replicas: of this process.
        tell: takes a line that says why a cache is made anew.

    Raises:
        ConfigError: `--cache=device` and the training set does not fit there.
        DataError: images that cannot be decoded, each named.
        DiskError: no room for the disk tier.
    """
    num_examples = sum(len(source) for source in sources.values())
    is_decoded = all(isinstance(source, ArraySource) for source in sources.values())
    num_bytes = num_examples * math.prod(image_shape)
    tier = _choose_tier(cache, num_bytes, num_replicas, is_decoded)
    return tier, {
        split: apply_tier(source, tier.tier, image_shape, tell=tell)
        for split, source in sources.items()
    }


def _choose_tier(cache: str, num_bytes: int, num_replicas: int, is_decoded: bool) -> TierChoice:
    num_copies = 1 if is_on_gpu() else num_replicas  # Virtual devices share the CPU's memory.
    return choose_tier(
        cache,
        num_bytes=num_bytes,
        is_decoded=is_decoded,
        device_bytes=num_bytes * num_copies,
        free_device_bytes=free_device_bytes(),
    )
