"""What runs on the device in a training step. Not a measurement of time: a profiler looks on."""

import itertools
import time

import pytest

from bench import kernels
from bench.measure.subject import Subject

STEPS = 10


def test_kernels(subject: Subject) -> None:
    session = subject.session
    numbers = itertools.count()
    walls_s = []

    def train_steps() -> None:
        start_s = time.perf_counter()
        for _ in range(STEPS):
            session.train_step(next(numbers))
        session.synchronise()
        walls_s.append(time.perf_counter() - start_s)

    session.reset(subject.initial_weights)
    session.synchronise()
    ran = session.kernels(train_steps)
    subject.ledger.mark("checks")
    if ran is None:
        pytest.skip("the CPU is no device that kernels run on")
    subject.kernels = kernels.path(ran, STEPS, walls_s[-1])
    kernels.check(subject.kernels, ran, subject.arm, subject.workload)
