"""Image files -> uint8 arrays of one shape, the same way wherever a file is read."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from flowrate.errors import DataError
from input_pipelines._source import ArraySource, FileSource

_MAX_NAMES_IN_MESSAGE = 10


def decode(path: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Reads, decodes and resizes one image.

    Bilinear without anti-aliasing and without keeping the aspect ratio, as
    `keras.utils.image_dataset_from_directory` does by default; of a GIF, the first frame.

    Args:
        path: string scalar.
        image_shape: (height, width, channels) of the result.

    Returns:
        uint8 [height, width, channels].

    Raises:
        tf.errors.InvalidArgumentError: the content is no whole JPEG, PNG, GIF or BMP.
        tf.errors.OpError: the file cannot be read.
    """
    height, width, channels = image_shape
    image = tf.io.decode_image(tf.io.read_file(path), channels, expand_animations=False)
    return tf.reshape(resize(image, (height, width)), image_shape)


def resize(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resizes uint8 [..., height, width, channels] bilinearly; rounds back to uint8."""
    return tf.saturate_cast(tf.round(tf.image.resize(images, size)), tf.uint8)


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
    image_shape = images.shape[1:]

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode_file(path: tf.Tensor) -> tf.Tensor:
        return decode(path, image_shape)

    def fill(index: int) -> str | None:
        try:
            images[index] = decode_file(tf.constant(str(source.paths[index]))).numpy()
        except tf.errors.OpError as error:
            return describe_failure(source.paths[index], error)
        return None

    failures = []
    # Threads suffice: TensorFlow decodes without holding Python's lock.
    with concurrent.futures.ThreadPoolExecutor(max_workers=_num_threads()) as pool:
        for done, failure in enumerate(pool.map(fill, range(len(source))), start=1):
            if failure:
                failures.append(failure)
            if report and done % 64 == 0:
                report(done)
    if failures:
        raise DataError(_failures_text(failures))


def find_undecodable(
    source: FileSource, indices: np.ndarray, image_shape: tuple[int, int, int]
) -> str | None:
    """Returns a message naming those of the files (int64 [M] indices) that cannot be decoded."""
    failures = []
    for index in np.unique(indices):
        path = source.paths[index]
        try:
            decode(tf.constant(str(path)), image_shape)
        except tf.errors.OpError as error:
            failures.append(describe_failure(path, error))
    return _failures_text(failures) if failures else None


def describe_failure(path: Path, error: tf.errors.OpError) -> str:
    """Returns `PATH: reason` in a few words."""
    if not os.access(path, os.R_OK):
        return f"{path}: cannot be read (missing, or no permission)"
    if path.stat().st_size == 0:
        return f"{path}: is empty"
    text = " ".join(error.message.replace("{{", "").replace("}}", "").split())
    if "Unknown image file format" in text or "Expected image" in text:
        return f"{path}: is no JPEG, PNG, GIF or BMP"
    return f"{path}: damaged or cut short ({text[:80]})"


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


def _failures_text(failures: list[str]) -> str:
    shown = "; ".join(failures[:_MAX_NAMES_IN_MESSAGE])
    more = len(failures) - _MAX_NAMES_IN_MESSAGE
    rest = f"; and {more} more" if more > 0 else ""
    noun = "image" if len(failures) == 1 else "images"
    return (
        f"{len(failures)} {noun} cannot be used: {shown}{rest}. Repair or remove, and start again."
    )


def _num_threads() -> int:
    return max(2, len(os.sched_getaffinity(0)))
