"""Downloads from a server that lies, breaks off or leads elsewhere: the right file, or none."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.faults._attempt import Attempt, NotHere, check
from flowrate.errors import DataError
from input_pipelines.fetch import download as _download
from input_pipelines.fetch.download import RemoteFile

CONTENT = b"forty-two pixels" * 1000
_HTML = b"<html>please log in</html>"
_SHA256 = hashlib.sha256(CONTENT).hexdigest()


def attempts() -> list[Attempt]:
    """Returns one attempt of all answers."""
    return [Attempt("hostile downloads", _fetch_all)]


def _fetch_all(folder: Path) -> dict[str, float]:
    certificate = _make_certificate(folder)
    trusting = {"no_proxy": "127.0.0.1", "FLOWRATE_OFFLINE": "", "SSL_CERT_FILE": str(certificate)}
    with _environment(**trusting), _serve(certificate) as url:
        _check_sound(RemoteFile(f"{url}/sound", len(CONTENT), _SHA256), folder / "sound")
        for name, (_, words) in _ANSWERS.items():
            file = RemoteFile(f"{url}/{name.replace(' ', '%20')}", len(CONTENT), _SHA256)
            _check_refused(file, folder / name, words)
        with _environment(SSL_CERT_FILE=os.devnull):
            file = RemoteFile(f"{url}/sound", len(CONTENT), _SHA256)
            _check_refused(file, folder / "unknown", "CERTIFICATE_VERIFY_FAILED")
    for address in ("http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd"):
        file = RemoteFile(address, len(CONTENT), _SHA256)
        _check_refused(file, folder / "address", "is not https")
    return {"hostile_downloads": len(_ANSWERS) + 4, "taken": 0}


def _check_sound(file: RemoteFile, cache: Path) -> None:
    (path,) = _download.fetch([file], cache, "it")
    check(path.read_bytes() == CONTENT, "a sound download: other bytes")
    modes = [oct(each.stat().st_mode & 0o777) for each in (path, cache)]
    check(modes == ["0o600", "0o700"], f"a download may be read by others: {modes}")


def _check_refused(file: RemoteFile, cache: Path, words: str) -> None:
    try:
        _download.fetch([file], cache, "it")
        check(False, f"{file.name}: was taken")
    except DataError as error:
        check(words in str(error), f"{file.name}: {error}; promised {words}")
    left = [str(path) for path in cache.rglob("*")]
    check(not left, f"{file.name}: left {left}")


def _send(handler, content: bytes, length: int | None, kind: str = "text/html") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)


def _redirect(to: str) -> Callable:
    def answer(handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    return answer


def _send_without_end(handler) -> None:
    with contextlib.suppress(OSError):
        _send(handler, b"", None)
        while True:
            handler.wfile.write(bytes(2**16))


_SIZE = f"expected {len(CONTENT):,} B"
# What the server does, and words of the message.
_ANSWERS: dict[str, tuple[Callable, str]] = {
    "html": (lambda h: _send(h, _HTML, len(_HTML)), f"got 26 B text/html, {_SIZE}"),
    "html without length": (lambda h: _send(h, _HTML, None), f"got 26 B text/html, {_SIZE}"),
    "longer": (lambda h: _send(h, CONTENT * 2, 32_000), f"got 32,000 B text/html, {_SIZE}"),
    "without end": (_send_without_end, f"got more than 16,000 B text/html, {_SIZE}"),
    "cut": (lambda h: _send(h, CONTENT[:99], len(CONTENT)), "broke off after 99 B of 16,000 B"),
    "other bytes": (lambda h: _send(h, CONTENT[::-1], len(CONTENT)), f"expected {_SHA256}"),
    "absent": (lambda h: h.send_error(404), "404"),
    "broken": (lambda h: h.send_error(503), "503"),
    "redirect to http": (_redirect("http://example.org/x"), "http://example.org/x is not https"),
    "redirect to a file": (_redirect("file:///etc/passwd"), "'file:///etc/passwd' is not allowed"),
    "redirect to ftp": (_redirect("ftp://127.0.0.1/x"), "ftp://127.0.0.1/x is not https"),
    "redirect with a secret": (_redirect("http://u:hunter2@a/x"), "http://u:***@a/x is not https"),
    "no answer": (lambda h: h.connection.close(), "was not downloaded: "),
}  # fmt: skip


@contextlib.contextmanager
def _serve(certificate: Path) -> Iterator[str]:
    """Serves over https on 127.0.0.1; gives the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/").replace("%20", " ")
            answer, _ = _ANSWERS.get(name, (lambda h: _send(h, CONTENT, len(CONTENT)), ""))
            answer(self)

        def log_message(self, *_arguments):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_arguments):
            pass  # Whoever was lied to hangs up.

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _make_certificate(folder: Path) -> Path:
    """Returns a certificate for 127.0.0.1 that nobody else vouches for; its key lies beside it."""
    if not shutil.which("openssl"):
        raise NotHere("needs openssl, to make a certificate")
    path = folder / "server.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(path.with_suffix(".key")), "-out", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


@contextlib.contextmanager
def _environment(**changes: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
