"""Images as a page shows them: held by the page itself, small, with a name below."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

# Smaller images are shown enlarged, each pixel a square.
_PIXELATED_BELOW = 65
_LARGEST_SIDE = 180
_JPEG_QUALITY = 85


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """An image of a page.

    Attributes:
        address: for `<img src>`.
        caption: below it, or nothing.
        alt: for those who cannot see it.
        detail: a second line, or nothing.
        is_pixelated: whether it is so small that its pixels are to be seen.
    """

    address: str
    caption: str
    alt: str
    detail: str = ""
    is_pixelated: bool = False


def make_thumbnail(pixels: np.ndarray, caption: str, detail: str = "", alt: str = "") -> Thumbnail:
    """Returns uint8 [height, width, channels] as a thumbnail; photos as JPEG, small ones exact."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] < 3 else pixels[..., :3])
    is_small = max(image.size) < _PIXELATED_BELOW
    stream = io.BytesIO()
    if is_small:
        image.save(stream, "PNG", optimize=True)
    else:
        image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        image.save(stream, "JPEG", quality=_JPEG_QUALITY)
    kind = "png" if is_small else "jpeg"
    content = base64.b64encode(stream.getvalue()).decode()
    return Thumbnail(
        f"data:image/{kind};base64,{content}", caption, alt or caption, detail, is_small
    )
