import functools

from impl_keras import optimizer
from impl_keras.session import KerasSession

from bench.implementation import Setup


def open_session(setup: Setup) -> KerasSession:
    optimizer.make_optimizer = functools.partial(WHOLE, dense_embedding_gradient=False)
    return KerasSession(setup)


WHOLE = optimizer.make_optimizer
