"""What is installed, beside what a setup.cfg asks for."""

from __future__ import annotations

import importlib.metadata

import pytest

from trainer.doctor import packages

NUMPY = importlib.metadata.version("numpy")


@pytest.fixture
def look(tmp_path):
    """Returns a function: the checks of a setup.cfg with these lines, by name."""

    def read(required: str, **extras: str) -> dict:
        lines = [
            "[options]",
            "install_requires =",
            *(f"    {line}" for line in required.split(";")),
        ]
        lines.append("[options.extras_require]")
        for name, wanted in extras.items():
            lines += [f"{name} =", *(f"    {line}" for line in wanted.split(";"))]
        setup = tmp_path / "setup.cfg"
        setup.write_text("\n".join(lines))
        return {check.name: check for check in packages.look(setup)}

    return read


def test_what_fits(look):
    checks = look("numpy>=1.0;psutil", some="rich>=1")
    assert checks["required"].verdict == "ok"
    assert checks["required"].facts["versions"]["numpy"] == NUMPY
    assert checks["extra some"].verdict == "ok"


@pytest.mark.parametrize(
    ("required", "words"),
    [
        ("numpy>=999", f"numpy {NUMPY} (wanted: >=999)"),
        ("numpy<1", f"numpy {NUMPY} (wanted: <1)"),
        ("a-package-of-nobody", "a-package-of-nobody is not installed (wanted: any)"),
        ("numpy;a-package-of-nobody>=2", "a-package-of-nobody is not installed (wanted: >=2)"),
    ],
)
def test_what_does_not_fit(look, required, words):
    check = look(required)["required"]
    assert check.verdict == "failed"
    assert check.found == words
    assert check.to_do == "pip install -e ."


def test_extras(look):
    checks = look(
        "numpy", none="a-package-of-nobody;another", old="numpy>=999",
        elsewhere='a-package-of-nobody; python_version < "3"'.replace("; ", " ; "),
    )  # fmt: skip
    assert checks["extra none"].verdict == "absent"
    assert checks["extra none"].to_do == "pip install -e .[none], if you need it"
    assert checks["extra old"].verdict == "warning"


def test_an_extra_of_a_requirement_brings_its_own(look):
    """As tensorflow[and-cuda], which is TensorFlow and NVIDIA's packages."""
    facts = look("numpy", gpu="tensorflow[and-cuda]")["extra gpu"].facts
    assert facts["versions"]["tensorflow"]
    assert any(name.startswith("nvidia-cudnn") for name in facts["versions"])


def test_names_alone_need_no_other_package(tmp_path):
    setup = tmp_path / "setup.cfg"
    setup.write_text(
        "[options]\ninstall_requires =\n    # why\n    numpy>=999\n    of-nobody[x]>=1\n"
    )
    check = packages.check_missing(setup)
    assert check.found == "not installed: of-nobody"
    assert check.facts["versions"] == {"numpy": NUMPY, "of-nobody": None}
