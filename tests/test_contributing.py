"""Adding a data set, a model or an optimizer is adding one file, as CONTRIBUTING.md says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from flowrate.records import read_json

ROOT = Path(__file__).resolve().parent.parent


def examples() -> dict[str, str]:
    """The files shown in CONTRIBUTING.md: {path: content}."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    blocks = re.findall(r"`([a-z_/0-9]+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL)
    return {path: content for path, content in blocks if not path.startswith("trainer/export/")}


def test_the_shown_files_train(trainer_main, tmp_path):
    shown = examples()
    assert len(shown) == 3
    checkout = tmp_path / "checkout"
    for package in ("flowrate", "input_pipelines", "models", "trainer"):
        shutil.copytree(ROOT / package, checkout / package)
    names = {}
    for path, content in shown.items():
        assert not (checkout / path).exists()
        (checkout / path).write_text(content)
        names[path.split("/")[0]] = Path(path).stem
    done = trainer_main(
        f"--dataset={names['input_pipelines']}", f"--model={names['models']}",
        f"--optimizer={names['trainer']}", "--epochs=5", "--run_dir=run", PYTHONPATH=str(checkout),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = read_json(tmp_path / "run" / "result.json")
    assert result["dataset"] == names["input_pipelines"]
    assert result["model"] == names["models"]
    assert result["test_accuracy"] > 0.9
    assert read_json(tmp_path / "run" / "config.json")["optimizer"] == names["trainer"]
    listed = trainer_main("--help", PYTHONPATH=str(checkout)).stdout
    assert all(name in listed for name in names.values())
