"""What ran on a GPU is read from the frameworks' traces, and an arm that took another path than it declares is told."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from make_cell import bare_cell

from bench import catalogue, cell, kernels, launch
from bench.implementation import Arm, Kernel
from bench.kernels import PathError
from bench.measure import measure_kernels
from bench.record import KernelPath, PlannedCell
from bench.report.kernels import kernels as section
from bench.report.kernels import recurrence, time_steps

TESTS = Path(__file__).parent
CONV_GRU = catalogue.load("conv_gru")
LOOP = [Kernel("gemm", 0.0, 2.0), Kernel("copy", 1.0, 1.5), Kernel("add", 3.0, 4.0), Kernel("gemm", 3.5, 6.0)]


def contestant(**declared: tuple[str, ...]) -> Arm:
    return Arm("mine", "none", "tuned", "none:none", (), kernels={k.replace("any", ""): v for k, v in declared.items()})


def found(ran: list[Kernel], wall_s: float = 10.0) -> KernelPath:
    return kernels.path(ran, 2, wall_s)


def test_kernels_that_overlap_keep_the_device_busy_once():
    path = found(LOOP)
    assert (path.count, path.busy_s, path.span_s) == (4, 5.0, 6.0)
    assert path.names == (("gemm", 2, 4.5), ("add", 1, 1.0), ("copy", 1, 0.5))


def test_an_arm_that_runs_nothing_on_the_device_is_told():
    copies = [
        Kernel("Memcpy HtoD (Pageable -> Device)", 0.0, 1.0),
        Kernel("MemcpyD2H", 1.0, 2.0),
        Kernel("Memset", 2, 3),
    ]
    for ran in ([], copies):
        with pytest.raises(
            PathError, match=r"mine computed nothing on the device in 2 training steps .* elsewhere, or"
        ):
            kernels.check(found(ran), ran, contestant(), CONV_GRU)


def test_an_arm_without_the_kernels_it_declares_is_told_which_and_for_which_layer():
    kernels.check(found(LOOP), LOOP, contestant(gru=("gem",), any=("add",)), CONV_GRU)
    with pytest.raises(PathError, match=r"mine ran no kernel '_gru_forward' .* not the path it declares for gru$"):
        kernels.check(found(LOOP), LOOP, contestant(gru=("gemm", "_gru_forward")), CONV_GRU)
    with pytest.raises(PathError, match=r"no kernel 'triton_' in 2 training steps: not the path it declares$"):
        kernels.check(found(LOOP), LOOP, contestant(any=("triton_",)), CONV_GRU)


def test_kernels_for_a_layer_the_workload_has_not_are_not_asked_for():
    kernels.check(found(LOOP), LOOP, contestant(gru=("_gru_forward",)), catalogue.load("conv_only"))


def test_a_device_that_takes_longer_than_the_steps_are_said_to_take_gives_the_clock_away():
    kernels.check(found(LOOP, 6.0), LOOP, contestant(), CONV_GRU)
    with pytest.raises(PathError, match=r"mine took 6e\+03 ms, by the suite's 5e\+03 ms: synchronise does not wait"):
        kernels.check(found(LOOP, 5.0), LOOP, contestant(), CONV_GRU)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "host.xplane.pb"
    subprocess.run([sys.executable, str(TESTS / "make_trace.py"), str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_trace_of_a_gpu_gives_what_ran_on_its_streams_once_and_one_of_a_cpu_nothing(trace, backend):
    ended = subprocess.run(
        [sys.executable, str(TESTS / "drive_trace.py"), backend, str(trace)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    seen = json.loads(ended.stdout.splitlines()[-1])
    wanted = [["gemm", 1e-6, 3e-6], ["loop_fusion", 4e-6, 5e-6], ["loop_fusion", 1.5e-6, 1.75e-6]]
    assert [name for name, _, _ in seen["found"]] == [name for name, _, _ in wanted]
    for got, expected in zip(seen["found"], wanted, strict=True):
        assert got[1:] == pytest.approx(expected[1:], rel=1e-9)  # floats of seconds, from whole picoseconds
    assert (seen["ran"], seen["on a CPU"]) == (["ran"], [])


def test_pytorchs_profiler_sees_nothing_on_a_gpu_where_there_is_none():
    for module, environment in (("impl_torch.device", {}), ("impl_keras.backend_torch", {"KERAS_BACKEND": "torch"})):
        code = f"from {module} import kernels; print(kernels(lambda: print('ran')))"
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | environment,
            cwd=TESTS.parent,
            check=True,
            capture_output=True,
            text=True,
        )
        assert ended.stdout.split() == ["ran", "[]"], module


class FakeSubject:
    """A step takes a tenth of a second by the clock of this class."""

    def __init__(self, ran: list[Kernel] | None) -> None:
        self.steps, self.ran, self.kernels = 0, ran, None
        self.arm, self.workload, self.initial_weights = contestant(), CONV_GRU, {}
        self.ledger = SimpleNamespace(mark=lambda name: None)
        self.session = self

    def reset(self, weights: object) -> None: ...

    def synchronise(self) -> None: ...

    def train_step(self, number: int) -> None:
        assert number == self.steps
        self.steps += 1


def subject_with(ran: list[Kernel] | None, monkeypatch: pytest.MonkeyPatch) -> FakeSubject:
    subject = FakeSubject(ran)

    def profiled(run):
        run()
        return ran

    subject.session = SimpleNamespace(
        reset=subject.reset, train_step=subject.train_step, synchronise=subject.synchronise, kernels=profiled
    )
    monkeypatch.setattr(measure_kernels.time, "perf_counter", lambda: subject.steps / 10)
    return subject


def test_the_phase_looks_at_as_many_steps_as_it_times_and_keeps_what_it_saw(monkeypatch):
    ran = [Kernel("gemm", 0.0, 0.9)]
    subject = subject_with(ran, monkeypatch)
    measure_kernels.test_kernels(subject)
    steps = measure_kernels.STEPS
    assert subject.steps == steps
    assert subject.kernels == KernelPath(steps, pytest.approx(steps / 10), 1, 0.9, 0.9, (("gemm", 1, 0.9),))


def test_the_phase_leaves_a_cpu_alone_and_a_cell_that_fell_back_to_one_fails(monkeypatch):
    with pytest.raises(pytest.skip.Exception):
        measure_kernels.test_kernels(subject_with(None, monkeypatch))
    with pytest.raises(PathError):
        measure_kernels.test_kernels(subject_with([], monkeypatch))


@pytest.mark.parametrize(("device", "proved"), [("gpu", True), ("cpu", False)])
def test_every_cell_of_steps_on_a_gpu_is_proved(device, proved):
    for block, label in ((1, ""), (2, ""), (1, "a2")):
        planned = PlannedCell("conv.mine", "conv", "mine", device, block, ("first_step", "train_step"), 1.0, label)
        assert (cell.KERNELS in launch._phases(planned, 1)) == proved


def test_the_report_tells_kernels_busy_share_and_the_way_of_the_recurrence():
    planned = PlannedCell("conv_gru.mine", "conv_gru", "mine", "gpu", 1, ("first_step", "train_step"), 1.0)
    path = KernelPath(10, 2.0, 7400, 1.5, 1.9, (("volta_sgemm_32x32", 7000, 1.2), ("add", 400, 0.3)))
    contest = SimpleNamespace(
        cells=(bare_cell(planned, [], wall_s=1.0, kernels=path),),
        run=SimpleNamespace(arms={"mine": None}),
        spec=SimpleNamespace(
            input_shape=(240, 14),
            layers=tuple((row.name, row.kind, row.output_shape, row.parameters) for row in CONV_GRU.summary()),
        ),
    )
    assert time_steps(contest.spec) == 74
    shown, note = section(contest)
    row = [part.strip() for part in shown.splitlines()[-1].strip("|").split("|")]
    assert row == ["mine", "740", "75 %", "general kernels; 10.0 in all for each time step", "volta_sgemm_32x32"]
    assert "profiler" in note


def test_kernels_made_for_a_recurrence_are_told_as_such():
    assert recurrence(KernelPath(10, 1, 50, 1, 1, (("_gru_forward", 10, 0.1), ("gemm", 40, 0.2))), 74) == (
        "1.00 kernels made for it"
    )


def test_a_contest_of_a_cpu_has_no_such_table():
    planned = PlannedCell("conv.mine", "conv", "mine", "cpu", 1, ("first_step", "train_step"), 1.0)
    assert section(SimpleNamespace(cells=(bare_cell(planned, [], wall_s=1.0),))) == []
