"""P16: a server that leads elsewhere, or that nobody vouches for, is not trusted.

What a server cuts short, or sends in place of a file: tests/input_pipelines/fetch.
"""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from flowrate.errors import DataError
from input_pipelines.fetch import download
from input_pipelines.fetch.download import RemoteFile

CONTENT = b"forty-two pixels" * 1000
# Where it leads, and words of the message.
_REDIRECTS = {
    "http://example.org/x": "http://example.org/x is not https",
    "file:///etc/passwd": "'file:///etc/passwd' is not allowed",
    "ftp://127.0.0.1/x": "ftp://127.0.0.1/x is not https",
    "http://u:hunter2@a/x": "http://u:***@a/x is not https",
}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/sound":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)
            return
        self.send_response(302)
        self.send_header("Location", list(_REDIRECTS)[int(self.path[1:])])
        self.end_headers()

    def log_message(self, *_arguments):
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_arguments):
        pass  # A client that does not trust the certificate hangs up.


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The address of an https server on 127.0.0.1, whose certificate is trusted."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, to make a certificate")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("FLOWRATE_OFFLINE", "")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Server(("127.0.0.1", 0), _Handler) as found:
        found.socket = context.wrap_socket(found.socket, server_side=True)
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{found.server_port}"
        found.shutdown()


def _fetch(url: str, cache: Path) -> Path:
    file = RemoteFile(url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    (path,) = download.fetch([file], cache, "it")
    return path


def test_a_certificate_that_nobody_vouches_for(server, tmp_path, monkeypatch):
    assert _fetch(f"{server}/sound", tmp_path / "sound").read_bytes() == CONTENT
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(DataError, match="CERTIFICATE_VERIFY_FAILED"):
        _fetch(f"{server}/sound", tmp_path / "cache")


@pytest.mark.parametrize("number", range(len(_REDIRECTS)), ids=["http", "file", "ftp", "secret"])
def test_a_redirect(number, server, tmp_path, record):
    with pytest.raises(DataError) as caught:
        _fetch(f"{server}/{number}", tmp_path / "cache")
    assert [*_REDIRECTS.values()][number] in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert not [*tmp_path.glob("cache/*")]
    record(hostile_downloads=1, taken=0)
