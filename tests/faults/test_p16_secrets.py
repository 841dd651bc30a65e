"""P16: secrets in the environment and in addresses are searched for in all that is written."""

from __future__ import annotations

import subprocess
import sys

import pytest
from faults.tools.places import make_places
from faults.tools.runs import environment

pytestmark = pytest.mark.slow
_SECRET = "S3cret-7f2a9c"
_ADDRESS = f"https://ann:{_SECRET}@127.0.0.1:9/x?token={_SECRET}"
_ENVIRONMENT = {
    "HF_TOKEN": _SECRET, "AWS_SECRET_ACCESS_KEY": _SECRET, "DB_PASSWORD": _SECRET,
    "WANDB_API_KEY": _SECRET, "GITHUB_TOKEN": _SECRET, "AZURE_CLIENT_SECRET": _SECRET,
    "https_proxy": f"http://ann:{_SECRET}@127.0.0.1:9", "no_proxy": "", "FLOWRATE_OFFLINE": "",
}  # fmt: skip
# What is run, and the status it must end with.
_WORK = (
    (0, "trainer.main", "--model=mlp", "--steps=5", "--run_dir=run"),
    (7, "trainer.main", "--model=mlp", "--steps=5", "--run_dir=broken"),
    (0, "trainer.report", "run", "--output=page.html"),
    (0, "trainer.evaluate", "run"),
    (0, "trainer.export", "run"),
    (0, "trainer.doctor", "--probe=none", "--json"),
    (0, "input_pipelines.inspect", "--probe_seconds=0"),
    (0, "trainer.submit.main", "--cluster=local", "--dry_run", "--", "--run_dir=job"),
    (0, "trainer.submit.main", "--cluster=slurm", "--help"),
)
_MISTAKES = (
    (2, "trainer.submit.main", "--cluster=local", "--", f"--data_dir={_ADDRESS}"),
    (2, "trainer.submit.main", "--cluster=local", f"--image={_ADDRESS}", "--", "--run_dir=a"),
    (3, "trainer.main", "--dataset=mnist"),
    (2, "trainer.main", f"--data_dir={_ADDRESS}", "--dataset=mnist"),
    (2, "trainer.main", f"--run_dir={_ADDRESS}"),
    (2, "trainer.main", f"--dataset={_ADDRESS}"),
    (2, "trainer.main", f"--tpu_name={_ADDRESS}"),
    (4, "trainer.main", "--strategy=tpu", f"--tpu_name=grpc://ann:{_SECRET}@127.0.0.1:9"),
    (2, "trainer.main", f"--api_token={_SECRET}"),
    (2, "trainer.main", f"--flagfile={_ADDRESS}"),
    (5, "trainer.evaluate", _ADDRESS),
    (2, "trainer.evaluate", "run", "--dataset=mnist", f"--data_dir={_ADDRESS}"),
    (3, "trainer.predict", "run", _ADDRESS),
    (3, "input_pipelines.inspect", "--dataset=mnist", f"--data_dir={_ADDRESS}"),
    (2, "benchmarks.main", "run", "--suite=tutorials", f"--output={_ADDRESS}", "--repeats=0"),
    (3, "benchmarks.main", "run", "--suite=tutorials", "--output=x", f"--data_dir={_ADDRESS}"),
    (2, "benchmarks.main", "compare", _ADDRESS, _ADDRESS),
    (2, "trainer.launch", "--", f"--data_dir={_ADDRESS}"),
)


@pytest.mark.parametrize("commands", [_WORK, _MISTAKES], ids=["work", "mistakes"])
def test_none_is_said_or_written(commands, tmp_path, record):
    work, home, places = tmp_path / "work", tmp_path / "home", tmp_path / "places"
    for folder in (work, home, places):
        folder.mkdir()
    make_places(places)
    if commands is _MISTAKES:
        (places / "run").rename(work / "run")
    for wanted, module, *words in commands:
        variables = environment(**_ENVIRONMENT, HOME=str(home), XDG_CACHE_HOME=str(home))
        if wanted == 7:
            variables["FLOWRATE_FAULT"] = "step:error"
        done = subprocess.run(
            [sys.executable, "-m", module, *words], cwd=work, env=variables, text=True,
            capture_output=True, stdin=subprocess.DEVNULL, timeout=300,
        )  # fmt: skip
        said = done.stdout + done.stderr
        where = f"{module} {' '.join(words)}"
        assert _SECRET not in said, f"{where}: shows it"
        assert done.returncode == wanted, f"{where}: status {done.returncode}: {said[-300:]}"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path.name for path in files if _SECRET.encode() in path.read_bytes()]
    assert not [path.name for path in tmp_path.rglob("*") if _SECRET in path.name]
    record(commands=len(commands), files_searched=len(files), secrets_found=0)
