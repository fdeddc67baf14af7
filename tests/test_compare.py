"""Two runs side by side: planted ratios are found again, what differs is named, what is missing is listed."""

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from make_history import slowed
from make_run import edit, make_run
from scipy import stats as scipy_stats

from bench import compare, effects, record
from bench.report import build, comparison
from bench.report.folder import load

RUNS = 3000
ARMS = ("keras-tensorflow", "torch-eager", "torch-compile")
MACHINE = {
    "cpu": "one", "logical_cores": 8, "cpu_budget": 8, "memory_bytes": 16 * 2**30, "gpus": [], "kernel": "6.1",
    "image": {"id": "sha256:aa"}, "locks": {"requirements/cpu.txt": "ab"}, "git": {"commit": "0" * 40, "dirty": False},
    "interpreters": {"torch": {"python": "3.11.2", "installed": "12ab", "torch": "2.13.0"}}, "code_digest": "c0de",
}  # fmt: skip


def compared(a: Path, b: Path) -> compare.Comparison:
    one, other = load(a), load(b)
    return compare.compare(one.run, one.everything, other.run, other.everything)


def two(folder: Path, **other: Any) -> tuple[Path, Path]:
    """Two small runs, equal except for what `other` says of the second."""
    plain: dict[str, Any] = {"workloads": ("conv_only",), "arms": ARMS, "rounds": 12, "control": "torch-eager"}
    return make_run(folder / "a", **plain), make_run(folder / "b", **(plain | other))


@pytest.mark.parametrize(("blocks_a", "blocks_b", "level"), [(3, 4, 0.95), (5, 5, 0.95), (3, 6, 0.965), (9, 7, 0.965)])
def test_the_interval_between_runs_is_scipys_welch_interval_on_logs(blocks_a: int, blocks_b: int, level: float) -> None:
    draw = np.random.default_rng(3)
    a, b = (draw.lognormal(0, scatter, blocks) for scatter, blocks in ((0.02, blocks_a), (0.05, blocks_b)))
    found = effects.unpaired(dict(enumerate(a.tolist())), dict(enumerate(b.tolist())))
    interval = scipy_stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(level)
    assert found is not None
    # Same formula, other order of sums: differs in the last digits.
    assert (found.low, found.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)), rel=1e-9)
    assert found.ratio == pytest.approx(scipy_stats.gmean(a) / scipy_stats.gmean(b), rel=1e-12)
    assert found.blocks == min(blocks_a, blocks_b)


@pytest.mark.parametrize("ratio", [1.0, 1.1])
@pytest.mark.parametrize(
    ("blocks_a", "blocks_b", "scatter_a", "scatter_b", "least"),
    [
        (3, 3, 0.01, 0.01, 0.93),
        (3, 5, 0.03, 0.01, 0.925),  # 93.9 %: few blocks of large scatter are Welch's weak side
        (6, 6, 0.01, 0.03, 0.93),
        (6, 20, 0.03, 0.01, 0.93),
        (2, 2, 0.01, 0.03, 0.93),
        (2, 6, 0.03, 0.01, 0.93),  # Welch's degrees of freedom alone: 90 %
    ],
)
def test_a_planted_ratio_between_runs_is_inside_the_interval_as_often_as_is_promised(
    ratio: float, blocks_a: int, blocks_b: int, scatter_a: float, scatter_b: float, least: float
) -> None:
    """Of 3,000 pairs of runs; the standard error of 95 % in them is 0.4 %, `least` at least 2.5 of them lower."""
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(RUNS):
        a = np.exp(draw.normal(math.log(ratio), scatter_a, blocks_a)).tolist()
        b = np.exp(draw.normal(0, scatter_b, blocks_b)).tolist()
        found = effects.unpaired(dict(enumerate(a)), dict(enumerate(b)))
        assert found is not None
        inside += found.low <= ratio <= found.high
    assert least <= inside / RUNS
    if min(blocks_a, blocks_b) > 2:  # with one degree of freedom it is wide, and honest
        assert inside / RUNS <= 0.98


def test_between_runs_the_other_way_round_is_the_same_in_reverse() -> None:
    a, b = {1: 1.0, 2: 1.1, 3: 1.05}, {1: 2.0, 2: 2.1, 5: 2.2, 7: 2.0}
    one, other = effects.unpaired(a, b), effects.unpaired(b, a)
    assert one is not None
    assert other is not None
    assert (other.ratio, other.low, other.high) == pytest.approx((1 / one.ratio, 1 / one.high, 1 / one.low))
    assert (effects.verdict(one), effects.verdict(other)) == ("FASTER", "SLOWER")


def test_between_runs_one_block_claims_nothing_and_blocks_without_scatter_leave_no_doubt() -> None:
    single = effects.unpaired({1: 2.0}, {1: 1.0, 2: 1.1})
    assert single == effects.Effect(pytest.approx(2.0 / math.sqrt(1.1)), 0.0, math.inf, 1, None)
    assert effects.unpaired({}, {1: 1.0}) is None
    exact = effects.unpaired({1: 1.01, 2: 1.01}, {1: 1.0, 2: 1.0, 3: 1.0})
    assert exact is not None
    assert exact.low == pytest.approx(1.01, abs=1e-12) == exact.high
    assert effects.verdict(exact) == "SAME"
    with pytest.raises(ValueError, match="block 2"):
        effects.unpaired({1: 1.0, 2: 0.0}, {1: 1.0})


def test_a_run_against_itself_is_the_same_everywhere(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    found = compared(a, b)
    assert (found.differences, found.gaps) == ((), ())
    assert [(shift.phase, shift.contestant, shift.ratio.ratio) for shift in found.shifts] == [
        (phase, name, pytest.approx(1.0))
        for phase in ("train_step", "epoch")
        for name in (*ARMS[:2], "torch-eager (a2)", ARMS[2])
    ]
    assert {pair.overlap for pair in found.pairs} == {True}
    assert {(pair.contestant, pair.against) for pair in found.pairs} == {
        ("keras-tensorflow", "torch-compile"),
        ("torch-eager", "torch-compile"),
        ("torch-eager (a2)", "torch-eager"),
    }
    assert comparison.sentence(found) == "All intervals overlap: of 3 pairs of arms."


def test_a_machine_that_got_slower_shifts_step_times_and_leaves_ratios_between_arms(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    slowed(b, 1.25)
    found = compared(a, b)
    for shift in found.shifts:
        assert shift.ratio.ratio == pytest.approx(1.25)
        assert shift.b.ratio == pytest.approx(1.25 * shift.a.ratio)
        assert shift.verdict == "SLOWER" or (shift.phase, shift.verdict) == ("epoch", "UNRESOLVED")  # of two blocks
    assert {pair.overlap for pair in found.pairs} == {True}


def test_an_arm_that_got_slower_than_its_rivals_is_found_and_named(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    slowed(b, 1.25, "keras-tensorflow")
    found = compared(a, b)
    assert {pair.contestant: pair.overlap for pair in found.pairs} == {
        "keras-tensorflow": False,
        "torch-eager": True,
        "torch-eager (a2)": True,
    }
    assert comparison.sentence(found) == (
        "Of 3 pairs of arms the intervals of 1 do not overlap: keras-tensorflow / torch-compile on conv_only."
    )
    assert "do not overlap |" in comparison.page(found)


def test_one_block_has_step_times_and_no_interval_and_the_page_says_so(tmp_path: Path) -> None:
    a, b = two(tmp_path, blocks=1)
    found = compared(a, b)
    assert {shift.verdict for shift in found.shifts} == {"UNRESOLVED"}
    assert {pair.overlap for pair in found.pairs} == {None}
    page = comparison.page(found)
    assert "(no interval), 1 block" in page
    assert "inf" not in page
    assert "No ratio between arms has an interval in both runs; 3 pairs without two intervals" in page


def test_epoch_times_are_compared_where_both_runs_have_them_in_seconds_of_a_whole_epoch(tmp_path: Path) -> None:
    (a, b), (_, cut) = two(tmp_path), two(tmp_path / "cut", epoch_steps=20)
    slowed(b, 1.3, "keras-tensorflow")
    for path in (b / "cells").glob("*.a2.json"):
        path.unlink()
    found = compared(a, b)
    steps = load(a).run.workloads["conv_only"].steps_per_epoch
    for name in ARMS:
        epoch, step = ([each for each in found.shifts if (each.contestant, each.phase) == (name, phase)]
                       for phase in ("epoch", "train_step"))  # fmt: skip
        assert epoch[0].ratio.ratio == pytest.approx(1.3 if name == "keras-tensorflow" else 1.0)
        assert 0.9 < epoch[0].a.ratio / steps / step[0].a.ratio < 1.2  # the simulated loop's own cost is 2 to 6 %
    assert "| epoch time in A, s |" in re.sub(" +", " ", comparison.page(found))
    assert [(each.contestant, each.phase) for each in found.lost] == [
        ("torch-eager (a2)", "train_step"),
        ("torch-eager (a2)", "epoch"),
    ]
    found = compared(a, cut)  # epochs of other lengths have other times for that alone
    assert {shift.phase for shift in found.shifts} == {"train_step"}
    assert [str(each) for each in found.differences] == [f"conv_only: steps of a measured epoch: {steps} in A, 20 in B"]
    for path in (cut / "cells").glob("*"):
        cell = record.read(path, record.Cell)
        kept = [entry for entry in cell.pytest_benchmark["benchmarks"] if entry["extra_info"]["phase"] != "epoch"]
        edit(path, pytest_benchmark={"benchmarks": kept})
    found = compared(a, cut)
    assert ({shift.phase for shift in found.shifts}, found.differences) == ({"train_step"}, ())
    assert {each.phase for each in found.lost} == {"epoch"}, "what A has and B lacks is named"


def test_intervals_that_touch_overlap_and_those_a_hair_apart_do_not() -> None:
    def pair(low: float, high: float) -> compare.Pair:
        one, other = effects.Effect(1.1, 1.0, 1.2, 6, 0.1), effects.Effect(1.1, low, high, 6, 0.1)
        return compare.Pair("conv", "x", "y", one, other)

    assert pair(1.2, 1.3).overlap
    assert pair(0.9, 1.0).overlap
    assert pair(1.05, 1.1).overlap
    assert pair(1.2000001, 1.3).overlap is False
    assert pair(0.9, 0.9999999).overlap is False


def test_what_is_missing_on_one_side_is_listed_with_its_reason(tmp_path: Path) -> None:
    a, b = two(tmp_path, holes={"torch-compile": "no compiler; install one"})
    cells = sorted((b / "cells").glob("conv_only.torch-eager.cpu.b[23].json"))
    edit(cells[0], status="failed", reason="killed by SIGSEGV")
    cells[1].unlink()
    found = compared(a, b)
    rows = {(gap.contestant, gap.why): (gap.a, gap.b) for gap in found.gaps}
    assert rows == {
        ("torch-compile", "hole: no compiler; install one"): (0, 1),
        ("torch-eager", "failed: killed by SIGSEGV"): (0, 1),
        ("torch-eager", "planned, and no record that can be used"): (0, 1),
    }
    assert [pair.contestant for pair in found.pairs if pair.b is None] == ["torch-compile"]
    page = comparison.page(found)
    assert all(reason in page for _, reason in rows)
    assert "1 pair without two intervals" in page


def test_a_cell_whose_phase_holds_no_round_has_no_step_time_and_stops_nothing(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    path = b / "cells" / "conv_only.torch-eager.cpu.b1.json"
    extra = {"phase": "train_step", "steps_per_round": 1, "samples_per_round": 128}
    edit(path, pytest_benchmark={"benchmarks": [{"extra_info": extra, "stats": {"data": []}}]})
    (shift,) = [s for s in compared(a, b).shifts if s.contestant == "torch-eager" and s.phase == "train_step"]
    assert shift.b.blocks == shift.a.blocks - 1
    assert build(b)


def test_ratios_are_against_the_fastest_arm_that_both_runs_have_and_without_one_against_the_fastest(tmp_path) -> None:
    a, b = two(tmp_path, holes={"torch-compile": "no compiler"})
    run, times = record.read(a / "run.json", record.Run), compare.figures(load(a).everything)
    assert compare.fastest(run, times, "conv_only", ARMS) == "torch-compile"
    second = compare.fastest(run, times, "conv_only", ARMS[:2])
    found = compared(a, b).pairs
    assert {pair.against for pair in found if pair.contestant in ARMS} == {second}
    assert [pair.contestant for pair in found if pair.overlap] == [
        *(arm for arm in ARMS[:2] if arm != second),
        "torch-eager (a2)",
    ]
    strangers = make_run(tmp_path / "c", workloads=("conv_only",), arms=("keras-jax",), rounds=12)
    assert {pair.against for pair in compared(a, strangers).pairs if pair.contestant in ARMS} == {"torch-compile"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"cpu": "other"}, "processor"),
        ({"logical_cores": 4}, "cores"),
        ({"cpu_budget": 2}, "CPU budget"),
        ({"memory_bytes": 8 * 2**30}, "memory in bytes"),
        ({"gpus": [{"name": "H"}]}, "GPU"),
    ],
)
def test_other_hardware_is_not_comparable(changes: dict[str, Any], what: str, tmp_path: Path) -> None:
    a, b = two(tmp_path)
    edit(a / "run.json", environment=MACHINE)
    edit(b / "run.json", environment=MACHINE | changes)
    found = compared(a, b)
    assert [difference.what for difference in found.prevented] == [what]
    assert "Not comparable: " + what in comparison.sentence(found)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"memory_bytes": 16 * 2**30 - 2**26}, None),  # another kernel keeps some for itself
        ({"kernel": "6.2"}, "kernel"),
        ({"image": {"id": "sha256:bb"}}, "image"),
        ({"image": None}, "image"),
        ({"locks": {"requirements/cpu.txt": "cd"}}, "lock file requirements/cpu.txt"),
        ({"git": {"commit": "1" * 40, "dirty": False}}, "commit"),
        ({"git": {"commit": "0" * 40, "dirty": True}}, "uncommitted changes"),
        ({"code_digest": "beef"}, "code digest"),
        ({"interpreters": {"torch": {"python": "3.11.2", "installed": "12ab", "torch": "2.12.0"}}},
         "torch of the interpreter for torch"),
        ({"interpreters": {"torch": {"python": "3.11.2", "installed": "34cd", "torch": "2.13.0"}}},
         "all packages of the interpreter for torch"),
    ],
)  # fmt: skip
def test_other_software_is_named_and_prevents_nothing(
    changes: dict[str, Any], what: str | None, tmp_path: Path
) -> None:
    a, b = two(tmp_path)
    edit(a / "run.json", environment=MACHINE)
    edit(b / "run.json", environment=MACHINE | changes)
    found = compared(a, b)
    assert [(difference.what, difference.prevents) for difference in found.differences] == (
        [(what, False)] if what else []
    )


def test_a_run_outside_of_any_image_is_told_from_one_in_an_unknown_image(tmp_path: Path) -> None:
    run = load(two(tmp_path)[0]).run
    seen = [
        msgspec.structs.replace(run, environment={"image": found}) for found in (None, {"id": None}, {"id": "sha256:a"})
    ]
    assert [str(compare.differences(a, b)[0]) for a, b in ((seen[0], seen[1]), (seen[1], seen[2]))] == [
        "image: not in an image in A, unknown in B",
        "image: unknown in A, sha256:a in B",
    ]


def test_other_data_another_workload_and_another_device_are_not_comparable(tmp_path: Path) -> None:
    a, b = two(tmp_path, identity="genuine")
    run = record.read(b / "run.json", record.Run)
    workload = msgspec.structs.replace(run.workloads["conv_only"], digest="other")
    found = compare.differences(
        load(a).run, msgspec.structs.replace(run, workloads={"conv_only": workload}, device="gpu")
    )
    assert {difference.what for difference in found if difference.prevents} == {
        "device",
        "digest of the workload",
        "data",
    }
    file = msgspec.structs.replace(workload.data.files[0], sha256="cd" * 32)
    data = msgspec.structs.replace(workload.data, identity="synthetic", files=(file,))
    workloads = {"conv_only": msgspec.structs.replace(load(a).run.workloads["conv_only"], data=data)}
    found = compare.differences(load(a).run, msgspec.structs.replace(load(a).run, workloads=workloads))
    assert [difference.what for difference in found] == ["sha256 of the data"]
    assert f"{'ab' * 32} in A, {'cd' * 32} in B" in str(found[0])


def test_other_settings_are_named(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    edit(b / "run.json", profile="smoke", seed=9, margin=0.05, budget_s=None, control=None)
    assert {difference.what for difference in compared(a, b).differences} == {
        "profile", "seed", "margin", "budget in seconds", "A/A control",
    }  # fmt: skip


def test_a_record_of_schema_1_is_read_and_not_comparable_with_one_of_another(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", workloads=("conv_only",), arms=ARMS, rounds=12)
    b = make_run(tmp_path / "b", workloads=("conv_only",), arms=ARMS, rounds=12, schema=1)
    found = compared(a, b)
    assert {(difference.what, difference.prevents) for difference in found.differences} == {("result schema", True)}
    assert f"result schema: {record.SCHEMA} in A, 1 in B" in comparison.prevented(found)
    assert {pair.overlap for pair in found.pairs} == {True}


def test_the_page_cannot_be_broken_by_what_a_record_says(tmp_path: Path) -> None:
    hostile = "x|y\n# heading \x1b[31m <b>`"
    a, b = two(tmp_path, rename={"torch-eager": hostile})
    edit(b / "run.json", environment={"kernel": hostile})
    page = comparison.page(compared(a, b))
    assert "\x1b" not in page
    assert "\n# heading" not in page
    assert "<b>" not in page
