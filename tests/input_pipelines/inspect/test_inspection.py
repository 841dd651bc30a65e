"""What the look finds, by data set; what it shows of it."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from input_pipelines.inspect.example import Example


def png(thumbnail) -> np.ndarray:
    import base64
    import io

    from PIL import Image

    content = base64.b64decode(thumbnail.address.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)))


def test_splits_come_in_the_usual_order_and_nothing_is_lost(look):
    found = look(validation_examples=100)
    assert list(found.counts.by_split) == ["train", "validation", "test"]
    assert found.counts.examples("validation") == 100
    assert found.pixels.num_images == found.counts.total == 1797


def test_a_bomb_is_named_and_not_decoded(look, photos, bomb):
    (photos / "dog" / "bomb.png").write_bytes(bomb)
    found = look(dataset="image_folder", data_dir=str(photos), image_size=8)
    (failure,) = found.failures.values()
    assert failure.reason == "400 Mpx > cap 64 Mpx"
    assert found.pixels.num_images == 20


def test_a_sample_is_drawn_evenly_and_bad_headers_are_tried_all_the_same(look, photos):
    for number in range(3):
        (photos / "cat" / f"{number}.png").write_bytes(b"")
    found = look(dataset="image_folder", data_dir=str(photos), image_size=8, max_images=6)
    assert not found.is_whole
    assert found.num_drawn <= 6
    assert {failure.path.name for failure in found.failures.values()} == {"0.png", "1.png", "2.png"}
    again = look(dataset="image_folder", data_dir=str(photos), image_size=8, max_images=6)
    assert all((found.drawn[split] == again.drawn[split]).all() for split in found.drawn)


def test_every_image_of_a_folder_may_be_bad(look, photos):
    from input_pipelines.inspect.page import render_page

    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    found = look(dataset="image_folder", data_dir=str(photos), image_size=8, probe_seconds=0.2)
    assert len(found.failures) == 20
    assert found.extremes is None
    assert found.input_rate is None
    assert found.to_json()["pixels"]["mean"] is None
    assert "No image that can be shown." in render_page(found)


def test_samples_are_the_training_images_of_each_class(look):
    from input_pipelines.inspect.samples import class_rows

    found = look()
    source = found.data.sources["train"]
    for label, row in enumerate(class_rows(found)):
        assert row.title == str(label)
        indices = [int(each.caption) for each in row.thumbnails]
        assert indices == sorted(set(indices))
        assert (source.labels[indices] == label).all()
        for index, thumbnail in zip(indices, row.thumbnails):
            np.testing.assert_array_equal(png(thumbnail), source.images[index, ..., 0])


@pytest.mark.parametrize("names", ["flip", "rotation,contrast", "mixup", "cutmix,flip"])
def test_nine_times_augmented_as_training_would(look, names):
    from input_pipelines.augmentation.augment import Augmentation
    from input_pipelines.blocks import training_blocks
    from input_pipelines.inspect.samples import augmented_rows

    found = look(augmentation=names, seed=3)
    source = found.data.sources["train"]
    rows = augmented_rows(found)
    assert [len(row.thumbnails) for row in rows] == [10, 10, 10]
    firsts = [int(row.title.split()[1]) for row in rows]
    assert [source.labels[index] for index in firsts] == [0, 1, 2]
    for index, row in zip(firsts, rows):
        np.testing.assert_array_equal(png(row.thumbnails[0]), source.images[index, ..., 0])
    augmentation = Augmentation(found.augmentation, 10)
    if augmentation.mixes:
        seen = {png(each).tobytes() for each in rows[0].thumbnails}
        assert len(seen) > 5
        return
    (block,) = training_blocks(
        source, None, seed=3, first_step=0, last_step=3, global_batch_size=9, steps_per_block=3,
        num_draws=augmentation.num_draws,
    )  # fmt: skip
    for step, (index, row) in enumerate(zip(firsts, rows)):
        batch = np.repeat(source.images[index : index + 1], 9, axis=0)
        expected = augmentation(batch, source.labels[[index] * 9], block["draws"][step])[0]
        for image, thumbnail in zip(expected.numpy(), row.thumbnails[1:]):
            np.testing.assert_array_equal(png(thumbnail), image[..., 0])


def test_duplicates_are_shown_side_by_side(look, photos):
    from input_pipelines.inspect.samples import duplicate_rows

    (photos / "dog" / "9.png").write_bytes((photos / "cat" / "1.png").read_bytes())
    found = look(dataset="image_folder", data_dir=str(photos), image_size=16)
    (row,) = duplicate_rows(found)
    assert "different labels" in row.note
    assert {each.caption for each in row.thumbnails} == {"cat/1.png", "dog/9.png"}
    np.testing.assert_array_equal(*map(png, row.thumbnails))


def test_findings_come_in_order_of_harm(look, photos):
    from input_pipelines.inspect.findings import findings, headline

    (photos / "cat" / "0.png").write_bytes(b"")
    (photos / "dog" / "9.png").write_bytes((photos / "cat" / "1.png").read_bytes())
    (photos / "dog" / "note.txt").write_text("")
    found = look(dataset="image_folder", data_dir=str(photos), image_size=16)
    assert headline(found) == "20 images in 2 classes: 16 train, 4 test."
    sentences = findings(found)
    assert sentences[0].startswith("1 file cannot be used")
    assert sentences[1].startswith("1 image stands in more than one class")
    assert sentences[-1] == "1 file is beside the images and not used (.txt)."


def test_unequal_classes_name_the_flags_that_help(look, photos):
    from input_pipelines.inspect.findings import findings
    from trainer.config import TrainConfig

    for number in range(5):
        (photos / "dog" / f"{number}.png").unlink()
    found = look(dataset="image_folder", data_dir=str(photos), image_size=16)
    (sentence,) = (each for each in findings(found) if each.startswith("Classes are unequal: "))
    assert "times as many of cat as of dog. " in sentence
    for flag in re.findall(r"--(\w+)", sentence):
        assert flag in {field.name for field in dataclasses.fields(TrainConfig)}
    assert sentence.count("--") == 2


def test_a_whole_data_set_has_no_findings(look):
    from input_pipelines.inspect.findings import findings

    assert findings(look()) == []


def test_the_cache_tier_is_the_one_that_training_takes(look, tf):
    from trainer.config import TrainConfig
    from trainer.data import load_data
    from trainer.engine.inputs import keep_decoded

    config = TrainConfig()
    data = load_data(config)
    tier, _ = keep_decoded(config.cache, data.sources, data.image_shape, 1)
    assert look().memory.cache == tier.tier


@pytest.mark.parametrize("dataset", ["digits", "image_folder"])
def test_the_input_rate_is_of_real_reading(look, photos, dataset):
    folder = str(photos) if dataset == "image_folder" else None
    found = look(dataset=dataset, data_dir=folder, image_size=16, probe_seconds=0.2).input_rate
    assert found.is_decoding == (dataset == "image_folder")
    assert len(found.images_per_second) == 6
    assert min(found.images_per_second) > 0
    assert found.images >= 6 * 64


def test_names_of_examples(look, photos):
    found = look(dataset="image_folder", data_dir=str(photos), image_size=8)
    example = Example("train", 0)
    path = found.naming.path(example)
    assert found.naming.short(example) == f"{path.parent.name}/{path.name}"
    assert found.naming.root == photos
    assert look().naming.short(example) == "train 0"


def test_flowers(look, shared_data):
    folder = str(shared_data("flower_photos_original"))
    found = look(dataset="flowers", data_dir=folder)
    assert not found.failures
    assert found.pixels.num_images == 200
    assert found.data.image_shape == (180, 180, 3)
    assert found.scan.formats == {"JPEG": 200}
    assert found.memory.decoded_bytes == 200 * 180 * 180 * 3


def test_fashion_mnist(look, fashion_folder):
    found = look(dataset="fashion_mnist", data_dir=str(fashion_folder), max_images=2000)
    assert found.counts.total == 70_000
    assert 1998 <= found.pixels.num_images <= 2000
    assert np.ptp(found.pixels.class_counts) <= 2
    assert found.pixels.mean[0] / 255 == pytest.approx(0.286, abs=0.02)
