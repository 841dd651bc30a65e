"""What an export and its format file hand each other: what the model is, and how a file is run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np

# One name a line, as most programs that show a classifier's answers expect it.
LABELS_FILE = "labels.txt"
# The same without loss, and what the model takes.
METADATA_FILE = "flowrate.json"
SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Labels:
    """The classes of a model, and the images it takes.

    Attributes:
        class_names: in label order.
        image_shape: (height, width, channels).
        model: its name.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    model: str

    def lines(self) -> str:
        """Returns labels.txt; line breaks within a name, which a folder's can have, are spaces."""
        text = "".join(f"{' '.join(name.splitlines())}\n" for name in self.class_names)
        # Names of folders that are not valid UTF-8 are held with surrogates.
        return text.encode("utf-8", "backslashreplace").decode()

    def metadata(self) -> str:
        """Returns flowrate.json."""
        images = {"name": "images", "dtype": "uint8", "shape": [None, *self.image_shape]}
        facts = {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "input": images,
            "outputs": ["logits", "probabilities"],
            "class_names": list(self.class_names),
        }
        return json.dumps(facts, indent=2)

    def files(self) -> dict[str, str]:
        """Returns both by file name."""
        return {LABELS_FILE: self.lines(), METADATA_FILE: self.metadata()}


def class_names_of(metadata: str | bytes) -> tuple[str, ...]:
    """Returns the class names of a flowrate.json."""
    return tuple(json.loads(metadata)["class_names"])


@dataclasses.dataclass(frozen=True)
class Runtime:
    """An exported file, loaded by the program it is meant for.

    Attributes:
        name: of the program, with its version.
        class_names: in label order, as the file itself tells them.
        answer: uint8 [N, height, width, channels], any N -> logits and probabilities, each float32
            [N, classes].
    """

    name: str
    class_names: tuple[str, ...]
    answer: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
