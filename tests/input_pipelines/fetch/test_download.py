"""Fetching files from a real server, and what is said where that fails."""

from __future__ import annotations

import hashlib
import importlib.resources
import socket
from pathlib import Path

import pytest

from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import DATASETS, cifar10, fashion_mnist, flowers, mnist
from input_pipelines.fetch import download as _download
from input_pipelines.fetch.download import RemoteFile

CONTENT = b"forty-two pixels" * 5000
WANTED = "the file data.bin"


@pytest.fixture
def remote(file_server):
    """Returns a function: the RemoteFile of what the server has, where not told otherwise."""
    file_server.files["data.bin"] = CONTENT

    def describe(name: str = "data.bin", content: bytes = CONTENT, **changes) -> RemoteFile:
        facts = {
            "url": f"{file_server.url}/{name}",
            "num_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        return RemoteFile(**{**facts, **changes})

    return describe


def fetch(file: RemoteFile, folder: Path) -> Path:
    (path,) = _download.fetch([file], folder, WANTED)
    return path


def refused(file: RemoteFile, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        fetch(file, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_file_is_fetched_once(remote, file_server, tmp_path):
    folder = tmp_path / "cache" / "new"
    path = fetch(remote(), folder)
    assert path == folder / "data.bin"
    assert path.read_bytes() == CONTENT
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert fetch(remote(), folder) == path
    assert file_server.requests == ["data.bin"]
    assert list(folder.iterdir()) == [path]


def test_several_files_in_order(remote, file_server, tmp_path):
    file_server.files["more.bin"] = b"more"
    files = [remote("more.bin", b"more"), remote()]
    paths = _download.fetch(files, tmp_path, WANTED)
    assert [path.name for path in paths] == ["more.bin", "data.bin"]
    assert [path.read_bytes() for path in paths] == [b"more", CONTENT]


def test_what_is_cut_short_on_disk_is_fetched_again(remote, file_server, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1])
    assert fetch(remote(), tmp_path).read_bytes() == CONTENT
    assert file_server.requests == ["data.bin"]


def test_nothing_is_fetched_where_the_network_is_not_to_be_used(
    remote, file_server, tmp_path, monkeypatch
):
    monkeypatch.setenv(_download.OFFLINE, "1")
    file_server.files["more.bin"] = b"more"
    files = [remote("more.bin", b"more"), remote()]
    (tmp_path / "more.bin").write_bytes(b"more")
    with pytest.raises(_download.DownloadNeededError) as caught:
        _download.fetch(files, tmp_path, WANTED)
    assert caught.value.files == (files[1],)
    assert str(caught.value) == (
        "data.bin (80,000 bytes from 127.0.0.1): not here, and FLOWRATE_OFFLINE is set. Give "
        f"--data_dir=FOLDER with {WANTED}, or unset it; digits and synthetic need no download."
    )
    (tmp_path / "data.bin").write_bytes(CONTENT)
    assert len(_download.fetch(files, tmp_path, WANTED)) == 2
    assert file_server.requests == []
    monkeypatch.setenv(_download.OFFLINE, "0")
    assert not _download.is_offline()


def test_another_content_is_refused(remote, file_server, tmp_path):
    file_server.files["data.bin"] = CONTENT[::-1]
    message = refused(remote(), tmp_path)
    assert message.startswith(f"{file_server.url}/data.bin was not downloaded: sha256 is ")
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused(remote, file_server, tmp_path):
    message = refused(remote(num_bytes=7), tmp_path)
    assert message == (
        f"{file_server.url}/data.bin was not downloaded: got 80,000 B text/plain, expected 7 B; "
        "try again, or give --data_dir=FOLDER with the file data.bin."
    )
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_does_not_have(remote, file_server, tmp_path):
    message = refused(remote("none.bin"), tmp_path)
    assert message.startswith(f"{file_server.url}/none.bin was not downloaded: ")
    assert "404" in message
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_off(remote, file_server, tmp_path):
    file_server.promised_bytes["data.bin"] = 2 * len(CONTENT)
    message = refused(remote(), tmp_path)
    assert message.startswith(f"{file_server.url}/data.bin was not downloaded: ")
    assert list(tmp_path.iterdir()) == []


def test_never_more_is_read_than_was_promised(remote, file_server, tmp_path):
    file_server.promised_bytes["data.bin"] = None
    message = refused(remote(num_bytes=100), tmp_path)
    assert "got more than 100 B text/plain, expected 100 B" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_only_https_leaves_this_machine(tmp_path, url):
    message = refused(RemoteFile(url, 5, "0" * 64), tmp_path)
    assert message.startswith(f"{url} was not downloaded: {url} is not https; ")


def test_nobody_answers(tmp_path):
    file = RemoteFile(f"http://127.0.0.1:{closed_port()}/x/data.bin", 1_234_567, "0" * 64)
    assert refused(file, tmp_path / "cache") == (
        "data.bin (1,234,567 bytes from 127.0.0.1) is not here and cannot be fetched (Connection "
        "refused). Give --data_dir=FOLDER with the file data.bin; digits and synthetic need no "
        "download."
    )
    assert not (tmp_path / "cache").exists()


def test_a_name_that_is_unknown(tmp_path):
    file = RemoteFile("https://no-such-host.invalid/data.bin", 5, "0" * 64)
    message = refused(file, tmp_path)
    assert message.startswith("data.bin (5 bytes from no-such-host.invalid) is not here and cannot")
    assert "--data_dir=FOLDER" in message


def test_behind_a_proxy_the_host_itself_is_not_tried(monkeypatch, offline):
    url = "https://example.org/data.bin"
    assert _download.unreachable(url) == "Network is unreachable"
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:3128")
    assert _download.unreachable(url) is None
    monkeypatch.setenv("no_proxy", "example.org")
    assert _download.unreachable(url) == "Network is unreachable"


def test_the_data_sets_named_as_needing_no_download_need_none(tmp_path, monkeypatch, offline):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = _download.OFFLINE_DATASETS.removesuffix(" need no download").split(" and ")
    assert names == ["digits", "synthetic"]
    for name in names:
        dataset, _ = DATASETS.load(name)
        options = LoadOptions(image_shape=dataset.INFO.image_shape)
        assert len(dataset.load(options)["test"]) == dataset.INFO.num_examples["test"]


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert _download.cache_folder("mnist") == tmp_path / "mine" / "flowrate" / "mnist"
    assert _download.cache_folder() == tmp_path / "mine" / "flowrate"
    assert _download.existing_folder(None, "mnist") == _download.cache_folder("mnist")
    monkeypatch.setenv("HOME", str(tmp_path))
    for nothing in (monkeypatch.delenv, lambda name: monkeypatch.setenv(name, "")):
        nothing("XDG_CACHE_HOME")
        assert _download.cache_folder("mnist") == tmp_path / ".cache" / "flowrate" / "mnist"


def test_sizes_and_hashes_are_those_that_tensorflow_datasets_checks():
    package = importlib.resources.files("tensorflow_datasets")
    lists = ["url_checksums/fashion_mnist.txt", "url_checksums/cifar10.txt",
             "datasets/tf_flowers/checksums.tsv"]  # fmt: skip
    known = {}
    for name in lists:
        for line in package.joinpath(name).read_text().splitlines():
            url, num_bytes, sha256, *_ = line.split()
            known[url.rsplit("/", 1)[-1]] = (int(num_bytes), sha256)
    files = [*fashion_mnist.FILES, cifar10.ARCHIVE, flowers.ARCHIVE]
    assert len(files) == 6
    for file in files:
        assert known[file.name] == (file.num_bytes, file.sha256)
    assert mnist.ARCHIVE.name == "mnist.npz"  # held against the real file in test_mnist.py
