"""Measures input alone, ours or another loader's, in images per second and per CPU second."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import psutil

from benchmarks.case import image_size_label
from trainer.config import TrainConfig

# Other loaders give float32 batches of this size; ours gives blocks of it.
_BATCH_SIZE = 32
_BLOCKS_LEFT_OUT = 3


def measure_input(
    flags: dict[str, Any], seconds: float, loader: str | None = None
) -> dict[str, Any]:
    """Returns metrics and labels of a row: images_per_second and images_per_cpu_second.

    Where nothing is cached, one pass over the files is timed; else later passes, for `seconds`.

    Args:
        flags: of the data set, image size, cache and augmentation.
        seconds: how long to read.
        loader: another loader's name, or None for ours.
    """
    from trainer.data import load_data

    config = TrainConfig(**flags)
    data = load_data(config)
    source = data.sources["train"]
    read = _LOADERS[loader](config, data)
    cpu, started = _cpu_seconds(), time.perf_counter()
    count = 0
    for num_images in read:
        count += num_images
        elapsed = time.perf_counter() - started
        if elapsed > seconds and (config.cache != "none" or count >= len(source)):
            break
    elapsed, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
    return {
        "metrics": {
            "images_per_second": count / elapsed,
            "images_per_cpu_second": count / cpu if cpu else count / elapsed,
            "cpu_seconds": cpu,
        },
        "labels": {
            "dataset": config.dataset,
            "cache": config.cache,
            "augmentation": config.augmentation,
            "image_size": image_size_label(data.image_shape),
        },
        "samples": {"segments": [[count, elapsed]]},
    }


def images_per_second(
    blocks: Iterator[dict[str, Any]], images_per_block: int, seconds: float
) -> float | None:
    """Reads blocks for about so many seconds; None where there are too few to tell.

    Args:
        blocks: as Batches.host_blocks gives them.
        images_per_block: examples in each.
        seconds: how long to read.
    """
    # Blocks that were made while nobody asked are not part of the rate.
    for _ in range(_BLOCKS_LEFT_OUT):
        if next(blocks, None) is None:
            return None
    count, started = 0, time.perf_counter()
    for block in blocks:
        next(iter(block.values())).shape  # noqa: B018 - the tensor is there; nothing is copied
        count += images_per_block
        if time.perf_counter() - started > seconds:
            break
    return count / (time.perf_counter() - started) if count else None


def _cpu_seconds() -> float:
    """Returns the CPU time of this process and of those it started, ended or not."""
    times = os.times()
    ours = times.user + times.system + times.children_user + times.children_system
    running = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return ours + sum(each.user + each.system for each in running)


def _ours(config: TrainConfig, data) -> Iterator[int]:
    """Reads as the trainer does; augmentation included where asked for."""
    import tensorflow as tf

    from input_pipelines.augmentation.augment import Augmentation
    from input_pipelines.cache import apply_tier
    from trainer.distributed import strategy
    from trainer.engine.batches import Batches

    strategy.configure_devices(config)
    source = apply_tier(data.sources["train"], config.cache, data.image_shape)
    batches = Batches(
        config, source, tf.distribute.get_strategy(), data.image_shape, len(data.class_names),
        first_step=0, total_steps=10_000_000,
        augmentation=Augmentation(data.augmentation, len(data.class_names)),
        is_resident=config.cache == "device", augment_in_step=True,
    )  # fmt: skip

    @tf.function(autograph=False)
    def read_block(inputs) -> tf.Tensor:
        """Makes every batch of a block, one after the other, in one call as the trainer does."""

        def read_batch(position, total):
            images, labels, _ = batches.batch(inputs, position)
            # A pixel of each, or TensorFlow would leave the batch out.
            return position + 1, total + tf.cast(images[0, 0, 0, 0], tf.int32) + labels[0]

        _, total = tf.while_loop(
            lambda position, _: position < batches.steps_per_block, read_batch,
            [tf.constant(0), tf.constant(0)], parallel_iterations=1,
        )  # fmt: skip
        return total

    def read_blocks() -> Iterator[int]:
        while True:
            batches.wait()
            read_block(batches.inputs()).numpy()
            batches.position = batches.steps_per_block
            yield config.global_batch_size * batches.steps_per_block

    reading = read_blocks()
    if config.cache != "none":  # The first block holds the cost of starting up.
        next(reading)
    return reading


def _image_dataset_from_directory(config: TrainConfig, data) -> Iterator[int]:
    """Keras's loader as its tutorial uses it."""
    import keras

    source, size = data.sources["train"], data.image_shape[:2]
    dataset, _ = keras.utils.image_dataset_from_directory(
        source.paths[0].parent.parent, validation_split=0.2, subset="both", seed=123,
        image_size=size, batch_size=_BATCH_SIZE, verbose=False,
    )  # fmt: skip
    if config.cache == "memory":
        dataset = dataset.cache().shuffle(1000).prefetch(-1)
        for _ in dataset:  # The pass that fills the cache.
            pass
    return _sizes_of_batches(dataset)


def _torch_dataloader(config: TrainConfig, data) -> Iterator[int]:
    """PyTorch's loader, a worker for each core, decoding with Pillow."""
    import numpy as np
    import torch
    from PIL import Image

    from flowrate.environment import num_cpus

    source, (height, width, _) = data.sources["train"], data.image_shape

    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return len(source)

        def __getitem__(self, index):
            with Image.open(source.paths[index]) as image:
                # Scaled decoding, which Pillow offers for exactly this.
                image.draft("RGB", (width, height))
                image = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(image)), int(source.labels[index])

    loader = torch.utils.data.DataLoader(
        Photos(), batch_size=_BATCH_SIZE, shuffle=True, num_workers=num_cpus()
    )
    return _sizes_of_batches(loader)


def _sizes_of_batches(batches: Iterable) -> Iterator[int]:
    """Yields the number of images of each batch, pass after pass.

    Apart from the loaders, so that what they import and list is done before the clock starts.
    """
    while True:
        for images, _ in batches:
            yield int(images.shape[0])


_LOADERS = {
    None: _ours,
    "image_dataset_from_directory": _image_dataset_from_directory,
    "torch_dataloader": _torch_dataloader,
}
