"""Image files -> uint8 arrays of one shape, the same way wherever a file is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from flowrate.environment import num_cpus
from flowrate.errors import DataError
from input_pipelines.images.examine import examine
from input_pipelines.images.failures import Failure, failures_text
from input_pipelines.images.headers import headers_of_any_size
from input_pipelines.images.opaque import decode_opaque
from input_pipelines.progress import Progress
from input_pipelines.source import ArraySource, FileSource

_FILES_PER_BATCH = 64
# Values of an image that are cast to float32 at once: 64 MiB.
_MAX_CAST_VALUES = 2**24
# What TensorFlow's JPEG decoder can divide height and width by, rounding up.
RATIOS = (1, 2, 4, 8)
# Raised whenever the same file gives other pixels: what is cached on disk is then made anew.
VERSION = 4


def decode(
    path: tf.Tensor, image_shape: tuple[int, int, int], orientation: tf.Tensor | int = 1
) -> tf.Tensor:
    """Reads, decodes, turns upright and resizes one image.

    Bilinear without anti-aliasing and without keeping the aspect ratio, as
    `keras.utils.image_dataset_from_directory` does by default; of a GIF, the first frame. What is
    transparent is laid on white (opaque.py), which Keras does not do. The pixels are Keras's,
    rounded, but for JPEGs at least twice as high and wide as asked for: `decode_jpeg` scales those.

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


def decode_jpeg(content: tf.Tensor, size: tf.Tensor | tuple[int, int], channels: int) -> tf.Tensor:
    """Decodes a JPEG at the smallest scale that is no smaller than the image asked for.

    A photo of 12 million pixels for an input of 180 x 180 is decoded at 1/8: of each 8 x 8 block
    only the mean is computed, instead of 64 pixels of which the resize would read at most four.

    Scaled decoding averages 2 x 2, 4 x 4 or 8 x 8 pixels, where a bilinear resize without
    anti-aliasing skips most of them. Over 200 flower photos brought to 64 x 64, its pixels differ
    from Keras's by 6.9 of 255 levels in the mean and are nearer to an anti-aliased resize (4.4,
    Keras's 8.4). For 180 x 180 it takes 0.8 of the time at 800 x 600 pixels, 0.4 at 4000 x 3000.

    Args:
        content: string scalar, the bytes of a JPEG file.
        size: int32 [2], height and width that it will be resized to, as the file has it lying.
        channels: of the result.

    Returns:
        uint8 [h, w, channels]: the whole size, or at least `size` in both dimensions.

    Raises:
        tf.errors.InvalidArgumentError: the content is damaged or cut short.
    """

    def decode_at(ratio: int):
        return lambda: tf.io.decode_jpeg(content, channels, ratio=ratio)

    whole_size = tf.io.extract_jpeg_shape(content)[:2]
    chosen = ratio_index(whole_size, size)
    return tf.switch_case(chosen, [decode_at(ratio) for ratio in RATIOS])


def ratio_index(whole_size: tf.Tensor, size: tf.Tensor | tuple[int, int]) -> tf.Tensor:
    """Returns which of RATIOS to decode at: the largest that leaves at least `size`, or 1."""
    times_larger = tf.reduce_min(whole_size // size)
    return tf.reduce_sum(tf.cast(times_larger >= RATIOS[1:], tf.int32))


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


def decode_into(images: np.ndarray, source: FileSource) -> None:
    """Decodes all files of a source, in parallel; on a terminal with a bar.

    Args:
        images: uint8 [N, height, width, channels], filled in place; may be a memory map.
        source: N files.

    Raises:
        DataError: some files cannot be read or decoded; all of them were tried and are named.
    """
    failures: list[Failure] = []
    with Progress() as bar:
        bar.start("decoding images", len(source))
        for indices, decoded in decoded_batches(source, images.shape[1:], failures):
            images[indices] = decoded
            bar.advance(len(indices))
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
        return decode(
            tf.constant(os.fsencode(path)), image_shape, source.orientations[index]
        ).numpy()
    except tf.errors.OpError as error:
        with headers_of_any_size():
            reason = examine(path).problem
        # Pillow's words come with a traceback.
        said = " ".join(error.message.partition("\nTraceback")[0].split())[:80]
        return Failure(int(index), path, reason or f"is damaged ({said})")


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
