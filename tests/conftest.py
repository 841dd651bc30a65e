"""Fixtures shared by all tests. Nothing here imports TensorFlow until a test asks for it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
# Real data for tests, beside the checkout; a user has none, and those tests then skip.
SHARED_DATA = ROOT.parent / "shared" / "data"
NUM_LOGICAL_DEVICES = 4
# Helpers that folders share, as in `from faults.tools import runs`.
sys.path.append(str(ROOT / "tests"))

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _devices_are_split_first(request):
    """Fails the test that starts TensorFlow's devices before the fixture `tf` could split them.

    Every later test that needs four devices would fail in its place.
    """
    yield
    context = sys.modules.get("tensorflow.python.eager.context")
    is_started = context is not None and context.context()._context_handle is not None
    if is_started and not _is_split(context):
        pytest.fail(f"{request.node.nodeid} uses TensorFlow without the fixture `tf`")


def _is_split(context) -> bool:
    return len(context.context().list_logical_devices("CPU")) == NUM_LOGICAL_DEVICES


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, with the CPU split into four logical devices."""
    import tensorflow

    (cpu,) = tensorflow.config.list_physical_devices("CPU")
    device = tensorflow.config.LogicalDeviceConfiguration()
    tensorflow.config.set_logical_device_configuration(cpu, [device] * NUM_LOGICAL_DEVICES)
    _number_collectives_apart(tensorflow.distribute.MirroredStrategy)
    return tensorflow


def _number_collectives_apart(strategy_class) -> None:
    """Lets one process make several mirrored strategies, one after the other.

    Each numbers its groups of devices from 1, and TensorFlow takes equal numbers for the same
    group ("... is joining a group with size 4, but that group has size 2"). A run of the program
    makes one strategy per process and does not meet this; TensorFlow's own tests move the base too.
    """
    original = strategy_class.__init__

    def make(self, *arguments, **options):
        strategy_class._collective_key_base += 1_000_000
        original(self, *arguments, **options)

    strategy_class.__init__ = make


@pytest.fixture(scope="session")
def shared_data():
    """Returns a function: the path of real data beside the checkout, or a skip with the reason."""

    def find(*parts: str) -> Path:
        path = SHARED_DATA.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"needs {'/'.join(parts)} in {SHARED_DATA}, which is not there")
        return path

    return find


@pytest.fixture(scope="session")
def fashion_folder():
    """The folder of Debian's package dataset-fashion-mnist, or a skip with the reason."""
    from input_pipelines.datasets.fashion_mnist import DEBIAN_FOLDER

    if not DEBIAN_FOLDER.exists():
        pytest.skip("needs Debian's package dataset-fashion-mnist, which is not installed")
    return DEBIAN_FOLDER


@pytest.fixture
def image_folder(tmp_path, tf):
    """Returns a function that writes a folder of class folders of small real JPEG files."""

    def write(
        name: str = "photos", classes=("cat", "dog"), per_class: int = 10, size=(24, 20)
    ) -> Path:
        generator = np.random.default_rng(0)
        for label, class_name in enumerate(classes):
            folder = tmp_path / name / class_name
            folder.mkdir(parents=True)
            for number in range(per_class):
                noise = generator.integers(0, 100, (*size, 3), np.uint8)
                image = noise + np.uint8(60 * label)
                data = tf.io.encode_jpeg(image, quality=90).numpy()
                (folder / f"{class_name}_{number:03d}.jpg").write_bytes(data)
        return tmp_path / name

    return write


@pytest.fixture
def train(tf, tmp_path):
    """Returns a function that trains in this process and returns the finished TrainingRun.

    `train(dataset="digits", steps=20, ...)`: the flags of TrainConfig. The run directory is new for
    each call unless given. `stop` is a StopRequest of the test's own; `data` are TrainingData to
    use instead of loading them.
    """
    from flowrate.signals import StopRequest
    from trainer import build, loop
    from trainer.clock import PhaseClock
    from trainer.config import TrainConfig
    from trainer.data import load_data
    from trainer.output.console import Console
    from trainer.run_dir.folder import RunDir

    count = 0

    def run(*, data=None, stop=None, **flags):
        nonlocal count
        count += 1
        config = TrainConfig(**{"run_dir": str(tmp_path / f"run-{count}"), **flags})
        console = Console()
        run_dir = RunDir.open(config, console.say)
        data = data or load_data(config)
        run_dir.write_config(config)
        stop = StopRequest() if stop is None else stop
        following = build.build_run(config, data, run_dir, console, PhaseClock(), stop)
        try:
            while following:
                training = following
                try:
                    loop.train(training)
                finally:
                    training.writer.close()
                following = training.follow()
        finally:
            run_dir.close()
        return training

    return run


@pytest.fixture
def trainer_main(tmp_path):
    """Returns a function that runs `python -m trainer.main` as a user does, as a process.

    It returns the CompletedProcess, with text output. `cwd` is a temporary folder.
    """

    def run(*flags: str, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "trainer.main", *flags],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def show_on_terminal(tmp_path):
    """Returns a function: command -> what it shows on a real pseudo-terminal; it must end well."""

    def show(command: list[str]) -> str:
        terminal, child = pty.openpty()
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
            stdin=child, stdout=child, stderr=child,
        )  # fmt: skip
        os.close(child)
        shown = b""
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(terminal)
        assert process.wait(60) == 0
        return shown.decode()

    return show
