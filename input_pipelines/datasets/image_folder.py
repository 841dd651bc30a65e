"""Any folder of class folders; with or without train, validation and test folders above them."""

from __future__ import annotations

from flowrate.errors import DataError
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.fetch import download
from input_pipelines.folders.listing import check_class_names, list_folder, with_test_split
from input_pipelines.folders.split_folders import split_folders
from input_pipelines.folders.tree import LeftOut, class_folders_of
from input_pipelines.source import FileSource

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
        DataError: no `--data_dir`, no class folders, splits with different classes, or folders
            that may be splits or classes.
    """
    if options.data_dir is None:
        raise download.MissingDataError(
            "--dataset=image_folder needs --data_dir=FOLDER with one folder per class."
        )
    folder = download.existing_folder(options.data_dir, "image_folder")
    left_out = LeftOut()
    found = split_folders(folder, class_folders_of(folder, left_out), options.tell)
    splits = {
        split: list_folder(path, options.excluded, left_out)
        for split, path in (found or {"train": folder}).items()
    }
    classes = splits["train"].class_names
    check_class_names(folder, {name for each in splits.values() for name in each.class_names})
    for split, source in splits.items():
        if source.class_names != classes:
            differing = sorted(set(classes) ^ set(source.class_names))
            raise DataError(
                f"{found[split]} and {found['train']} have different class folders: "
                f"{', '.join(differing)} stand in one only."
            )
    splits = with_test_split(splits)
    for line in left_out.lines():
        options.tell(line)
    return splits
