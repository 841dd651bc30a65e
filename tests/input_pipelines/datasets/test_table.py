"""Tables of images: CSV, TSV and Parquet, on real files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from flowrate.errors import ConfigError, DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import table
from input_pipelines.fetch.download import MissingDataError
from input_pipelines.folders.listing import split_like_keras
from input_pipelines.loading import load_sources

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "flowrate" / "tables"


@pytest.fixture
def folder(tmp_path):
    """A folder with twelve photos, photos/00.png to photos/11.png."""
    (tmp_path / "data" / "photos").mkdir(parents=True)
    for number in range(12):
        (tmp_path / "data" / "photos" / f"{number:02}.png").write_bytes(picture(number))
    return tmp_path / "data"


def picture(number: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 8), (20 * number, 99, 0)).save(stream, kind)
    return stream.getvalue()


def name(number: int) -> str:
    return f"photos/{number:02}.png"


def load(place: Path, **columns: str):
    return table.load(LoadOptions(data_dir=place, columns=columns))


def write(folder: Path, text: str, file_name: str = "table.csv") -> Path:
    (folder / file_name).write_text(text)
    return folder / file_name


def rows(labels, splits=None, separator=",") -> str:
    head = ["image", "label", *(["split"] if splits else [])]
    lines = [
        [name(number), label, *([splits[number]] if splits else [])]
        for number, label in enumerate(labels)
    ]
    return "\n".join(separator.join(line) for line in [head, *lines]) + "\n"


SPLITS = ["train", "Training", "val", "validation", "dev", "eval", "valid", "test", "TESTING",
          "hold-out", "train", "train"]  # fmt: skip


def test_splits_have_their_usual_names(folder):
    found = load(write(folder, rows(6 * ["cat", "dog"], SPLITS)))
    assert {split: len(source) for split, source in found.items()} == {
        "train": 4, "validation": 5, "test": 3,
    }  # fmt: skip
    assert found["train"].paths == tuple(folder / name(number) for number in (0, 1, 10, 11))
    assert found["train"].labels.tolist() == [0, 1, 0, 1]
    assert found["test"].class_names == ("cat", "dog")


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_without_splits_a_fifth_is_for_the_test_as_keras_splits(folder, suffix, separator):
    path = write(folder, rows(6 * ["dog", " cat "], separator=separator), f"table.{suffix}")
    found = load(path)
    train, test = split_like_keras(everything(found, folder), 0.2, 123)
    assert (found["train"].paths, found["test"].paths) == (train.paths, test.paths)
    assert found["test"].class_names == ("cat", "dog")
    for source in found.values():
        for image, label in zip(source.paths, source.labels):
            assert label == (int(image.stem) + 1) % 2


def everything(found, folder):
    order = np.argsort([path.name for source in found.values() for path in source.paths])
    both = table.FileSource(
        tuple(path for source in found.values() for path in source.paths),
        np.concatenate([source.labels for source in found.values()]),
        ("cat", "dog"),
    )
    return both.take(order)


@pytest.mark.parametrize("image", ["image", "Image_Path", "path", "file", "filename", "filepath"])
@pytest.mark.parametrize("label", ["label", "class", "target", "Category", "species"])
def test_columns_are_found_by_their_usual_names(folder, image, label):
    text = rows(6 * ["a", "b"]).replace("image,label", f"{image},{label}")
    assert len(load(write(folder, text))["train"]) == 10


def test_columns_may_be_named(folder):
    text = "image,label,which,where\n" + "".join(
        f"nothing,x,{label},{name(number)}\n" for number, label in enumerate(6 * "ab")
    )
    found = load(write(folder, text), image="where", label="which")
    assert found["train"].class_names == ("a", "b")
    assert found["train"].paths[0].parent == folder / "photos"


def test_a_path_may_be_absolute_and_a_cell_may_hold_commas_and_lines(folder, tmp_path):
    odd = folder / "a, b.png"
    odd.write_bytes(picture(1))
    text = f'image,label,split,note\n"{odd}",NA,train,"two\nlines"\n"a, b.png",NA,test,""\n'
    text += f"{name(2)},01,train,\n{name(3)},1,test,\n"
    found = load(write(folder, "\ufeff" + text))
    assert found["train"].paths[0] == found["test"].paths[0] == odd
    assert found["train"].class_names == ("01", "1", "NA")


def test_numbers_are_sorted_by_their_value(folder):
    found = load(write(folder, rows(4 * ["10", "9", "-1"])))
    assert found["train"].class_names == ("-1", "9", "10")


def parquet_of(path: Path, columns: dict, names=None, **options) -> Path:
    made = pyarrow.table(columns)
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        made = made.replace_schema_metadata(
            {b"huggingface": json.dumps({"info": {"features": features}})}
        )
    parquet.write_table(made, path, **options)
    return path


def embedded(numbers, kind="PNG") -> list[dict]:
    return [{"bytes": picture(number, kind), "path": f"{number}.png"} for number in numbers]


def test_parquet_with_paths(folder):
    path = parquet_of(
        folder / "table.parquet",
        {"path": [name(number) for number in range(12)], "label": 4 * [0, 10, 9],
         "split": pyarrow.array(SPLITS).dictionary_encode()},
    )  # fmt: skip
    found = load(path)
    assert found["train"].class_names == ("0", "9", "10")
    assert found["train"].paths[0] == folder / name(0)
    assert len(found["validation"]) == 5


def test_images_in_parquet_become_files_once(tmp_path, cache):
    path = parquet_of(
        tmp_path / "table.parquet", {"image": embedded(range(200)), "label": 100 * [1, 0]},
        names=["no", "yes", "never"], row_group_size=30,
    )  # fmt: skip
    found = load(path)
    assert found["train"].class_names == ("no", "yes", "never")
    for source in found.values():
        for image, label in zip(source.paths, source.labels):
            number = int(image.stem)
            assert image.read_bytes() == picture(number)
            assert label == (number + 1) % 2
    (made,) = cache.iterdir()
    before = made.stat().st_mtime_ns, len(list(made.iterdir()))
    assert load(path)["train"].paths == found["train"].paths
    assert (made.stat().st_mtime_ns, len(list(made.iterdir()))) == before


def test_plain_bytes_and_bytes_that_lie_elsewhere(folder):
    binary = [picture(number, "JPEG") for number in range(10)]
    path = parquet_of(folder / "a.parquet", {"image": binary, "label": 5 * ["a", "b"]})
    assert {image.suffix for image in load(path)["train"].paths} == {".jpg"}
    cells = [*embedded(range(10)), {"bytes": None, "path": name(11)}]
    path = parquet_of(folder / "b.parquet", {"image": cells, "label": [*5 * ["a", "b"], "a"]})
    paths = [image for source in load(path).values() for image in source.paths]
    assert len(paths) == 11
    assert folder / name(11) in paths


def test_a_changed_file_is_written_anew_and_a_killed_writing_is_nothing(tmp_path, cache):
    path = tmp_path / "table.parquet"
    parquet_of(path, {"image": embedded(range(10)), "label": 5 * [0, 1]})
    load(path)
    parquet_of(path, {"image": embedded(range(20, 32)), "label": 6 * [0, 1]})
    found = load(path)
    assert sum(map(len, found.values())) == 12
    assert len(list(cache.iterdir())) == 2
    row = {"bytes": None, "path": None}
    parquet_of(path, {"image": [*embedded(range(9)), row], "label": 5 * [0, 1]})
    with pytest.raises(DataError, match=r"table.parquet: row 10 holds no image; remove the row"):
        load(path)
    assert len(list(cache.iterdir())) == 2


def test_memory_holds_some_rows_at_a_time(tmp_path):
    """80 MB of images in groups of 2 MB."""
    noise = np.random.default_rng(0).bytes(200_000)
    cells = [{"bytes": b"\xff\xd8" + bytes([n % 256]) + noise, "path": None} for n in range(400)]
    path = parquet_of(
        tmp_path / "table.parquet", {"image": cells, "label": 200 * [0, 1]}, row_group_size=10,
        use_dictionary=False, compression="none",
    )  # fmt: skip
    assert path.stat().st_size > 80e6
    code = """
import sys
sys.path.append("tests")
from pathlib import Path
import pyarrow.csv, pyarrow.parquet
import rich.progress
from faults.tools.peak import forget_peak, peak_mebibytes, resident_mebibytes
from input_pipelines.datasets import table
from input_pipelines.dataset import LoadOptions
forget_peak()
before = resident_mebibytes()
table.load(LoadOptions(data_dir=Path(sys.argv[1])))
print(peak_mebibytes() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, text=True, capture_output=True,
        timeout=120,
    )  # fmt: skip
    assert float(done.stdout) < 100, done.stderr  # All of it at once: 156.


def test_a_folder_of_shards_as_hugging_face_writes_them(tmp_path):
    shards = {"train-00000-of-00002": 10, "train-00001-of-00002": 5, "test-00000-of-00001": 4,
              "validation-00000-of-00001": 3}  # fmt: skip
    (tmp_path / "data").mkdir()
    for shard, count in shards.items():
        parquet_of(
            tmp_path / "data" / f"{shard}.parquet",
            {"image": embedded(range(count)), "label": [n % 2 for n in range(count)]},
            names=["a", "b"],
        )
    found = load(tmp_path / "data")
    assert {split: len(source) for split, source in found.items()} == {
        "train": 15, "test": 4, "validation": 3,
    }  # fmt: skip
    loaded = load_sources("table", data_dir=str(tmp_path / "data"), image_size=8)
    assert loaded.manifest.problems() == {}
    assert loaded.image_shape == (8, 8, 3)
    parquet_of(tmp_path / "data" / "more.parquet", {"image": embedded([1]), "label": [0]})
    with pytest.raises(DataError, match=r"the name of more.parquet says no split; call each file"):
        load(tmp_path / "data")


TWELVE = rows(6 * ["a", "b"])
# What is wrong: (the table, the error, its words).
WRONG = {
    "no image column": (
        TWELVE.replace("image,", "x,"), ConfigError,
        r"table.csv: no column is known to hold the image \(it has x, label\); name it with "
        r"--columns=image=NAME\.$",
    ),
    "two label columns": (
        TWELVE.replace("image,label", "image,class").replace("\n", ",1\n").replace(
            "class,1", "class,species"),
        ConfigError, r"class or species may hold the label",
    ),
    "the same column twice": (TWELVE.replace("image", "label"), ConfigError, "no column is known"),
    "an empty label": (
        TWELVE.replace("02.png,a", "02.png, "), DataError,
        r"table.csv: the label \(column label\) of row 3 is empty; fill it in, or remove the row",
    ),
    "one class": (rows(12 * ["a"]), DataError, r"one class only \(a\); a classifier needs"),
    "an unknown split": (
        rows(6 * ["a", "b"], ["train"] * 11 + ["night"]), DataError,
        "night is no split's name; write train, validation or test",
    ),
    "no train split": (
        rows(6 * ["a", "b"], ["val", "test"] * 6), DataError,
        "no row is of the train split, only of validation and test",
    ),
    "other labels": (
        TWELVE + "photos/01.png,a\nphotos/01.png,b\n", DataError,
        r"1 of the images have rows with different labels: .*photos/01.png \(b, a\)\. Keep one",
    ),
    "missing files": (
        TWELVE.replace("photos/0", "photos/7"), DataError,
        r"10 of the 12 images in .*table.csv are not there: .*/70.png, .* and 5 more\. Paths start",
    ),
    "too few columns": (TWELVE + "photos/01.png\n", DataError, r"is no CSV in UTF-8: .*Expected 2"),
    "empty": ("", DataError, "is no CSV in UTF-8: Empty CSV file"),
    "no rows": ("image,label\n", DataError, "table.csv has no rows"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_in_one_line(folder, kind):
    text, error, words = WRONG[kind]
    with pytest.raises(error, match=words) as caught:
        load(write(folder, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file_name", "content", "words"),
    [
        ("table.parquet", b"hello", "table.parquet is no Parquet: "),
        ("table.csv", b"PK\x03\x04\x00\xff\n\x00", "table.csv is no CSV in UTF-8: "),
        (
            "table.xlsx",
            b"PK\x03\x04",
            r"table.xlsx is no table; give a .csv, .tsv or .parquet file",
        ),
    ],
)
def test_what_is_no_table(folder, file_name, content, words):
    (folder / file_name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        load(folder / file_name)


def test_nothing_to_read(folder):
    with pytest.raises(MissingDataError, match=r"--dataset=table needs --data_dir: a .csv"):
        table.load(LoadOptions())
    with pytest.raises(DataError, match="does not exist"):
        load(folder / "no.csv")
    with pytest.raises(MissingDataError, match=r"does not hold a .csv, .tsv or .parquet file"):
        load(folder)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (5 * [0, -1], r"label -1 is none of the 2 classes named there \(0 to 1\)"),
        (5 * [0, 2], "label 2 is none of the 2 classes"),
        ([None, *9 * [1]], "the label .* of row 1 is empty"),
        (10 * [0.5], "column label holds double, which is no label"),
    ],
)
def test_wrong_labels_in_parquet(tmp_path, labels, words):
    path = parquet_of(
        tmp_path / "table.parquet",
        {"image": embedded(range(10)), "label": labels},
        names=["a", "b"],
    )
    with pytest.raises(DataError, match=words):
        load(path)


def test_columns_are_for_tables_and_well_written(folder):
    path = str(write(folder, TWELVE))
    with pytest.raises(ConfigError, match=r"--columns=label=x: digits is no table"):
        load_sources("digits", columns="label=x")
    for text in ("label", "label=", "a=b", "label=x,label=y"):
        with pytest.raises(ConfigError, match=f"--columns={text}: write --columns=image=NAME,"):
            load_sources("table", data_dir=path, columns=text)
    with pytest.raises(ConfigError, match=r"--columns=label=x: .* no such column; it has image, "):
        load_sources("table", data_dir=path, columns="label=x")
    assert len(load_sources("table", data_dir=path, columns="label=label").sources["train"]) == 10


def test_bad_images_are_skipped_before_anything_is_split(folder):
    path = write(folder, rows(6 * ["a", "b"], ["train"] * 8 + ["test"] * 4))
    (folder / name(3)).write_bytes(b"")
    with pytest.raises(DataError, match=r"03.png: is empty"):
        load_sources("table", data_dir=str(path), on_bad_image="error")
    found = load_sources("table", data_dir=str(path), on_bad_image="skip")
    assert (len(found.sources["train"]), found.num_skipped) == (7, 1)
