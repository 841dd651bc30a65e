"""Pixels of any mode that Pillow knows -> grey or RGB bytes without alpha."""

from __future__ import annotations

import numpy as np
from PIL import Image

_STRIP_PIXELS = 1_000_000


def flat_pixels(image: Image.Image, channels: int, factor: int) -> np.ndarray:
    """Returns uint8 [h, w] or [h, w, 3], each the mean of factor x factor pixels; without alpha.

    Strip by strip: a copy of a large image in another mode may take 256 MB.
    """
    if image.mode in ("I", "F"):
        image = Image.fromarray(_to_bytes(np.asarray(image), image.format))
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
        image = Image.fromarray(_to_bytes(np.asarray(image), image.format))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _to_bytes(values: np.ndarray, file_format: str | None) -> np.ndarray:
    """Returns uint8 of grey values of 16 bits (the high byte), of other whole numbers, or floats.

    Of those last the depth is unknown: values in 0..1 (floats), 0..255 or 0..65535 are taken as of
    such a scale; any others are stretched from the least to the greatest.
    """
    if values.dtype.itemsize == 2 or file_format in ("PNG", "PPM"):
        return (values >> 8).clip(0, 255).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    is_float = values.dtype.kind == "f"
    scales = [scale for scale in ((1,) if is_float else ()) + (255, 65535) if high <= scale]
    if low < 0 or not scales:
        finite, scales = finite - low, [max(high - low, 1e-30)]
    return np.rint(finite * (255 / scales[0])).astype(np.uint8)
