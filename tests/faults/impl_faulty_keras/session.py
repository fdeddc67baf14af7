import functools

from bench.implementation import Setup
from impl_keras import optimizer
from impl_keras.session import KerasSession


def open_session(setup: Setup) -> KerasSession:
    optimizer.make_optimizer = functools.partial(WHOLE, dense_embedding_gradient=False)
    return KerasSession(setup)


WHOLE = optimizer.make_optimizer
