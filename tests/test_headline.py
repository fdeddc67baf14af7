"""The sentence on a card says what the verdicts say, and no more."""

import dataclasses

import msgspec
import pandas as pd
import pytest
from make_run import make_run

from bench.report import frames, summary
from bench.report.contest import Contest
from bench.report.folder import Folder, load
from bench.report.headline import alike, epoch, headline

ARMS = ("keras-jax", "torch-eager", "torch-compile", "keras-torch")
Ratios = dict[str, float | tuple[float, float]]
"""Arm → its time in those of the first; two of them take turns from block to block."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made = make_run(tmp_path_factory.mktemp("runs") / "run", workloads=("conv",), arms=ARMS, blocks=2, rounds=3)
    return load(made)


@pytest.fixture(scope="module")
def measured(folder: Folder) -> Contest:
    (contest,) = summary.contests(folder, frames.measurements(folder), frames.curves(folder))
    return contest


def timed(contest: Contest, steps: Ratios, epochs: Ratios | None = None, blocks: int = 6) -> Contest:
    """The contest with other times: 10 ms a step for a ratio of 1; arms that are not named have none."""
    rows: list[tuple[str, int, str, int, float]] = []
    arms = []
    for phase, ratios in (("train_step", steps), ("epoch", epochs or {})):
        for arm, ratio in ratios.items():
            # Some scatter between blocks, or no interval is made.
            both = ratio if isinstance(ratio, tuple) else (ratio, ratio * 1.0001)
            rows += [(phase, 1, arm, block, 0.01 * both[block % 2]) for block in range(1, blocks + 1)]
    for arm in contest.arms:
        assert arm.step_s is not None
        spread = {
            phase: dataclasses.replace(arm.step_s, median=min(ratio) if isinstance(ratio, tuple) else ratio)
            for phase, ratios in (("step_s", steps), ("epoch_s", epochs or {}))
            if (ratio := ratios.get(arm.arm))
        }
        arms.append(dataclasses.replace(arm, step_s=spread.get("step_s"), epoch_s=spread.get("epoch_s")))
    columns = ["phase", "counted", "contestant", "block", "step_time_s"]
    return dataclasses.replace(contest, arms=tuple(arms), rounds=pd.DataFrame(rows, columns=columns))


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ({}, "Nothing was measured."),
        ({"torch-eager": 1.0}, "Only **torch-eager** was measured."),
        (
            {"keras-jax": 1.0, "torch-eager": 1.5},
            "**keras-jax** is fastest. **torch-eager** takes 1.5000 times as long [1.5000,\xa01.5000].",
        ),
        (
            {"keras-jax": 1.3, "torch-eager": 1.0, "torch-compile": 2.0},
            "**torch-eager** is fastest. "
            "**torch-compile** is slowest and takes 2.0000 times as long [2.0000,\xa02.0000].",
        ),
        (
            {"keras-jax": 1.0, "torch-eager": 1.001},
            "**keras-jax** and **torch-eager** are fastest and take the SAME time.",
        ),
        ({"keras-jax": 1.0, "torch-eager": (0.99, 1.2)}, "**keras-jax** or **torch-eager** is fastest: UNRESOLVED."),
        (
            {"keras-jax": 1.0, "torch-eager": (0.99, 1.2), "torch-compile": (1.01, 1.1), "keras-torch": (0.995, 1.3)},
            "Which of 4 arms is fastest: UNRESOLVED.",
        ),
    ],
)
def test_the_headline_names_who_is_fastest_who_is_level_and_how_far_the_slowest_is_behind(
    measured: Contest, ratios: Ratios, words: str
) -> None:
    assert headline(timed(measured, ratios)) == words


def test_an_arm_level_with_the_fastest_is_named_beside_those_that_are_slower(measured: Contest) -> None:
    words = headline(timed(measured, {"keras-jax": 1.0, "torch-eager": (0.999, 1.2), "torch-compile": 3.0}))
    start = "**keras-jax** or **torch-eager** is fastest: UNRESOLVED. **torch-compile** takes 3.0000 times as long as "
    assert words.startswith(start + "**keras-jax** [")


def test_one_block_settles_nothing(measured: Contest) -> None:
    words = headline(timed(measured, {"keras-jax": 1.0, "torch-eager": 9.0, "torch-compile": 12.0}, blocks=1))
    assert words == (
        "**keras-jax** is ahead of **torch-eager** (9.00 times as long) and **torch-compile** (12.00): UNRESOLVED, one "
        "block gives no interval."
    )


def test_where_whole_epochs_surely_say_otherwise_the_card_says_so(measured: Contest) -> None:
    steps: Ratios = {"keras-jax": 1.0, "torch-eager": 1.5}
    assert epoch(timed(measured, steps, {"keras-jax": 2.0, "torch-eager": 1.0})) == (
        "Over a whole epoch **torch-eager** is ahead: keras-jax takes 2.0000 times as long [2.0000,\xa02.0000]."
    )
    assert epoch(timed(measured, steps, {"keras-jax": 1.0, "torch-eager": 1.5})) == ""
    assert epoch(timed(measured, steps, {"keras-jax": (0.9, 1.5), "torch-eager": 1.0})) == "", "not surely"
    assert epoch(timed(measured, steps)) == ""


def test_arms_are_alike_only_where_every_parity_record_says_so(measured: Contest, folder: Folder) -> None:
    assert alike(measured, folder.parities).text == "Same mathematics: 4 of 4 arms equal to the reference"
    failed = msgspec.structs.replace(folder.parities[0], passed=False)
    found = alike(measured, [failed, *folder.parities[1:]])
    assert (found.text, found.kind) == ("Not proved the same: 1 of 4 arms fail parity with the reference", "bad")
    assert alike(measured, []).kind == "bad"
    other = msgspec.structs.replace(failed, workload="conv_only")
    assert alike(measured, [*folder.parities, other]).kind == "good", "the failure is another contest's"


def test_a_tuned_arm_is_never_called_the_fastest_and_stands_beside(measured: Contest) -> None:
    arms = dict(measured.run.arms)
    arms["torch-compile"] = msgspec.structs.replace(arms["torch-compile"], tier="tuned")
    contest = dataclasses.replace(measured, run=msgspec.structs.replace(measured.run, arms=arms))
    words = headline(timed(contest, {"keras-jax": 1.0, "torch-eager": 1.5, "torch-compile": 0.2}))
    assert words.startswith("**keras-jax** is fastest. **torch-eager** takes 1.5000 times as long")
    assert words.endswith("Tuned, beside **keras-jax**: **torch-compile** 0.2000 times as long [0.2000,\xa00.2000].")
