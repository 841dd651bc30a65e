"""Decoding: Keras's pixels, rounded; and every file that cannot be decoded by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines._folders import list_folder
from input_pipelines._source import ArraySource, FileSource


@pytest.fixture(scope="module")
def decoder(tf):
    from input_pipelines import _decode

    return _decode


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
    """Returns a function: the content of a file and a shape -> its pixels."""

    def decode(content: bytes, image_shape: tuple[int, int, int]) -> np.ndarray:
        (tmp_path / "image").write_bytes(content)
        return decoder.decode(tf.constant(str(tmp_path / "image")), image_shape).numpy()

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


def test_real_originals_have_the_pixels_of_keras(decoder, shared_data):
    folder = shared_data("flower_photos_original")
    found = decode_all(decoder, list_folder(folder), (180, 180, 3))
    expected = keras_pixels(folder, (180, 180))
    assert len(found) == 200
    np.testing.assert_array_equal(found, np.rint(expected).astype(np.uint8))


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


def test_transparency_is_dropped(decode_bytes, image_bytes):
    pixels = np.concatenate([gradient(6, 6), np.full((6, 6, 1), 128, np.uint8)], axis=-1)
    found = decode_bytes(image_bytes(pixels, "PNG"), (6, 6, 3))
    np.testing.assert_array_equal(found, pixels[..., :3])


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


def test_one_damaged_file(decoder, image_folder):
    source = list_folder(image_folder())
    source.paths[3].write_bytes(b"")
    with pytest.raises(DataError) as caught:
        decode_all(decoder, source, (8, 8, 3))
    assert str(caught.value) == (
        f"1 image cannot be used: {source.paths[3]}: is empty. Repair or remove, and start again."
    )


def test_of_many_damaged_files_ten_are_named(decoder, image_folder):
    source = list_folder(image_folder())
    for path in source.paths[:13]:
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        decode_all(decoder, source, (8, 8, 3))
    message = str(caught.value)
    assert message.startswith("13 images cannot be used: ")
    assert message.count("is empty") == 10
    assert "; and 3 more. Repair or remove" in message
