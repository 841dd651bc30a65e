"""One image file of any kind -> uint8 pixels of the shape that a trained model takes.

    the file holds                            what becomes of it
    what training reads: JPEG, PNG, GIF,      for a model trained on files: `_decode.decode`, the
    most BMP, WebP that stands still          function that training reads with, so that the
                                              answers are those of an evaluation
    anything else, or a model trained         Pillow, see below
    on arrays

By Pillow: JPEG (CMYK too), PNG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM; of several frames the
first. EXIF orientation is applied. 16 bits: the high byte. Other whole or floating-point numbers:
see `_flat_pixels.py`. Palettes are looked up, alpha is laid on white, CMYK and others become RGB;
for a model with one channel, RGB becomes luminance (ITU-R 601). Then the size:

*   For a model trained on files: as with JPEGs (`_jpeg.py`), the mean of 2 x 2, 4 x 4 or 8 x 8
    pixels where that leaves enough, then training's resize.
*   For a model trained on arrays there is no reading of files to agree with. A larger image is
    first brought to the data set's own size by areas: each pixel is the mean of those it covers.
    Bilinear without anti-aliasing would read one of hundreds of pixels, and a pen stroke that it
    misses is gone. Then comes the resize that `--image_size` gives such a data set, if any.

The aspect ratio is not kept, as in training.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import threading
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from flowrate.errors import DataError
from input_pipelines.images import decode as _decode
from input_pipelines.images.checks import FORMATS, kind_problem, too_large, too_large_in_scans
from input_pipelines.images.flat_pixels import flat_pixels
from input_pipelines.images.jpeg import RATIOS
from input_pipelines.images.kind import describe_kind
from input_pipelines.images.paths import problem_of

# Images above this size are decoded one at a time: 16 threads with one each would fill the memory.
_LARGE_PIXELS = 16_000_000
_one_large_image = threading.Lock()
# EPS, which Pillow can read too, is a program.
_WANTED_FORMATS = (
    "JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM",
)  # fmt: skip
# Of sizes up to twice Pillow's cap, which is above ours, and of small faults that it mends.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.init()
_FORMATS = tuple(name for name in _WANTED_FORMATS if name in Image.OPEN)
_ORIENTATION = 0x0112
# EXIF orientation -> what turns [height, width, channels] upright (CIPA DC-008, 4.6.4).
_UPRIGHT = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
_SIDEWAYS = (5, 6, 7, 8)


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
                _check_size(num_pixels, image, path)
                if num_pixels <= _LARGE_PIXELS:
                    return self._decode(path, image)
                with _one_large_image:
                    return self._decode(path, image)
        except DataError:
            raise
        except Image.DecompressionBombError as error:
            # Pillow's own cap is higher, and met first.
            num_pixels = int(re.search(r"\((\d+) pixels", str(error))[1])
            raise DataError(too_large(num_pixels, "")) from None
        except (UnidentifiedImageError, tf.errors.OpError):
            raise DataError(describe_kind(path)) from None
        except PermissionError as error:
            raise DataError(f"cannot be read ({error.strerror})") from None
        except Exception as error:  # Pillow's readers let through whatever damage leads to.
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise DataError(f"is damaged or cut short ({reason})") from None

    def _decode(self, path: Path, image: Image.Image) -> np.ndarray:
        with tf.device("/cpu:0"):  # As training does.
            return self._pixels(path, image)

    def _pixels(self, path: Path, image: Image.Image) -> np.ndarray:
        if self.is_trained_on_files and _is_read_in_training(image, self.image_shape[2]):
            orientation = _orientation_of(image)
            orientation = orientation if orientation in _UPRIGHT else 1
            return _training_decoder(self.image_shape)(os.fsencode(path), orientation).numpy()
        return self._shrink(image)

    def _shrink(self, image: Image.Image) -> np.ndarray:
        """Reads the pixels by Pillow, and brings them to the model's size."""
        image.load()  # By which some formats turn themselves.
        orientation = _orientation_of(image)
        height, width, channels = self.image_shape
        if not self.is_trained_on_files and self.array_size:
            height, width = self.array_size
        lying = (width, height) if orientation in _SIDEWAYS else (height, width)
        times_larger = max(1, min(image.height // lying[0], image.width // lying[1]))
        if self.is_trained_on_files:
            factor = max(ratio for ratio in RATIOS if ratio <= times_larger)
            pixels = flat_pixels(image, channels, factor)
        else:
            # Large ones to eight times the size by a whole number, which takes little memory.
            is_large = image.width * image.height > _LARGE_PIXELS
            factor = max(1, times_larger // 8) if is_large else 1
            flat = Image.fromarray(flat_pixels(image, channels, factor))
            size = min(flat.width, lying[1]), min(flat.height, lying[0])
            pixels = np.asarray(flat.resize(size, Image.Resampling.BOX))
        pixels = pixels.reshape(*pixels.shape[:2], channels)
        if orientation in _UPRIGHT:
            pixels = np.ascontiguousarray(_UPRIGHT[orientation](pixels))
        return _decode.resize(pixels, self.image_shape[:2]).numpy()


@functools.cache
def _training_decoder(image_shape: tuple[int, int, int]):
    """Returns `_decode.decode` as a graph; operation by operation it takes four times as long."""
    return tf.function(
        lambda path, orientation: _decode.decode(path, image_shape, orientation),
        input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)],
        autograph=False,
    )


def _check_size(num_pixels: int, image: Image.Image, path: Path) -> None:
    problem = too_large(num_pixels, image.format)
    if not problem and num_pixels > _LARGE_PIXELS and image.format in ("JPEG", "MPO"):
        problem = too_large_in_scans(num_pixels, path.read_bytes())
    if problem:
        raise DataError(problem)


def _orientation_of(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # To ask would be to decode it, to look behind the pixels, as training does not.
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Damaged EXIF data; the pixels may be whole.
        return 1


def _is_read_in_training(image: Image.Image, channels: int) -> bool:
    if image.mode == "CMYK" and channels == 1:  # TensorFlow does not know how.
        return False
    return image.format in (*FORMATS, "MPO") and not kind_problem(image)
