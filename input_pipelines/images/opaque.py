"""PNG, GIF, BMP and WebP -> RGB, with what is transparent laid on white, as people see it.

    c * a / 255 + 255 * (1 - a / 255), rounded, of a level c under an alpha of a; 16 bits: the high
    byte of each

Alpha is that of PNG and WebP, grey with alpha and palettes too, and PNG's one transparent colour.
In a GIF a palette's entry is transparent. The fourth byte of a BMP is not read.
"""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from PIL import Image

# Larger images are thinned before they are laid on white, which takes up to 25 bytes a pixel.
_THINNED_PIXELS = 8 * 10**6
_WHITE = 255
_STRIP_PIXELS = 1_000_000


def decode_opaque(content: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Decodes a file that is no JPEG; of several frames the first.

    Args:
        content: string scalar, the bytes of the file.
        size: int32 [2], height and width that it will be resized to, as the file has it lying.

    Returns:
        uint8 [h, w, 3 or 4]: RGB, and where there is a fourth channel it means nothing. The whole
        size; of a transparent image of more than 8 million pixels every n-th row and column, so
        that at least `size` are left.

    Raises:
        tf.errors.OpError: the content is damaged, or no image.
    """
    head = tf.strings.substr(content, 0, 25) + 25 * b"\0"  # Of that length, whatever comes.

    def decode_with(channels: int):
        return lambda: tf.io.decode_image(content, channels, expand_animations=False)

    def from_png() -> tf.Tensor:
        image = decode_with(4)()
        # TensorFlow fills in the greatest level of the file's own depth where there is no alpha,
        # and scales the levels alone to 8 bits (png_io.cc, CommonInitDecode).
        depth = tf.cast(tf.io.decode_raw(head, tf.uint8)[24], tf.int32)
        opaque = tf.bitwise.left_shift(1, tf.minimum(depth, 8)) - 1
        return _on_white(image, tf.cast(opaque, tf.uint8), size)

    is_png = tf.strings.substr(head, 0, 4) == b"\x89PNG"
    is_gif = tf.strings.substr(head, 0, 4) == b"GIF8"
    # Of a WebP in the extended or the lossless form TensorFlow wants to be told whether there is
    # alpha; an animated one ends the process.
    is_webp = tf.reduce_any(tf.strings.substr(head, 12, 4) == (b"VP8X", b"VP8L"))
    by_pillow = is_gif | (tf.strings.substr(head, 0, 4) == b"RIFF") & is_webp
    image = tf.case(
        [(is_png, from_png), (by_pillow, lambda: _decode_by_pillow(content))],
        default=decode_with(3),
    )
    return tf.ensure_shape(image, [None, None, None])


def lay_on_white(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [..., 3], RGB, of uint8 [..., 4], RGBA."""
    darkness = tf.cast(_WHITE - images[..., :3], tf.uint16) * tf.cast(images[..., 3:], tf.uint16)
    return _WHITE - tf.cast((darkness + 127) // 255, tf.uint8)


def _on_white(image: tf.Tensor, opaque: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [h, w, 3] of RGBA; as it is, of four channels, where all alpha is `opaque`."""
    lowest = tf.reduce_min(image, axis=[0, 1])[3]
    highest = tf.reduce_max(image, axis=[0, 1])[3]

    def laid() -> tf.Tensor:
        whole = tf.shape(image)[:2]
        is_large = tf.reduce_prod(whole) > _THINNED_PIXELS
        step = tf.where(is_large, tf.maximum(whole // size, 1), 1)
        thin = image[:: step[0], :: step[1]]
        return lay_on_white(thin)

    return tf.cond((lowest == opaque) & (highest == opaque), lambda: image, laid)


@tf.function(autograph=False)  # Else an error of Pillow's came as it is where all is eager.
def _decode_by_pillow(content: tf.Tensor) -> tf.Tensor:
    # TensorFlow makes black of what is transparent in a GIF, and unpacks all frames.
    return tf.numpy_function(_pillow_pixels, [content], tf.uint8, stateful=False)


def _pillow_pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content), formats=["GIF", "WEBP"]) as image:
        return flat_pixels(image, 3, 1)


def flat_pixels(image: Image.Image, channels: int, factor: int) -> np.ndarray:
    """Returns an image of any mode as uint8 [h, w] or [h, w, 3], without alpha.

    Each is the mean of factor x factor pixels. Palettes are looked up, CMYK and others become RGB,
    RGB luminance where there is one channel (ITU-R 601), of 16 bits the high byte counts. Strip by
    strip: a copy of a large image in another mode may take 256 MB.

    Raises:
        ValueError: numbers of which nobody knows what is white.
    """
    if image.mode in ("I", "F"):
        image = Image.fromarray(_high_bytes(image))
    rows = factor * max(1, _STRIP_PIXELS // (factor * image.width))
    shape = (-(-image.height // factor), -(-image.width // factor), channels)
    pixels = np.empty(shape[: 2 if channels == 1 else 3], np.uint8)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        flat = np.asarray(_flatten(strip, channels).reduce(factor))
        pixels[top // factor :][: len(flat)] = flat
    return pixels


def _flatten(image: Image.Image, channels: int) -> Image.Image:
    """Returns the image in mode L or RGB, without alpha."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_high_bytes(image))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _high_bytes(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    if values.dtype.itemsize != 2 and image.format not in ("PNG", "PPM"):
        raise ValueError(f"{values.dtype} pixels of unknown scale: save it with 8 or 16 bits")
    return (values >> 8).clip(0, 255).astype(np.uint8)
