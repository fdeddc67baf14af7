"""The IMDB reviews from `imdb.npz`: Python lists pickled inside the npz, read so that no code in it can run."""

import array
import io
import pickle
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import reviews
from bench.data.files import fingerprint, unreadable, wrong
from bench.data.reviews import Texts
from bench.data.windows import Dataset, Identity, Source
from bench.workload import Workload

NAME = "imdb.npz"
SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
"""Of the genuine file, as Keras' own loader pins it."""
EXPECTED = "imdb.npz with the arrays x_train, y_train, x_test and y_test"
CURE = "replace it by a good copy, or delete it and let bench download one"

_MOST_BYTES = 1 << 30  # of one array unpacked; the genuine one has 14 MB. A small file may claim to be a huge one
_MOST_WORDS = 100_000_000
_WORDS_AND_START = (1, 14, 22, 16, 43, 530, 973, 1622, 1385, 65)  # of the first review after the shuffle by seed 113


class _Pickled:
    """Stands for whatever the pickle wants to build: keeps the state it is given, and does nothing with it."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Builds numbers, strings, tuples and lists. The three names that an object array's pickle needs give an inert
    stand-in, every other name is refused: nothing that the file chooses is ever called, not even NumPy."""

    _names = (
        "numpy.ndarray",
        "numpy.dtype",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
    )

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self._names:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no list of words needs")
        return lambda *_: _Pickled()


def load(path: Path, workload: Workload) -> Dataset:
    """The workload's Dataset from an IMDB file: inputs (50000, 500) int32, training reviews first.

    A UsageError says what is wrong with a file that does not hold what it should.
    """
    file = fingerprint(path, EXPECTED)
    train, test = _split(path, "train"), _split(path, "test")
    samples = reviews.spec_of(workload).samples
    if len(train.lengths) != samples:
        raise wrong(path, f"{len(train.lengths):,} training reviews", f"{samples:,}", CURE)
    identity: Identity = "genuine" if file.sha256 == SHA256 else "equivalent" if _check_values(train, test) else "other"
    said = {
        "genuine": "the genuine file",
        "equivalent": "not the genuine file, but its counts, mean lengths and first review agree with it",
        "other": "NOT the genuine reviews: counts, mean lengths or first review differ",
    }
    text = f"IMDB reviews from {path.name}: {said[identity]}; {len(train.lengths):,} + {len(test.lengths):,} reviews"
    return reviews.dataset(workload, train, test, Source(identity=identity, description=text, files=(file,)))


def _check_values(train: Texts, test: Texts) -> bool:
    if (len(train.lengths), len(test.lengths)) != (25_000, 25_000):
        return False
    means = [f"{texts.lengths.mean() + 1:.2f}" for texts in (train, test)]  # + 1: the start marker
    first = reviews.orders(25_000, 25_000, seed=113)[0][0]
    begin = int(train.lengths[:first].sum())
    return (
        means == ["238.71", "230.80"]
        and int(train.lengths[first]) + 1 == 218
        and int(train.labels[first]) == 1
        and (1, *(train.words[begin : begin + 9] + 3).tolist()) == _WORDS_AND_START
    )


def _split(path: Path, split: str) -> Texts:
    lists = _lists(path, f"x_{split}.npy")
    labels = _labels(path, f"y_{split}.npy")
    if len(lists) != len(labels) or not lists:
        raise wrong(path, f"{len(lists):,} reviews and {len(labels):,} labels for {split}", "as many of each", CURE)
    where = f"x_{split}"
    if not all(isinstance(words, list) for words in lists):
        kinds = ", ".join(sorted({type(words).__name__ for words in lists}))
        raise wrong(path, f"{where} holds reviews of type {kinds}", "lists of integers", CURE)
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    if lengths.sum() > _MOST_WORDS:
        raise wrong(path, f"{where} holds {lengths.sum():,} words", "about six million", CURE)
    words = array.array("i")  # takes integers only, and only what fits 32 bits
    try:
        for review in lists:
            words.fromlist(review)
    except (TypeError, OverflowError) as error:
        raise wrong(path, f"{where} holds a word that is no number ({error})", "lists of integers", CURE) from error
    ranks = np.frombuffer(words, np.int32) if len(words) else np.empty(0, np.int32)
    if lengths.min() < 1 or ranks.min() < 1:
        raise wrong(path, f"{where} holds an empty review or a word rank below 1", "ranks from 1 on", CURE)
    return Texts(words=ranks, lengths=lengths, labels=labels)


def _labels(path: Path, member: str) -> NDArray[np.int64]:
    stream, shape, kind = _open_array(path, member)
    if kind.kind not in "iu" or len(shape) != 1:
        raise wrong(path, f"{member} has dtype {kind} and shape {shape}", "a vector of integers", CURE)
    try:
        stream.seek(0)
        labels = np.lib.format.read_array(stream, allow_pickle=False)
    except ValueError as error:
        raise wrong(path, f"{member} is cut short or damaged ({error})", EXPECTED, CURE) from error
    if not np.isin(labels, (0, 1)).all():
        raise wrong(path, f"{member} holds labels other than 0 and 1", "0 or 1", CURE)
    return labels.astype(np.int64)


def _lists(path: Path, member: str) -> list[Any]:
    stream, shape, kind = _open_array(path, member)
    if kind != np.dtype(object) or len(shape) != 1:
        raise wrong(path, f"{member} has dtype {kind} and shape {shape}", "a vector of lists of integers", CURE)
    try:
        found = _Unpickler(stream).load()
    except Exception as error:  # what a damaged or hostile pickle raises is not bounded; all of it means the same
        raise wrong(path, f"{member} cannot be read without risk ({error})", "lists of integers only", CURE) from error
    state = found.state if isinstance(found, _Pickled) else None
    items = state[-1] if isinstance(state, tuple) and state else None
    if not isinstance(items, list) or len(items) != shape[0]:
        raise wrong(path, f"{member} is not an array of {shape[0]:,} lists", "lists of integers", CURE)
    return items


def _open_array(path: Path, member: str) -> tuple[io.BytesIO, tuple[int, ...], np.dtype[Any]]:
    """The bytes of one array of the npz, behind its header, with the shape and dtype the header tells."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if member not in names:
                raise wrong(path, f"holds {', '.join(names) or 'nothing'}", EXPECTED, CURE)
            size = archive.getinfo(member).file_size
            if size > _MOST_BYTES:
                raise wrong(path, f"{member} unpacks to {size:,} bytes", f"at most {_MOST_BYTES:,}", CURE)
            stream = io.BytesIO(archive.read(member))
    except OSError as error:
        raise unreadable(path, error, EXPECTED) from error
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise wrong(path, f"is cut short or damaged ({error})", EXPECTED, CURE) from error
    except zlib.error as error:
        raise wrong(path, f"is cut short or damaged ({error})", EXPECTED, CURE) from error
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(stream)
    except (ValueError, SyntaxError, tokenize.TokenError) as error:  # the last two from NumPy's second reading
        raise wrong(path, f"{member} is no NumPy array ({error})", EXPECTED, CURE) from error
    return stream, shape, kind
