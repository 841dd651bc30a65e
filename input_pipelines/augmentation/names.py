"""Which augmentations there are and how a list of them is written. No TensorFlow."""

from __future__ import annotations

from flowrate.errors import ConfigError, nearest_name

# In the order in which they are applied, whatever order they are given in.
NAMES = (
    "rotation", "zoom", "translation", "crop", "flip", "contrast",
    "randaugment", "cutout", "mixup", "cutmix",
)  # fmt: skip
# These blend an example with its neighbour in the batch: rows 0 and 1, 2 and 3, and so on.
MIXING = ("mixup", "cutmix")


def parse(text: str, preset: str = "none") -> tuple[str, ...]:
    """Reads `none`, `preset` or a comma list.

    Returns:
        The names, in the order of application.

    Raises:
        ConfigError: an unknown name, or one given twice.
    """
    if text == "preset":
        text = preset
    if text == "none":
        return ()
    given = [name.strip() for name in text.split(",")]
    for name in given:
        if name not in NAMES:
            raise ConfigError(
                f"--augmentation={text}: no augmentation {name!r}.{nearest_name(name, NAMES)} "
                f"Give none, preset, or a comma list of {', '.join(NAMES)}."
            )
    if len(set(given)) < len(given):
        raise ConfigError(f"--augmentation={text}: a name stands twice.")
    return tuple(name for name in NAMES if name in given)
