"""Writes a data set as the trainer has it into one file for the peers.

    python -m benchmarks.peers.data PLACE.json --dataset=flowers [trainer flags]

PLACE.json then says where: {"arrays": an .npz file of train_images uint8 [N, height, width,
channels], train_labels int32 [N], test_images, test_labels, class_names; "folder": the folder of
class folders, where the data set is one, else ""}.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from flowrate import options
from flowrate.errors import FlowrateError
from flowrate.records import write_json, written_whole
from input_pipelines.source import ArraySource, FileSource
from trainer.config import TrainConfig
from trainer.data import TrainingData, load_data


def main(argv: list[str]) -> int:
    """Writes the two files; returns the exit status."""
    place = Path(argv[1])
    try:
        config = options.parse(TrainConfig, [argv[0], *argv[2:]])
        if config is None:
            print(options.render_help(TrainConfig, str(__doc__)))
            return 0
        data = load_data(config)
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(place.with_suffix(".npz")) as path:
            # No array is called allow_pickle, a flag of NumPy's since 2.2.
            np.savez(path, **_arrays(data))  # type: ignore[arg-type]
        write_json(place, {"arrays": str(place.with_suffix(".npz")), "folder": _folder(data)})
    except FlowrateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _arrays(data: TrainingData) -> dict[str, np.ndarray]:
    arrays = {"class_names": np.array(data.class_names)}
    for split in ("train", "test"):
        source = _decoded(data, split)
        arrays |= {f"{split}_images": source.images, f"{split}_labels": source.labels}
    return arrays


def _decoded(data: TrainingData, split: str) -> ArraySource:
    source = data.sources[split]
    if isinstance(source, ArraySource) and source.images.shape[1:] == data.image_shape:
        return source
    from input_pipelines.cache import apply_tier

    return apply_tier(source, "memory", data.image_shape)


def _folder(data: TrainingData) -> str:
    source = data.sources["train"]
    return str(source.paths[0].parent.parent) if isinstance(source, FileSource) else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
