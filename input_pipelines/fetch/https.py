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
from pathlib import Path

from flowrate.text import masked

_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 2**20
_PAUSES_SECONDS = (1, 2)


class WrongContentError(Exception):
    """What came is not the file: another try would not help."""


def download(url: str, path: Path, num_bytes: int, sha256: str) -> None:
    """Writes the file to `path`, for its owner only; tries three times where a connection breaks.

    Args:
        url: https; http on this machine only.
        path: what a failed try leaves there is not the file.
        num_bytes: the size that it must have; never more than one byte beyond it is read.
        sha256: what it must hash to, in hexadecimal.

    Raises:
        WrongContentError: another address, size or hash than promised.
        OSError, http.client.HTTPException: no connection, or the disk is full.
    """
    for pause in (*_PAUSES_SECONDS, None):
        try:
            return _download(url, path, num_bytes, sha256)
        except (OSError, http.client.HTTPException) as error:
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
    with opener.open(url, timeout=_TIMEOUT_SECONDS) as response:
        length = response.headers.get("Content-Length", "")
        promised = int(length) if length.isdecimal() else None
        kind, expected = response.headers.get_content_type(), f"expected {num_bytes:,} B"
        if promised not in (None, num_bytes):
            raise WrongContentError(f"got {promised:,} B {kind}, {expected}")
        received, digest = 0, hashlib.sha256()
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            while chunk := response.read1(min(_CHUNK_BYTES, num_bytes + 1 - received)):
                received += len(chunk)
                digest.update(chunk)
                file.write(chunk)
    if promised and received < promised:
        raise ConnectionError(f"the connection broke off after {received:,} B of {num_bytes:,} B")
    if received != num_bytes:
        got = f"more than {num_bytes:,}" if received > num_bytes else f"{received:,}"
        raise WrongContentError(f"got {got} B {kind}, {expected}")
    if digest.hexdigest() != sha256:
        raise WrongContentError(f"sha256 is {digest.hexdigest()}, expected {sha256}")


def _is_this_machine(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to addresses that pass `check_is_safe`."""

    def redirect_request(self, request, file, code, message, headers, url):
        check_is_safe(url)
        return super().redirect_request(request, file, code, message, headers, url)
