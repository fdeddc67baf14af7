"""A framework that takes its time to be imported."""

from impl_fake.session import PLANTED_NS, open_session, spin

spin(PLANTED_NS["import"])

__all__ = ["open_session"]
