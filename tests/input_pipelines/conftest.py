"""A network that is not there, and one that is: a server on this machine."""

from __future__ import annotations

import errno
import http.server
import socket
import threading

import pytest


@pytest.fixture
def offline(monkeypatch):
    """No connection can be made, and there is no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def refuse(*_arguments, **_keywords):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


class FileServer:
    """Serves `files` ({name: content}) over HTTP and notes the names that were asked for.

    Attributes:
        files: may change while serving.
        promised_bytes: {name: Content-Length}, where another length than the real one is promised,
            or None where none is.
        requests: the names asked for, in order.
        url: of the folder.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.promised_bytes: dict[str, int | None] = {}
        self.requests: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                outer.requests.append(name)
                if name not in outer.files:
                    self.send_error(404, "Not Found")
                    return
                content = outer.files[name]
                self.send_response(200)
                length = outer.promised_bytes.get(name, len(content))
                if length is not None:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def file_server(monkeypatch):
    """A FileServer on 127.0.0.1, reached without any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = FileServer()
    yield server
    server.stop()
