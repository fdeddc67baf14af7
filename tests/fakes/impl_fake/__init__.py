"""Framework-free arms for tests of the harness: their steps take a known time, or go wrong in a known way."""

from bench.implementation import Arm


def _arm(name: str, **more: object) -> Arm:
    declared = {
        "framework": "fake",
        "tier": "tuned",  # no stock arm: a test names what it wants
        "session": "impl_fake.session:open_session",
        "distributions": ("msgspec",),
        "ceiling": "impl_fake.ceiling:open_ceiling",
        "settings": {"step": name.removeprefix("fake-")},
    }
    return Arm(name=name, **(declared | more))  # type: ignore[arg-type]


ARMS = (
    _arm("fake-1ms", environment={"FAKE_CACHE": "{cache}", "FAKE_THREADS": "{threads}"}),
    _arm("fake-10ms"),
    _arm("fake-100ms"),
    _arm("fake-raises"),
    _arm("fake-raises-late"),
    _arm("fake-hangs"),
    _arm("fake-allocates"),
    _arm("fake-segfaults"),
    _arm("fake-killed"),
    _arm("fake-waits"),
    _arm("fake-nan-weights"),
    _arm("fake-nan-loss"),
    _arm("fake-unequal"),
    _arm("fake-one-shape"),
    _arm("fake-device"),
    _arm("fake-forgets"),
    _arm("fake-learns", initialisers="Fake"),
    _arm("fake-slow-start", session="impl_fake.slow:open_session", framework="fakeslow"),
    _arm("fake-absent", distributions=("no-such-distribution|nor-this-one",)),
    _arm("fake-gpu-only", devices=("gpu",)),
)
