"""Files and folders that a user names -> the image files in them."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from input_pipelines.folders.tree import is_image, walk


@dataclasses.dataclass(frozen=True)
class FoundImages:
    """What was found.

    Attributes:
        paths: in the order they were named in; those of a folder in the order of their names.
        problems: why some of the paths are no files, or hold no images, known without reading.
        num_skipped: files in folders that are no images, by their suffix, and litter.
    """

    paths: tuple[Path, ...]
    problems: dict[Path, str]
    num_skipped: int


def find_images(names: Sequence[str]) -> FoundImages:
    """Lists image files: those named, and those below the folders named.

    A file that is named counts whatever its suffix. Links to folders are not followed within a
    folder, so that none is walked twice; links to files are.
    """
    paths: list[Path] = []
    problems: dict[Path, str] = {}
    num_skipped = 0
    for name in names:
        path = Path(name).expanduser()
        if not os.path.isdir(path):  # Path.is_dir raises where a name is too long.
            paths.append(path)
            if problem := problem_of(path):
                problems[path] = problem
            continue
        found, skipped = _images_below(path, problems)
        num_skipped += skipped
        if not found and path not in problems:
            problems[path] = "no image in this folder"
        paths += found or [path]
        paths += [folder for folder in problems if folder not in paths]
    return FoundImages(tuple(paths), problems, num_skipped)


def problem_of(path: Path) -> str | None:
    """Returns why this is no file that can be opened; None where it is one.

    Opening a pipe would wait for ever.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link to nothing" if path.is_symlink() else "is not there"
    except OSError as error:  # A loop of links, no right to look.
        return f"cannot be read ({error.strerror})"
    return None if stat.S_ISREG(mode) else "is no file"


def _images_below(folder: Path, problems: dict[Path, str]) -> tuple[list[Path], int]:
    """Returns the images and the number of other files; folders that cannot be read: a problem."""

    def note(error: OSError) -> None:
        problems[Path(error.filename)] = f"cannot be read ({error.strerror})"

    litter: set[Path] = set()
    found, num_skipped = [], 0
    for parent, _, names in walk(folder, litter, note):
        # HEIC too: a photo that is left out without a word would be missed.
        images = [parent / name for name in names if is_image(parent / name)]
        found += images
        num_skipped += len(names) - len(images)
    return found, num_skipped + len(litter)
