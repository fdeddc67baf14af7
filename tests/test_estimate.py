"""What a cell is assumed to take before anything is measured."""

import pytest

from bench import workload
from bench.estimate import Assumptions, Estimator
from bench.record import PlannedCell


@pytest.mark.parametrize(
    ("name", "time_steps"), [("conv_only", 0), ("conv_dilated", 0), ("conv_gru", 74), ("gru", 240), ("lstm", 500)]
)
def test_every_time_step_of_any_recurrent_layer_is_assumed_to_take_its_time(name, time_steps):
    assumed = Assumptions(start_s=0.0, flops_per_core=float("inf"), step_overhead_s=0.0, time_step_s=0.5)
    estimator = Estimator({name: workload.load(name)}, cores=1, rounds=3, steps_per_round=1, assumptions=assumed)
    planned = PlannedCell(f"{name}.arm.cpu.b01", name, "arm", "cpu", 1, ("train_step",), 0.0)
    assert estimator.wall_s(planned) == 3 * 0.5 * time_steps
