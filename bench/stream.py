"""`--stream`: the run folder as a tar on standard output, and everything else on standard error."""

import io
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import handover
from bench.errors import UsageError, tell
from bench.interrupt import INTERRUPTED, interruptible

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on

STDOUT, STDERR = 1, 2


@contextmanager
def claimed() -> Iterator[int]:
    """A descriptor of standard output for the tar alone; what else is written to it meanwhile is on standard error.

    A UsageError where standard output is a terminal, or closed.
    """
    if sys.stdout is None:  # closed when Python was started
        raise UsageError("--stream: standard output is closed; send it to a file, as in `bench run --stream > run.tar`")
    if os.isatty(STDOUT):
        raise UsageError(
            "--stream: standard output is a terminal; send it to a file, as in `bench run --stream > run.tar` "
            "(docker run: without -t)"
        )
    kept = os.dup(STDOUT)
    sys.stdout.flush()
    os.dup2(STDERR, STDOUT)
    try:
        yield kept
    finally:
        sys.stdout.flush()
        os.dup2(kept, STDOUT)
        os.close(kept)


def send(folder: Path, descriptor: int, code: int) -> int:
    """Writes the run folder as it is, in a fixed order and without names of users.

    The exit code: `code`, unless that is 0 and the tar could not be written whole, which is said in one line.
    """
    where = folder.resolve()
    try:
        # A tar of an interrupted run must itself be interruptible: its reader may not read.
        with interruptible(), tarfile.open(fileobj=_Whole(descriptor), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path in (where, *sorted(where.rglob("*"))):
                if not any(part.startswith(".") for part in path.relative_to(where).parts):  # half-written
                    name = path.relative_to(where.parent).as_posix()
                    tar.add(path, name, recursive=False, filter=_anonymous)
        return code
    except OSError as error:
        reason = "its reader is gone" if isinstance(error, BrokenPipeError) else str(error.strerror)
        ended = 1
    except KeyboardInterrupt:
        reason, ended = "interrupted", INTERRUPTED
    cure = handover.stream(folder)
    tell(f"--stream: the tar was not written whole ({reason}); {cure}")
    return code or ended


class _Whole(io.RawIOBase):
    """Writes to a descriptor all that it is given, and holds nothing back for a close that could block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, content: "Buffer") -> int:
        left = memoryview(content)
        while left:
            left = left[os.write(self._descriptor, left) :]
        return memoryview(content).nbytes


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    member.mtime = int(member.mtime)
    return member
