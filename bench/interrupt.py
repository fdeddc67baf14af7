"""What ends a run from outside: one KeyboardInterrupt for SIGINT, SIGTERM and SIGHUP alike."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
NOTHING = "interrupted; nothing was measured"


@contextmanager
def interruptible() -> Iterator[None]:
    """The first of the signals raises KeyboardInterrupt; more of them do not disturb the tidying up.

    Within the tidying up, another `interruptible` lets what takes long be ended by the next signal.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
