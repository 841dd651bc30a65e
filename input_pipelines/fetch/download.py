"""Fetching a data set's files, checked by size and SHA-256, into the user's cache folder."""

from __future__ import annotations

import dataclasses
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from http.client import HTTPException
from pathlib import Path

from flowrate.errors import DataError
from flowrate.text import masked, one_line
from input_pipelines.fetch.https import WrongContentError, check_is_safe, download
from input_pipelines.fetch.partial import delete_abandoned, partial_folder

# Sets that need no download: named where one cannot be made.
OFFLINE_DATASETS = "digits and synthetic need no download"
# Where this variable is set, nothing is downloaded: what is not here is an error, at once.
OFFLINE = "FLOWRATE_OFFLINE"
_CONNECT_TIMEOUT_SECONDS = 5
_PORTS = {"https": 443, "http": 80, "ftp": 21}


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: where it is, how long it is and what it must hash to."""

    url: str
    num_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


class MissingDataError(DataError):
    """`--data_dir` is needed, or is a folder of something else."""


class DownloadNeededError(DataError):
    """The files are not here, and the network is not to be used.

    Attributes:
        files: what would be downloaded.
    """

    def __init__(self, files: Sequence[RemoteFile], wanted: str):
        self.files = tuple(files)
        super().__init__(
            f"{_described(files)}: not here, and {OFFLINE} is set. Give --data_dir=FOLDER with "
            f"{wanted}, or unset it; {OFFLINE_DATASETS}."
        )


def is_offline() -> bool:
    """Returns whether the network is not to be used (FLOWRATE_OFFLINE)."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def cache_folder(name: str = "") -> Path:
    """Returns the folder for `name` in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "flowrate" / name


def existing_folder(data_dir: Path | None, dataset: str) -> Path:
    """Returns the folder to read: `--data_dir`, else the data set's cache folder.

    Raises:
        DataError: `--data_dir` is no folder.
    """
    if data_dir is None:
        return cache_folder(dataset)
    if not os.path.isdir(data_dir):  # Path.is_dir raises where a name is too long.
        what = "is a file, not a folder" if os.path.exists(data_dir) else "does not exist"
        raise DataError(f"--data_dir={data_dir} {what}.")
    return data_dir


def missing_from(data_dir: Path, wanted: str) -> MissingDataError:
    """Returns the error for a `--data_dir` that lacks what the data set is made of."""
    return MissingDataError(
        f"--data_dir={data_dir} does not hold {wanted}; point it at the folder that does."
    )


def find_or_fetch(file: RemoteFile, folder: Path, data_dir: Path | None, wanted: str) -> Path:
    """Returns the path of a data set's one file, fetched where it is not there.

    Args:
        file: the file.
        folder: what `existing_folder` has returned for `data_dir`.
        data_dir: the flag; nothing is fetched into a folder that the user has named.
        wanted: what the data set is made of, for messages.

    Raises:
        MissingDataError: `data_dir` lacks it.
        DownloadNeededError, DataError: as fetch does.
    """
    path = folder / file.name
    if not path.is_file():
        if data_dir is not None:
            raise missing_from(folder, wanted)
        (path,) = fetch([file], folder, wanted)
    return path


def fetch(files: Iterable[RemoteFile], folder: Path, wanted: str) -> list[Path]:
    """Downloads what is not there yet.

    Args:
        files: what to fetch.
        folder: where to; made if need be.
        wanted: what the user may put into `--data_dir` instead, for the message.

    Returns:
        The paths, in order.

    Raises:
        DownloadNeededError: something is not there, and FLOWRATE_OFFLINE is set.
        DataError: no connection, or another size or hash than promised.
    """
    files = list(files)
    if is_offline() and (missing := [file for file in files if not _is_here(file, folder)]):
        raise DownloadNeededError(missing, wanted)
    return [_fetch_one(file, folder, wanted) for file in files]


def _is_here(file: RemoteFile, folder: Path) -> bool:
    path = folder / file.name
    return path.is_file() and path.stat().st_size == file.num_bytes


def _fetch_one(file: RemoteFile, folder: Path, wanted: str) -> Path:
    path = folder / file.name
    if _is_here(file, folder):
        return path
    try:
        check_is_safe(file.url)
        # Within seconds, and before anything heavy is imported.
        if reason := unreachable(file.url):
            raise DataError(
                f"{_described([file])} is not here and cannot be fetched ({reason}). Give "
                f"--data_dir=FOLDER with {wanted}; {OFFLINE_DATASETS}."
            )
        # Private: what lies here is taken by its size alone the next time.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        delete_abandoned(folder)
        # This process's own: several workers may fetch the same file at once.
        with partial_folder(path) as private:
            download(file.url, private / file.name, file.num_bytes, file.sha256)
            os.replace(private / file.name, path)
    except (OSError, HTTPException, WrongContentError) as error:
        raise DataError(
            f"{masked(file.url)} was not downloaded: {one_line(error)}; try again, or give "
            f"--data_dir=FOLDER with {wanted}."
        ) from error
    return path


def _described(files: Sequence[RemoteFile]) -> str:
    names = ", ".join(file.name for file in files)
    hosts = ", ".join(sorted({host_of(file.url) for file in files}))
    return f"{names} ({sum(file.num_bytes for file in files):,} bytes from {hosts})"


def host_of(url: str) -> str:
    """Returns the name of the host; empty where the address has none."""
    return urllib.parse.urlsplit(url).hostname or ""


def unreachable(url: str) -> str | None:
    """Returns why the host of `url` does not answer, within seconds, or None if it does.

    Behind a proxy only the download itself can tell: None.
    """
    parts = urllib.parse.urlsplit(url)
    behind_proxy = parts.scheme in urllib.request.getproxies()
    if behind_proxy and not urllib.request.proxy_bypass(host_of(url)):
        return None
    port = parts.port or _PORTS[parts.scheme]
    try:
        socket.create_connection((host_of(url), port), _CONNECT_TIMEOUT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
