"""One file over https: of a known size and SHA-256, or none."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from flowrate.text import masked

_READ_TIMEOUT_SECONDS = 60
# Of a file that trickles in slower than that, nothing is waited for.
_SLOWEST_BYTES_PER_SECOND = 10_000
_CHUNK_BYTES = 2**20
_PAUSES_SECONDS = (1, 2)
_PASSING = (ConnectionError, TimeoutError, http.client.HTTPException)


class WrongContentError(Exception):
    """What came is not the file: trying again would not help."""


def download(url: str, path: Path, num_bytes: int, sha256: str) -> None:
    """Writes the file to `path`, for its owner only; where a connection breaks it is tried anew.

    Args:
        url: https; http on this machine only.
        path: must not exist.
        num_bytes: the size that it must have; never more is read.
        sha256: what it must hash to, in hexadecimal.

    Raises:
        WrongContentError: another address, size or hash than promised; nothing is left at `path`.
        OSError, http.client.HTTPException: no connection, or the disk is full.
    """
    for pause in (*_PAUSES_SECONDS, None):
        try:
            return _download(url, path, num_bytes, sha256)
        except (*_PASSING, urllib.error.URLError) as error:
            is_final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if pause is None or is_final:
                raise
            time.sleep(pause)


def check_is_safe(url: str) -> None:
    """Raises WrongContentError unless whoever listens on the way can neither read nor change it."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname)):
        return
    raise WrongContentError(f"{masked(url)} is not https")


def _download(url: str, path: Path, num_bytes: int, sha256: str) -> None:
    check_is_safe(url)
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        with opener.open(url, timeout=_READ_TIMEOUT_SECONDS) as response:
            _check_promise(response, num_bytes)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                received, digest = _receive(response, file.write, num_bytes)
        _check_size(response, received, num_bytes)
        if digest != sha256:
            raise WrongContentError(f"sha256 is {digest}, expected {sha256}")
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _receive(response, write: Callable[[bytes], object], num_bytes: int) -> tuple[int, str]:
    """Reads to the end, or one byte beyond what is expected; returns the count and the SHA-256."""
    digest, received, started = hashlib.sha256(), 0, time.monotonic()
    while received <= num_bytes:
        chunk = response.read1(min(_CHUNK_BYTES, num_bytes + 1 - received))
        if not chunk:
            break
        received += len(chunk)
        digest.update(chunk)
        write(chunk)
        allowed = _READ_TIMEOUT_SECONDS + received / _SLOWEST_BYTES_PER_SECOND
        if time.monotonic() - started > allowed:
            raise WrongContentError(f"too slow: {received:,} B in {allowed:.0f} s")
    return received, digest.hexdigest()


def _check_promise(response, num_bytes: int) -> None:
    """Raises WrongContentError where the header already says that it is something else."""
    promised = response.headers.get("Content-Length", "")
    if promised.isdecimal():
        _check_size(response, int(promised), num_bytes)


def _check_size(response, found: int, num_bytes: int) -> None:
    if found != num_bytes:
        promised = response.headers.get("Content-Length", "")
        if promised.isdecimal() and found < int(promised):
            raise ConnectionError(f"the connection broke off after {found:,} B of {num_bytes:,} B")
        more = "more than " * (found > num_bytes and not promised.isdecimal())
        kind = response.headers.get_content_type()
        raise WrongContentError(
            f"got {more}{found - bool(more):,} B {kind}, expected {num_bytes:,} B"
        )


def _is_this_machine(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to where `check_is_safe` lets."""

    def redirect_request(self, request, file, code, message, headers, url):
        check_is_safe(url)
        return super().redirect_request(request, file, code, message, headers, url)
