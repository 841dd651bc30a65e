"""Any folder of class folders; with or without train, validation and test folders above them."""

from __future__ import annotations

from pathlib import Path

from flowrate.errors import DataError
from input_pipelines import _download
from input_pipelines._dataset import DatasetInfo, LoadOptions
from input_pipelines._folders import class_folders_of, list_folder, split_like_keras
from input_pipelines._source import FileSource

# Where the folder brings no test split: the share and seed the flowers tutorial uses.
TEST_SPLIT = 0.2
TEST_SPLIT_SEED = 123
_SPLIT_FOLDERS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip

INFO = DatasetInfo(
    title="A folder of images",
    homepage="",
    licence="the user's own",
    image_shape=(180, 180, 3),
    default_model="flowers_cnn",
    augmentation="flip,rotation,zoom",
    has_image_files=True,
)


def load(options: LoadOptions) -> dict[str, FileSource]:
    """Returns the splits the folder has; without a test folder, 80/20 as Keras splits.

    Raises:
        DataError: no `--data_dir`, no class folders, or splits with different classes.
    """
    if options.data_dir is None:
        raise _download.MissingDataError(
            "--dataset=image_folder needs --data_dir=FOLDER with one folder per class."
        )
    folder = _download.existing_folder(options.data_dir, "image_folder")
    found = _split_folders(folder)
    if "train" not in found:
        train, test = split_like_keras(
            list_folder(folder, options.excluded), TEST_SPLIT, TEST_SPLIT_SEED
        )
        return {"train": train, "test": test}
    splits = {split: list_folder(path, options.excluded) for split, path in found.items()}
    classes = splits["train"].class_names
    for split, source in splits.items():
        if source.class_names != classes:
            differing = sorted(set(classes) ^ set(source.class_names))
            raise DataError(
                f"{found[split]} and {found['train']} have different class folders: "
                f"{', '.join(differing)} stand in one only."
            )
    if "test" not in splits:
        splits["train"], splits["test"] = split_like_keras(
            splits["train"], TEST_SPLIT, TEST_SPLIT_SEED
        )
    return splits


def _split_folders(folder: Path) -> dict[str, Path]:
    """Returns {split: folder}; empty where the folders below are the classes themselves."""
    entries = class_folders_of(folder)
    named = [(_SPLIT_FOLDERS.get(entry.name.lower()), entry) for entry in entries]
    splits = dict(named)
    if None in splits or "train" not in splits:
        return {}
    if len(splits) < len(named):
        names = ", ".join(entry.name for entry in entries)
        raise DataError(f"{folder}: two of {names} are the same split; keep one of them.")
    return splits
