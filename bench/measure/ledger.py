"""Where a cell's time goes: one stretch after the other, without a gap, from the start of the process."""

import time

from bench.record import SPANS, Span


class Ledger:
    """Spans in order; `mark` ends the stretch that began with the mark before it."""

    def __init__(self, zero_s: float) -> None:
        """`zero_s`, of the monotonic clock: the start of the process."""
        self.zero_s = zero_s
        self.spans: list[Span] = []

    def mark(self, name: str) -> None:
        """Everything since the last mark was `name`, one of `bench.record.SPANS`."""
        assert name in SPANS, name
        begin_s = self.spans[-1].end_s if self.spans else 0.0
        self.spans.append(Span(name, begin_s, time.monotonic() - self.zero_s))
