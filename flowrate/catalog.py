"""A folder of files as a registry: adding an entry is adding one file, and nothing else.

Every public module of a package is an entry under its own name; a leading underscore marks
machinery, and a package within it is a program. Names are listed from the folder without importing
anything, so that `--help` and the message for an unknown name cost nothing.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import importlib.util
import pkgutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from flowrate.errors import ConfigError, FlowrateError, nearest_name
from flowrate.lean_imports import without_optional_packages

# Of the text of an error in an entry's file: Keras writes pages.
_MOST_CHARACTERS = 400


@dataclasses.dataclass(frozen=True)
class Catalog:
    """The public modules of `package`, each of which must define the names in `contract`.

    Entries in `families` stand for many names and are written `family:NAME`, as in `tfds:cifar100`.
    """

    package: str
    kind: str
    contract: tuple[str, ...]
    families: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Returns the sorted entry names, found in the folder without importing them."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None  # One of this project's packages.
        modules = pkgutil.iter_modules(spec.submodule_search_locations)
        return sorted(
            module.name
            for module in modules
            if not module.ispkg and not module.name.startswith("_")
        )

    def spellings(self) -> list[str]:
        """Returns the names as a user writes them: families as `family:NAME`."""
        return [f"{name}:NAME" if name in self.families else name for name in self.names()]

    def check(self, name: str) -> None:
        """Raises ConfigError if no entry has this name. Imports nothing."""
        entry, colon, argument = name.partition(":")
        if entry not in self.names():
            allowed = ", ".join(self.spellings())
            raise ConfigError(
                f"--{self.kind}={name}: no such {self.kind}."
                f"{nearest_name(entry, self.names())} There are: {allowed}."
            )
        if entry in self.families and not argument:
            raise ConfigError(f"--{self.kind}={name}: write --{self.kind}={entry}:NAME.")
        if entry not in self.families and colon:
            raise ConfigError(
                f"--{self.kind}={name}: {entry} takes no :NAME; use --{self.kind}={entry}."
            )

    def constant(self, name: str, constant: str) -> Any:
        """Returns a literal that an entry's file assigns to `constant`; None where it does not.

        The file is read, not imported: models import Keras, which takes seconds.

        Raises:
            ConfigError: no such entry.
        """
        self.check(name)
        for node in ast.parse(Path(self._file(name)).read_bytes()).body:
            if not isinstance(node, ast.Assign):
                continue
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if constant in names:
                return ast.literal_eval(node.value)
        return None

    def load(self, name: str) -> tuple[ModuleType, str]:
        """Imports one entry.

        Returns:
            The module, and what followed the colon (empty for a plain name).

        Raises:
            ConfigError: no such entry, its file cannot be imported, or lacks a name of the
                contract.
        """
        self.check(name)
        entry, _, argument = name.partition(":")
        with self.blaming(name), without_optional_packages():
            module = importlib.import_module(f"{self.package}.{entry}")
        missing = [item for item in self.contract if not hasattr(module, item)]
        if missing:
            raise ConfigError(
                f"--{self.kind}={name}: {module.__file__} does not define {', '.join(missing)}; "
                f"CONTRIBUTING.md shows what a {self.kind} file holds."
            )
        return module, argument

    @contextlib.contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Within the block, which runs an entry's code, an error is one of its file.

        Raises:
            ConfigError: in the place of the error, with the file and the line in it. Errors that
                have a message for the user, or tell of too little memory, are left as they are.
        """
        try:
            yield
        except Exception as error:
            # By name: TensorFlow may not be imported.
            is_memory = type(error).__name__ in ("ResourceExhaustedError", "MemoryError")
            if is_memory or isinstance(error, FlowrateError):
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_CHARACTERS]
            raise ConfigError(
                f"--{self.kind}={name}: {self._place(name, error)}: {reason.rstrip('.')}. Correct "
                f"the file; CONTRIBUTING.md shows what a {self.kind} file holds."
            ) from error

    def _place(self, name: str, error: Exception) -> str:
        """Returns the entry's file, and the line from which an error came where that is known."""
        path = self._file(name)
        if isinstance(error, SyntaxError) and error.filename:
            return f"{error.filename}:{error.lineno}"
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == path]
        return f"{path}:{lines[-1]}" if lines else path

    def _file(self, name: str) -> str:
        """Returns the path of an entry that is there."""
        spec = importlib.util.find_spec(f"{self.package}.{name.partition(':')[0]}")
        assert spec is not None
        assert spec.origin is not None
        return spec.origin
