"""TensorFlow's flower photos: 3,670 photos in five classes, split as the tutorial splits them."""

from __future__ import annotations

from pathlib import Path

from flowrate.errors import DataError
from flowrate.text import one_line
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.fetch import download, partial, tar
from input_pipelines.folders.listing import list_folder, with_test_split
from input_pipelines.folders.tree import LeftOut, class_folders_of
from input_pipelines.source import FileSource

# Size and hash as in TensorFlow Datasets (datasets/tf_flowers/checksums.tsv).
ARCHIVE = download.RemoteFile(
    url="https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
    num_bytes=228_813_984,
    sha256="4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
)
FOLDER = "flower_photos"
# The archive holds 3,676 files of 231 MB.
_MOST_FILES, _MOST_BYTES = 10_000, 2**28
WANTED = f"the folder {FOLDER}"

INFO = DatasetInfo(
    title="TensorFlow flower photos",
    homepage="https://www.tensorflow.org/datasets/catalog/tf_flowers",
    licence="CC BY 2.0",
    image_shape=(180, 180, 3),
    class_names=("daisy", "dandelion", "roses", "sunflowers", "tulips"),
    num_examples={"train": 2_936, "test": 734},
    default_model="flowers_cnn",
    augmentation="flip,rotation,zoom",
    has_image_files=True,
)


def load(options: LoadOptions) -> dict[str, FileSource]:
    """Returns train and test, from `--data_dir`, the cache or the network.

    `--data_dir` may be the folder `flower_photos` itself or the one it lies in.

    Raises:
        DataError: the photos are absent and cannot be fetched, or a class folder is missing.
    """
    folder = _find(download.existing_folder(options.data_dir, "flowers"))
    if folder is None:
        if options.data_dir is not None:
            raise download.missing_from(options.data_dir, f"{FOLDER} with its five class folders")
        folder = _fetch()
    left_out = LeftOut()
    splits = with_test_split({"train": list_folder(folder, options.excluded, left_out)})
    for line in left_out.lines():
        options.tell(line)
    return splits


def _find(folder: Path) -> Path | None:
    for candidate in (folder / FOLDER, folder):
        if candidate.is_dir():
            names = tuple(entry.name for entry in class_folders_of(candidate))
            if names == INFO.class_names:
                return candidate
    return None


def _fetch() -> Path:
    cache = download.cache_folder("flowers")
    (archive_path,) = download.fetch([ARCHIVE], cache, WANTED)
    try:
        partial.delete_abandoned(cache)
        # This process's own: several workers may unpack at once.
        with partial.partial_folder(cache / FOLDER) as private:
            tar.extract(archive_path, private, FOLDER, _MOST_FILES, _MOST_BYTES)
            # Published under its name only when whole; by another worker, perhaps.
            if not (cache / FOLDER).exists():
                (private / FOLDER).rename(cache / FOLDER)
    except tar.ERRORS as error:
        if _find(cache):
            return cache / FOLDER
        raise DataError(f"{archive_path} cannot be unpacked: {one_line(error)}") from None
    return cache / FOLDER
