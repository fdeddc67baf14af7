"""What ends a run from outside: one KeyboardInterrupt for SIGINT, SIGTERM and SIGHUP alike, at a moment that suits."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

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


class Deferral:
    """Signals that wait for a good moment, the first one; a second one does not wait."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._before: dict[int, Any] = {}
        """Whose signals they are; empty while none has to wait."""

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Puts down what comes meanwhile. Inside of itself it does nothing more."""
        if self._before:
            yield
            return
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self._put_down)
        try:
            yield
        finally:
            self._give_back()

    def raise_what_came(self) -> None:
        """The moment: what was put down comes now."""
        while self._came:
            number = self._came.pop()
            if number in self._before:
                signal.signal(number, self._before[number])
            signal.raise_signal(number)
            if self._before:  # it was ignored
                signal.signal(number, self._put_down)

    def _put_down(self, number: int, frame: FrameType | None) -> None:
        if not self._came:
            self._came.append(number)
            return
        self._give_back()
        signal.raise_signal(number)

    def _give_back(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            if signal.getsignal(number) == self._put_down:  # else what came has had others set, for the tidying up
                signal.signal(number, handler)
