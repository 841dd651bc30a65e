"""`python -m input_pipelines.inspect`, as a user calls it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from flowrate import options
from flowrate.errors import ConfigError
from flowrate.records import read_json
from input_pipelines import start_tensorflow
from input_pipelines.inspect.__main__ import main
from input_pipelines.inspect.config import InspectConfig

ROOT = Path(__file__).resolve().parents[3]
HOSTILE_CLASS = '<script>alert(1) $x^2$ {{ 7*7 }} & "q"'
HOSTILE_FILE = "<img src=x onerror=alert(1)>\n\x1b[31m.jpg"


@pytest.fixture
def run(tf, tmp_path, monkeypatch, capsys):
    """Returns a function: flags -> (status, standard output, lines of standard error)."""
    monkeypatch.chdir(tmp_path)
    # It would take standard error away from the other tests of this process.
    monkeypatch.setattr(start_tensorflow, "divert_native_stderr", lambda _path: None)

    def call(*flags: str) -> tuple[int, str, list[str]]:
        status = main(["inspect", *flags])
        output, errors = capsys.readouterr()
        return status, output, errors.splitlines()

    return call


def check_documented(record: dict) -> None:
    text = (ROOT / "docs" / "records.md").read_text()
    for name in (*record, *(record["files"] or ()), *record["duplicates"], *record["pixels"],
                 *record["brightness"]):  # fmt: skip
        assert f"`{name}`" in text, name


def check_page(page: str, num_rows_augmented: int) -> None:
    """One file, without the network, with all sections."""
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert [each for each in sources if not each.startswith(("data:image/", "#"))] == []
    assert "<script" not in page
    for part in ("classes", "samples", "duplicates", "pixels", "augmentation", "speed"):
        assert f'<section id="{part}">' in page
    assert page.count("augmented 9") == num_rows_augmented


def test_a_data_set_of_arrays(run, tmp_path):
    status, output, errors = run("--probe_seconds=0.3")
    assert (status, errors) == (0, [])
    assert ["3", "146", "10.2%", "37", "10.3%"] in [line.split() for line in output.splitlines()]
    assert output.endswith("inspect-digits/inspect.json\n")
    folder = tmp_path / "inspect-digits"
    assert sorted(path.name for path in folder.iterdir()) == ["inspect.html", "inspect.json"]
    record = read_json(folder / "inspect.json")
    assert record["schema_version"] == 2
    assert record["files"] is record["folder"] is None
    assert record["undecodable"] == record["findings"] == []
    assert record["decoded"] == record["examples"] == 1797
    for split, count in (("train", 1437), ("test", 360)):
        assert record["splits"][split]["examples"] == count
        assert sum(each["examples"] for each in record["splits"][split]["classes"]) == count
        assert sum(record["brightness"]["histogram"][split]) == count
    assert record["memory"]["decoded_bytes"] == 1797 * 8 * 8
    assert len(record["input_rate"]["windows"]) == 6
    check_documented(record)
    check_page((folder / "inspect.html").read_text(), 3)


def make_odd_photos(folder: Path) -> set[str]:
    """Makes a folder with files of many kinds; returns the names that cannot be used."""
    cat, other = folder / "cat", folder / HOSTILE_CLASS
    for label, each in enumerate((cat, other)):
        each.mkdir(parents=True)
        for number in range(10):
            color = (20 * number, 100 * label, 50)
            Image.new("RGB", (40 + number, 30), color).save(each / f"{number}.jpg")
    Image.effect_noise((90, 60), 90).convert("RGB").save(cat / "noise.jpg")
    bad = {
        "cut.jpg": (cat / "noise.jpg").read_bytes()[:1500],
        "empty.jpg": b"",
        HOSTILE_FILE: b"what is this",
    }
    for name, content in bad.items():
        (cat / name).write_bytes(content)
    Image.new("RGB", (30, 30)).save(cat / "tiff.png", "TIFF")
    Image.new("RGB", (30, 30), "blue").save(cat / "really.jpg", "PNG")
    Image.new("RGB", (30, 30)).save(cat / "other.webp")
    (other / "again.jpg").write_bytes((cat / "0.jpg").read_bytes())
    return {*bad, "tiff.png"}


def test_a_folder_with_files_that_cannot_be_used(run, tmp_path):
    bad = make_odd_photos(tmp_path / "photos")
    status, output, errors = run(
        "--dataset=image_folder", f"--data_dir={tmp_path / 'photos'}", "--output=out",
        "--image_size=32", "--probe_seconds=0.2", "--augmentation=flip,mixup",
    )  # fmt: skip
    assert status == 3
    (line,) = errors
    assert line.startswith(f"error: {len(bad)} of the files")
    assert "out/inspect.json" in line
    record = read_json(tmp_path / "out" / "inspect.json")
    check_documented(record)
    named = {Path(each["path"]).name: each["reason"] for each in record["undecodable"]}
    assert set(named) == {r"<img src=x onerror=alert(1)>\n\x1b[31m.jpg" if each == HOSTILE_FILE
                          else each for each in bad}  # fmt: skip
    assert record["decoded"] == record["examples"] - len(bad)
    files = record["files"]
    assert files["count"] == record["examples"] == 27
    assert files["formats"] == {"JPEG": 23, "TIFF": 1, "PNG": 1}
    assert files["width"]["max"] == 90
    wrong = {Path(each["path"]).name: each["format"] for each in files["wrong_suffix"]}
    assert wrong == {"tiff.png": "TIFF", "really.jpg": "PNG"}
    assert [Path(path).name for path in files["not_used"]["listed"]] == ["other.webp"]
    assert record["duplicates"]["groups"] == record["duplicates"]["different_labels"] == 1
    for text in (output, json.dumps(record, ensure_ascii=False)):
        assert "\x1b" not in text
    page = (tmp_path / "out" / "inspect.html").read_text()
    check_page(page, 2)
    assert "\x1b" not in page
    assert "<img src=x" not in page
    assert html.escape(HOSTILE_CLASS, quote=False).replace('"', "&#34;") in page


def test_json_is_all_that_is_printed(run, tmp_path):
    status, output, _ = run(
        "--dataset=synthetic", "--image_size=8", "--json", "--max_images=50", "--output=x/y",
        "--probe_seconds=0", "--augmentation=none",
    )  # fmt: skip
    assert status == 0
    record = json.loads(output)
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
def test_a_mistake_is_one_line(run, tmp_path, flags, status, message):
    found, _, errors = run(*flags)
    assert found == status
    (line,) = errors
    assert line.startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_help_explains_every_flag(capsys):
    assert main(["inspect", "--help"]) == 0
    output = capsys.readouterr().out
    for field, description, _ in options.described_fields(InspectConfig):
        assert f"--{field.name}\n" in output
        assert description.help.endswith("."), field.name


def test_the_folder_is_named_after_the_data_set():
    assert InspectConfig(dataset="tfds:a/b").folder == Path("inspect-tfds-a-b")
    with pytest.raises(ConfigError, match="no such dataset"):
        InspectConfig(dataset="inspect")
