"""A plugin of pytest, `-p dying`: in the middle of training epoch DYING_EPOCH the process kills itself with SIGKILL.

Epochs are counted in this process, without the one that only warms up.
"""

import itertools
import os
import signal

from bench import implementation

WHOLE = implementation.open_session


def open_session(setup):
    session = WHOLE(setup)
    train, numbers = session.epoch, itertools.count()

    def epoch(batches):
        if next(numbers) == int(os.environ["DYING_EPOCH"]):
            train(batches[: len(batches) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return train(batches)

    session.epoch = epoch
    return session


implementation.open_session = open_session
