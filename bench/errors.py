"""The errors a user can cause or meet, and the exit code each one ends with.

Every message is one line: what is wrong, where, what was expected, and the cure. Anything else that is
raised is a defect of the suite and keeps its stack trace.
"""

import os
import sys


class BenchError(Exception):
    """Something the suite refuses to go on with; `str(error)` is the one line the user reads."""

    exit_code = 1


class UsageError(BenchError):
    """Something the user named (an option, a path, a file) is wrong; nothing was measured."""

    exit_code = 2


class MachineError(BenchError):
    """Nothing named is wrong, but this machine lacks what the request needs; nothing was measured."""

    exit_code = 3


def tell(line: str) -> None:
    """Writes one line to standard error, `bench: ` before it; where nobody reads that any more, the exit code tells."""
    try:
        print(f"bench: {line}", file=sys.stderr, flush=True)
    except OSError:
        # Python keeps what it could not write, fails to write it again at exit, and makes 120 of every exit code.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)
