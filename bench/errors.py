"""The errors a user can cause or meet, and the exit code each one ends with.

Every message is one line: what is wrong, where, what was expected, and the cure. Anything else that is
raised is a defect of the suite and keeps its stack trace.
"""


class BenchError(Exception):
    """Something the suite refuses to go on with; `str(error)` is the one line the user reads."""

    exit_code = 1


class UsageError(BenchError):
    """Something the user named (an option, a path, a file) is wrong; nothing was measured."""

    exit_code = 2


class MachineError(BenchError):
    """Nothing named is wrong, but this machine lacks what the request needs; nothing was measured."""

    exit_code = 3
