"""`python -m input_pipelines.inspect`, run as a user does."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from flowrate import options
from flowrate.errors import ConfigError
from flowrate.records import read_json
from input_pipelines.inspect.config import InspectConfig

ROOT = Path(__file__).resolve().parents[3]
HOSTILE_CLASS = '<script>alert(1) $x^2$ {{ 7*7 }} & "q"'
HOSTILE_FILE = "<img src=x onerror=alert(1)>\n\x1b[31m.jpg"


def run(*flags: str, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "input_pipelines.inspect", *flags],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("digits")
    done = run("--probe_seconds=0.3", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, folder / "inspect-digits"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder with files of many kinds, looked at: (process, page, record, names that are bad)."""
    folder = tmp_path_factory.mktemp("odd")
    classes = [folder / "photos" / name for name in ("cat", HOSTILE_CLASS)]
    for label, each in enumerate(classes):
        each.mkdir(parents=True)
        for number in range(10):
            color = (20 * number, 100 * label, 50)
            Image.new("RGB", (40 + number, 30), color).save(each / f"{number}.jpg")
    cat = classes[0]
    whole = (cat / "0.jpg").read_bytes()
    Image.effect_noise((90, 60), 90).convert("RGB").save(cat / "noise.jpg")
    bad = {
        "cut.jpg": (cat / "noise.jpg").read_bytes()[:1500],
        "empty.jpg": b"",
        "page.jpg": b"<!DOCTYPE html><title>404</title>" * 20,
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\n",
        HOSTILE_FILE: b"what is this",
    }
    for name, content in bad.items():
        (cat / name).write_bytes(content)
    Image.new("RGB", (30, 30)).save(cat / "tiff.png", "TIFF")
    Image.new("CMYK", (30, 30)).save(cat / "cmyk.jpg")
    Image.new("RGB", (30, 30), "blue").save(cat / "really.jpg", "PNG")
    Image.new("RGB", (30, 30)).save(cat / "other.webp")
    (classes[1] / "again.jpg").write_bytes(whole)
    done = run(
        "--dataset=image_folder", f"--data_dir={folder / 'photos'}", "--output=out",
        "--image_size=32", "--probe_seconds=0.2", "--augmentation=flip,mixup", cwd=folder,
    )  # fmt: skip
    page = (folder / "out" / "inspect.html").read_text()
    return done, page, read_json(folder / "out" / "inspect.json"), {*bad, "tiff.png"}


def test_the_summary_tells_counts_and_where_to_look(digits):
    done, folder = digits
    assert done.stdout.startswith("1,797 images in 10 classes: 1,437 train, 360 test.\n")
    assert done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["3", "146", "10.2%", "37", "10.3%"] in rows
    assert done.stdout.endswith("inspect-digits/inspect.json\n")
    assert sorted(path.name for path in folder.iterdir()) == ["inspect.html", "inspect.json"]


def test_the_record_of_an_array_data_set(digits):
    record = read_json(digits[1] / "inspect.json")
    assert record["schema_version"] == 1
    assert record["files"] is None
    assert record["undecodable"] == []
    assert record["decoded"] == record["examples"] == 1797
    assert record["is_whole"]
    for split, count in (("train", 1437), ("test", 360)):
        assert record["splits"][split]["examples"] == count
        assert sum(each["examples"] for each in record["splits"][split]["classes"]) == count
        assert sum(record["brightness"]["histogram"][split]) == count
    assert record["memory"]["decoded_bytes"] == 1797 * 8 * 8
    rate = record["input_rate"]
    assert rate["lowest"] <= rate["images_per_second"] <= rate["highest"]
    assert len(rate["windows"]) == 6


def test_every_field_is_documented(digits, odd):
    text = (ROOT / "docs" / "records.md").read_text()
    for record in (read_json(digits[1] / "inspect.json"), odd[2]):
        for name in (*record, *(record["files"] or ()), *record["duplicates"], *record["pixels"]):
            assert f"`{name}`" in text, name


def test_all_files_that_cannot_be_used_are_named_and_the_rest_is_looked_at(odd):
    done, _, record, bad = odd
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {len(bad)} of the files cannot be used")
    assert "out/inspect.json" in line
    named = {Path(each["path"]).name: each["reason"] for each in record["undecodable"]}
    assert set(named) == {r"<img src=x onerror=alert(1)>\n\x1b[31m.jpg" if each == HOSTILE_FILE
                          else each for each in bad}  # fmt: skip
    assert named["empty.jpg"] == "is empty"
    assert named["page.jpg"] == "is an HTML page"
    assert named["pointer.jpg"].startswith("is a Git LFS pointer")
    assert named["tiff.png"].startswith("is a TIFF; training reads JPEG")
    assert named["cut.jpg"].startswith("is cut short: truncated at ")
    assert record["decoded"] == record["examples"] - len(bad)
    assert record["input_rate"]["is_decoding"]


def test_the_files_of_a_folder(odd):
    record = odd[2]
    assert record["files"]["count"] == record["examples"] == 30
    assert record["files"]["formats"] == {"JPEG": 24, "TIFF": 1, "PNG": 1}
    assert record["files"]["modes"]["CMYK"] == 1
    assert record["files"]["width"]["max"] == 90
    wrong = {Path(each["path"]).name: each["format"] for each in record["files"]["wrong_suffix"]}
    assert wrong == {"tiff.png": "TIFF", "really.jpg": "PNG"}
    assert [Path(path).name for path in record["files"]["not_used"]["listed"]] == ["other.webp"]
    assert record["duplicates"]["groups"] == record["duplicates"]["different_labels"] == 1
    (group,) = record["duplicates"]["listed"]
    assert {each["class"] for each in group["examples"]} == {"cat", HOSTILE_CLASS}
    assert "really.jpg" in {Path(each["path"]).name for each in record["brightness"]["blank"]}


def test_the_page_escapes_every_name(odd):
    page = odd[1]
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "49" not in re.findall(r"<h3>(.*?)</h3>", page)
    assert html.escape(HOSTILE_CLASS, quote=False).replace('"', "&#34;") in page
    assert "\x1b" not in page
    assert "\x1b" not in odd[0].stdout


@pytest.mark.parametrize("which", ["digits", "odd"])
def test_the_page_needs_nothing_else(which, digits, odd):
    page = odd[1] if which == "odd" else (digits[1] / "inspect.html").read_text()
    sources = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert sources
    assert [each for each in sources if not each.startswith(("data:image/", "#"))] == []
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page
    for part in ("classes", "samples", "duplicates", "pixels", "augmentation", "speed"):
        assert f'<section id="{part}">' in page
    assert page.count("augmented, 9") == (2 if which == "odd" else 3)


def test_json_is_all_that_is_printed(tmp_path):
    done = run(
        "--dataset=synthetic", "--image_size=8", "--json", "--max_images=50", "--output=x/y",
        "--probe_seconds=0", "--augmentation=none", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record == read_json(tmp_path / "x" / "y" / "inspect.json")
    assert record["input_rate"] is None
    assert not record["is_whole"]
    assert record["decoded"] == 49  # 44 of 4,096 and 5 of 512: whole images of each class
    assert "--augmentation=flip,rotation" in (tmp_path / "x" / "y" / "inspect.html").read_text()


REFUSED = {
    "no such set": (["--dataset=flower"], 2, "--dataset=flower: no such dataset. Did you mean"),
    "a word": (["digits"], 2, "'digits' stands alone"),
    "no such flag": (["--dateset=digits"], 2, "--dateset: no such flag."),
    "augmentation": (["--augmentation=flap"], 2, "--augmentation=flap: no augmentation 'flap'"),
    "a negative time": (["--probe_seconds=-1"], 2, "--probe_seconds=-1"),
    "no such folder": (["--dataset=mnist", "--data_dir=nowhere"], 3, "--data_dir=nowhere does not"),
    "no room": (["--output=/proc/look"], 8, "cannot write /proc/look"),
}


@pytest.mark.parametrize(("flags", "status", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_one_line(tmp_path, flags, status, message):
    done = run(*flags, cwd=tmp_path, timeout=60)
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_help_explains_every_flag_without_tensorflow(tmp_path):
    code = (
        "import sys; from input_pipelines.inspect.__main__ import main; main(['x', '--help']);"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("False\n")
    for field, description, _ in options.described_fields(InspectConfig):
        assert f"--{field.name}\n" in done.stdout
        assert description.help.endswith("."), field.name


def test_the_folder_is_named_after_the_data_set():
    assert InspectConfig(dataset="tfds:a/b").folder == Path("inspect-tfds-a-b")
    with pytest.raises(ConfigError, match="no such dataset"):
        InspectConfig(dataset="inspect")
