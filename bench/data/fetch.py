"""Downloads into the cache: a temporary name, a check, then a rename; whatever goes wrong leaves nothing behind."""

import contextlib
import functools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import filelock
import pooch
import requests
import rich.console
import rich.progress

from bench.data import imdb, jena
from bench.data.files import unwritable
from bench.errors import UsageError

_CONNECT_S = 3.0
_ANSWER_S = 4.0
_PROBE_S = 5.0  # of name look-up, connection (to every address of the name) and first answer together
_STALL_S = 10.0  # without a byte, once the download runs
_CHUNK_BYTES = 1 << 16


class FetchError(Exception):
    """A download that did not work; `str(error)` is the reason in half a line."""


@dataclass(frozen=True)
class Remote:
    """A file on the network."""

    name: str
    """Its name in the cache."""
    url: str
    sha256: str | None
    """None where the file's author published none and we have not seen the file."""


@dataclass(frozen=True)
class Remotes:
    """Where each data set is downloaded from."""

    imdb: Remote
    jena: Remote


_FOLDER = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
REMOTES = Remotes(
    imdb=Remote(imdb.NAME, f"{_FOLDER}/imdb.npz", imdb.SHA256),
    jena=Remote(jena.DOWNLOAD, f"{_FOLDER}/{jena.DOWNLOAD}", None),
)


def offline() -> bool:
    """Whether `BENCH_OFFLINE` forbids downloads."""
    return os.environ.get("BENCH_OFFLINE") not in (None, "", "0")


@contextlib.contextmanager
def cache_lock(cache: Path, name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Makes the cache folder, lets one process at a time in, and clears what a killed one left half-made.

    A half-made thing is a folder whose name begins with `.<name>.`. A UsageError where the cache cannot be written.
    """
    lock = filelock.FileLock(cache / f".{name}.lock")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            say(f"waiting for another bench that writes {name} to {cache}")
            lock.acquire()
    except OSError as error:
        raise unwritable(cache, error) from error
    try:
        for left in cache.glob(f".{name}.*/"):
            shutil.rmtree(left)
        yield
    finally:
        lock.release()


def fetch(remote: Remote, cache: Path, check: Callable[[Path], object], say: Callable[[str], None]) -> Path:
    """The remote file in the cache, downloaded now unless it is there; `check` raises a UsageError on a bad one.

    FetchError: no network, `BENCH_OFFLINE` set, no answer within seconds, a stall, a wrong file. UsageError: the cache
    cannot be written. A file that is in the cache already is never touched.
    """
    target = cache / remote.name
    if offline():
        raise FetchError("BENCH_OFFLINE is set")
    address = urlsplit(remote.url)
    if reason := _no_answer(urlunsplit((address.scheme, address.netloc, "/", "", ""))):
        raise FetchError(reason)
    with cache_lock(cache, remote.name, say):
        if target.exists():
            return target
        say(f"downloading {remote.name} from {remote.url}")
        try:
            with tempfile.TemporaryDirectory(dir=cache, prefix=f".{remote.name}.") as folder:
                path = _download(remote, Path(folder))
                check(path)
                path.replace(target)
        except requests.RequestException as error:
            raise FetchError(_in_short(error)) from error
        except (ValueError, UsageError) as error:
            raise FetchError(f"{remote.url} sent something else than {remote.name}: {_in_short(error)}") from error
        except OSError as error:
            raise unwritable(target, error) from error
    return target


def _download(remote: Remote, folder: Path) -> Path:
    columns = (*rich.progress.Progress.get_default_columns()[:2], rich.progress.DownloadColumn())
    with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True)) as progress:
        downloader = pooch.HTTPDownloader(
            progressbar=_Bar(progress, remote.name), chunk_size=_CHUNK_BYTES, timeout=(_CONNECT_S, _STALL_S)
        )
        pooch.get_logger().setLevel("WARNING")  # what it would tell has been said
        path = Path(pooch.retrieve(remote.url, remote.sha256, remote.name, folder, downloader=downloader))
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return path


class _Bar:
    """What pooch asks of a progress bar, shown by rich."""

    total = 0

    def __init__(self, progress: rich.progress.Progress, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None)

    def update(self, count: int) -> None:
        self._progress.update(self._task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()


@functools.cache
def _no_answer(server: str) -> str | None:
    """Why nothing answers at this address, asked once per process; None where something does.

    In a thread of its own, because nothing else bounds the time of a name look-up and of a host with many addresses.
    """
    reasons: list[str | None] = []

    def ask() -> None:
        try:
            requests.head(server, timeout=(_CONNECT_S, _ANSWER_S)).close()
        except requests.RequestException as error:
            reasons.append(_in_short(error))
        else:
            reasons.append(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_S)
    return reasons[0] if reasons else f"no answer from {server} within {_PROBE_S:g} s"


def _in_short(error: Exception) -> str:
    """The innermost reason of an error, in one line."""
    reason: BaseException = error
    while reason.__context__ is not None:
        reason = reason.__context__
    text = str(error) if isinstance(error, (ValueError, UsageError)) else str(reason)
    return " ".join(text.split())[:300] or type(error).__name__
