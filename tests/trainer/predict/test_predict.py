"""`python -m trainer.predict`: what a run says of image files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowrate.errors import ConfigError
from trainer.predict import __main__ as predict

ROOT = Path(__file__).resolve().parents[3]


def run(module: str, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], cwd=ROOT, capture_output=True, text=True,
        timeout=240, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    """The test split of the digits: images uint8 [360, 8, 8, 1] and labels."""
    from input_pipelines.dataset import LoadOptions
    from input_pipelines.datasets import digits

    return digits.load(LoadOptions())["test"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run that reads most digits."""
    folder = tmp_path_factory.mktemp("predict") / "run"
    done = run(
        "trainer.main", "--model=mlp64", "--epochs=8", "--noreport", f"--run_dir={folder}",
        "--checkpoint_every_steps=100", "--evaluate_every_steps=100",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory, digits) -> Path:
    """The first test digits: as they are, large and in white, and what is no image."""
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(digits.images[:8, ..., 0]):
        Image.fromarray(image).save(folder / f"{number}_black.png")
    for number, image in enumerate(digits.images[:8, ..., 0]):
        paper = 230 - (image * 0.8).astype(np.uint8)
        large = Image.fromarray(paper).resize((400, 400), Image.Resampling.NEAREST)
        large.convert("RGB").save(folder / f"{number}_white.webp", lossless=True)
    (folder / "notes.txt").write_text("not an image")
    (folder / "z_page.png").write_text("<html>404</html>")
    return folder


def predicted(*words: str | Path, status: int = 0) -> dict:
    done = run("trainer.predict", *words, "--json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(trained, photos) -> dict:
    return predicted(trained, photos, "--top=10", status=3)


def test_json_tells_of_each_file_in_order(trained, photos, found):
    assert (found["schema_version"], found["run_dir"], found["step"]) == (1, str(trained), 360)
    assert found["skipped"] == 1
    *rows, last = found["images"]
    assert [Path(row["path"]).name for row in rows] == [
        f"{number}_{kind}" for number in range(8) for kind in ("black.png", "white.webp")
    ]
    assert last == {
        "path": f"{photos}/z_page.png", "predictions": [], "inverted": False,
        "error": "is an HTML page",
    }  # fmt: skip
    for row in rows:
        assert row.keys() == last.keys()
        shares = [each["probability"] for each in row["predictions"]]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert {each["class"] for each in row["predictions"]} == set("0123456789")


def test_digits_are_read_and_white_paper_is_inverted(found, digits):
    rows = found["images"][:-1]
    assert [row["inverted"] for row in rows] == [False, True] * 8
    best = [row["predictions"][0]["class"] for row in rows]
    right = [name == str(label) for name, label in zip(best, np.repeat(digits.labels[:8], 2))]
    assert sum(right) >= 14
    assert best[::2] == best[1::2]


@pytest.mark.parametrize(
    ("invert", "inverted"), [("auto", [False, True]), ("on", [True, True]), ("off", [False, False])]
)
def test_invert_by_hand(tf, trained, photos, invert, inverted):
    from input_pipelines.datasets.digits import INFO
    from trainer.predict.images import ModelInput
    from trainer.trained.run import TrainedRun

    model_input = ModelInput.of(TrainedRun.open(trained), INFO, invert)
    answers = [model_input.read(photos / name) for name in ("0_black.png", "0_white.webp")]
    assert [answer.inverted for answer in answers] == inverted
    assert [answer.image.shape for answer in answers] == [(8, 8, 1)] * 2


def test_photos_in_colour_are_never_inverted_unasked(tf, trained, photos):
    import dataclasses

    from input_pipelines.datasets.flowers import INFO
    from trainer.predict.images import ModelInput
    from trainer.trained.run import TrainedRun

    run = dataclasses.replace(TrainedRun.open(trained), image_shape=(8, 8, 3))
    for info in (INFO, dataclasses.replace(INFO, dark_background=True)):
        assert not ModelInput.of(run, info, "auto").read(photos / "0_white.webp").inverted


def test_lines_errors_and_what_was_skipped(trained, photos, tmp_path):
    done = run("trainer.predict", trained, photos, "missing.png", "--top=2", "--checkpoint=200")
    assert done.returncode == 3
    *lines, skipped = done.stdout.splitlines()
    assert len(lines) == 16
    assert all(line.count(" %") == 2 for line in lines)
    assert [line.endswith("  inverted") for line in lines] == [False, True] * 8
    assert skipped == "skipped 1 file without the suffix of an image"
    assert done.stderr.splitlines() == [
        f"{photos}/z_page.png: is an HTML page",
        "missing.png: is not there",
        "error: 2 of 18 images cannot be used; each is named above.",
    ]


@pytest.mark.slow
def test_a_plot_of_the_first_thirty(trained, digits, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(31):
        Image.fromarray(digits.images[number, ..., 0]).save(folder / f"{number:02d}.png")
    plot = tmp_path / "plot.svg"
    done = run("trainer.predict", trained, folder, f"--plot={plot}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{plot}: the first 30 of 31 images"
    assert "29.png" in plot.read_text()
    assert "30.png" not in plot.read_text()


def test_nothing_that_can_be_used(trained, tmp_path):
    plot = tmp_path / "plot.png"
    done = run("trainer.predict", trained, tmp_path, f"--plot={plot}")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"{tmp_path}: no image in this folder",
        f"{plot}: nothing to draw.",
        "error: 1 of 1 images cannot be used; each is named above.",
    ]
    assert not plot.exists()


@pytest.fixture
def photo_run(train, shared_data):
    """A few steps on real photos of several sizes, as files, and their test split."""
    from trainer.data import load_data
    from trainer.trained.run import TrainedRun

    folder = shared_data("flower_photos_original")
    run = train(
        dataset="image_folder", data_dir=str(folder), image_size=48, model="cnn", steps=3,
        cache="none",
    )  # fmt: skip
    return TrainedRun.open(run.run_dir.path), load_data(run.config)


@pytest.mark.slow
def test_photos_of_the_test_split_get_the_logits_of_an_evaluation(photo_run):
    from input_pipelines.datasets.image_folder import INFO
    from trainer.engine.inputs import keep_decoded
    from trainer.predict.images import ModelInput, predict_images
    from trainer.trained.inference import predict_logits
    from trainer.trained.model import load_model

    trained, data = photo_run
    model = load_model(trained, trained.checkpoint())
    _, sources = keep_decoded(trained.config.cache, data.sources, data.image_shape, 1)
    wanted = predict_logits(model, sources["test"])
    model_input = ModelInput.of(trained, INFO, "auto")

    def logits(paths, batch_size=None) -> np.ndarray:
        found = list(predict_images(model, model_input, paths, {}, batch_size))
        return np.stack([answer.logits for answer in found])

    paths = data.sources["test"].paths
    assert len(paths) == 40
    assert np.abs(logits(paths) - wanted).max() == 0
    # As many as there are, or few of them, or in other batches: the same but for rounding.
    np.testing.assert_allclose(logits(paths[7:12]), wanted[7:12], rtol=0, atol=1e-5)
    for batch_size in (1, 7, 64):
        np.testing.assert_allclose(logits(paths, batch_size), wanted, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_file_that_cannot_be_read_moves_no_other(photo_run, tmp_path):
    from input_pipelines.datasets.image_folder import INFO
    from trainer.predict.images import ModelInput, predict_images
    from trainer.trained.model import load_model

    trained, data = photo_run
    model = load_model(trained, trained.checkpoint())
    (tmp_path / "empty.jpg").touch()
    paths = list(data.sources["test"].paths[:5])
    mixed = [tmp_path / "empty.jpg", *paths[:2], tmp_path / "told", *paths[2:]]
    model_input = ModelInput.of(trained, INFO, "auto")
    alone = list(predict_images(model, model_input, paths, {}))
    found = list(predict_images(model, model_input, mixed, {tmp_path / "told": "why"}))
    assert [answer.path for answer in found] == mixed
    assert [found[0].error, found[3].error] == ["is empty", "why"]
    for one, other in zip(alone, found[1:3] + found[4:]):
        np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=1e-5)


def test_averaged_weights_and_replicas_give_what_training_evaluated(train):
    """load_model has the weights that a run is judged by, however many replicas trained it."""
    from trainer.trained.inference import predict_logits
    from trainer.trained.model import load_model
    from trainer.trained.run import TrainedRun

    run = train(
        model="cnn", steps=3, strategy="mirrored", virtual_devices=2, ema_decay=0.9,
        checkpoint_every_steps=3,
    )  # fmt: skip
    trained = TrainedRun.open(run.run_dir.path)
    model = load_model(trained, trained.checkpoint())
    logits = predict_logits(model, run.sources["test"])
    accuracy = (logits.argmax(axis=1) == run.sources["test"].labels).mean()
    assert accuracy == pytest.approx(run.state.progress.evaluation["accuracy"], abs=1e-6)


REFUSED = {
    "no image": (["run"], "give a run directory, and images"),
    "nothing": ([], "give a run directory, and images"),
    "another suffix": (["run", "x", "--plot=a.bmp"], r"--plot=a.bmp: give a name in \.png"),
    "no such folder": (["run", "x", "--plot=no/such/a.png"], "there is no folder no/such"),
    "an unknown flag": (["run", "x", "--tops=3"], "--tops: no such flag. Did you mean 'top'"),
    "no classes": (["run", "x", "--top=0"], "--top=0: must be"),
    "another word": (["run", "x", "--invert=yes"], "choose from auto, on, off"),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_mistakes_are_one_line(capsys, words, message):
    assert predict.main(["predict", *words]) == ConfigError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert message.replace("\\", "") in line


def test_a_mistake_is_answered_before_tensorflow_loads(trained):
    code = (
        "import sys; from trainer.predict.__main__ import main;"
        f"status = main(['predict', {str(trained)!r}, 'x.png', '--checkpoint=7']);"
        "print(status, sorted({'tensorflow', 'keras', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "2 []"
    assert done.stderr.startswith("error: --checkpoint=7: ")
