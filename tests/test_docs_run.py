"""Every command of the pages for users runs, in the order of its page, on real data.

Trainings, but those on digits, are cut to two steps; all else is run as it is written.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/train.md",
    "docs/photos.md",
    "docs/data.md",
    "docs/predict.md",
    "docs/export.md",
)
PROGRAM = re.compile(r"python -m (trainer\.(?!launch|submit)|input_pipelines\.)")
# Needs what is not here: a cluster, a TPU, a download; or is tested at length elsewhere.
NOT_RUN = ("--dataset=cifar10", "--dataset=tfds", "--strategy=tpu", "--probe=full", "--help")


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [
        line for line in lines if PROGRAM.match(line) and not any(each in line for each in NOT_RUN)
    ]


def shortened(line: str) -> str:
    """Returns the command with two steps in place of its epochs, where it trains for long."""
    # --unfreeze_at counts epochs: of a few photos they are short.
    if any(each in line for each in ("--dataset=digits", "--unfreeze_at")):
        return line
    if "trainer.main" not in line:
        return line
    line = line.partition(" #")[0]
    return f"{re.sub(r'--epochs=[0-9]+', '', line)} --steps=2"


@pytest.fixture(scope="module")
def user_folder(tmp_path_factory, shared_data) -> Path:
    """A folder as the pages suppose it: photos of one's own, and data sets in the cache."""
    folder = tmp_path_factory.mktemp("user")
    flowers = shared_data("flower_photos")
    cache = folder / "cache" / "flowrate"
    for name, target in (("flowers/flower_photos", flowers), ("mnist", shared_data("mnist"))):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(target)
    for class_name in ("daisy", "roses"):
        (folder / "photos" / class_name).mkdir(parents=True)
        for path in sorted((flowers / class_name).glob("*.jpg"))[:12]:
            shutil.copy(path, folder / "photos" / class_name)
    write_tables(folder)
    photo = next((flowers / "tulips").glob("*.jpg"))
    shutil.copy(photo, folder / "photo.jpg")
    (folder / "holiday").mkdir()
    Image.open(photo).save(folder / "holiday" / "tulip.webp")
    paper = Image.new("L", (300, 400), 220)
    ImageDraw.Draw(paper).line([(80, 90), (220, 90), (130, 310)], fill=40, width=26)
    paper.save(folder / "photo_of_a_7.jpg")
    run(folder, "python -m trainer.main --dataset=flowers --image_size=64 --epochs=2 "
                "--run_dir=runs/mine")  # fmt: skip
    return folder


def write_tables(folder: Path) -> None:
    """Writes the tables that docs/data.md names, of the photos."""
    photos = sorted((folder / "photos").glob("*/*.jpg"))
    kinds = [photo.parent.name for photo in photos]
    splits = ["train", "train", "test"] * (len(photos) // 3)
    inside = [str(photo.relative_to(folder / "photos")) for photo in photos]
    rows = zip(("image", *inside), ("label", *kinds))
    (folder / "photos" / "list.csv").write_text("".join(f"{a},{b}\n" for a, b in rows))
    paths = [f"photos/{each}" for each in inside]
    rows = zip(("photo", *paths), ("kind", *kinds), ("part", *splits))
    (folder / "list.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    cells = [{"bytes": photo.read_bytes(), "path": None} for photo in photos]
    labels = [int(kind == "roses") for kind in kinds]
    (folder / "beans" / "data").mkdir(parents=True)
    for name, part in (
        ("beans.parquet", slice(None)), ("beans/data/train-00000-of-00001.parquet", slice(8, None)),
        ("beans/data/test-00000-of-00001.parquet", slice(None, None, 2)),
    ):  # fmt: skip
        table = pyarrow.table({"image": cells[part], "label": labels[part]})
        pyarrow.parquet.write_table(table, folder / name)


def run(folder: Path, line: str) -> None:
    python = Path(sys.executable).parent
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{python}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / "cache"), "FLOWRATE_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=400, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stderr}{done.stdout[-2000:]}"
    assert "Traceback" not in done.stderr


def test_there_are_commands_on_each_page():
    for page in PAGES:
        assert len(commands(page)) >= 3, page


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(user_folder, page, tmp_path):
    folder = Path(shutil.copytree(user_folder, tmp_path / "user", symlinks=True))
    for made in re.findall(r"trainer\.main .*--run_dir=(\S+)", "\n".join(commands(page))):
        shutil.rmtree(folder / made, ignore_errors=True)
    for line in commands(page):
        run(folder, shortened(line))
