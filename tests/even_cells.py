"""Cells whose rounds are all alike: their figures are known beforehand."""

import msgspec

from bench import record
from bench.record import Cell


def a_cell(arm: str, block: int, step_s: float, *, phase: str = "train_step", **changes: object) -> Cell:
    """A measured cell of `conv`; with `phase="converge"` its rounds are epochs of 500 steps."""
    steps = 1 if phase == "train_step" else 500
    extra = {"phase": phase, "warmup_rounds": 0, "steps_per_round": steps, "samples_per_round": 128 * steps}
    rounds = {"extra_info": extra, "stats": {"data": [step_s * steps] * 9}}
    cell = Cell(
        schema=record.SCHEMA, id=f"conv.{arm}.cpu.b{block:02d}", workload="conv", arm=arm, device="cpu", block=block,
        digest="", data_identity="synthetic", seed=0, status="ok", reason=None, output_tail="", parity=None, started="",
        wall_s=14.23, curve=(), peak_memory_bytes=None, device_peak_memory_bytes=None, versions={}, environment={},
        threads=2, pytest_benchmark={"benchmarks": [rounds]},
    )  # fmt: skip
    return msgspec.structs.replace(cell, **changes)
