"""Mistakes at the command line, as real processes: one line, the right status, nothing left behind.

Where a mistake can be seen without TensorFlow it must be: there a package that ends the process
when it is imported stands in TensorFlow's place.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flowrate import options
from flowrate.errors import ConfigError
from flowrate.options import described_fields
from flowrate.records import read_json
from trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
IMPORTED_TENSORFLOW = 99
IDX_NAMES = (
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
)  # fmt: skip

# A command line, and below it words of the message; {places} are made further down. All end with 2.
FLAG_MISTAKES = """
--dataset=digit
    --dataset=digit: no such dataset. Did you mean 'digits'? There are: cifar10,
--dataset=
    --dataset=: no such dataset.
--dataset=MNIST
    Did you mean 'mnist'?
--dataset=tfds
    --dataset=tfds: write --dataset=tfds:NAME.
--dataset=digits:8x8
    digits takes no :NAME; use --dataset=digits.
--model=resnet
    --model=resnet: no such model. Did you mean 'resnet18'?
--model=keras
    --model=keras: write --model=keras:NAME.
--model=mlp:3
    mlp takes no :NAME; use --model=mlp.
--strategy=miror
    choose from one_device, mirrored, multi_worker_mirrored, parameter_server, tpu. Did you
--strategy=multi_worker_mirrored
    --strategy=multi_worker_mirrored needs --run_dir=FOLDER, the same for all workers.
--strategy=parameter_server
    --strategy=parameter_server needs --run_dir=FOLDER, the same for all workers.
--strategy=parameter_server --run_dir={empty} --virtual_devices=2
    --virtual_devices=2: not with --strategy=parameter_server: each worker is one replica.
--strategy=parameter_server --run_dir={empty} --jit=on
    --jit=on: not with --strategy=parameter_server: XLA cannot compile a step that spans several
--strategy=parameter_server --run_dir={empty} --cache=device
    --cache=device: not with --strategy=parameter_server: each worker keeps the decoded training
--tpu_name=mine
    --tpu_name=mine is of use with --strategy=tpu only.
--virtual_devices=2
    makes no difference to --strategy=one_device; use --strategy=mirrored.
--virtual_devices=-1
    --virtual_devices=-1: must be between 0 and 64.
--virtual_devices=65
    must be between 0 and 64.
--strategy=mirrored --virtual_devices=4 --global_batch_size=10
    --global_batch_size=10 does not divide among 4 replicas; use 8 or 12.
--strategy=mirrored --virtual_devices=4 --batch_size=3
    --global_batch_size=3 does not divide among 4 replicas; use 4.
--strategy=mirrored --virtual_devices=2 --jit=on
    --jit=on: XLA cannot compile a loop over 2 replicas
--epochs=2 --steps=30
    --epochs=2 and --steps=30 both say how long to train; give one of them.
--epochs=0
    --epochs=0: must be between 1 and 1000000.
--epochs=ten
    --epochs=ten: expected a whole number.
--epochs=0.5
    --epochs=0.5: expected a whole number.
--epochs
    --epochs: no value; write it as --epochs=VALUE.
--steps=-5
    --steps=-5: must be between 1 and 1000000000.
--steps=1000000000000000000000000
    must be between 1 and 1000000000.
--steps=1e3
    --steps=1e3: expected a whole number.
--global_batch_size=0
    --global_batch_size=0: must be at least 1.
--batch_size=many
    --global_batch_size=many: expected a whole number.
--learning_rate=nan
    --learning_rate=nan: must be a finite number.
--learning_rate=inf
    --learning_rate=inf: must be a finite number.
--learning_rate=-0.1
    --learning_rate=-0.1: must be at least 0.
--learning_rate=fast
    --learning_rate=fast: expected a number.
--momentum=1.5
    --momentum=1.5: must be between 0 and 1.
--label_smoothing=1
    --label_smoothing=1.0: must be between 0 and 0.99.
--ema_decay=1
    --ema_decay=1.0: must be between 0 and
--weight_decay=0.1
    --weight_decay=0.1 is not for --optimizer=adam; use adamw.
--weight_decay=-1 --optimizer=adamw
    --weight_decay=-1.0: must be at least 0.
--gradient_clip_norm=-1
    --gradient_clip_norm=-1.0: must be at least 0.
--warmup_steps=-1
    --warmup_steps=-1: must be at least 0.
--optimizer=admaw
    choose from adam, adamw, sgd, lamb, muon. Did you mean 'adam
--schedule=cosin
    choose from constant, cosine, piecewise. Did you mean 'cosine'?
--schedule=piecewise --schedule_milestones=0.7,0.5
    --schedule_milestones=0.7,0.5: give rising shares between 0 and 1
--schedule=piecewise --schedule_milestones=half
    --schedule_milestones=half: give rising shares
--precision=mixed_fp16
    choose from float32, mixed_bfloat16, mixed_float16, auto. Did you mean 'mixed_float16'?
--jit=yes
    --jit=yes: choose from auto, on, off.
--cache=ram
    --cache=ram: choose from auto, none, memory, disk, device.
--steps_per_call=-1
    --steps_per_call=-1: must be between 0 and 100000.
--augmentation=flipp
    no augmentation 'flipp'. Did you mean 'flip'?
--augmentation=flip,flip
    --augmentation=flip,flip: a name stands twice.
--augmentation=flip,,zoom
    no augmentation ''.
--image_size=0
    --image_size=0: must be between 1 and 4096.
--image_size=5000
    --image_size=5000: must be between 1 and 4096.
--image_size=28x28
    --image_size=28x28: expected a whole number.
--seed=-1
    --seed=-1: must be between 0 and 2147483647.
--seed=2147483648
    --seed=2147483648: must be between 0 and 2147483647.
--deterministic=perhaps
    --deterministic=perhaps: expected true or false.
--nodeterministic=1
    --nodeterministic=1 does not take an argument
--log_every_steps=0
    --log_every_steps=0: must be at least 1.
--evaluate_every_steps=-5
    --evaluate_every_steps=-5: must be at least 0.
--checkpoint_every_steps=-1
    --checkpoint_every_steps=-1: must be at least 0.
--keep_checkpoints=0
    --keep_checkpoints=0: must be at least 1.
--profile_steps=5
    --profile_steps=5: give two steps, as in 20,30.
--profile_steps=9,3
    --profile_steps=9,3: give two steps
--resume=perhaps
    --resume=perhaps: choose from auto, never, must.
--early_stopping_patience=-1
    --early_stopping_patience=-1: must be at least 0.
--validation_examples=-1
    --validation_examples=-1: must be at least 0.
digits
    'digits' stands alone; write every flag as --name=value
--deterministic False
    'False' stands alone; write every flag as --name=value
--dateset=mnist
    --dateset: no such flag. Did you mean 'dataset'? See --help.
--xyzzy
    --xyzzy: no such flag. See --help.
--flagfile={empty}/flags.txt
    No such file or directory
--flagfile={flagfile}
    --colour: no such flag.
--flagfile={bytes}
    can't decode byte
"""

# The same, with the exit status before the words.
DATA_MISTAKES = """
--validation_examples=1437
    2 the training split has 1437 examples; use at most 1436.
--early_stopping_patience=3
    2 --early_stopping_patience=3 needs a validation split
--dataset=mnist --data_dir={empty}/none
    3 --data_dir={empty}/none does not exist.
--dataset=mnist --data_dir=~nobody-of-that-name/x
    3 --data_dir=~nobody-of-that-name/x does not exist.
--dataset=mnist --data_dir={flagfile}
    3 --data_dir={flagfile} is a file, not a folder.
--dataset=mnist --data_dir={empty}
    3 --data_dir={empty} does not hold mnist.npz or the four *-ubyte.gz files
--dataset=fashion_mnist --data_dir={empty}
    3 --data_dir={empty} does not hold the four *-ubyte.gz files
--dataset=cifar10 --data_dir={empty}
    3 --data_dir={empty} does not hold cifar-10-binary.tar.gz
--dataset=flowers --data_dir={empty}
    3 --data_dir={empty} does not hold flower_photos with its five class folders
--dataset=image_folder --data_dir={empty}
    3 {empty} holds no class folders
--dataset=image_folder
    3 --dataset=image_folder needs --data_dir=FOLDER
--dataset=image_folder --data_dir={one_class}
    3 {one_class} has one class folder only (cat); a classifier needs at least two.
--dataset=image_folder --data_dir={empty_class}
    3 in class folder dog; add some, or remove the folder.
--dataset=image_folder --data_dir={splits}
    3 have different class folders: cow, dog stand in one only.
--dataset=mnist --data_dir={magic}
    3 {magic}/train-images-idx3-ubyte.gz: not an idx file of this kind: magic 2049, expected 2051.
--dataset=mnist --data_dir={truncated}
    3 {truncated}/train-labels-idx1-ubyte.gz: truncated
--dataset=mnist --data_dir={not_gzip}
    3 {not_gzip}/t10k-images-idx3-ubyte.gz: not a gzip file, or damaged
--dataset=fashion_mnist --data_dir={empty_gz}
    3 {empty_gz}/t10k-labels-idx1-ubyte.gz:
--dataset=mnist --data_dir={short}
    3 the header says [5, 28, 28], 3920 bytes, but 3136 follow.
--dataset=mnist --data_dir={label}
    3 label 10 of example 3 is out of range: there are 10 classes
--dataset=mnist --data_dir={number}
    3 has 5 images,
--dataset=mnist --data_dir={archive}
    3 {archive}/mnist.npz: not a readable MNIST archive
--resume=never --run_dir={other_run}
    5 --resume=never: {other_run} holds a run already
--seed=4 --run_dir={other_run}
    5 {other_run} holds a run with other flags: --seed=4 (it has 3).
--run_dir={damaged_run}
    5 {damaged_run}/config.json is damaged
--resume=must
    5 holds no run; use --resume=auto to begin one.
--run_dir={flagfile}/run
    2 cannot be used: Not a directory; choose another folder.
"""

# What only TensorFlow, or the number of devices, can tell.
MISFITS = """
--model=keras:MobileNetV9
    keras.applications has no such model. Did you mean 'MobileNet
--model=keras:VGG16
    --model=keras:VGG16 cannot take [8, 8, 1] images:
--strategy=mirrored --batch_size=30
    --global_batch_size=30 does not divide among 4 replicas; use 28 or 32.
--augmentation=mixup --batch_size=31
    --augmentation=mixup blends pairs, but each replica has 31 examples per step; use an even
--steps=5 --profile_steps=4,9
    --profile_steps=4,9: the run ends with step 5; give steps within it.
"""


def table(text: str) -> list[tuple[str, str]]:
    """Reads a table above: (command line, words)."""
    lines = text.strip().splitlines()
    return [(flags, words.strip()) for flags, words in zip(lines[::2], lines[1::2])]


def write_idx(path: Path, magic: int, array: np.ndarray) -> None:
    header = struct.pack(f">{1 + array.ndim}i", magic, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def write_mnist(folder: Path) -> Path:
    """Writes the four files of a sound, tiny MNIST."""
    folder.mkdir()
    for images, labels in (IDX_NAMES[:2], IDX_NAMES[2:]):
        write_idx(folder / images, 2051, np.arange(5 * 28 * 28).reshape(5, 28, 28) % 256)
        write_idx(folder / labels, 2049, np.arange(5))
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """Folders and files with something wrong in each."""
    root = tmp_path_factory.mktemp("places")
    found = {"empty": root / "empty", "flagfile": root / "flags.txt", "bytes": root / "bytes.txt"}
    found["empty"].mkdir()
    found["flagfile"].write_text("# what we use\n--seed=3\n\n--colour=red\n")
    found["bytes"].write_bytes(b"\xff\xfe--seed=3")

    for name, folders in {
        "one_class": ["cat"],
        "empty_class": ["cat", "dog/"],
        "splits": ["train/cat", "train/dog", "test/cat", "test/cow"],
    }.items():
        found[name] = root / name
        for folder in folders:
            (root / name / folder).mkdir(parents=True)
            if not folder.endswith("/"):
                (root / name / folder / "1.jpg").write_bytes(b"\xff\xd8\xff")

    images, labels, test_images, test_labels = IDX_NAMES
    for name in ("magic", "truncated", "not_gzip", "empty_gz", "short", "label", "number"):
        found[name] = write_mnist(root / name)
    write_idx(found["magic"] / images, 2049, np.arange(5))
    whole = (found["truncated"] / labels).read_bytes()
    (found["truncated"] / labels).write_bytes(whole[: len(whole) // 2])
    (found["not_gzip"] / test_images).write_bytes(b"<html>404</html>")
    (found["empty_gz"] / test_labels).write_bytes(b"")
    header = struct.pack(">4i", 2051, 5, 28, 28)
    (found["short"] / images).write_bytes(gzip.compress(header + bytes(4 * 28 * 28)))
    write_idx(found["label"] / labels, 2049, np.array([0, 1, 9, 10, 200]))
    write_idx(found["number"] / test_labels, 2049, np.arange(4))
    found["archive"] = root / "archive"
    found["archive"].mkdir()
    (found["archive"] / "mnist.npz").write_bytes(b"PK\x03\x04 not quite")

    for name in ("other_run", "damaged_run"):
        found[name] = root / name
        found[name].mkdir()
        config = TrainConfig(seed=3, run_dir=str(root / name))
        text = repr(dataclasses.asdict(config)) if name == "damaged_run" else as_json(config)
        (found[name] / "config.json").write_text(text)
    return found


def as_json(config: TrainConfig) -> str:
    from flowrate.records import to_json

    return to_json(config.to_json())


@pytest.fixture
def without_tensorflow(trainer_main, tmp_path_factory):
    """Returns a function: runs the command where importing TensorFlow ends the process with 99."""
    folder = tmp_path_factory.mktemp("poison")
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(f"raise SystemExit({IMPORTED_TENSORFLOW})\n")

    def run(*flags: str, **environment: str) -> subprocess.CompletedProcess:
        path = os.pathsep.join([str(folder), str(ROOT)])
        return trainer_main(*flags, **{"PYTHONPATH": path, **environment})

    return run


def assert_refused(done: subprocess.CompletedProcess, exit_code: int, *words: str) -> None:
    assert done.returncode == exit_code, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


def test_the_poison_works(without_tensorflow):
    """A command without a mistake does import TensorFlow, so these tests can fail."""
    assert without_tensorflow("--steps=1").returncode == IMPORTED_TENSORFLOW


@pytest.mark.parametrize(("flags", "words"), table(FLAG_MISTAKES))
def test_mistaken_flags(without_tensorflow, tmp_path, places, flags, words):
    done = without_tensorflow(*flags.format(**places).split(" "))
    assert_refused(done, 2, words.format(**places))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("flags", "words"), table(DATA_MISTAKES))
def test_mistaken_data_and_folders(without_tensorflow, tmp_path, places, flags, words):
    exit_code, _, words = words.partition(" ")
    before = {name: sorted(path.rglob("*")) for name, path in places.items()}
    done = without_tensorflow(*flags.format(**places).split(" "))
    assert_refused(done, int(exit_code), words.format(**places))
    # Nothing is left: no run directory, nor the folder of runs it would lie in.
    assert os.listdir(tmp_path) == []
    for path in (places["other_run"], places["damaged_run"]):
        (path / "lock").unlink(missing_ok=True)
    assert {name: sorted(path.rglob("*")) for name, path in places.items()} == before


def test_a_run_directory_asked_for_by_name_is_not_left_either(without_tensorflow, tmp_path):
    done = without_tensorflow("--dataset=image_folder", "--run_dir=deep/down/run")
    assert_refused(done, 3, "needs --data_dir=FOLDER")
    assert os.listdir(tmp_path) == []


def test_a_run_directory_in_use(without_tensorflow, tmp_path):
    program = (
        "import sys; from trainer.config import TrainConfig; from trainer.run_dir import RunDir; "
        "run = RunDir.open(TrainConfig(run_dir='run'), print); print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"\n"
        done = without_tensorflow("--run_dir=run")
        assert_refused(done, 2, f"--run_dir={tmp_path}/run is in use by pid {holder.pid} on ")
    finally:
        holder.communicate(b"")
    assert os.listdir(tmp_path / "run") == ["lock"]
    assert without_tensorflow("--run_dir=run").returncode == IMPORTED_TENSORFLOW


def test_a_run_directory_that_cannot_be_written(without_tensorflow, unwritable_folder):
    done = without_tensorflow(f"--run_dir={unwritable_folder}/run")
    assert_refused(done, 2, f"--run_dir={unwritable_folder}/run: cannot be used: ")


def test_a_value_with_a_line_break_stays_on_one_line(without_tensorflow):
    assert_refused(
        without_tensorflow("--dataset=dig\nits"), 2, "--dataset=dig its: no such dataset."
    )


def test_a_run_directory_with_too_long_a_name(without_tensorflow):
    done = without_tensorflow(f"--run_dir={300 * 'n'}")
    assert_refused(done, 2, "cannot be used: File name too long; choose another folder.")


@pytest.mark.parametrize("name", ["dataset", "model", "strategy", "run_dir", "data_dir"])
def test_a_value_of_bytes_that_are_no_text(without_tensorflow, tmp_path, name):
    done = without_tensorflow("--dataset=mnist", os.fsdecode(f"--{name}=".encode() + b"\xff\xfe"))
    assert_refused(done, 3 if name == "data_dir" else 2, f"--{name}=", r"\udcff\udcfe")
    assert os.listdir(tmp_path) == []


# --- help and flag files ----------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_no_tensorflow_and_leaves_nothing(without_tensorflow, tmp_path, flag):
    done = without_tensorflow(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m trainer.main" in done.stdout
    assert "--flagfile=FILE" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert os.listdir(tmp_path) == []


def test_help_is_grouped_and_tells_all_of_every_flag(without_tensorflow):
    text = without_tensorflow("--help").stdout
    fields = described_fields(TrainConfig)
    groups = list(dict.fromkeys(option.group for _, option, _ in fields))
    assert len(groups) == 5
    places = [text.index(f"\n\n{group}:\n") for group in groups]
    assert places == sorted(places)
    entries = text.split("\n  --")[1:]
    assert len(entries) == len(fields)
    for entry, (field, option, _) in zip(entries, fields):
        entry = " ".join(entry.split("\n\n")[0].split())
        assert entry.startswith(field.name)
        assert option.help in entry
        if option.alias:
            assert f"(or --{option.alias})" in entry
        default = "unset" if field.default is None else field.default
        assert f"default: {default}" in entry
        for choice in option.list_choices():
            assert choice in entry.split("one of: ")[1]
        for bound in (option.lower_bound, option.upper_bound):
            assert bound is None or f"{bound:.10g}" in entry.split("[")[-1]


def test_help_names_the_data_sets_and_models_there_are(without_tensorflow):
    from input_pipelines import DATASETS
    from models import MODELS

    words = without_tensorflow("--help").stdout.split()
    for name in [*DATASETS.spellings(), *MODELS.spellings()]:
        assert any(word.strip(",.") == name for word in words), name


def test_a_flagfile_is_read_in_its_place(without_tensorflow, tmp_path):
    (tmp_path / "flags.txt").write_text("# a comment\n--epochs=3\n\n--seed=-7\n")
    assert_refused(without_tensorflow("--flagfile=flags.txt"), 2, "--seed=-7: must be between")
    # Later flags win.
    done = without_tensorflow("--flagfile=flags.txt", "--seed=7", "--steps=5")
    assert_refused(done, 2, "--epochs=3 and --steps=5 both say how long")
    assert os.listdir(tmp_path) == ["flags.txt"]


# --- mistakes that only TensorFlow can tell ---------------------------------------------------


@pytest.fixture
def bad_photos(image_folder):
    """Class folders with a few bad images: {path: why}."""
    train = image_folder("photos/train")
    image_folder("photos/test", per_class=2)
    broken = {
        "003": (b"<html>404</html>", "is an HTML page"),
        "007": (b"", "is empty"),
        "009": ((train / "dog" / "dog_009.jpg").read_bytes()[:150], "is cut short: truncated at"),
    }
    for number, (content, _) in broken.items():
        (train / "dog" / f"dog_{number}.jpg").write_bytes(content)
    return {f"photos/train/dog/dog_{n}.jpg": reason for n, (_, reason) in broken.items()}


def test_images_that_cannot_be_used_are_all_named(without_tensorflow, bad_photos, tmp_path):
    done = without_tensorflow("--dataset=image_folder", "--data_dir=photos", "--image_size=16")
    named = [f"{path}: {reason}" for path, reason in bad_photos.items()]
    assert_refused(done, 3, "error: 3 images cannot be used: ", *named)
    assert os.listdir(tmp_path) == ["photos"]


def test_images_that_cannot_be_used_are_skipped_and_counted(trainer_main, bad_photos, tmp_path):
    flags = [
        "--dataset=image_folder", "--data_dir=photos", "--image_size=16", "--on_bad_image=skip",
        "--epochs=1", "--model=mlp", "--noreport",
    ]  # fmt: skip
    found = []
    for name in ("skipped", "deleted"):
        done = trainer_main(*flags, f"--run_dir={name}")
        assert done.returncode == 0, done.stderr
        assert ("skipped 3 images that cannot be used, all named in " in done.stdout) == (not found)
        found.append(read_json(tmp_path / name / "result.json"))
        for path in bad_photos:
            (tmp_path / path).unlink(missing_ok=True)
    assert [result["skipped_images"] for result in found] == [3, 0]
    for name in ("train_loss", "test_loss"):
        assert found[0][name] == found[1][name]
    assert (
        "skipped images  3 that cannot be used" in trainer_main(*flags, "--run_dir=skipped").stdout
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--steps=60"], r"not finite at step "),
        (["--steps=1"], "not finite"),
    ],
    ids=["in a step", "after the last step"],
)
def test_a_run_that_diverges(trainer_main, tmp_path, flags, words):
    done = trainer_main(
        "--model=mlp", "--optimizer=sgd", "--learning_rate=1e30", "--run_dir=run", *flags
    )
    assert_last_line(done, 6, words, "Lower --learning_rate, or set --gradient_clip_norm=1.")
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["status"], result["exit_code"]) == ("diverged", 6)
    assert done.stderr == f"error: {result['error']}\n"
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_image_too_small_for_the_model(trainer_main, tmp_path):
    done = trainer_main("--run_dir=run", "--model=keras:InceptionV3")
    assert_last_line(done, 2, "--model=keras:InceptionV3 cannot take [8, 8, 1] images: ")
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["status"], result["exit_code"]) == ("failed", 2)


@pytest.mark.parametrize(("flags", "words"), table(MISFITS))
def test_what_does_not_fit_together(train, flags, words):
    config = options.parse(TrainConfig, ["trainer", *flags.split(" ")])
    given = {name: value for name, value in config.to_json().items() if value is not None}
    given.pop("run_dir", None)
    with pytest.raises(ConfigError, match=re.escape(words)):
        train(**given)


@pytest.mark.parametrize("size", ["40k", "80k"])
def test_a_full_disk(trainer_main, make_disk, size):
    """It fills up with the curves, or with a checkpoint."""
    run_dir = make_disk(f"size={size}") / "run"
    done = trainer_main("--model=mlp", "--steps=45", f"--run_dir={run_dir}")
    assert_last_line(done, 8, "error: cannot write", f"{run_dir}/", "No space left on device")
    assert not [path for path in run_dir.rglob("*") if ".tmp" in path.name]


def assert_last_line(done: subprocess.CompletedProcess, exit_code: int, *words: str) -> None:
    """As `assert_refused`, but the run may have said something of itself before."""
    assert "Traceback" not in done.stdout
    silent = subprocess.CompletedProcess(done.args, done.returncode, "", done.stderr)
    assert_refused(silent, exit_code, *words)
