"""Folders of photos as people have them: walked in a fixed order, without litter."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from flowrate.errors import DataError
from flowrate.text import printable

# What Keras takes for an image (keras.utils.image_dataset_from_directory), and JPEG's other
# endings. Which format a file is of, its content decides.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png")
# Images too, which nobody should believe to be trained on.
OTHER_SUFFIXES = (
    ".apng", ".avif", ".dib", ".heic", ".heif", ".jp2", ".jxl", ".pbm", ".pgm", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip
# Of macOS, Windows, Linux, network drives (Synology, QNAP), cameras and notebooks; what they hide
# begins with a dot besides.
_LITTER = frozenset((
    "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle",
    "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "icon\r",
    "lost+found", "network trash folder", "picasa.ini", "system volume information",
    "temporary items", "thumbs.db", "zbthumbnail.info",
))  # fmt: skip
# Files that lie together in a folder of this program: a look, a job, a run, one just begun.
_OWN = (("inspect.json",), ("job.json",), ("config.json", "plan.json"), ("lock", "tensorflow.log"))
_MAX_NAMES = 5


@dataclasses.dataclass
class LeftOut:
    """What lies in a data set's folder and is not used.

    Attributes:
        litter: files and folders of systems and programs.
        other_files: other files below class folders: their ending is not trained on.
        unplaced: images in no class folder.
        links: to folders, below class folders; they are not followed.
    """

    litter: set[Path] = dataclasses.field(default_factory=set)
    other_files: set[Path] = dataclasses.field(default_factory=set)
    unplaced: set[Path] = dataclasses.field(default_factory=set)
    links: set[Path] = dataclasses.field(default_factory=set)

    def lines(self) -> list[str]:
        """Returns what a person should know of it, a line for each kind."""
        found = []
        if count := len(self.litter):
            names = ["._*" if path.name.startswith("._") else path.name for path in self.litter]
            noun = "file or folder" if count == 1 else "files and folders"
            found.append(f"left out {count:,} {noun} of systems and programs: {tally(names)}.")
        if self.other_files:
            found.append(
                f"left out {tally_endings(self.other_files)}: trained on are "
                f"{', '.join(IMAGE_SUFFIXES)}; convert or rename images."
            )
        if count := len(self.unplaced):
            found.append(
                f"left out {count:,} image{'s' * (count > 1)} in no class folder: "
                f"{some(sorted(self.unplaced))}."
            )
        if count := len(self.links):
            what = "link to a folder" if count == 1 else "links to folders"
            found.append(
                f"left out {count:,} {what} inside class folders, which are not followed: "
                f"{some(sorted(self.links))}; copy the images there."
            )
        return found


def is_litter(name: str) -> bool:
    """Returns whether a file or folder of this name is neither an image nor a class."""
    return name.startswith(".") or name.casefold() in _LITTER


def is_image(path: Path) -> bool:
    """Returns whether a file is named as an image, trained on or not, and is no litter."""
    return path.name.lower().endswith(IMAGE_SUFFIXES + OTHER_SUFFIXES) and not is_litter(path.name)


def walk(
    folder: Path, litter: set[Path], onerror: Callable[[OSError], None] | None = None
) -> list[tuple[Path, list[str], list[str]]]:
    """Returns (folder, its folders, its files) of all below, without litter.

    As Keras walks: in the order of the folders' paths; links to folders are not followed.

    Args:
        folder: where to begin; litter itself, it is walked all the same.
        litter: gets what is passed by.
        onerror: called where a folder cannot be read; unset: that raises DataError.
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=onerror or _refuse):
        parent = Path(place)
        passed = {name for name in folders if is_litter(name) or _is_own(parent / name)}
        folders[:] = [name for name in folders if name not in passed]
        passed.update(filter(is_litter, files))
        litter.update(parent / name for name in passed)
        found.append((place, list(folders), sorted(name for name in files if name not in passed)))
    found.sort(key=lambda each: each[0])
    return [(Path(place), folders, files) for place, folders, files in found]


def class_folders_of(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """Returns the folders directly below, by name, without litter and this program's own output.

    Args:
        folder: of a data set or a split.
        left_out: gets what else lies there; a link to nothing is then refused.

    Raises:
        DataError: the folder cannot be read, or what may have been a class is a link to nothing.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        _refuse(error)
    litter = {entry for entry in entries if is_litter(entry.name)}
    folders = [entry for entry in entries if entry not in litter and entry.is_dir()]
    litter |= {entry for entry in folders if _is_own(entry) or _holds_own(entry)}
    if left_out is not None:
        left_out.litter |= litter
        files = [entry for entry in entries if entry not in litter and not entry.is_dir()]
        if dangling := [entry for entry in files if entry.is_symlink() and not entry.exists()]:
            targets = [f"{entry.name} -> {os.readlink(entry)}" for entry in dangling]
            raise DataError(
                f"{folder}: a link leads nowhere: {some(targets)}; bring back what it points to, "
                "or take the link away."
            )
        left_out.unplaced.update(filter(is_image, files))
    return [entry for entry in folders if entry not in litter]


def holds_folders(folder: Path) -> bool:
    """Returns whether folders lie in it that are no litter, as class folders do in a split's."""
    with os.scandir(folder) as entries:
        return any(entry.is_dir() and not is_litter(entry.name) for entry in entries)


def tally(names: list[str]) -> str:
    """Returns `9 ._*, 2 .DS_Store`, the most frequent first."""
    counted = sorted(collections.Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return some([f"{count:,} {name}" for name, count in counted])


def tally_endings(paths: set[Path]) -> str:
    """Returns `1 .tif, 2 .webp`."""
    counted = collections.Counter(path.suffix.lower() or "without an ending" for path in paths)
    return ", ".join(f"{count:,} {printable(name)}" for name, count in sorted(counted.items()))


def some(names: list[str] | list[Path]) -> str:
    """Returns the first few, and how many more there are."""
    more = len(names) - _MAX_NAMES
    return ", ".join(map(printable, names[:_MAX_NAMES])) + (f" and {more:,} more" * (more > 0))


def _is_own(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in _OWN)


def _holds_own(folder: Path) -> bool:
    """Returns whether it is a folder of runs: no images lie there, and most folders are runs."""
    try:
        with os.scandir(folder) as entries:
            inside = [entry for entry in entries if not is_litter(entry.name)]
    except OSError:  # Who walks it says so.
        return False
    if any(entry.name.lower().endswith(IMAGE_SUFFIXES) for entry in inside):
        return False
    own = [_is_own(Path(entry.path)) for entry in inside if entry.is_dir()]
    return 2 * sum(own) >= max(len(own), 1)


def _refuse(error: OSError) -> None:
    raise DataError(f"{printable(error.filename)}: cannot be read: {error.strerror}.") from None
