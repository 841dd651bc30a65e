"""One image file of any kind -> uint8 pixels of the shape that a trained model takes.

    the file holds                            what becomes of it
    what training reads: JPEG, PNG, GIF,      for a model trained on files: `decode.decode`, the
    most BMP, WebP that stands still          function that training reads with, so that the
                                              answers are those of an evaluation
    anything else, or a model trained         Pillow, see below
    on arrays

By Pillow: also TIFF, AVIF, JPEG 2000, PPM; of several frames the first. EXIF orientation applies,
pixels become grey or RGB as `opaque.flat_pixels` says. Then the size:

*   For a model trained on files: as with JPEGs (`decode.decode_jpeg`), the mean of 2 x 2, 4 x 4 or
    8 x 8 pixels where that leaves enough, then training's resize.
*   For a model trained on arrays there is no reading of files to agree with. A larger image is
    first brought to the data set's own size by areas: each pixel is the mean of those it covers.
    Bilinear without anti-aliasing would read one of hundreds of pixels, and a pen stroke that it
    misses is gone. Then comes the resize that `--image_size` gives such a data set, if any.

The aspect ratio is not kept, as in training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile, UnidentifiedImageError

from flowrate.errors import DataError
from input_pipelines.images import decode as _decode
from input_pipelines.images.examine import (
    FORMATS,
    LARGE_PIXELS,
    kind_problem,
    one_large_image,
    too_large,
    too_large_in_scans,
)
from input_pipelines.images.headers import describe_kind, orientation_of
from input_pipelines.images.opaque import flat_pixels
from input_pipelines.images.paths import problem_of

# EPS, which Pillow can read too, is a program.
_WANTED_FORMATS = (*FORMATS, "MPO", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM")
# Of sizes up to twice Pillow's cap, which is above ours, and of small faults that it mends.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.init()
_FORMATS = tuple(name for name in _WANTED_FORMATS if name in Image.OPEN)


@dataclasses.dataclass(frozen=True)
class ImageReader:
    """Reads image files for a model.

    Attributes:
        image_shape: (height, width, channels) that the model takes; 1 or 3 channels.
        is_trained_on_files: whether its data set had image files, not arrays.
        array_size: (height, width) of the data set's arrays; None where they differ, or are files.
    """

    image_shape: tuple[int, int, int]
    is_trained_on_files: bool
    array_size: tuple[int, int] | None = None

    def read(self, path: Path) -> np.ndarray:
        """Returns uint8 [height, width, channels].

        Raises:
            DataError: what is wrong with the file, in a few words, without its name.
        """
        try:
            if problem := problem_of(path):
                raise DataError(problem)
            with Image.open(path, formats=_FORMATS) as image:
                num_pixels = image.width * image.height
                if problem := _size_problem(num_pixels, image, path):
                    raise DataError(problem)
                is_large = num_pixels > LARGE_PIXELS
                # On the CPU, as training does.
                with one_large_image if is_large else contextlib.nullcontext(), tf.device("/cpu:0"):
                    return self._pixels(path, image)
        except DataError:
            raise
        except Image.DecompressionBombError as error:
            # Pillow's own cap is higher, and met first.
            found = re.search(r"\((\d+) pixels", str(error))
            assert found is not None  # So Pillow says it.
            num_pixels = int(found[1])
            raise DataError(too_large(num_pixels, "")) from None
        except (UnidentifiedImageError, tf.errors.OpError):
            raise DataError(describe_kind(path)) from None
        except PermissionError as error:
            raise DataError(f"cannot be read ({error.strerror})") from None
        except Exception as error:  # Pillow's readers let through whatever damage leads to.
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise DataError(f"is damaged or cut short ({reason})") from None

    def _pixels(self, path: Path, image: ImageFile.ImageFile) -> np.ndarray:
        height, width, channels = self.image_shape
        if self.is_trained_on_files and _is_read_in_training(image, channels):
            decoder = _training_decoder(self.image_shape)
            return decoder(os.fsencode(path), orientation_of(image)).numpy()
        image.load()  # By which some formats turn themselves.
        orientation = orientation_of(image)
        if not self.is_trained_on_files and self.array_size:
            height, width = self.array_size
        lying = (width, height) if orientation >= 5 else (height, width)
        times_larger = max(1, min(image.height // lying[0], image.width // lying[1]))
        if self.is_trained_on_files:
            factor = max(ratio for ratio in _decode.RATIOS if ratio <= times_larger)
            pixels = flat_pixels(image, channels, factor)
        else:
            # Large ones to eight times the size by a whole number, which takes little memory.
            is_large = image.width * image.height > LARGE_PIXELS
            factor = max(1, times_larger // 8) if is_large else 1
            flat = Image.fromarray(flat_pixels(image, channels, factor))
            size = min(flat.width, lying[1]), min(flat.height, lying[0])
            pixels = np.asarray(flat.resize(size, Image.Resampling.BOX))
        pixels = tf.constant(pixels.reshape(*pixels.shape[:2], channels))
        upright = _decode.turn_upright(pixels, tf.constant(orientation))
        return _decode.resize(upright, self.image_shape[:2]).numpy()


@functools.cache
def _training_decoder(image_shape: tuple[int, int, int]):
    """Returns `decode.decode` as a graph; operation by operation it takes four times as long."""
    return tf.function(
        lambda path, orientation: _decode.decode(path, image_shape, orientation),
        input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)],
        autograph=False,
    )


def _size_problem(num_pixels: int, image: ImageFile.ImageFile, path: Path) -> str | None:
    if problem := too_large(num_pixels, image.format or ""):
        return problem
    if num_pixels > LARGE_PIXELS and image.format in ("JPEG", "MPO"):
        return too_large_in_scans(num_pixels, path.read_bytes())
    return None


def _is_read_in_training(image: ImageFile.ImageFile, channels: int) -> bool:
    if image.mode == "CMYK" and channels == 1:  # TensorFlow does not know how.
        return False
    return image.format in (*FORMATS, "MPO") and not kind_problem(image)
