import re
from pathlib import Path

import msgspec
import pytest
from make_run import edit, make_run
from read_report import notices, section, tables

from bench import derived, effects, record, stats, wording
from bench.report import build, frames, verdicts
from bench.report.contest import Contest
from bench.report.folder import load
from bench.report.summary import contests

ARMS = ("torch-eager", "keras-tensorflow", "keras-jax")


def made(folder: Path) -> Contest:
    read = load(folder)
    return contests(read, frames.measurements(read), frames.curves(read))[0]


def report(folder: Path) -> str:
    build(folder)
    return (folder / "report.md").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four blocks of three arms with an A/A control; two of them with an epoch."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return make_run(folder, workloads=("conv",), arms=ARMS, blocks=4, rounds=20, control="torch-eager")


def test_the_controls_second_entry_is_not_pooled_with_its_arm(run: Path) -> None:
    contest = made(run)
    medians = {"": [], record.CONTROL: []}
    for path in (run / "cells").glob("conv.torch-eager.*"):
        cell = record.read(path, record.Cell)
        medians[cell.label].append(stats.median(derived.phases(cell)["train_step"].counted_s))
    (arm,) = [arm for arm in contest.arms if arm.arm == "torch-eager"]
    assert contest.control is not None
    assert arm.step_s == stats.spread(medians[""])
    assert contest.control.step_s == stats.spread(medians[record.CONTROL])
    assert [arm.contestant for arm in contest.ranked] == ["keras-jax", "keras-tensorflow", "torch-eager"]


def test_every_pair_of_arms_stands_once_in_the_table_with_interval_blocks_and_verdict(run: Path) -> None:
    contest = made(run)
    steps, epochs = (found for found in tables(report(run)) if found[0][:3] == ["A", "B", "A is"])
    for shown, phase, blocks in ((steps, "train_step", 4), (epochs, "epoch", 2)):
        control, *pairs = shown[1:]
        assert control[:2] == ["torch-eager", "itself (a2)"]
        assert {frozenset(pair[:2]) for pair in pairs} == {frozenset(pair) for pair in effects.pairs(ARMS)}
        assert len(pairs) == 3
        figures = contest.figures(phase)
        for a, b, verdict, ratio, interval, count, detectable in pairs:
            effect = effects.effect(figures[a], figures[b])
            assert effect is not None
            assert effect.detectable is not None
            assert verdict == effects.verdict(effect, 0.02)
            assert float(ratio) == pytest.approx(effect.ratio, abs=0.005), "two decimals at least are shown"
            low, high = map(float, interval.strip("[]").split(", "))
            assert (low, high) == pytest.approx((effect.low, effect.high), abs=0.005)
            assert count == str(blocks)
            assert detectable == "over 100 %" or float(detectable.split()[0]) == pytest.approx(
                100 * effect.detectable, rel=0.06
            ), "two digits are shown"


def test_the_noise_of_the_machine_is_said_in_words(run: Path) -> None:
    contest = made(run)
    effect = effects.effect(*(contest.figures("train_step")[name] for name in ("torch-eager", "torch-eager (a2)")))
    assert effect is not None
    said = f"Noise of this machine: torch-eager against itself {wording.ratio(effect)}, 4 blocks, "
    assert said + effects.verdict(effect, 0.02) in report(run)


def test_no_ratio_stands_without_its_interval(run: Path) -> None:
    page = report(run)
    steps = next(found for found in tables(page) if "time / fastest's" in found[0])
    column = steps[0].index("time / fastest's")
    assert [bool(re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]", row[column])) for row in steps[1:]] == [False, True, True]
    words = section(page, "## In words")
    for verdict in re.finditer(r"(?:takes|ratio) ([\d.]+)(.*?)(?:\n|$)", words):
        assert re.match(r"(?: of its time)? \[[\d.]+, [\d.]+\], \d blocks?\.", verdict[2]), verdict[0]


def test_one_block_gives_a_ratio_without_an_interval_and_no_verdict_but_unresolved(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "one", workloads=("conv",), arms=ARMS, blocks=1, rounds=5, control="torch-eager")
    page = report(folder)
    assert "keras-jax against torch-eager is UNRESOLVED: ratio 0." in page
    assert "(no interval), 1 block." in page
    assert "How to read a verdict" not in page, "there is no interval to read"
    assert not {"FASTER", "SLOWER", "SAME"} & set(page.replace(":", " ").split())


def test_only_blocks_that_both_have_are_compared_and_counted(run: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=4, rounds=5)
    (folder / "cells" / "conv.keras-jax.cpu.b2.json").unlink()
    contest = made(folder)
    beside = verdicts.beside_fastest(contest, "train_step")
    assert {name: comparison.effect.blocks for name, comparison in beside.items()} == {
        "keras-tensorflow": 3,
        "torch-eager": 3,
    }
    assert "], 3 blocks |" in report(folder), "the row of an arm with four blocks says so"


def test_the_report_says_why_blocks_stopped(tmp_path: Path) -> None:
    arms = ("torch-eager", "keras-tensorflow")
    many = make_run(tmp_path / "many", workloads=("conv",), arms=arms, blocks=14, rounds=9, control="torch-eager")
    edit(many / "run.json", margin=0.1)  # a scatter of 1 % over 14 blocks must do for 5 %
    stopped = "After 14 blocks the intervals were narrow enough: of all 3 pairs (the A/A control counted in)."
    assert stopped in report(many)
    few = make_run(tmp_path / "few", workloads=("conv",), arms=arms, blocks=2, rounds=9)
    edit(few / "run.json", ended_because="budget spent: 4 of 6 planned cells measured")
    stopped = "After 2 blocks not yet narrow enough: 1 of 1 pair; the run ended: budget spent: 4 of 6 planned cells"
    assert stopped in report(few)


def test_the_pairs_of_an_arm_that_was_given_up_are_left_out_of_why_blocks_stopped(tmp_path: Path) -> None:
    arms = ("torch-eager", "keras-tensorflow", "keras-jax")
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=arms, blocks=14, rounds=9, control="torch-eager")
    because = "every interval of the arms still tried is narrow enough; given up: keras-jax"
    edit(folder / "run.json", margin=0.1, ended_because=because)  # a scatter of 1 % over 14 blocks must do for 5 %
    for block in range(3, 15):
        path = folder / "cells" / f"conv.keras-jax.cpu.b{block}.json"
        if block <= 4:
            edit(path, status="failed", reason="killed by SIGSEGV", pytest_benchmark={})
        else:
            path.unlink()
    page = report(folder)
    assert (
        "After 14 blocks the intervals were narrow enough: of all 3 pairs (the A/A control counted in). Left out: 3 "
        "pairs with keras-jax, given up because of failures."
    ) in page
    assert "not yet narrow enough" not in page
    edit(folder / "cells" / "conv.keras-jax.cpu.b4.json", status="hole", reason="budget spent")
    page = report(folder)
    assert "After 14 blocks not yet narrow enough: 3 of 6 pairs" in page, "one failure is not enough to be given up"
    edit(folder / "cells" / "conv.keras-jax.cpu.b4.json", status="failed", reason="loss is nan", diverged=True)
    assert "not yet narrow enough: 3 of 6 pairs" in report(folder), "a training that diverged is no failure of its arm"


def test_both_entries_of_the_control_are_left_out_where_its_arm_failed_parity(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS[:2], blocks=7, rounds=9, control="torch-eager")
    edit(folder / "parity" / "conv.torch-eager.cpu.json", passed=False, reason="loss is off")
    assert "Left out: 3 pairs with torch-eager, torch-eager (a2), given up because of failures." in report(folder)


def test_a_run_without_a_control_says_that_its_noise_is_not_known(run: Path, tmp_path: Path) -> None:
    said = "**No A/A control**: no arm was entered twice, so that nothing is known of this machine's noise"
    assert said not in report(run)
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=2, rounds=5)
    assert said in notices(report(folder))
    plan = record.read(folder / "run.json", record.Run).plan
    edit(folder / "run.json", plan=tuple(msgspec.structs.replace(cell, phases=("converge",)) for cell in plan))
    assert said not in report(folder), "trainings of the whole schedule have none by design"


def test_the_margin_of_the_run_decides_what_is_the_same(run: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=4, rounds=20)
    edit(folder / "run.json", margin=0.5)
    page = report(folder)
    assert "keras-jax and keras-tensorflow take the SAME time" in page
    assert "inside [0.667, 1.500] (margin 50 %)" in page
