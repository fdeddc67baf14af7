"""Words for a file that is not what it should be, and a file's fingerprint."""

import errno
import hashlib
from pathlib import Path

from bench.data.windows import DataFile
from bench.errors import UsageError


def wrong(path: Path, found: str, expected: str, cure: str) -> UsageError:
    """The one line a user reads about a bad file: where, what was found, what was expected, the cure."""
    line = f"{path}: {found}; expected {expected}; {cure}"
    return UsageError(" ".join(line.split()))


def unreadable(path: Path, error: OSError, expected: str) -> UsageError:
    """The same for a file the system refuses to open or read."""
    if isinstance(error, FileNotFoundError):
        return wrong(path, "no such file", expected, "put it there or name another folder with --data-dir")
    if isinstance(error, IsADirectoryError):
        return wrong(path, "is a directory", expected, "replace it by the file itself")
    return wrong(path, f"cannot be read ({error.strerror or error})", expected, "make it readable")


def unwritable(path: Path, error: OSError) -> UsageError:
    """The same for a place in the cache that cannot be written."""
    cure = "set BENCH_CACHE_DIR to a folder that can be written"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return wrong(path, f"no space left ({error.strerror})", "about 150 MB free", f"free some, or {cure}")
    return wrong(path, f"cannot be written ({error.strerror or error})", "a writable cache", cure)


def fingerprint(path: Path, expected: str) -> DataFile:
    """Name, sha256 and size of a file; `expected` says in an error what should be there."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return DataFile(name=path.name, sha256=digest, size_bytes=stream.tell())
    except OSError as error:
        raise unreadable(path, error, expected) from error
