"""What a run plans while it is under way: the trainings that a study of dead starts singles out."""

import io

import harness
import msgspec
import pytest
from even_cells import a_cell
from make_run import make_run
from rich.console import Console

from bench import contest, implementation, launch, plan, record
from bench.contest import Options, Part
from bench.dispatch import Dispatch
from bench.display.progress import Display
from bench.estimate import Estimator
from bench.execution import Execution, Setting
from bench.profiles import PROFILES
from bench.record import Start

BOOK, NAME = PROFILES["book"], "conv.head-as_published"
STUDY = f"conv.fake-learns.cpu.starts.{NAME.partition('.')[2]}"
LIVE = {0: 100, 1: 3, 2: 0, 3: 40, 4: 0, 5: 99, 6: 1, 7: 0, 8: 100, 9: 50, 10: 7}
"""Of 100 samples, by seed: dead are 2, 4 and 7, live 0 and 8, the other six partly live."""


def starts() -> tuple[Start, ...]:
    """The shared ones last, and their seeds backwards; the control is dead everywhere, which must not matter."""
    control = [Start(seed, "Fake", 0, 100, 100, -2.0, -1.5, -1.0) for seed in range(50)]
    shared = [Start(seed, "shared", live, 100, 100 - live, -0.1, 0.0, 0.1) for seed, live in reversed(LIVE.items())]
    return (*control, *shared)


@pytest.fixture
def execution(tmp_path, monkeypatch) -> Execution:
    """A run of two seeds, 0 and 2, whose study is measured and whose trainings are not."""
    monkeypatch.syspath_prepend(str(harness.FAKES))
    implementation.arms.cache_clear()
    options = Options(workloads=(NAME,), arms=("fake-learns",), profile="book", seeds=(0, 2))
    ready = contest.contest(options, BOOK)
    implementation.arms.cache_clear()
    estimator = Estimator(dict(ready.workloads), cores=2, rounds=0, steps_per_round=1)
    folder = make_run(tmp_path / "run", workloads=["conv"], blocks=1)
    cells = plan.grid(ready, BOOK, estimator)
    stored = msgspec.structs.replace(record.read(folder / "run.json", record.Run), plan=cells, notes=())
    made = a_cell("fake-learns", 0, 0.01, phase=record.STARTS, starts=starts())
    record.write(folder / "cells" / f"{STUDY}.json", msgspec.structs.replace(made, id=STUDY, workload=NAME))
    shared = launch.Launch(BOOK, tmp_path / "work", threads=2, seed=0, device="cpu")
    display = Display(Console(file=io.StringIO()))
    return Execution(stored, folder, ready, shared, {}, estimator, Setting(), display, None, Part())


def test_two_dead_seeds_five_partly_live_ones_and_a_live_one_are_planned_but_none_twice(execution):
    before = execution.run.plan
    Dispatch(execution)
    added = execution.run.plan[len(before) :]
    # Seeds 0, live, and 2, dead, are trained anyway.
    assert [cell.seed for cell in added] == [4, 1, 3, 5, 6, 9]
    assert [cell.id for cell in added] == [
        f"conv.fake-learns.cpu.s{seed}.head-as_published" for seed in (4, 1, 3, 5, 6, 9)
    ]
    assert {(cell.workload, cell.arm, cell.phases) for cell in added} == {(NAME, "fake-learns", ("converge",))}
    assert len({cell.block for cell in (*before, *added)}) == 3 + len(added), "a block for each seed"
    assert min(cell.estimate_s for cell in added) > 0
    assert record.read(execution.folder / "run.json", record.Run).plan == (*before, *added)
    (note,) = execution.run.notes
    assert note == f"{NAME}: seeds chosen to be trained by fake-learns, dead: 2 4, partly live: 1 3 5 6 9, live: 0"


def test_a_run_taken_up_after_the_choice_plans_nothing_anew(execution):
    Dispatch(execution)
    planned = execution.run.plan
    Dispatch(execution)
    assert (execution.run.plan, len(execution.run.notes)) == (planned, 1)


def test_without_a_measured_study_nothing_is_planned(execution):
    before = execution.run.plan
    (execution.folder / "cells" / f"{STUDY}.json").unlink()
    Dispatch(execution)
    assert (execution.run.plan, execution.run.notes) == (before, ())
