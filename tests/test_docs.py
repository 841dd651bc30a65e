"""The documents say what is: commands parse, links lead somewhere, every flag is explained."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.config import CompareConfig, RunConfig
from benchmarks.report.readme import readme_table, replace_between_markers
from benchmarks.suites import SUITES
from flowrate import options
from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.datasets import DATASETS
from input_pipelines.inspect.config import InspectConfig
from models import MODELS
from trainer import launch
from trainer.config import TrainConfig
from trainer.doctor.command import DoctorConfig
from trainer.evaluate import EvaluateConfig
from trainer.export.config import ExportConfig
from trainer.launch import LaunchConfig
from trainer.predict import __main__ as predict
from trainer.report.__main__ import ReportConfig
from trainer.submit import kubernetes
from trainer.submit.config import SubmitConfig
from trainer.submit.job import plan_job

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands(path: Path) -> list[str]:
    """The shell lines of a document that run the trainer."""
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", path.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if "trainer.main" in line or "scripts/quickstart" in line]


# Programs of one command: what reads their flags.
PROGRAMS = {
    "input_pipelines.inspect": InspectConfig,
    "trainer.doctor": DoctorConfig,
    "trainer.evaluate": EvaluateConfig,
    "trainer.export": ExportConfig,
    "trainer.predict": predict.PredictConfig,
    "trainer.report": ReportConfig,
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_command_of_the_programs_parses(path):
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", path.read_text(), re.DOTALL)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        for program, config_class in PROGRAMS.items():
            if re.search(rf"-m {program}(\s|$)", line):
                words = shlex.split(line.partition(f"-m {program}")[2], comments=True)
                config, _ = options.parse_with_words(config_class, [program, *words])
                assert isinstance(config, config_class) or "--help" in words, line


def benchmark_commands(path: Path) -> list[list[str]]:
    """The words after `benchmarks.main` of each line that runs it."""
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", path.read_text(), re.DOTALL)
    lines = [
        line for line in "\n".join(blocks).splitlines()
        if "benchmarks.main" in line and "scripts/submit" not in line
    ]  # fmt: skip
    return [shlex.split(line.partition("benchmarks.main")[2], comments=True) for line in lines]


def test_there_are_documents():
    names = {path.name for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "records.md"} <= names
    assert commands(ROOT / "README.md")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_command_parses(path):
    for line in commands(path):
        words = shlex.split(line, comments=True)
        start = max(i for i, w in enumerate(words) if w.endswith(("trainer.main", "quickstart")))
        if "--help" not in words:
            assert isinstance(options.parse(TrainConfig, words[start:]), TrainConfig), line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_launch_command_parses(path):
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", path.read_text(), re.DOTALL)
    for line in "\n".join(blocks).splitlines():
        if line.startswith("scripts/launch"):
            config, trainers = options.parse_until_dashes(LaunchConfig, shlex.split(line))
            assert launch.complete(trainers, config.workers)


def test_the_doctor_is_documented():
    text = (ROOT / "docs" / "train.md").read_text()
    assert "python -m trainer.doctor\n" in text
    for field, _, _ in options.described_fields(DoctorConfig):
        assert f"--{field.name}" in text, field.name


def test_every_kubernetes_job_can_be_rendered():
    text = (ROOT / "docs" / "cluster.md").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "--cluster=kubernetes --" in line]
    assert lines
    for line in lines:
        config, words = options.parse_until_dashes(SubmitConfig, shlex.split(line))
        job = plan_job(config, words, ROOT)
        assert "kind: Job" in kubernetes.render(job)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_submit_command_parses(path, tmp_path):
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", path.read_text(), re.DOTALL)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["scripts/submit"] or words[1] in ("status", "logs", "cancel"):
            continue
        config, programs = options.parse_until_dashes(SubmitConfig, words)
        assert plan_job(config, programs, tmp_path).tasks, line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_benchmark_command_parses(path):
    for command, *words in benchmark_commands(path):
        assert command in ("run", "compare", "report", "readme", "list")
        if command == "run":
            config = options.parse(RunConfig, ["run", *words])
            suite, _ = SUITES.load(config.suite)
            assert suite.cases(config.choice()), words


def test_the_readme_table_is_made_from_the_results():
    """`python -m benchmarks.main readme results/cpu-2-cores README.md` changes nothing."""
    text = (ROOT / "README.md").read_text()
    table = readme_table(ROOT / "results" / "cpu-2-cores", "tutorials")
    assert replace_between_markers(text, "tutorials", table) == text
    assert "fashion_mnist-mlp" in table


def test_the_suites_are_documented():
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    for name in SUITES.names():
        suite, _ = SUITES.load(name)
        assert f"| `{name}` |" in text
        assert suite.TITLE


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_flag_mentioned_exists(path):
    known = {field.name for field, _, _ in options.described_fields(TrainConfig)}
    known |= {f"no{field.name}" for field, _, kind in options.described_fields(TrainConfig)
              if kind is bool}  # fmt: skip
    known |= {d.alias for _, d, _ in options.described_fields(TrainConfig) if d.alias}
    configs = (RunConfig, CompareConfig, LaunchConfig, SubmitConfig)
    for config in (*configs, *PROGRAMS.values()):
        known |= {field.name for field, _, _ in options.described_fields(config)}
    # Of absl, TensorBoard, pytest-benchmark, scripts/submit logs, Docker, Slurm, scripts/faults.
    known |= {"help", "flagfile", "logdir", "benchmark", "follow", "build", "sbatch"}
    if path.name == "CHANGELOG.md":
        known |= {"ps"}  # Removed since.
    known |= {"full", "record"}
    for flag in re.findall(r"(?<![\w-])--([a-z]\w+)", path.read_text()):
        assert flag in known, flag


def test_the_readme_lists_every_data_set_and_model():
    text = (ROOT / "README.md").read_text()
    for name in (*DATASETS.spellings(), *MODELS.spellings()):
        assert f"`{name}`" in text, name


def test_the_page_on_data_explains_every_augmentation_and_cache():
    text = (ROOT / "docs" / "data.md").read_text()
    (cache,) = (d for f, d, _ in options.described_fields(TrainConfig) if f.name == "cache")
    for name in (*_augmentation_names.NAMES, *cache.list_choices()):
        assert f"`{name}`" in text, name


def test_changelog_and_setup_agree_on_the_version():
    version = re.search(r"^version = (.+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[1]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_flag_has_help():
    for field, description, _ in options.described_fields(TrainConfig):
        assert description.help.endswith("."), field.name
