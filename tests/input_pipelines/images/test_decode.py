"""Decoding: Keras's pixels, rounded (scaled JPEGs: nearly); and undecodable files by name."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.errors import DataError
from input_pipelines.folders.listing import list_folder
from input_pipelines.source import ArraySource, FileSource


@pytest.fixture(scope="module")
def decoder(tf):
    from input_pipelines.images import decode as _decode

    return _decode


@pytest.fixture(scope="module")
def jpeg(tf):
    from input_pipelines.images import jpeg as _jpeg

    return _jpeg


@pytest.fixture(scope="module")
def image_bytes():
    """Returns a function: pixels and a format that Pillow knows -> the bytes of an image file."""
    pillow = pytest.importorskip("PIL.Image")

    def encode(pixels: np.ndarray, format_name: str, **options) -> bytes:
        stream = io.BytesIO()
        pillow.fromarray(pixels).save(stream, format_name, **options)
        return stream.getvalue()

    return encode


@pytest.fixture
def decode_bytes(decoder, tf, tmp_path):
    """Returns a function: the content of a file, a shape, how to turn it -> its pixels."""

    def decode(content: bytes, image_shape: tuple[int, int, int], orientation=1) -> np.ndarray:
        (tmp_path / "image").write_bytes(content)
        path = tf.constant(str(tmp_path / "image"))
        return decoder.decode(path, image_shape, orientation).numpy()

    return decode


def decode_all(decoder, source: FileSource, image_shape: tuple[int, int, int]) -> np.ndarray:
    images = np.zeros((len(source), *image_shape), np.uint8)
    decoder.decode_into(images, source)
    return images


def keras_pixels(folder: Path, size: tuple[int, int], color_mode: str = "rgb") -> np.ndarray:
    from keras.utils import image_dataset_from_directory

    dataset = image_dataset_from_directory(
        folder, shuffle=False, batch_size=None, image_size=size, color_mode=color_mode,
        verbose=False,
    )  # fmt: skip
    return np.stack([image for image, _ in dataset.as_numpy_iterator()])


def gradient(height: int, width: int, channels: int = 3) -> np.ndarray:
    """uint8 [height, width, channels]; every pixel another."""
    count = height * width * channels
    return (np.arange(count) * 255 // (count - 1)).astype(np.uint8).reshape(height, width, channels)


def unscaled_pixels(tf, path: Path, size: tuple[int, int], antialias: bool = False) -> np.ndarray:
    """float32: decoded whole by TensorFlow's decode_image, then resized."""
    image = tf.io.decode_image(path.read_bytes(), 3, expand_animations=False)
    return tf.image.resize(image, size, antialias=antialias).numpy()


def is_scaled(path: Path, size: tuple[int, int]) -> bool:
    pillow = pytest.importorskip("PIL.Image")
    width, height = pillow.open(path).size
    return height >= 2 * size[0] and width >= 2 * size[1]


def test_real_originals_have_the_pixels_of_keras_but_for_scaled_ones(decoder, shared_data):
    folder, size = shared_data("flower_photos_original"), (180, 180)
    source = list_folder(folder)
    found = decode_all(decoder, source, (*size, 3))
    expected = np.rint(keras_pixels(folder, size)).astype(np.uint8)
    scaled = np.array([is_scaled(path, size) for path in source.paths])
    assert len(found) == 200
    assert scaled.sum() == 14
    np.testing.assert_array_equal(found[~scaled], expected[~scaled])
    difference = np.abs(found[scaled].astype(int) - expected[scaled])
    assert 0 < difference.mean() < 5
    assert difference.mean(axis=(1, 2, 3)).max() < 9


@pytest.mark.parametrize(("size", "limit"), [((120, 120), 5), ((64, 64), 8)])
def test_scaled_pixels_are_nearer_to_an_antialiased_resize(decoder, tf, shared_data, size, limit):
    paths = list_folder(shared_data("flower_photos_original")).paths[::10]
    paths = [path for path in paths if is_scaled(path, size)]
    source = FileSource(tuple(paths), np.zeros(len(paths), np.int32), ("a", "b"))
    found = decode_all(decoder, source, (*size, 3)).astype(float)
    plain = np.stack([unscaled_pixels(tf, path, size) for path in paths])
    smooth = np.stack([unscaled_pixels(tf, path, size, antialias=True) for path in paths])
    assert len(paths) >= 10
    assert np.abs(found - plain).mean() < limit
    assert np.abs(found - smooth).mean() < 0.75 * np.abs(plain - smooth).mean()


@given(
    whole=st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
    size=st.tuples(st.integers(1, 600), st.integers(1, 600)),
)
def test_the_largest_ratio_that_leaves_enough_is_chosen(jpeg, tf, whole, size):
    index = int(jpeg.ratio_index(tf.constant(whole), size))
    enough = [
        ratio
        for ratio in jpeg.RATIOS
        if ratio == 1 or all(of // ratio >= asked for of, asked in zip(whole, size))
    ]
    assert jpeg.RATIOS[index] == max(enough)


@pytest.mark.parametrize("whole", [(31, 64), (32, 64), (47, 130), (64, 64), (129, 200)])
def test_a_scaled_jpeg_is_no_smaller_than_asked_for(jpeg, tf, image_bytes, whole):
    content = image_bytes(gradient(*whole), "JPEG")
    found = jpeg.decode_jpeg(tf.constant(content), (16, 16), 3).shape
    ratio = jpeg.RATIOS[int(jpeg.ratio_index(tf.constant(whole), (16, 16)))]
    assert found == (-(-whole[0] // ratio), -(-whole[1] // ratio), 3)
    assert min(found[:2]) >= 16


@pytest.mark.parametrize("size", [(64, 64), (180, 180)])
def test_every_way_of_reading_gives_the_same_pixels(decoder, tf, shared_data, size):
    source = list_folder(shared_data("flower_photos_original")).take(np.arange(0, 200, 20))
    image_shape = (*size, 3)
    cached = decode_all(decoder, source, image_shape)
    one_by_one = [decoder.decode(tf.constant(str(p)), image_shape).numpy() for p in source.paths]
    paths = tf.data.Dataset.from_tensor_slices([str(path) for path in source.paths])
    streamed = paths.map(lambda path: decoder.decode(path, image_shape)).as_numpy_iterator()
    np.testing.assert_array_equal(cached, np.stack(one_by_one))
    np.testing.assert_array_equal(cached, np.stack(list(streamed)))


def test_a_cmyk_jpeg_has_the_pixels_that_tensorflow_gives_it(decode_bytes, tf, image_bytes):
    pixels = np.concatenate([gradient(40, 40), np.full((40, 40, 1), 30, np.uint8)], axis=-1)
    pillow = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    pillow.frombytes("CMYK", (40, 40), pixels.tobytes()).save(stream, "JPEG")
    content = stream.getvalue()
    expected = tf.io.decode_image(content, 3, expand_animations=False).numpy()
    np.testing.assert_array_equal(decode_bytes(content, (40, 40, 3)), expected)
    halved = expected.reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(decode_bytes(content, (20, 20, 3)), halved, atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_is_turned_upright(decode_bytes, image_bytes, kind, orientation):
    """As Pillow turns the same pixels; at the whole size and scaled."""
    pillow = pytest.importorskip("PIL.Image")
    from PIL import ImageOps

    exif = pillow.Exif()
    exif[0x0112] = orientation
    smooth = np.linspace(0, 255, 40)[:, None, None] / 2 + np.linspace(0, 127, 64)[None, :, None]
    content = image_bytes(np.repeat(smooth, 3, axis=2).astype(np.uint8), kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(pillow.open(io.BytesIO(content))))
    assert upright.shape[:2] == ((64, 40) if orientation >= 5 else (40, 64))
    found = decode_bytes(content, upright.shape, orientation)
    np.testing.assert_allclose(found.astype(int), upright, atol=2)
    small = decode_bytes(content, (20, 20, 3), orientation)
    expected = np.asarray(pillow.fromarray(upright).resize((20, 20), pillow.Resampling.BOX))
    assert np.abs(small.astype(int) - expected).mean() < 4


def test_what_the_source_says_of_turning_is_heeded_everywhere(decoder, tf, image_folder):
    from input_pipelines.blocks import evaluation_blocks

    source = list_folder(image_folder(per_class=4))
    turned = dataclasses.replace(source, orientations=np.arange(1, 9, dtype=np.int32))
    shape = (16, 16, 3)
    each = [
        decoder.decode(tf.constant(str(path)), shape, number + 1).numpy()
        for number, path in enumerate(source.paths)
    ]
    assert not np.array_equal(each, decode_all(decoder, source, shape))
    np.testing.assert_array_equal(decode_all(decoder, turned, shape), each)
    (block,) = evaluation_blocks(turned, shape, global_batch_size=8, steps_per_block=1)
    np.testing.assert_array_equal(block["images"][0], each)
    part = turned.take(np.array([5, 2]))
    np.testing.assert_array_equal(decode_all(decoder, part, shape), [each[5], each[2]])


@pytest.mark.parametrize("kept", [3, 4, 20, 200, 0.5, 0.95])
@pytest.mark.parametrize("size", [16, 64])
def test_a_jpeg_cut_short_anywhere_is_named(decoder, image_folder, size, kept):
    source = list_folder(image_folder(size=(64, 64), per_class=2))
    whole = source.paths[1].read_bytes()
    num_bytes = kept if kept >= 1 else int(kept * len(whole))
    source.paths[1].write_bytes(whole[:num_bytes])
    with pytest.raises(DataError) as caught:
        decode_all(decoder, source, (size, size, 3))
    start = f"1 image cannot be used: {source.paths[1]}: damaged or cut short ("
    assert str(caught.value).startswith(start)


def test_a_png_with_a_name_in_jpg_is_decoded(decoder, image_folder, image_bytes):
    source = list_folder(image_folder())
    pixels = gradient(24, 24)
    source.paths[0].write_bytes(image_bytes(pixels, "PNG"))
    np.testing.assert_array_equal(decode_all(decoder, source, (24, 24, 3))[0], pixels)


def test_names_that_are_no_utf8(decoder, image_folder):
    source = list_folder(image_folder(per_class=2))
    odd = source.paths[0].with_name(os.fsdecode(b"ros\xe9.jpg"))
    try:
        source.paths[0].rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    source = FileSource((odd, *source.paths[1:]), source.labels, source.class_names)
    assert decode_all(decoder, source, (8, 8, 3))[0].any()
    assert decoder.find_undecodable(source, np.array([0]), (8, 8, 3)) is None
    odd.write_bytes(b"")
    with pytest.raises(DataError, match=r"ros\\xe9\.jpg: is empty"):
        decode_all(decoder, source, (8, 8, 3))


@pytest.mark.parametrize(
    ("size", "color_mode"), [((31, 17), "rgb"), ((8, 40), "grayscale"), ((24, 20), "rgb")]
)
def test_other_sizes_and_channels_have_the_pixels_of_keras(decoder, image_folder, size, color_mode):
    folder = image_folder()
    channels = 3 if color_mode == "rgb" else 1
    found = decode_all(decoder, list_folder(folder), (*size, channels))
    expected = keras_pixels(folder, size, color_mode)
    np.testing.assert_array_equal(found, np.rint(expected).astype(np.uint8))


@pytest.mark.parametrize("format_name", ["PNG", "BMP"])
def test_lossless_formats_at_their_own_size(decode_bytes, image_bytes, format_name):
    pixels = gradient(7, 9)
    found = decode_bytes(image_bytes(pixels, format_name), (7, 9, 3))
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_a_grey_image_gets_three_channels(decode_bytes, image_bytes, format_name):
    pixels = gradient(16, 16, 1)
    content = image_bytes(pixels[..., 0], format_name)
    grey, colour = decode_bytes(content, (16, 16, 1)), decode_bytes(content, (16, 16, 3))
    np.testing.assert_allclose(grey.astype(int), pixels, atol=3)
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))


def test_a_colour_image_gets_one_channel(decode_bytes, image_bytes):
    content = image_bytes(np.full((8, 8, 3), (255, 0, 0), np.uint8), "PNG")
    np.testing.assert_allclose(decode_bytes(content, (8, 8, 1)), 76, atol=1)  # red's luma


def test_of_an_animation_the_first_frame(decode_bytes):
    pillow = pytest.importorskip("PIL.Image")
    frames = [pillow.new("RGB", (9, 7), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    expected = np.full((7, 9, 3), (255, 0, 0), np.uint8)
    np.testing.assert_array_equal(decode_bytes(stream.getvalue(), (7, 9, 3)), expected)


def test_resizing_rounds_to_the_nearest(decoder):
    images = np.array([0, 1, 4, 255], np.uint8).reshape(1, 1, 4, 1)
    assert decoder.resize(images, (1, 4)).numpy().ravel().tolist() == [0, 1, 4, 255]
    # Twice as wide: a quarter of the way, then three quarters.
    found = decoder.resize(images, (1, 8)).numpy().ravel().tolist()
    exact = [0, 0.25, 0.75, 1.75, 3.25, 66.75, 192.25, 255]
    assert found == np.rint(exact).tolist()


def test_arrays_get_another_size_and_three_channels(decoder):
    images = np.stack([gradient(4, 4, 1), 255 - gradient(4, 4, 1)])
    source = ArraySource(images, np.array([0, 1], np.int32), ("a", "b"))
    same = decoder.resized(source, (4, 4, 3))
    np.testing.assert_array_equal(same.images, np.repeat(images, 3, axis=-1))
    assert decoder.resized(source, (6, 5, 1)).images.shape == (2, 6, 5, 1)


@pytest.fixture
def damaged(image_folder):
    """A folder of JPEGs of which some are damaged: {what is the matter: path}, and the source."""
    folder = image_folder(per_class=20)
    source = list_folder(folder)
    whole = source.paths[0].read_bytes()
    contents = {
        "is empty": b"",
        "is no JPEG, PNG, GIF or BMP": b"<!DOCTYPE html><title>404</title>" * 20,
        "damaged or cut short (": whole[: len(whole) // 2],
        "damaged or cut short": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        "cannot be read (missing, or no permission)": None,
    }
    paths = {}
    for (reason, content), path in zip(contents.items(), source.paths[::9]):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        paths[reason] = path
    return source, paths


def test_all_damaged_files_are_named_in_one_line(decoder, damaged):
    source, paths = damaged
    with pytest.raises(DataError) as caught:
        decode_all(decoder, source, (8, 8, 3))
    message = str(caught.value)
    assert message.startswith("5 images cannot be used: ")
    assert message.endswith(". Repair or remove, and start again.")
    assert "\n" not in message
    for reason, path in paths.items():
        assert f"{path}: {reason}" in message
    assert message.count(".jpg: ") == 5


def test_the_whole_ones_are_decoded_all_the_same(decoder, damaged):
    source, paths = damaged
    images = np.zeros((len(source), 8, 8, 3), np.uint8)
    with pytest.raises(DataError):
        decoder.decode_into(images, source)
    assert [image.any() for image in images] == [
        path not in paths.values() for path in source.paths
    ]


def test_undecodable_files_are_found_among_some(decoder, damaged):
    source, paths = damaged
    whole = np.array([n for n, path in enumerate(source.paths) if path not in paths.values()])
    assert decoder.find_undecodable(source, whole, (8, 8, 3)) is None
    indices = np.array([0, 0, *whole, 9])
    message = decoder.find_undecodable(source, indices, (8, 8, 3))
    assert message.startswith("2 images cannot be used: ")
    assert str(source.paths[0]) in message
    assert str(source.paths[9]) in message


def test_of_many_damaged_files_twenty_are_named(decoder, image_folder):
    source = list_folder(image_folder(per_class=12))
    for path in source.paths[:23]:
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        decode_all(decoder, source, (8, 8, 3))
    message = str(caught.value)
    assert message.startswith("23 images cannot be used: ")
    assert message.count("is empty") == 20
    assert "; and 3 more. Repair or remove" in message
