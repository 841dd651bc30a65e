"""What is found, by data set, and the images that are shown."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image


def png(thumbnail) -> np.ndarray:
    content = base64.b64decode(thumbnail.address.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture
def look_at_photos(look, photos):
    """Returns a function: inspects the folder of photos, brought to 16 x 16."""

    def run(**flags):
        return look(dataset="image_folder", data_dir=str(photos), image_size=16, **flags)

    return run


def test_splits_come_in_the_usual_order_and_nothing_is_lost(look):
    record = look(validation_examples=100).record
    assert list(record["splits"]) == ["train", "validation", "test"]
    assert record["splits"]["validation"]["examples"] == 100
    assert record["decoded"] == record["examples"] == 1797


def test_a_bomb_is_named_and_not_decoded(look_at_photos, photos, bomb):
    (photos / "dog" / "bomb.png").write_bytes(bomb)
    record = look_at_photos().record
    (failure,) = record["undecodable"]
    assert failure["reason"] == "400 Mpx > cap 64 Mpx"
    assert record["decoded"] == 20
    assert record["files"]["width"]["max"] < 100


def test_a_sample_is_drawn_evenly_and_bad_files_are_all_named(look_at_photos, photos):
    for number in range(3):
        (photos / "cat" / f"{number}.png").write_bytes(b"")
    found, again = look_at_photos(max_images=6), look_at_photos(max_images=6)
    assert not found.record["is_whole"]
    assert found.record["decoded"] <= 6
    names = {each["path"].rpartition("/")[2] for each in found.record["undecodable"]}
    assert names == {"0.png", "1.png", "2.png"}
    assert all((found.usable[split] == again.usable[split]).all() for split in found.usable)


def test_every_image_of_a_folder_may_be_bad(look_at_photos, photos):
    from input_pipelines.inspect.page import render_page

    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    found = look_at_photos(probe_seconds=0.2)
    assert len(found.record["undecodable"]) == 20
    assert found.record["brightness"]["darkest"] == []
    assert found.record["input_rate"] is found.record["pixels"]["mean"] is None
    assert "No image that can be shown." in render_page(found)


def test_samples_are_the_training_images_of_each_class(look):
    from input_pipelines.inspect.samples import collect_images

    found = look()
    source = found.data.sources["train"]
    rows, thumbnails = collect_images(found)
    for label, row in enumerate(rows["classes"]):
        assert row.title == str(label)
        indices = [key.index for key, _, _ in row.images]
        assert indices == sorted(set(indices))
        assert (source.labels[indices] == label).all()
        for key, caption, _ in row.images:
            assert caption == str(key.index)
            np.testing.assert_array_equal(png(thumbnails[key]), source.images[key.index, ..., 0])


@pytest.mark.parametrize("names", ["rotation,contrast", "cutmix,flip"])
def test_nine_times_augmented_as_training_would(look, names):
    from input_pipelines.augmentation.augment import Augmentation
    from input_pipelines.blocks import training_blocks
    from input_pipelines.inspect.samples import augmented_images

    found = look(augmentation=names, seed=3)
    source = found.data.sources["train"]
    shown = augmented_images(found)
    assert [(name, len(images)) for name, images in shown.items()] == [
        ("0", 10),
        ("1", 10),
        ("2", 10),
    ]
    augmentation = Augmentation(tuple(names.split(",")), 10)
    if augmentation.mixes:
        assert len({image.tobytes() for image in shown["0"]}) > 5
        return
    (block,) = training_blocks(
        source, None, seed=3, first_step=0, last_step=3, global_batch_size=9, steps_per_block=3,
        num_draws=augmentation.num_draws,
    )  # fmt: skip
    for step, images in enumerate(shown.values()):
        original = source.images[np.flatnonzero(source.labels == step)[0]]
        np.testing.assert_array_equal(images[0], original)
        batch, labels = np.repeat(original[None], 9, axis=0), np.full(9, step, np.int32)
        expected = augmentation(batch, labels, block["draws"][step])[0]
        np.testing.assert_array_equal(images[1:], expected.numpy())


def test_duplicates_are_shown_side_by_side(look_at_photos, photos):
    from input_pipelines.inspect.samples import collect_images

    (photos / "dog" / "9.png").write_bytes((photos / "cat" / "1.png").read_bytes())
    rows, thumbnails = collect_images(look_at_photos())
    (row,) = rows["duplicates"]
    assert "different labels" in row.note
    assert {caption for _, caption, _ in row.images} == {"cat/1.png", "dog/9.png"}
    np.testing.assert_array_equal(*(png(thumbnails[key]) for key, _, _ in row.images))


def test_findings_come_in_order_of_harm(look_at_photos, photos):
    from input_pipelines.inspect.findings import headline

    (photos / "cat" / "0.png").write_bytes(b"")
    (photos / "dog" / "9.png").write_bytes((photos / "cat" / "1.png").read_bytes())
    Image.new("RGB", (8, 8)).save(photos / "dog" / "8.png", "JPEG")
    (photos / "dog" / "note.txt").write_text("")
    record = look_at_photos().record
    assert headline(record) == "20 images in 2 classes: 16 train, 4 test."
    keys = ("cannot be used: 1", "more than one class: 1", "duplicates: 1", "left out 1 .txt",
            "another format: 1", "one colour throughout: 1")  # fmt: skip
    found = [each for each in record["findings"] if "more than one split" not in each]
    assert len(found) == len(keys)
    for sentence, key in zip(found, keys):
        assert key in sentence


def test_unequal_classes_name_the_flags_that_help(look_at_photos, photos):
    from trainer.config import TrainConfig

    for number in range(5):
        (photos / "dog" / f"{number}.png").unlink()
    (sentence,) = (each for each in look_at_photos().record["findings"] if "unequal" in each)
    assert "of cat as of dog" in sentence
    flags = re.findall(r"--(\w+)", sentence)
    assert set(flags) < {field.name for field in dataclasses.fields(TrainConfig)}
    assert len(flags) == 2


def test_a_whole_data_set_has_no_findings(look):
    assert look().record["findings"] == []


def test_the_cache_tier_is_the_one_that_training_takes(look, tf):
    from trainer.config import TrainConfig
    from trainer.data import load_data
    from trainer.engine.inputs import keep_decoded

    data = load_data(TrainConfig())
    tier, _ = keep_decoded("auto", data.sources, data.image_shape, 1)
    assert look().record["memory"]["cache"] == tier.tier


@pytest.mark.parametrize("dataset", ["digits", "image_folder"])
def test_the_input_rate_is_of_real_reading(look, look_at_photos, dataset):
    is_files = dataset == "image_folder"
    rate = (look_at_photos if is_files else look)(probe_seconds=0.2).record["input_rate"]
    assert rate["is_decoding"] == is_files
    assert 0 < rate["lowest"] <= rate["images_per_second"] <= rate["highest"]
    assert rate["images"] >= 6 * 64


def test_flowers(look, shared_data):
    """The whole set has three pairs, one of them with two labels."""
    record = look(
        dataset="flowers", data_dir=str(shared_data("flower_photos")), max_images=50
    ).record
    assert record["files"]["formats"] == {"JPEG": 3670}
    assert record["image_shape"] == [180, 180, 3]
    names = [{each["path"].rpartition("/")[2] for each in group["examples"]}
             for group in record["duplicates"]["listed"]]  # fmt: skip
    assert names == [
        {"15922772266_1167a06620.jpg"},
        {"15072973261_73e2912ef2_n.jpg", "15069459615_7e0fd61914_n.jpg"},
        {"15066430311_fb57fa92b0_m.jpg", "14889392928_9742aed45b_m.jpg"},
    ]
    assert (record["duplicates"]["different_labels"], record["duplicates"]["across_splits"]) == (
        1,
        3,
    )
