"""The grid: what is measured, in which order, and what it is estimated to take."""

from collections import Counter

import msgspec
import pytest
from harness import FAKES
from make_run import make_run

from bench import catalogue, contest, estimate, implementation, plan, record
from bench.contest import Options
from bench.errors import UsageError
from bench.estimate import Assumptions, Estimator
from bench.profiles import FULL, PROFILES, SHORT

ARMS = ("fake-1ms", "fake-10ms", "fake-100ms")
WORKLOADS = ("conv", "conv_only")


@pytest.fixture(autouse=True)
def fake_arms(monkeypatch):
    monkeypatch.syspath_prepend(str(FAKES))
    implementation.arms.cache_clear()
    yield
    implementation.arms.cache_clear()


def entered(holes=None, **options) -> contest.Contest:
    asked = Options(**({"workloads": WORKLOADS, "arms": ARMS} | options))
    return contest.contest(asked, PROFILES[asked.profile], holes)


def estimator(ready: contest.Contest, profile: str = "quick", **assumed) -> Estimator:
    chosen = PROFILES[profile]
    return Estimator(dict(ready.workloads), 2, chosen.rounds, 1, Assumptions(**assumed))


def whole_grid(ready: contest.Contest, profile: str = "quick") -> tuple[record.PlannedCell, ...]:
    return plan.grid(ready, PROFILES[profile], estimator(ready, profile))


def grid(ready: contest.Contest, profile: str = "quick") -> tuple[record.PlannedCell, ...]:
    """Without ceilings and the control's second entry."""
    return tuple(cell for cell in whole_grid(ready, profile) if cell.block and not cell.label)


def measured(planned: record.PlannedCell, wall_s: float, **phases_s: float) -> record.Cell:
    """A cell that took `wall_s`, with one round of each phase."""
    benchmarks = [
        {
            "extra_info": {"phase": name, "steps_per_round": 1, "samples_per_round": 1},
            "stats": {"data": [seconds]},
        }
        for name, seconds in phases_s.items()
    ]
    return record.Cell(
        schema=record.SCHEMA, id=planned.id, workload=planned.workload, arm=planned.arm, device="cpu",
        block=planned.block, digest="", data_identity="synthetic", seed=0, status="ok", reason=None, output_tail="",
        parity=None, started="", wall_s=wall_s, curve=(), peak_memory_bytes=None, device_peak_memory_bytes=None,
        versions={}, environment={}, threads=2, pytest_benchmark={"benchmarks": benchmarks},
    )  # fmt: skip


def test_every_block_holds_every_arm_of_every_workload_once():
    cells = grid(entered())
    counts = Counter((cell.block, cell.workload, cell.arm) for cell in cells)
    assert set(counts.values()) == {1}
    assert len(counts) == 6 * len(WORKLOADS) * len(ARMS)
    assert len({cell.id for cell in cells}) == len(cells)


def test_blocks_are_measured_one_after_the_other():
    blocks = [cell.block for cell in whole_grid(entered()) if cell.block]
    assert blocks == sorted(blocks)


def test_every_block_of_every_workload_holds_the_control_a_second_time():
    cells = whole_grid(entered())
    again = [cell for cell in cells if cell.label]
    assert {(cell.arm, cell.label, cell.phases) for cell in again} == {("fake-1ms", "a2", SHORT)}
    assert sorted((cell.block, cell.workload) for cell in again) == sorted(
        (block, name) for block in range(1, 7) for name in WORKLOADS
    )
    assert "conv.fake-1ms.cpu.b01.a2" in {cell.id for cell in again}
    assert len({cell.id for cell in cells}) == len(cells)
    for cell in again:  # anywhere in its block, not always behind its arm
        assert cell.contestant == "fake-1ms (a2)"
    places = [[c.label for c in cells if (c.block, c.workload) == (b, "conv")].index("a2") for b in range(1, 7)]
    assert len(set(places)) > 1


def test_the_control_is_the_first_arm_that_runs_without_a_compiler_unless_named(monkeypatch):
    assert entered().control == "fake-1ms"
    assert entered(holes={"fake-1ms": "not here"}).control == "fake-10ms"
    assert entered(control="fake-100ms").control == "fake-100ms"
    assert entered(holes=dict.fromkeys(ARMS, "not here")).control is None
    assert not any(cell.label for cell in whole_grid(entered(), "book"))


def test_one_cell_for_each_framework_measures_its_ceiling_once_block_1_is_safe():
    order = [cell.block for cell in whole_grid(entered())]
    assert order[: order.index(2)] == [1] * (len(WORKLOADS) * (len(ARMS) + 1)) + [0]
    cells = [cell for cell in whole_grid(entered()) if cell.block == 0]
    assert [(cell.id, cell.workload, cell.arm, cell.phases) for cell in cells] == [
        ("ceiling.fake-1ms.cpu", "ceiling", "fake-1ms", ("ceiling",))
    ]
    hole = [cell.arm for cell in whole_grid(entered(holes={"fake-1ms": "not here"})) if cell.block == 0]
    assert hole == ["fake-10ms"]  # another arm of the framework stands for it


def test_the_order_of_arms_comes_from_the_seed_and_differs_between_blocks():
    def orders(seed: int) -> list[tuple[str, ...]]:
        cells = grid(entered(seeds=(seed,)))
        return [tuple(c.arm for c in cells if (c.block, c.workload) == (b, "conv")) for b in range(1, 7)]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    assert len(set(orders(1))) > 1


def test_quick_measures_epoch_and_validate_in_the_first_two_blocks_only():
    for cell in grid(entered()):
        assert cell.phases == (FULL if cell.block <= 2 else SHORT)


def test_smoke_measures_every_cell_once_and_no_epoch():
    cells = grid(entered(), "smoke")
    assert [cell.block for cell in cells] == [1] * len(WORKLOADS) * len(ARMS)
    assert {cell.phases for cell in cells} == {SHORT}


def test_book_trains_the_schedule_once_per_workload_and_arm_and_names_the_seed():
    cells = grid(entered(seeds=(7,)), "book")
    assert {cell.phases for cell in cells} == {("converge",)}
    assert "conv.fake-1ms.cpu.s7" in {cell.id for cell in cells}
    assert len(cells) == len(WORKLOADS) * len(ARMS)


def test_whole_trainings_of_several_seeds_are_a_block_each_and_no_other_profile_has_them():
    cells = whole_grid(entered(seeds=(7, 3), profile="book"), "book")
    assert Counter((cell.block, cell.seed) for cell in cells) == {(1, 7): 6, (2, 3): 6}
    assert "conv.fake-1ms.cpu.s3" in {cell.id for cell in cells}
    with pytest.raises(UsageError, match=r"--seed 3: a second seed is for whole trainings, and profile quick has none"):
        entered(seeds=(7, 3))


def test_book_has_every_head_and_the_comparators_unless_workloads_are_named():
    published = {name for name in catalogue.names() if not catalogue.load(name).comparator}
    assert set(entered(workloads=()).workloads) == published
    assert set(entered(workloads=(), profile="book").workloads) == {*catalogue.names(), "conv.head-as_published"}
    assert set(entered(workloads=("conv",), profile="book").workloads) == {"conv"}


def test_the_study_of_dead_starts_is_done_by_an_arm_with_initialisers_of_its_own_where_there_is_one():
    for arms, chosen in ((ARMS, "fake-1ms"), ((*ARMS, "fake-learns"), "fake-learns")):
        ready = entered(workloads=("conv", "conv.head-as_published"), arms=arms, profile="book")
        studies = [cell for cell in whole_grid(ready, "book") if cell.phases == (record.STARTS,)]
        assert [(cell.workload, cell.arm, cell.block) for cell in studies] == [("conv.head-as_published", chosen, 0)]


def test_a_part_of_a_run_is_what_every_name_given_holds():
    cells = whole_grid(entered(seeds=(7, 3), profile="book"), "book")
    part = contest.Part(workloads=("conv",), seeds=(3,))
    assert {cell.id for cell in cells if cell in part} == {f"conv.{arm}.cpu.s3" for arm in ARMS}
    assert all(cell in contest.Part() for cell in cells)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"seeds": (4,)}, r"--seed 4: not planned in run .+; planned are 5$"),
        ({"workloads": ("conv_gru",)}, r"--workload conv_gru: not planned in run .+; planned are conv_only$"),
        ({"arms": ("fake-1ms",)}, r"--arm fake-1ms: not planned in run .+; planned are torch-eager$"),
    ],
)
def test_a_part_nothing_is_planned_of_is_told(tmp_path, part, message):
    planned = record.PlannedCell("one", "conv_only", "torch-eager", "cpu", 1, ("converge",), 0.0, seed=5)
    run = record.read(make_run(tmp_path / "run", workloads=["conv_only"], blocks=1) / "run.json", record.Run)
    with pytest.raises(UsageError, match=message):
        contest.Part(**part).check(msgspec.structs.replace(run, plan=(planned,)))
    contest.Part(arms=("torch-eager",), seeds=(5,)).check(msgspec.structs.replace(run, plan=(planned,)))


def test_an_id_names_workload_arm_device_block_and_only_settings_that_differ():
    assert "conv.fake-1ms.cpu.b01" in {cell.id for cell in grid(entered())}
    same = {cell.id for cell in grid(entered(workloads=("conv",), head="logits"))}
    assert "conv.fake-1ms.cpu.b01" in same
    other = entered(workloads=("conv",), head="as_published")
    assert "conv.fake-1ms.cpu.b01.head-as_published" in {cell.id for cell in grid(other)}
    assert list(other.workloads) == ["conv.head-as_published"]
    assert other.parity_id("conv.head-as_published", "fake-1ms") == "conv.fake-1ms.cpu.head-as_published"
    named = entered(workloads=("conv", "conv.head-as_published"))
    assert {name: spec.head for name, spec in named.workloads.items()} == {
        "conv": "logits",
        "conv.head-as_published": "as_published",
    }
    hard = entered(workloads=("conv_gru",), gate="hard_sigmoid")
    assert "conv_gru.fake-1ms.cpu.b02.gate-hard_sigmoid" in {cell.id for cell in grid(hard)}


def test_an_arm_with_a_hole_stands_in_the_first_block_with_no_time():
    cells = [cell for cell in grid(entered(holes={"fake-1ms": "not here"})) if cell.arm == "fake-1ms"]
    assert [(cell.block, cell.estimate_s) for cell in cells] == [(1, 0.0)] * len(WORKLOADS)


def test_the_default_arms_are_the_stock_ones():
    stock = {name for name, arm in implementation.arms().items() if arm.tier == "stock"}
    assert set(contest.contest(Options(workloads=("conv",)), PROFILES["quick"]).arms) == stock


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workloads": ("conv", "conv")}, r"--workload conv: named twice"),
        ({"arms": ("fake-2ms",)}, r"--arm fake-2ms: no such arm; known are .*fake-1ms"),
        ({"workloads": ("conv", "conv.head-logits")}, r"--workload conv.head-logits: is conv, named twice"),
        ({"workloads": ("conv.head-softmax",)}, r"--workload conv.head-softmax: no setting 'head-softmax'; known are"),
        ({"workloads": ("lenet",)}, r"--workload lenet: no such workload; known are conv,"),
        ({"seeds": (-1,)}, r"--seed -1: expected a whole number from 0 to 4294967295"),
        ({"margin": 0.0}, r"--margin 0%: expected more than 0% and less than 100%"),
        (
            {"control": "fake-raises"},
            r"--control fake-raises: not an arm of this run; its arms are fake-1ms, fake-10ms",
        ),
        ({"workloads": ("conv_only",), "head": "logits"}, r"--head logits: workload 'conv_only' is a regression"),
    ],
)
def test_a_wrong_name_or_number_is_named(options, message):
    with pytest.raises(UsageError, match=message):
        entered(**options)


def test_epoch_and_validate_are_left_out_of_whole_workloads_dearest_first_until_block_1_fits():
    contest = entered()
    guess = estimator(contest)
    cells = plan.grid(contest, PROFILES["quick"], guess)
    first_s = sum(cell.estimate_s for cell in cells if cell.block <= 1)
    second_s = sum(guess.wall_s(plan.shortened(cell, guess)) for cell in cells if cell.block == 2)
    roomy, silent = plan.fit(cells, first_s + second_s + 1, 0.0, guess)
    assert (roomy, silent) == (cells, None)
    # Block 1 would fit, but not the step times of block 2, without which there is no interval.
    some, note = plan.fit(cells, first_s + second_s - 1, 0.0, guess)
    arms = [cell for cell in some if cell.block == 1 and not cell.label]
    phases = {name: {cell.phases for cell in arms if cell.workload == name} for name in WORKLOADS}
    assert phases == {"conv": {SHORT}, "conv_only": {FULL}}  # conv has the most operations
    assert [cell.id for cell in some] == [cell.id for cell in cells]
    assert note is not None
    assert "epoch and validate are left out of conv:" in note
    none, note = plan.fit(cells, 1.0, 1.0, guess)
    assert {cell.phases for cell in none if cell.block} == {SHORT}
    assert note is not None
    assert "left out of conv, conv_only:" in note
    assert plan.fit(cells, None, 1e9, guess) == (cells, None)


def test_estimates_follow_the_spec_until_something_is_measured():
    contest = entered()
    guess = estimator(contest, start_s=10.0, step_overhead_s=0.0)
    by_phases = {cell.phases: cell for cell in grid(contest) if (cell.workload, cell.arm) == ("conv", "fake-1ms")}
    short, full = guess.wall_s(by_phases[SHORT]), guess.wall_s(by_phases[FULL])
    assert 10.0 < short < full
    faster = estimator(contest, start_s=10.0, step_overhead_s=0.0, flops_per_core=1e15)
    assert faster.wall_s(by_phases[FULL]) < full


def test_what_was_measured_replaces_the_assumption():
    contest = entered()
    guess = estimator(contest)
    mine = [cell for cell in grid(contest) if (cell.workload, cell.arm) == ("conv", "fake-1ms")]
    guess.add(mine[0], measured(mine[0], 30.0, first_step=2.0, train_step=0.1, epoch=12.0, validate=3.0))
    assert guess.wall_s(mine[1]) == pytest.approx(30.0)
    # A block without epoch and validate takes that much less.
    assert guess.wall_s(mine[2]) == pytest.approx(30.0 - 12.0 - 3.0)


def test_a_slow_machine_raises_the_estimates_of_arms_not_yet_measured():
    contest = entered()
    guess = estimator(contest)
    cells = [cell for cell in grid(contest) if cell.block == 1 and cell.workload == "conv"]
    before_s = guess.wall_s(cells[1])
    guess.add(cells[0], measured(cells[0], 3 * guess.wall_s(cells[0]), first_step=1.0))
    assert guess.wall_s(cells[1]) == pytest.approx(3 * before_s)


def test_failed_cells_teach_nothing_about_time():
    contest = entered()
    guess = estimator(contest)
    cell = grid(contest)[0]
    before_s = guess.wall_s(cell)
    guess.add(cell, msgspec.structs.replace(measured(cell, 900.0), status="failed"))
    assert guess.wall_s(cell) == before_s


def test_memory_grows_with_the_data_and_stays_below_what_the_issue_allows():
    contest = entered()
    need = {name: estimate.memory_bytes(spec, Assumptions()) for name, spec in contest.workloads.items()}
    assert need["conv"] > Assumptions().process_bytes
    assert max(need.values()) < 4 * 2**30


def test_a_later_block_is_begun_only_when_all_of_its_arms_fit_and_a_begun_one_goes_on():
    contest = entered()
    guess = estimator(contest)
    cells = grid(contest)
    second = [cell for cell in cells if (cell.block, cell.workload) == (2, "conv")]
    others = [cell for cell in cells if (cell.block, cell.workload) == (2, "conv_only")]
    dear, cheap = (sum(map(guess.wall_s, block)) for block in (second, others))
    assert cheap < dear
    assert plan.affordable([*second, *others], cells, dear, guess) == [*second, *others]
    assert plan.affordable([*second, *others], cells, cheap, guess) == others
    assert plan.affordable([*second, *others], cells, cheap / 2, guess) == []
    assert plan.affordable(second[1:], cells, 0.0, guess) == second[1:]
    assert plan.affordable(cells, cells, 0.0, guess) == list(cells)  # block 1
    assert plan.affordable(second, cells, None, guess) == second


def test_a_budget_without_a_second_block_is_said_beforehand_with_what_would_do():
    contest = entered()
    cells = grid(contest)
    blocks_s = [sum(cell.estimate_s for cell in cells if cell.block == number) for number in (1, 2)]
    first_of_two = sum(cell.estimate_s for cell in cells if (cell.block, cell.workload) == (2, "conv"))
    assert plan.too_short(cells, sum(blocks_s) + 11, 10.0) is None
    assert plan.too_short(cells, None, 10.0) is None
    one = plan.too_short(cells, 10 + blocks_s[0] + first_of_two + 1, 10.0)
    assert one is not None
    assert "holds no second block of conv_only: with one block there is no interval" in one
    assert f"all need {10 + sum(blocks_s):.0f} s" in one
    none = plan.too_short(cells, 1.0, 10.0)
    assert none is not None
    assert "no second block of conv, conv_only:" in none
    assert plan.too_short(grid(contest, "smoke"), 1.0, 10.0) is None  # it asks for no verdict
