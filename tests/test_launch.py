"""When a cell's process counts as hanging: a training that gets on never does, one that stands still does."""

import time

import pytest

from bench import cell, implementation, launch
from bench.launch import Launch, Order
from bench.profiles import PROFILES
from bench.record import Cell, PlannedCell

LIMIT_S = 1.0
"""Several times what a shell needs to begin and to write a line."""
POINT = r'{"epoch":%d,"train":{"loss":1.0},"validation":{"loss":1.0},"train_s":1.0,"validate_s":1.0}\n'
ARM = implementation.Arm("an-arm", "a-framework", "stock", "", ())


def trained(tmp_path, monkeypatch, epochs: int, then: str, until_s: float | None = None) -> Cell:
    """The record of a cell whose process writes so many epochs, one in 0.4 s, and then does what is said."""
    script = f"for n in $(seq {epochs}); do sleep 0.4; printf '{POINT}' $n >> {cell.CURVE_FILE}; done; {then}"
    monkeypatch.setattr(cell, "command", lambda python, phases, request: ["/bin/sh", "-c", script])
    shared = Launch(PROFILES["book"], tmp_path, threads=1, seed=0, device="cpu", least_limit_s=LIMIT_S)
    planned = PlannedCell("a-training", "conv", "an-arm", "cpu", 1, ("converge",), LIMIT_S / launch.LIMIT_FACTOR / 2)
    order = Order(planned, ARM, launch.BARE, None, until_s, None)
    return launch.measure(order, shared, patient=False)


def test_a_training_that_gets_on_is_not_ended_however_long_all_of_it_takes(tmp_path, monkeypatch):
    found = trained(tmp_path, monkeypatch, 5, "exit 3")
    assert found.wall_s > 1.9 * LIMIT_S
    assert len(found.curve) == 5
    assert found.reason is not None
    assert "ended with exit code 3" in found.reason  # its own end, which a shell cannot make a whole cell's


def test_a_training_that_stands_still_is_ended_and_the_reason_names_its_last_epoch(tmp_path, monkeypatch):
    found = trained(tmp_path, monkeypatch, 1, "sleep 60")
    assert (found.status, found.reason) == (
        "failed",
        "timed out before its first phase after epoch 1: not done after 1 s",
    )
    assert len(found.curve) == 1
    # Looked at after one limit, when an epoch was new, and after another, when none was.
    assert found.wall_s == pytest.approx(2 * LIMIT_S, abs=0.9 * LIMIT_S)


def test_the_budget_ends_a_training_that_gets_on(tmp_path, monkeypatch):
    found = trained(tmp_path, monkeypatch, 100, "exit 3", until_s=time.monotonic() + 1.5 * LIMIT_S)
    assert found.status == "hole"
    assert found.reason is not None
    assert "budget spent before its first phase, after" in found.reason
    assert found.wall_s < 2 * LIMIT_S
