"""What an export says of itself: class names, for people and for programs."""

from __future__ import annotations

import dataclasses
import json

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
        names = (" ".join(name.splitlines()) for name in self.class_names)
        # Names of folders that are not valid UTF-8 are held with surrogates.
        text = "".join(f"{name}\n" for name in names)
        return text.encode("utf-8", "backslashreplace").decode()

    def metadata(self) -> str:
        """Returns flowrate.json."""
        height, width, channels = self.image_shape
        return json.dumps(
            {
                "schema_version": SCHEMA_VERSION,
                "model": self.model,
                "input": {"name": "images", "dtype": "uint8",
                          "shape": [None, height, width, channels]},
                "outputs": ["logits", "probabilities"],
                "class_names": list(self.class_names),
            },
            indent=2,
        )  # fmt: skip

    def files(self) -> dict[str, str]:
        """Returns both by file name."""
        return {LABELS_FILE: self.lines(), METADATA_FILE: self.metadata()}


def class_names_of(metadata: str | bytes) -> tuple[str, ...]:
    """Returns the class names of a flowrate.json."""
    return tuple(json.loads(metadata)["class_names"])
