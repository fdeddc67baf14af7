"""Small files of both data sets, made for a test, and a local server that misbehaves as asked."""

import contextlib
import dataclasses
import functools
import hashlib
import http.server
import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from bench import catalogue
from bench.data import sources
from bench.data.fetch import Remote, Remotes
from bench.data.jena import DATE, FEATURES
from bench.workload import Reviews, Workload

Written = TypeVar("Written", Path, io.BytesIO)
FEW_REVIEWS = 40
JENA_ROWS = 7_000  # a little more than conv_only needs


def few_reviews() -> Workload:
    """`conv` on 40 training reviews: 32 train in two batches of 16, 8 validate."""
    spec = catalogue.load("conv")
    return dataclasses.replace(spec, data=Reviews(samples=FEW_REVIEWS), batch_size=16, steps_per_epoch=2)


def words_and_labels(seed: int, samples: int = FEW_REVIEWS) -> tuple[list[list[int]], list[int]]:
    """Reviews of 1 to 900 words, some of a rank beyond the vocabulary, some longer than the 500 that are kept."""
    random = np.random.RandomState(seed)
    lengths = [1, 498, 499, 500, 501, *random.randint(2, 900, samples - 5).tolist()]
    return [random.randint(1, 12_000, length).tolist() for length in lengths], random.randint(0, 2, samples).tolist()


def write_imdb(path: Written, **changed: object) -> Written:
    """An imdb.npz of `words_and_labels`, any of its four arrays replaced by `changed`, or left out where None."""
    arrays: dict[str, object] = {}
    for seed, split in enumerate(("train", "test")):
        words, labels = words_and_labels(seed)
        arrays |= {f"x_{split}": ragged(words), f"y_{split}": np.array(labels)}
    np.savez_compressed(path, **{name: value for name, value in (arrays | changed).items() if value is not None})
    return path


def ragged(items: list) -> np.ndarray:
    """An object array of these items, as the genuine file holds its lists."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def jena_lines(rows: int = JENA_ROWS, seed: int = 0) -> list[str]:
    """The header and `rows` rows of a plausible series; the rows repeat every 3,000."""
    random = np.random.RandomState(seed)
    values = np.round(random.randn(3_000, 14) * 10 + 100, 2)
    body = [f"01.01.2009 00:{row % 60:02d}:00," + ",".join(map(str, line)) for row, line in enumerate(values.tolist())]
    return [",".join((DATE, *FEATURES)), *(body * (rows // 3_000 + 1))[:rows]]


def write_jena(path: Path, lines: list[str] | None = None) -> Path:
    path.write_text("\n".join(lines or jena_lines()) + "\n")
    return path


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path in one of four ways.

    whole: as it should be. cut: hangs up half-way. stalls: stops half-way and says nothing more. silent: never answers.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], way: Literal["whole", "cut", "stalls", "silent"] = "whole") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.way = files, way
        self.served: list[str] = []
        self.half_sent = threading.Event()
        self.over = threading.Event()

    def remotes(self, imdb_sha256: str | None = None) -> Remotes:
        """The two data sets as this server's `/imdb.npz` and `/jena.zip`."""
        address = f"http://127.0.0.1:{self.server_port}"
        return Remotes(
            imdb=Remote("imdb.npz", f"{address}/imdb.npz", imdb_sha256),
            jena=Remote("jena_climate_2009_2016.csv.zip", f"{address}/jena.zip", None),
        )


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        if self.server.way == "silent":
            self.server.over.wait()
        else:
            self.send_response(200)
            self.end_headers()

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.server.served.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.way == "whole":
            self.wfile.write(content)
            return
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.server.half_sent.set()
        if self.server.way == "stalls":
            self.server.over.wait()

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@functools.cache
def imdb_bytes() -> bytes:
    """An imdb.npz as it comes over the network."""
    return write_imdb(io.BytesIO()).getvalue()


@functools.cache
def jena_zip() -> bytes:
    """A jena_climate_2009_2016.csv.zip as it comes over the network."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jena_climate_2009_2016.csv", "\n".join(jena_lines()))
    return stream.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def nobody() -> Remotes:
    """Remotes on a port of this machine where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    return Remotes(
        imdb=Remote("imdb.npz", f"{address}/imdb.npz", None),
        jena=Remote("jena_climate_2009_2016.csv.zip", f"{address}/jena.zip", None),
    )


class Asked:
    """Loads data with a cache, a list of what was said, and remotes."""

    def __init__(self, cache: Path, remotes: Remotes) -> None:
        self.cache, self.remotes, self.said = cache, remotes, []

    def load(self, spec, kind="auto", data_dir=None, seed=0):
        return sources.load(
            spec, kind=kind, data_dir=data_dir, seed=seed, cache=self.cache, say=self.said.append, remotes=self.remotes
        )

    def visible(self) -> list[str]:
        """What the cache holds, locks apart."""
        return sorted(entry.name for entry in self.cache.iterdir() if not entry.name.endswith(".lock"))
