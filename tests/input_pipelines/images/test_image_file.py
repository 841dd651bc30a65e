"""Image files of every kind, as a trained model takes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, features

from flowrate.errors import DataError
from input_pipelines.images.examine import examine
from input_pipelines.images.headers import headers_of_any_size
from input_pipelines.source import ArraySource

ORIENTATION = 0x0112
# What Pillow does to show a file of that orientation upright, undone.
AS_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


@pytest.fixture(scope="module")
def reader(tf):
    """Returns a function: image_shape, trained on files or arrays -> an ImageReader."""
    from input_pipelines.images.image_file import ImageReader

    def make(image_shape=(30, 40, 3), on_files=True, array_size=None):
        return ImageReader(image_shape, on_files, array_size)

    return make


def scene(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """Smooth, and another in each corner, so that a wrong turn or channel shows."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([40 + 200 * x, 40 + 200 * y, 240 - 200 * x * y], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION] = orientation
    return made


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def opaque(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(255)
    return image


def fading(image: Image.Image) -> Image.Image:
    """Transparent at the left, opaque at the right."""
    image = image.copy()
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, image.width), (image.height, 1))
                                   .astype(np.uint8)))  # fmt: skip
    return image


COLOURS = {
    "RGB.jpg": (scene(), {"quality": 95}),
    "progressive.jpg": (scene(), {"quality": 95, "progressive": True}),
    "CMYK.jpg": (scene().convert("CMYK"), {"quality": 95}),
    "RGB.png": (scene(), {}),
    "palette.png": (scene().quantize(256), {}),
    "RGBA.png": (opaque(scene()), {}),
    "palette.gif": (scene().quantize(256), {}),
    "animated.gif": (scene(), {"save_all": True, "append_images": [Image.new("RGB", (160, 120))]}),
    "24.bmp": (scene(), {}),
    "palette.bmp": (scene().quantize(256), {}),
    "RGBA.bmp": (opaque(scene()), {}),
    "lossy.webp": (scene(), {"quality": 95}),
    "animated.webp": (scene(), {"save_all": True, "append_images": [Image.new("RGB", (160, 120))]}),
    "RGB.tif": (scene(), {}),
    "CMYK.tif": (scene().convert("CMYK"), {}),
    "YCbCr.tif": (scene().convert("YCbCr"), {}),
    "packed.tif": (scene(), {"compression": "tiff_lzw"}),
    "RGB.ppm": (scene(), {}),
    "animated.png": (scene(), {"save_all": True, "append_images": [Image.new("RGB", (160, 120))]}),
    "RGB.avif": (scene(), {"quality": 95}),
}


@pytest.mark.parametrize("on_files", [True, False], ids=["files", "arrays"])
@pytest.mark.parametrize("name", COLOURS)
def test_every_kind_of_file_shows_the_same(reader, tmp_path, name, on_files):
    if name.endswith("avif") and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    image, options = COLOURS[name]
    image.save(tmp_path / name, **options)
    wanted = np.asarray(scene().resize((40, 30), Image.Resampling.BOX))
    found = reader(on_files=on_files).read(tmp_path / name)
    assert (found.dtype, found.shape) == (np.uint8, (30, 40, 3))
    assert difference(found, wanted) < 6
    grey = reader((30, 40, 1), on_files=on_files).read(tmp_path / name)
    assert grey.shape == (30, 40, 1)
    luminance = np.asarray(Image.fromarray(wanted).convert("L"))[..., None]
    assert difference(grey, luminance) < 6


GREYS = {
    "8.png": lambda: scene(mode="L"),
    "8.jpg": lambda: scene(mode="L"),
    "8.tif": lambda: scene(mode="L"),
    "8.bmp": lambda: scene(mode="L"),
    "8.pgm": lambda: scene(mode="L"),
    "alpha.png": lambda: opaque(scene(mode="L")),
    "16.png": lambda: Image.fromarray(sixteen_bits()),
    "16.tif": lambda: Image.fromarray(sixteen_bits()),
    "16.pgm": lambda: Image.fromarray(sixteen_bits().astype(np.int32)),
}


def sixteen_bits() -> np.ndarray:
    return np.asarray(scene(mode="L")).astype(np.uint16) * 257


@pytest.mark.parametrize("name", GREYS)
def test_greys_are_scaled_and_not_clipped(reader, tmp_path, name):
    GREYS[name]().save(tmp_path / name)
    for channels in (1, 3):
        found = reader((120, 160, channels), on_files=False).read(tmp_path / name)
        wanted = np.asarray(scene(mode="L"))[..., None].repeat(channels, axis=-1)
        assert np.abs(found.astype(int) - wanted).max() <= (3 if name.endswith("jpg") else 1)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_of_an_unknown_scale_are_refused(reader, tmp_path, kind):
    Image.fromarray(np.ones((3, 4), kind)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match="pixels of unknown scale: save it with 8 or 16 bits"):
        reader().read(tmp_path / "x.tif")


TRAINED_ON = {
    "colour.jpg": (scene(), {}),
    "grey.jpg": (scene(mode="L"), {}),
    "large.jpg": (scene(700, 500), {}),
    "CMYK.jpg": (scene(mode="CMYK"), {}),
    "colour.png": (scene(), {}),
    "alpha.png": (fading(scene(700, 500)), {}),
    "grey_alpha.png": (fading(scene()).convert("LA"), {}),
    "palette.png": (fading(scene()).quantize(64), {}),
    "16.png": (Image.fromarray(sixteen_bits()), {}),
    "colour.bmp": (scene(), {}),
    "alpha.bmp": (fading(scene()), {}),
    "palette.gif": (scene().quantize(64), {}),
    "alpha.gif": (fading(scene()), {}),
    "animated.gif": COLOURS["animated.gif"],
    "lossy.webp": (scene(), {}),
    "alpha.webp": (fading(scene()), {"lossless": True}),
}


@pytest.mark.parametrize("name", TRAINED_ON)
def test_what_training_reads_is_read_by_its_own_function(reader, tf, tmp_path, name):
    from input_pipelines.images import decode as _decode

    image, options = TRAINED_ON[name]
    image.save(tmp_path / name, **options)
    with headers_of_any_size():
        assert examine(tmp_path / name).problem is None
    found = reader().read(tmp_path / name)
    wanted = _decode.decode(tf.constant(os.fsencode(tmp_path / name)), (30, 40, 3)).numpy()
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("on_files", [True, False], ids=["files", "arrays"])
def test_exif_applies(reader, tmp_path, suffix, on_files):
    read = reader((30, 40, 3), on_files).read
    upright, turned = tmp_path / f"upright.{suffix}", tmp_path / f"turned.{suffix}"
    scene(200, 120).save(upright, quality=95)
    for orientation, stored in AS_STORED.items():
        scene(200, 120).transpose(stored).save(turned, quality=95, exif=exif(orientation))
        assert difference(read(turned), read(upright)) < 2, orientation


def test_damaged_exif_is_no_orientation(reader, tmp_path):
    scene().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert reader().read(tmp_path / "a.jpg").shape == (30, 40, 3)
    with headers_of_any_size():
        found = examine(tmp_path / "a.jpg")
    assert (found.orientation, found.problem) == (1, None)


def test_arrays_images_of_their_own_size_stay_as_they_are(reader, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    found = reader((28, 28, 1), False, (28, 28)).read(tmp_path / "digit.png")
    np.testing.assert_array_equal(found[..., 0], pixels)


@pytest.mark.parametrize("side", [14, 56])
def test_arrays_are_resized_as_image_size_does(reader, tf, tmp_path, side):
    from input_pipelines.images import decode as _decode

    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    found = reader((side, side, 1), False, (28, 28)).read(tmp_path / "digit.png")
    source = ArraySource(pixels[None, ..., None], np.zeros(1, np.int32), ("a", "b"))
    np.testing.assert_array_equal(found, _decode.resized(source, (side, side, 1)).images[0])


@pytest.mark.parametrize("left", [601, 617, 633, 649])
def test_thin_strokes_survive(reader, tmp_path, left):
    """Of 1600 pixels 28 are left, of a stroke of 12 pixels a quarter of one: wherever it lies."""
    image = Image.new("L", (1200, 1600), 255)
    ImageDraw.Draw(image).rectangle((left, 200, left + 11, 1400), fill=0)
    image.save(tmp_path / "stroke.png")
    found = reader((28, 28, 1), False, (28, 28)).read(tmp_path / "stroke.png")
    darkness = 255 - found[14, :, 0].astype(int)
    assert abs(darkness.sum() - 255 * 12 / 1200 * 28) <= 3


def test_large_photos_of_other_formats_are_reduced_as_jpegs_are(reader, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.tif")
    found = reader((30, 40, 3)).read(tmp_path / "noise.tif")
    means = noise.reshape(60, 8, 80, 8, 3).mean(axis=(1, 3)).reshape(30, 2, 40, 2, 3)
    assert np.abs(found - means.mean(axis=(1, 3))).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16", "CMYK"])
def test_strips_make_no_difference(reader, monkeypatch, mode):
    from input_pipelines.images import opaque as _opaque

    noise = np.random.default_rng(0).integers(0, 256, (203, 117, 4), np.uint8)
    image = Image.fromarray(noise)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    elif mode != "RGBA":
        image = image.convert("RGB").convert(mode)
    whole = {factor: _opaque.flat_pixels(image, 3, factor) for factor in (1, 2, 8)}
    monkeypatch.setattr(_opaque, "_STRIP_PIXELS", 117 * 19)
    for factor, wanted in whole.items():
        assert wanted.shape == (-(-203 // factor), -(-117 // factor), 3)
        np.testing.assert_array_equal(_opaque.flat_pixels(image, 3, factor), wanted)


def not_an_image(name: str, tmp_path: Path) -> Path:
    path = tmp_path / name
    if name == "pipe.png":
        os.mkfifo(path)
    elif name == "loop.png":
        path.symlink_to(path)
    elif name == "dangling.png":
        path.symlink_to("nothing")
    elif name == "folder.png":
        path.mkdir()
    elif name == "page.jpg":
        path.write_text("<html>404</html>")
    elif name == "script.eps":
        path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    elif name == "empty.webp":
        path.touch()
    elif name != "missing.png":
        scene().save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    return path


UNUSABLE = {
    "missing.png": "is not there", "pipe.png": "is no file", "folder.png": "is no file",
    "loop.png": "cannot be read (Too many levels of symbolic links)",
    "dangling.png": "is a link to nothing", "page.jpg": "is an HTML page",
    "script.eps": "is PostScript", "empty.webp": "is empty",
    "cut.jpg": "cut short", "cut.png": "cut short", "cut.webp": "cut short", "cut.tif": "cut short",
    "cut.bmp": "cut short", "cut.gif": "cut short",
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("on_files", [True, False], ids=["files", "arrays"])
def test_what_cannot_be_used_is_named_for_what_it_is(reader, tmp_path, name, on_files):
    with pytest.raises(DataError) as caught:
        reader(on_files=on_files).read(not_an_image(name, tmp_path))
    assert UNUSABLE[name] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (20000, 2)])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_odd_sizes(reader, tmp_path, size, suffix):
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / f"odd.{suffix}", quality=95)
    for on_files in (True, False):
        found = reader(on_files=on_files).read(tmp_path / f"odd.{suffix}")
        assert np.abs(found - np.array([10, 200, 30])).max() <= 4


MODES = {
    "1": ("png", "tif", "bmp", "gif"), "L": ("png", "jpg", "tif", "bmp", "gif", "webp", "pgm"),
    "P": ("png", "gif", "bmp", "tif"), "RGB": ("png", "jpg", "webp", "tif", "bmp", "ppm"),
    "RGBA": ("png", "webp", "tif"), "LA": ("png", "tif"), "CMYK": ("jpg", "tif"),
    "I;16": ("png", "tif"),
}  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_file_becomes_an_image_of_the_right_shape(reader, tmp_path, data):
    mode = data.draw(st.sampled_from(list(MODES)))
    suffix = data.draw(st.sampled_from(MODES[mode]))
    size = data.draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    orientation = data.draw(st.integers(1, 9))
    image_shape = data.draw(
        st.tuples(st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 3]))
    )
    # By conversion: a new image of mode P has no palette, and Pillow then writes a broken file.
    image = Image.new("L" if mode == "P" else mode, size, 1).convert(mode)
    has_exif = suffix in ("jpg", "png", "webp", "tif")
    path = tmp_path / f"any.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    image.save(path, **({"exif": exif(orientation)} if has_exif else {}), **lossless)
    on_files = data.draw(st.booleans())
    array_size = data.draw(st.sampled_from([None, (28, 28)]))
    found = reader(image_shape, on_files, None if on_files else array_size).read(path)
    assert (found.dtype, found.shape) == (np.uint8, image_shape)
    assert int(found.max()) - int(found.min()) <= 2  # One colour stays one.
