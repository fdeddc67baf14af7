"""Small files of both data sets, made for a test, and a local server that misbehaves as asked."""

import contextlib
import dataclasses
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench import workload
from bench.data.jena import DATE, FEATURES
from bench.workload import Reviews, Workload

FEW_REVIEWS = 40
JENA_ROWS = 7_000  # a little more than conv_only needs


def few_reviews() -> Workload:
    """`conv` on 40 training reviews: 32 train in two batches of 16, 8 validate."""
    spec = workload.load("conv")
    return dataclasses.replace(spec, data=Reviews(samples=FEW_REVIEWS), batch_size=16, steps_per_epoch=2)


def words_and_labels(seed: int, samples: int = FEW_REVIEWS) -> tuple[list[list[int]], list[int]]:
    """Reviews of 1 to 900 words, some of a rank beyond the vocabulary, some longer than the 500 that are kept."""
    random = np.random.RandomState(seed)
    lengths = [1, 498, 499, 500, 501, *random.randint(2, 900, samples - 5).tolist()]
    return [random.randint(1, 12_000, length).tolist() for length in lengths], random.randint(0, 2, samples).tolist()


def write_imdb(path: Path, **changed: object) -> Path:
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
    """Serves `files`, and counts; a file may be cut short, or a request left without an answer."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], cut_at: int | None = None, silent: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.cut_at, self.silent = files, cut_at, silent
        self.served: list[str] = []
        self.stop = threading.Event()
        self.half_sent = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        if self.server.silent:
            self.server.stop.wait()
            return
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
        self.wfile.write(content[: self.server.cut_at])
        if self.server.cut_at is not None and not self.server.half_sent.is_set():
            self.server.half_sent.set()
            if self.server.silent is None:
                self.server.stop.wait()

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()
