"""Image files -> uint8 arrays of one shape, the same way wherever a file is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from flowrate.environment import num_cpus
from flowrate.errors import DataError
from input_pipelines.images.failures import Failure, failure_reason, failures_text
from input_pipelines.images.jpeg import decode_jpeg
from input_pipelines.images.opaque import decode_opaque
from input_pipelines.source import ArraySource, FileSource

_FILES_PER_BATCH = 64
# Values of an image that are cast to float32 at once: 64 MiB.
_MAX_CAST_VALUES = 2**24
# Raised whenever the same file gives other pixels: what is cached on disk is then made anew.
VERSION = 4


def decode(
    path: tf.Tensor, image_shape: tuple[int, int, int], orientation: tf.Tensor | int = 1
) -> tf.Tensor:
    """Reads, decodes, turns upright and resizes one image.

    Bilinear without anti-aliasing and without keeping the aspect ratio, as
    `keras.utils.image_dataset_from_directory` does by default; of a GIF, the first frame. What is
    transparent is laid on white (`_opaque.py`), which Keras does not do.
    The pixels are Keras's, rounded, but for JPEGs at least twice as high and wide as asked for:
    those are decoded at a smaller scale (`_jpeg.py`). Over 200 flower photos of 159 to 439 pixels
    on the short side:

        size   scaled images   mean |difference|   distance to an anti-aliased resize
        180         14               4.3           2.6 (Keras's pixels: 3.5)
        120        130               4.2           3.1 (4.9)
         64        200               6.9           4.4 (8.4)

    of 255 levels; single pixels at edges differ by up to 208. Scaled pixels are nearer to what an
    anti-aliased resize gives: what goes is aliasing.

    Args:
        path: string scalar.
        image_shape: (height, width, channels) of the result.
        orientation: int32 scalar, EXIF's: how the stored image is to be turned; 1 is upright.

    Returns:
        uint8 [height, width, channels].

    Raises:
        tf.errors.InvalidArgumentError: the content is not a complete JPEG, PNG, BMP or WebP.
        tf.errors.OpError: the file cannot be read, or is a damaged GIF.
    """
    height, width, channels = image_shape
    content = tf.io.read_file(path)
    orientation = tf.convert_to_tensor(orientation, tf.int32)
    lying = tf.where(orientation >= 5, [width, height], [height, width])

    def from_jpeg() -> tf.Tensor:
        image = turn_upright(decode_jpeg(content, lying, channels), orientation)
        # The resize of float32, cast included, takes 0.6 of that of uint8; same pixels. Scaled
        # decoding leaves little to cast, but of an image that is long and thin.
        return tf.cond(
            tf.size(image) <= _MAX_CAST_VALUES,
            lambda: resize(tf.cast(image, tf.float32), (height, width)),
            lambda: resize(image, (height, width)),
        )

    def from_other() -> tf.Tensor:
        image = decode_opaque(content, lying)
        found = resize(turn_upright(image, orientation), (height, width))[..., :3]
        return found if channels == 3 else _luminance(found)

    # By content: a PNG named .jpg is a PNG.
    return tf.reshape(tf.cond(tf.io.is_jpeg(content), from_jpeg, from_other), image_shape)


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns [height, width, channels] as EXIF's orientation says (CIPA DC-008, 4.6.4)."""

    def is_any(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == values)

    def turned() -> tf.Tensor:
        lying = is_any(5, 6, 7, 8)
        upright = tf.cond(lying, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        down = tf.where(is_any(3, 4, 7, 8), -1, 1)
        across = tf.where(is_any(2, 3, 6, 7), -1, 1)
        return upright[::down, ::across]

    upright = tf.cond(orientation > 1, turned, lambda: image)
    return tf.ensure_shape(upright, [None, None, image.shape[-1]])


def resize(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resizes uint8 (or float32 in 0..255) [..., height, width, channels] bilinearly to uint8."""
    # Bilinear means do not leave 0..255: no saturation needed.
    return tf.cast(tf.round(tf.image.resize(images, size)), tf.uint8)


def _luminance(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [..., 1] of RGB (ITU-R BT.601-7, 2.5.1, in 65536ths); of grey, its level."""
    weighted = tf.cast(images, tf.int32) * (19595, 38470, 7471)
    total = tf.reduce_sum(weighted, axis=-1, keepdims=True)
    return tf.cast((total + 2**15) // 2**16, tf.uint8)


def decoding_options() -> tf.data.Options:
    """Returns options for a tf.data.Dataset that reads: threads of its own, one per CPU.

    They do not queue behind the model's. Each file is decoded by one of them: spreading the
    operations of one image over several costs more than it gains when there are as many images as
    CPUs. Nothing is tuned while it runs.
    """
    options = tf.data.Options()
    options.threading.private_threadpool_size = num_cpus()
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return options


def map_in_order(
    dataset: tf.data.Dataset, function: Callable, num_parallel_calls: int | None = None
) -> tf.data.Dataset:
    """Returns the dataset with a function applied to each element, in order."""
    # Nothing here needs its Python rewritten into a graph, which takes longer than tracing it.
    as_written = tf.autograph.experimental.do_not_convert(function)
    options = {"num_parallel_calls": num_parallel_calls, "deterministic": True}
    return dataset.map(as_written, **(options if num_parallel_calls else {}))


def decode_into(
    images: np.ndarray, source: FileSource, report: Callable[[int], None] | None = None
) -> None:
    """Decodes all files of a source, in parallel.

    Args:
        images: uint8 [N, height, width, channels], filled in place; may be a memory map.
        source: N files.
        report: called with the number of files done, now and then.

    Raises:
        DataError: some files cannot be read or decoded; all of them were tried and are named.
    """
    failures: list[Failure] = []
    num_done = 0
    for indices, decoded in decoded_batches(source, images.shape[1:], failures):
        images[indices] = decoded
        num_done += len(indices)
        if report and len(indices) == _FILES_PER_BATCH:
            report(num_done)
    if failures:
        raise DataError(failures_text(failures))


def decoded_batches(
    source: FileSource,
    image_shape: tuple[int, int, int],
    failures: list[Failure],
    indices: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the images of a source, decoded in parallel, a batch at a time.

    Args:
        source: N files.
        image_shape: (height, width, channels) to decode to.
        failures: gets what cannot be read or decoded, all of it by the end.
        indices: int64 [K] of the files wanted, each once; None: all.

    Yields:
        int64 [M] indices of files, in order, and their images, uint8 [M, *image_shape].
    """
    wanted = np.arange(len(source)) if indices is None else indices
    is_done = np.zeros(len(source), bool)
    for found, images in _decoded_in_order(source, image_shape, wanted):
        is_done[found] = True
        yield found, images
    # One by one what was left out: for its reason, or because it works the second time.
    for index in wanted[~is_done[wanted]]:
        outcome = _decode_one(source, index, image_shape)
        if isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            yield np.array([index]), outcome[None]


def _decoded_in_order(source: FileSource, image_shape: tuple[int, int, int], wanted: np.ndarray):
    """Yields (int64 [M] indices, uint8 [M, *image_shape]), in order, without what fails."""
    # tf.data, not Python threads with a call per file: a call costs as much as half a decoding.
    with tf.device("/cpu:0"):
        paths = tf.constant([os.fsencode(path) for path in source.paths])
        orientations = tf.constant(source.orientations)
        dataset = map_in_order(
            tf.data.Dataset.from_tensor_slices(wanted),
            lambda index: (index, decode(paths[index], image_shape, orientations[index])),
            num_parallel_calls=num_cpus(),
        )
        dataset = dataset.ignore_errors().batch(_FILES_PER_BATCH).prefetch(1)
        yield from dataset.with_options(decoding_options()).as_numpy_iterator()


def _decode_one(
    source: FileSource, index: int, image_shape: tuple[int, int, int]
) -> np.ndarray | Failure:
    path = source.paths[index]
    try:
        return decode(_path_tensor(path), image_shape, source.orientations[index]).numpy()
    except tf.errors.OpError as error:
        return Failure(int(index), path, failure_reason(path, error.message))


def find_undecodable(
    source: FileSource, indices: np.ndarray, image_shape: tuple[int, int, int]
) -> str | None:
    """Returns a message naming those of the files (int64 [M] indices) that cannot be decoded."""
    outcomes = (_decode_one(source, index, image_shape) for index in np.unique(indices))
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    return failures_text(failures) if failures else None


def resized(source: ArraySource, image_shape: tuple[int, int, int]) -> ArraySource:
    """Returns the source with its images brought to a size and a number of channels.

    Args:
        source: images uint8 [N, height, width, channels].
        image_shape: (height, width, channels); one channel may become three, not the reverse.
    """
    height, width, channels = image_shape
    batches = [
        resize(source.images[first : first + 1024], (height, width)).numpy()
        for first in range(0, len(source), 1024)
    ]
    images = np.concatenate(batches)
    if images.shape[-1] != channels:
        images = np.repeat(images, channels, axis=-1)
    return ArraySource(images, source.labels, source.class_names)


def _path_tensor(path: Path) -> tf.Tensor:
    """Returns the path's bytes as they are on the disk, also where they are no UTF-8."""
    return tf.constant(os.fsencode(path))
