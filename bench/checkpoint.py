"""A training on disk, so that one that is killed goes on where it was: one file, replaced after every epoch.

The first line holds the format and the SHA-256 of what follows: a NumPy .npz without objects, so that nothing in it can
run when it is read. It holds what the training is of, its curve, the weights of its best epoch, and the whole state of
its session. A file that is damaged, or of something else, is never used: the training begins afresh, and says why.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.data.windows import Source
from bench.errors import BenchError
from bench.record import CurvePoint, write_bytes

FORMAT = 1
"""Raised when files of before must not be used any more."""
_FIRST_LINE = re.compile(rb"bench checkpoint (\d+) sha256:([0-9a-f]{64})\n")
_HEADER, _BEST, _STATE = "header", "best.", "state."


class UnusableError(BenchError):
    """A checkpoint that is there and cannot be gone on from; the message says why."""


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a training is of. It goes on from a checkpoint only if all of this is the same."""

    workload: str
    digest: str
    arm: str
    device: str
    seed: int
    threads: int
    weights: str
    """Hash of the initial weights."""
    data: Source
    versions: dict[str, str]
    """Of the arm's distributions, as they are installed."""


@dataclass
class Progress:
    """How far a training has come."""

    curve: list[CurvePoint] = field(default_factory=list)
    best: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The weights after the best epoch so far; empty before the first."""
    resumed: list[int] = field(default_factory=list)
    """It was taken up again after each of these epochs."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: About
    curve: tuple[CurvePoint, ...]
    resumed: tuple[int, ...]


def save(path: Path, about: About, progress: Progress, state: Mapping[str, NDArray[Any]]) -> None:
    """Writes the training to `path`, whole or not at all; `state` is what its session goes on from."""
    header = msgspec.json.encode(_Header(about, tuple(progress.curve), tuple(progress.resumed)))
    arrays: dict[str, NDArray[Any]] = {_HEADER: np.frombuffer(header, np.uint8)}
    arrays |= {_BEST + name: values for name, values in progress.best.items()}
    arrays |= {_STATE + name: values for name, values in state.items()}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    write_bytes(path, f"bench checkpoint {FORMAT} sha256:{digest}\n".encode() + content.getbuffer())


def load(path: Path, about: About, epochs: int) -> tuple[Progress, dict[str, NDArray[Any]]] | None:
    """The training of `epochs` epochs that `path` holds, taken up again, and its session's state; None without a file.

    UnusableError, which names the reason, for a file that is damaged, or of something else than `about`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableError(f"{path}: cannot be read ({error.strerror}); the training begins afresh") from error
    first = _FIRST_LINE.match(content)
    if first is None:
        raise UnusableError(f"{path}: is no checkpoint of a training; the training begins afresh")
    if int(first[1]) != FORMAT:
        reason = f"is a checkpoint of format {int(first[1])}, expected {FORMAT}"
        raise UnusableError(f"{path}: {reason}; the training begins afresh")
    body = memoryview(content)[first.end() :]
    if hashlib.sha256(body).hexdigest() != first[2].decode():
        raise UnusableError(
            f"{path}: is damaged, its bytes are not those that were written; the training begins afresh"
        )
    with np.load(io.BytesIO(body), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    header = msgspec.json.decode(arrays.pop(_HEADER).tobytes(), type=_Header)
    if strange := _differences(header.about, about):
        raise UnusableError(f"{path}: is of another training ({strange}); the training begins afresh")
    done = len(header.curve)
    if done >= epochs:
        raise UnusableError(f"{path}: was written after epoch {done} of more than {epochs}; the training begins afresh")
    progress = Progress(list(header.curve), _named(arrays, _BEST), [*header.resumed, done])
    return progress, _named(arrays, _STATE)


def hash_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """A short hash of named arrays: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape}\0".encode())
        digest.update(values.data)
    return digest.hexdigest()[:16]


def _named(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _differences(stored: About, wanted: About) -> str:
    """What is not the same, in words; empty when everything is."""
    pairs = ((name, getattr(stored, name), getattr(wanted, name)) for name in About.__struct_fields__)
    told = (
        (name, one.description, other.description) if isinstance(one, Source) else (name, one, other)
        for name, one, other in pairs
        if one != other
    )
    return "; ".join(f"{name} {one}, not {other}" for name, one, other in told)
