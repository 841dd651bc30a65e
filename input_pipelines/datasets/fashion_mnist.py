"""Fashion-MNIST: 70,000 pieces of clothing of 28 x 28 pixels, in the format of MNIST."""

from __future__ import annotations

from pathlib import Path

from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.datasets import _idx
from input_pipelines.fetch import download
from input_pipelines.source import ArraySource

# Where Debian's package `dataset-fashion-mnist` puts the four files.
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
WANTED = "the four *-ubyte.gz files (Debian's package dataset-fashion-mnist has them)"
_HOST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
# Sizes and hashes as in TensorFlow Datasets (url_checksums/fashion_mnist.txt).
FILES = (
    download.RemoteFile(
        f"{_HOST}/train-images-idx3-ubyte.gz", 26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    download.RemoteFile(
        f"{_HOST}/train-labels-idx1-ubyte.gz", 29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    download.RemoteFile(
        f"{_HOST}/t10k-images-idx3-ubyte.gz", 4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    download.RemoteFile(
        f"{_HOST}/t10k-labels-idx1-ubyte.gz", 5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)  # fmt: skip

INFO = DatasetInfo(
    title="Fashion-MNIST",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    image_shape=(28, 28, 1),
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ),
    num_examples={"train": 60_000, "test": 10_000},
    default_model="mlp",
    augmentation="flip",
    dark_background=True,
)  # fmt: skip


def load(options: LoadOptions) -> dict[str, ArraySource]:
    """Returns train and test, from `--data_dir`, Debian's package, the cache or the network.

    Raises:
        DataError: the files are absent and cannot be fetched, or are damaged.
    """
    folder = download.existing_folder(options.data_dir, "fashion_mnist")
    if not _idx.has_idx_files(folder):
        if options.data_dir is not None:
            raise download.missing_from(folder, WANTED)
        if _idx.has_idx_files(DEBIAN_FOLDER):
            folder = DEBIAN_FOLDER
        else:
            download.fetch(FILES, folder, WANTED)
    return {
        split: ArraySource(*_idx.read_split(folder, split), INFO.class_names)
        for split in _idx.FILES
    }
