"""Self-test of the clock: whether a step is done when `synchronise` returns. Not a measurement of anything else.

Weights are read right after a step that was waited for, and read again. Reading them needs every update that was asked
for, whatever the framework; so the first reading takes longer by what `synchronise` failed to wait for.
"""

import itertools
import statistics
import time

from bench.errors import BenchError
from bench.measure.subject import Subject

TRIES = 5
UNFINISHED_SHARE = 0.5
"""Of a step's time that may seem to be left over: the first reading after a step meets cold caches, half a step it is
not. What is forgotten is at least one whole step."""
LEAST_S = 2e-4
"""A reading of the clock's own noise: Python, allocation and one interruption."""


class ClockError(BenchError):
    """The arm hands back control before its work is done: its times would be too short."""


def test_clock(subject: Subject) -> None:
    session = subject.session
    session.get_weights()
    steps_s, left_over_s = [], []
    for number in range(TRIES):
        session.synchronise()
        marks_s = [time.perf_counter()]
        session.train_step(number)
        session.synchronise()
        marks_s.append(time.perf_counter())
        for _ in range(2):
            session.get_weights()
            marks_s.append(time.perf_counter())
        step_s, first_s, second_s = (end - begin for begin, end in itertools.pairwise(marks_s))
        steps_s.append(step_s + first_s - second_s)  # the whole step, wherever it was waited for
        left_over_s.append(first_s - second_s)
    subject.ledger.mark("checks")
    step_s, late_s = statistics.median(steps_s), statistics.median(left_over_s)
    if late_s > max(LEAST_S, UNFINISHED_SHARE * step_s):
        raise ClockError(
            f"synchronise of {subject.arm.name} returns before the work is done: reading the weights right after it "
            f"waits {late_s * 1e3:.3g} ms more than reading them again, a step takes {step_s * 1e3:.3g} ms; its times "
            "are not those of its work"
        )
