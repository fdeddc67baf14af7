"""A stand-in for the Docker engine: answers over a Unix socket as it was told to, and keeps what it was asked."""

import http.server
import json
import re
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = Any
"""A JSON value; `(status, JSON value)`; or a function that takes the request's handler and answers by itself."""
IMAGE = {"Id": "sha256:" + "1" * 64, "RepoDigests": ["there/bench@sha256:" + "2" * 64], "Size": 4_000_000_000}
PLAIN: dict[str, Answer] = {
    "GET /version": {"ApiVersion": "1.41"},
    "GET /info": {"DockerRootDir": "/no/such/folder"},
    "GET /containers/json": [],
    "GET /images/json": [],
    "GET /images/bench:cpu/json": {**IMAGE, "Config": {"Labels": {"io.bench.device": "cpu"}}},
    "POST /containers/create": (201, {"Id": "c" * 64}),
}


class FakeEngine:
    """What it answers and what it was asked."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.answers = dict(PLAIN)
        self.asked: list[tuple[str, bytes]] = []
        """Method and path without the version, and the body."""
        self.queries: list[tuple[str, dict[str, str]]] = []

    @property
    def created(self) -> dict[str, Any]:
        """The one container that was asked for."""
        (body,) = [body for what, body in self.asked if what == "POST /containers/create"]
        return json.loads(body)

    def builds(self, *messages: dict[str, Any]) -> None:
        """What a build will say."""

        def stream(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for message in messages:
                data = json.dumps(message).encode() + b"\r\n"
                handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            handler.wfile.write(b"0\r\n\r\n")

        self.answers["POST /build"] = stream


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who has read the line it waited for may hang up, and need not wait for the last byte of the answer.

        The trap: by default the thread prints the broken pipe on standard error, into what a test says `bench` printed.
        """
        if not isinstance(sys.exception(), BrokenPipeError | ConnectionResetError):
            super().handle_error(request, client_address)


@contextmanager
def running(folder: Path) -> Iterator[FakeEngine]:
    """A fake engine that listens at `folder/engine.sock`."""
    engine = FakeEngine(folder / "engine.sock")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def address_string(self) -> str:
            return "local"

        def log_message(self, *arguments: object) -> None:
            pass

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            what = f"{self.command} {re.sub(r'^/v[0-9.]+', '', parts.path)}"
            engine.asked.append((what, body))
            engine.queries.append((what, dict(parse_qsl(parts.query))))
            told = engine.answers.get(what, (404, {"message": f"nothing told about {what}"}))
            if isinstance(told, Callable):
                told(self)
                return
            status, value = told if isinstance(told, tuple) else (200, told)
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 (names of http.server)

    with _Server(str(engine.socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()
