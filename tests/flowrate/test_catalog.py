"""A folder of files as a registry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.catalog import Catalog
from flowrate.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "fruit_catalog"
FILES = {
    "__init__.py": "",
    "apple.py": "COLOUR = 'red'\n\ndef peel():\n    return 'apple peel'\n",
    "pear.py": "COLOUR = 'green'\n",
    "juice.py": "COLOUR = 'any'\n\ndef peel(name):\n    return name\n",
    "_seeds.py": "raise AssertionError('machinery is no entry')\n",
    "bomb.py": "raise AssertionError('imported without need')\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of a package with a few files, importable while the test runs."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def catalog(folder) -> Catalog:
    return Catalog(PACKAGE, kind="fruit", contract=("COLOUR", "peel"), families=("juice",))


def test_names_are_listed_without_importing(catalog):
    assert catalog.names() == ["apple", "bomb", "juice", "pear"]
    assert not [name for name in sys.modules if name.startswith(PACKAGE)]


def test_a_package_within_is_no_entry(catalog, folder):
    (folder / "press").mkdir()
    (folder / "press" / "__init__.py").write_text("")
    assert "press" not in catalog.names()
    with pytest.raises(ConfigError, match="no such fruit"):
        catalog.check("press")


def test_a_family_is_spelt_with_a_name(catalog):
    assert catalog.spellings() == ["apple", "bomb", "juice:NAME", "pear"]


def test_a_file_more_is_an_entry_more(catalog, folder):
    (folder / "fig.py").write_text("COLOUR = 'purple'\npeel = str\n")
    assert "fig" in catalog.names()
    module, _ = catalog.load("fig")
    assert module.COLOUR == "purple"


def test_an_entry_may_import_what_tensorflow_does_without(catalog, folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    (folder.parent / "pandas.py").write_text("")
    (folder / "fig.py").write_text("import pandas\nCOLOUR = 'purple'\npeel = str\n")
    module, _ = catalog.load("fig")
    assert module.pandas.__name__ == "pandas"
    del sys.modules["pandas"]


def test_loading_a_plain_entry(catalog):
    module, argument = catalog.load("apple")
    assert module.peel() == "apple peel"
    assert argument == ""


@pytest.mark.parametrize("argument", ["orange", "orange:1.0.0", "orange/small"])
def test_loading_a_member_of_a_family(catalog, argument):
    module, given = catalog.load(f"juice:{argument}")
    assert module.peel(given) == argument


def test_checking_imports_nothing(catalog):
    catalog.check("bomb")
    with pytest.raises(ConfigError, match="imported without need"):
        catalog.load("bomb")


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ("COLOUR = 'red'\ndef peel(:\n", ":2", "SyntaxError: invalid syntax"),
        ("\nimport no_such_package\n", ":2", "ModuleNotFoundError: No module named "),
        ("from fruit_catalog.helper import COLOR\n", ":1", "ImportError: cannot import name "),
        ("import fruit_catalog.helper as h\n\nh.fail()\n", ":3", "ValueError: two lines"),
    ],
    ids=["syntax", "no package", "no name", "within another file"],
)
def test_a_file_that_cannot_be_imported(catalog, folder, content, place, reason):
    """It is named with its line, on one line, and what is wrong."""
    (folder / "helper.py").write_text("def fail():\n    raise ValueError('two\\n lines')\n")
    (folder / "fig.py").write_text(content)
    with pytest.raises(ConfigError) as caught:
        catalog.load("fig")
    message = str(caught.value)
    assert message.startswith(f"--fruit=fig: {folder / 'fig.py'}{place}: {reason}")
    assert message.endswith(". Correct the file; CONTRIBUTING.md shows what a fruit file holds.")
    assert "\n" not in message


@pytest.mark.parametrize("error", [MemoryError("512 MiB"), DataError("no such file: x")])
def test_what_is_no_mistake_in_the_file_is_left_as_it_is(catalog, error):
    with pytest.raises(type(error)) as caught, catalog.blaming("apple"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("appel", "--fruit=appel: no such fruit. Did you mean 'apple'? "
                  "There are: apple, bomb, juice:NAME, pear."),
        ("xyz", "--fruit=xyz: no such fruit. There are: apple, bomb, juice:NAME, pear."),
        ("_seeds", "--fruit=_seeds: no such fruit."),
        ("juices:orange", "--fruit=juices:orange: no such fruit. Did you mean 'juice'?"),
        ("juice", "--fruit=juice: write --fruit=juice:NAME."),
        ("apple:red", "--fruit=apple:red: apple takes no :NAME; use --fruit=apple."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["check", "load"])
def test_unknown_names(catalog, name, message, method):
    with pytest.raises(ConfigError) as caught:
        getattr(catalog, method)(name)
    assert str(caught.value).startswith(message)


def test_a_file_that_lacks_part_of_the_contract(catalog, folder):
    with pytest.raises(ConfigError) as caught:
        catalog.load("pear")
    assert str(caught.value) == (
        f"--fruit=pear: {folder / 'pear.py'} does not define peel; "
        "CONTRIBUTING.md shows what a fruit file holds."
    )


def test_the_real_catalogs_list_their_folders_without_tensorflow():
    code = (
        "import sys; from input_pipelines.datasets import DATASETS; from models import MODELS;"
        "print(*DATASETS.spellings()); print(*MODELS.spellings());"
        "DATASETS.check('tfds:cifar100'); MODELS.check('resnet18');"
        "print(*{'tensorflow', 'keras', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    datasets, models, imported = done.stdout.split("\n")[:3]
    assert set(datasets.split()) >= {
        "digits", "mnist", "fashion_mnist", "flowers", "cifar10", "image_folder", "tfds:NAME",
        "synthetic",
    }  # fmt: skip
    assert set(models.split()) >= {
        "mlp", "mlp16", "mlp64", "cnn", "cnn5x5", "flowers_cnn", "resnet18", "keras:NAME"
    }  # fmt: skip
    assert imported == ""
