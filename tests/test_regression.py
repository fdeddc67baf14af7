"""`bench compare --fail-on regression:5%`: fails on what is proved, never on what is not, and says which is which."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from make_history import slowed
from make_run import edit, make_run

from bench import compare, record
from bench.cli import main
from bench.compare import Lost, Shift, regression
from bench.compare.regression import Regressions
from bench.effects import Effect
from bench.errors import UsageError
from bench.record import Run
from bench.report import comparison
from bench.report.folder import load

ARMS = ("keras-jax", "torch-eager", "torch-compile")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def two(folder: Path, **other: Any) -> tuple[Path, Path]:
    plain: dict[str, Any] = {"workloads": ("conv_only",), "arms": ARMS, "rounds": 9, "control": "torch-eager"}
    return make_run(folder / "results/a", **plain), make_run(folder / "results/b", **(plain | other))


def judged(a: Path, b: Path, limit: float) -> Regressions:
    one, other = load(a), load(b)
    return regression.regressions(compare.compare(one.run, one.everything, other.run, other.everything), limit)


def found(run: Run, *intervals: tuple[float, float]) -> compare.Comparison:
    """A comparison of one contestant for each interval."""
    shifts = []
    for number, (low, high) in enumerate(intervals):
        ratio = Effect(math.sqrt(low * high) if math.isfinite(high) else 2.0, low, high, 6, 0.1)
        shifts.append(Shift("conv", f"arm-{number}", "train_step", ratio, ratio, ratio, "UNRESOLVED"))
    return compare.Comparison(run, run, "train_step", (), tuple(shifts), (), (), ())


def test_only_an_interval_wholly_above_the_limit_fails(tmp_path: Path) -> None:
    run = load(two(tmp_path)[0]).run
    intervals = [(1.0500001, 1.2), (1.05, 1.2), (1.04, 1.06), (0.9, 1.05), (0.2, 0.3), (0.0, math.inf)]
    got = regression.regressions(found(run, *intervals), 0.05)
    assert [shift.contestant for shift in got.failed] == ["arm-0"]
    assert [shift.contestant for shift in got.undecided] == ["arm-1", "arm-2", "arm-5"]
    assert [shift.contestant for shift in got.passed] == ["arm-3", "arm-4"]


def test_an_arm_that_got_slower_fails_with_its_step_time_and_is_named_with_the_others(tmp_path, capsys) -> None:
    a, b = two(tmp_path)
    slowed(b, 1.25, "keras-jax")
    got = judged(a, b, 0.05)
    assert {(shift.contestant, shift.phase) for shift in got.failed} <= {
        ("keras-jax", "train_step"),
        ("keras-jax", "epoch"),
    }
    assert ("keras-jax", "train_step") in {(shift.contestant, shift.phase) for shift in got.failed}
    assert main(["compare", "a", str(b), "--fail-on", "regression:5%"]) == 1
    printed = capsys.readouterr().out
    last = printed.splitlines()[-1]
    assert last.startswith("Regression of more than 5 %: step time on conv_only of keras-jax 1.25")
    assert "not decided, the interval holds 1.05: epoch time on conv_only of " in last
    assert "nothing of the machine in between" in last
    assert f"- {last.partition(']')[0]}" in printed  # in the page too, a line each
    assert main(["compare", "a", "b", "--fail-on", "regression:30%"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("No regression of more than 30 % is proved. ")
    assert main(["compare", "a", "b"]) == 0
    assert "egression" not in capsys.readouterr().out


def test_a_faster_run_never_fails(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    slowed(b, 0.5)
    assert judged(a, b, 0.02).failed == ()
    assert main(["compare", "a", "b", "--fail-on", "regression:2%"]) == 0


def test_one_block_proves_nothing_however_slow_and_the_exit_code_is_0(tmp_path, capsys) -> None:
    a, b = two(tmp_path, blocks=1)
    slowed(b, 3.0)
    assert judged(a, b, 0.05).failed == ()
    assert main(["compare", "a", "b", "--fail-on", "regression:5%"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("No regression of more than 5 % is proved. ")
    assert "not decided, one block gives no interval: step time on conv_only of keras-jax" in last


def test_the_second_entry_of_the_control_is_not_judged(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    slowed(b, 1.5, "torch-eager")  # both entries
    assert {shift.contestant for shift in judged(a, b, 0.05).failed} == {"torch-eager"}
    a, b = two(tmp_path / "other", control=None)
    assert judged(a, b, 0.05).lost == ()


def test_what_was_measured_in_a_and_failed_in_b_is_said_and_is_no_regression(tmp_path, capsys) -> None:
    a, b = two(tmp_path)
    for path in (b / "cells").glob("*keras-jax*"):
        edit(path, status="failed", reason="killed by SIGSEGV")
    got = judged(a, b, 0.05)
    assert got.lost == (Lost("conv_only", "keras-jax", "train_step"), Lost("conv_only", "keras-jax", "epoch"))
    assert main(["compare", "a", "b", "--fail-on", "regression:5%"]) == 0
    printed = capsys.readouterr().out
    gone = "step time on conv_only of keras-jax; epoch time on conv_only of keras-jax"
    assert f"2 in A and not in B, which is no regression: {gone}." in printed.splitlines()[-1]
    assert f"In A and not in B: {gone}.\n" in printed
    for path in (b / "cells").glob("*"):
        path.unlink()
    assert main(["compare", "a", "b", "--fail-on", "regression:5%"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Nothing could be decided about a regression of more")
    assert f"{2 * len(ARMS)} in A and not in B" in last
    assert "step time on conv_only of keras-" in last


def test_epochs_that_b_does_not_have_at_all_are_named(tmp_path, capsys) -> None:
    a, b = two(tmp_path)
    for path in (b / "cells").glob("*"):
        stored = record.read(path, record.Cell).pytest_benchmark
        kept = [entry for entry in stored["benchmarks"] if entry["extra_info"]["phase"] != "epoch"]
        edit(path, pytest_benchmark=stored | {"benchmarks": kept}, curve=[])
    assert {(each.contestant, each.phase) for each in judged(a, b, 0.05).lost} == {(arm, "epoch") for arm in ARMS}


def test_runs_without_a_workload_in_common_are_refused(tmp_path, capsys) -> None:
    two(tmp_path, workloads=("conv",))
    assert main(["compare", "a", "b", "--fail-on", "regression:5%"]) == 2
    assert "workloads: conv_only in A, conv in B" in capsys.readouterr().err


def test_a_run_is_not_compared_with_itself_or_its_copy_unless_asked(tmp_path, capsys) -> None:
    a, _ = two(tmp_path)
    shutil.copytree(a, tmp_path / "copy")
    for other in ("a", str(tmp_path / "copy")):
        assert main(["compare", "a", other, "--fail-on", "regression:5%"]) == 2
        assert "A and B are both run " in capsys.readouterr().err
        assert main(["compare", "a", other, "--anyway"]) == 0


def test_a_limit_within_the_margin_is_refused_and_one_at_it_is_not(tmp_path, capsys) -> None:
    a, b = two(tmp_path)
    with pytest.raises(UsageError, match=r"regression:1%: within 2%, the margin of run A, times are the same; name at"):
        judged(a, b, 0.01)
    assert main(["compare", "a", "b", "--fail-on", "regression:1.9%"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert judged(a, b, 0.02).failed == ()


WRONG = (
    "", "5%", "regression", "regression:", "regression:5", "regression:-5%", "slower:5%", "regression:5%%",
    "regression:\uff15%", "regression:1001%",
)  # fmt: skip


@pytest.mark.parametrize("condition", WRONG)
def test_a_condition_that_is_none_is_named_in_one_line_and_nothing_is_compared(condition, capsys) -> None:
    assert main(["compare", "a", "b", f"--fail-on={condition}"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("bench: bench compare: argument --fail-on: ")
    assert printed.err.count("\n") == 1


def test_runs_that_cannot_be_compared_are_refused_before_any_regression_and_judged_with_anyway(
    tmp_path, capsys
) -> None:
    a, b = two(tmp_path)
    slowed(b, 1.5)
    edit(a / "run.json", environment={"cpu": "one"})
    edit(b / "run.json", environment={"cpu": "other"})
    assert main(["compare", "a", "b", "--fail-on", "regression:5%"]) == 2
    assert "not comparable: processor: one in A, other in B" in capsys.readouterr().err
    assert main(["compare", "a", "b", "--fail-on", "regression:5%", "--anyway"]) == 1
    assert "Not comparable: processor: one in A, other in B." in capsys.readouterr().out.splitlines()[-2]


def test_the_help_says_what_the_exit_codes_mean(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "with --fail-on, 1 where some arm's step or epoch time in B over that in A has its 95 % interval wholly" in text
    )


def test_names_cannot_break_the_sentences(tmp_path: Path) -> None:
    hostile = "x|y\n# heading \x1b[31m <b>`"
    a, b = two(tmp_path, rename={"keras-jax": hostile})
    a = make_run(tmp_path / "c", workloads=("conv_only",), arms=ARMS, rounds=9, rename={"keras-jax": hostile})
    slowed(b, 1.5)
    lines = comparison.regressions(judged(a, b, 0.05))
    assert any("heading" in line for line in lines)
    assert not any(bad in line for line in lines for bad in ("\n", "\x1b", "<b>"))
