"""Levels and changes of one step time over many runs: what is found of what was planted, and what of what was not."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from bench.history.levels import Trend, trend

MARGIN = 0.02
BLOCKS, SCATTER = 6, 0.01
"""Of every simulated run: its blocks, and the standard deviation of their log times."""
SERIES, RUNS = 400, 30


def judged(*runs: Sequence[float]) -> Trend:
    """The trend of runs given by the times of their blocks."""
    return trend([dict(enumerate(blocks, start=1)) for blocks in runs], MARGIN)


def run(time: float) -> list[float]:
    """A run whose blocks scatter by 1 % about a time."""
    return [time * factor for factor in (0.99, 1.01, 1.0, 1.0, 1.01, 0.99)]


def states(found: Trend) -> list[str]:
    return [point.state for point in found.points]


@functools.cache
def changes(between: float, step: int | None = None) -> list[list[int]]:
    """Of every simulated series: the runs that changes begin with. Runs scatter by `between`, in log time; from run
    `step` on they take 10 % longer."""
    draw = np.random.default_rng(1)
    logs = draw.normal(0, between, (SERIES, RUNS, 1)) + draw.normal(0, SCATTER, (SERIES, RUNS, BLOCKS))
    if step is not None:
        logs[:, step:] += math.log(1.1)
    return [[change.first for change in judged(*times).changes] for times in np.exp(logs).tolist()]


@pytest.mark.parametrize(
    ("between", "most"),
    [
        (0.0, 0.0),
        (0.01, 0.0),  # of 1,000 series: none
        (0.02, 0.05),  # 2.2 %; of 400 the standard error is 0.7 %, `most` four of them higher
        (0.03, 0.12),  # 6.9 %, and 1.3 %
    ],
)
def test_noise_alone_is_hardly_ever_a_confirmed_change(between: float, most: float) -> None:
    """Share of series of 30 runs with any change at all; what is stated was measured over 1,000 of them."""
    assert sum(map(bool, changes(between))) / SERIES <= most


@pytest.mark.parametrize(
    ("step", "between", "least"),
    [
        (8, 0.005, 0.99),  # of 333 series: all
        (8, 0.01, 0.98),  # 99.7 %; the standard error of 400 is 0.3 %
        (2, 0.01, 0.92),  # 96.1 %, and 1 %
        (1, 0.01, 0.65),  # 73.9 %, and 2.2 %: one run before it is little to know
    ],
)
def test_a_planted_step_of_ten_percent_is_found_at_its_first_run_and_nowhere_else(
    step: int, between: float, least: float
) -> None:
    assert sum(found == [step] for found in changes(between, step)) / SERIES >= least


def test_two_successive_runs_confirm_and_are_the_next_level() -> None:
    found = judged(run(1.0), run(1.0), run(1.0), run(1.2), run(1.22), run(1.21))
    assert states(found) == ["level", "level", "level", "changed", "changed", "level"]
    (change,) = found.changes
    assert (change.before, change.first, change.second) == (2, 3, 4)
    before, after = judged(run(1.0)).points[0].time.ratio, judged(run(math.sqrt(1.2 * 1.22))).points[0].time.ratio
    assert (change.before_s, change.after_s) == (pytest.approx(before), pytest.approx(after))
    assert change.ratio.ratio == pytest.approx(after / before)
    assert change.ratio.low < after / before < change.ratio.high
    assert [(level.first, level.last, level.runs) for level in found.levels] == [(0, 2, 3), (3, 5, 3)]


def test_a_change_back_is_a_change_too_and_either_direction_is_found_alike() -> None:
    times = [1.0, 1.0, 1.0, 0.8, 0.8, 0.8, 1.0, 1.0]
    found = judged(*map(run, times))
    assert [(change.first, change.ratio.ratio < 1) for change in found.changes] == [(3, True), (6, False)]
    mirrored = judged(*([1 / block for block in run(time)] for time in times))
    assert [(change.first, change.ratio.ratio < 1) for change in mirrored.changes] == [(3, False), (6, True)]


def test_one_run_never_confirms_however_far_off_it_is() -> None:
    assert judged(run(1.0), run(1.0), run(9.0)).changes == ()
    assert states(judged(run(1.0), run(1.0), run(9.0))) == ["level", "level", "to be confirmed"]
    found = judged(run(1.0), run(1.0), run(9.0), run(1.0), run(1.0))
    assert states(found) == ["level", "level", "alone", "level", "level"]
    assert found.levels[0].step_s == pytest.approx(found.points[0].time.ratio)  # it does not count
    assert (found.levels[0].runs, found.changes) == (4, ())


def test_two_runs_off_on_two_sides_confirm_nothing() -> None:
    found = judged(run(1.0), run(1.0), run(1.3), run(0.7), run(1.0))
    assert states(found) == ["level", "level", "alone", "alone", "level"]


def test_after_a_bad_night_a_step_is_still_found() -> None:
    found = judged(*map(run, [1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 1.0, 1.0, 1.15, 1.15]))
    assert [change.first for change in found.changes] == [8]


def test_a_first_run_that_was_a_fluke_becomes_a_level_of_its_own_and_spoils_no_later_one() -> None:
    found = judged(*map(run, [1.5, 1.0, 1.0, 1.0, 1.15, 1.15]))
    assert [change.first for change in found.changes] == [1, 4]


def test_a_run_of_one_block_or_with_a_wide_interval_decides_nothing_and_refutes_nothing() -> None:
    wide = [1.0, 2.0]  # 1.41 times the level, and an interval from 0 to beyond 9
    found = judged(run(1.0), run(1.0), [1.2], run(1.2), [1.0], wide, run(1.2))
    assert states(found) == ["level", "level", "unresolved", "changed", "unresolved", "unresolved", "changed"]
    assert [(change.first, change.second) for change in found.changes] == [(3, 6)]
    single = judged([1.0], [1.0], [2.0], [2.0])
    assert (single.levels, single.changes, set(states(single))) == ((), (), {"unresolved"})


def test_a_shift_within_the_margin_is_no_change_however_sure_it_is() -> None:
    exact = [1.0] * 6
    found = judged(*[exact] * 20, *[[1.019] * 6] * 3)
    assert set(states(found)) == {"level"}
    beyond = judged(*[exact] * 20, *[[1.021] * 6] * 3)
    assert [change.first for change in beyond.changes] == [20]


def test_later_runs_change_nothing_of_what_was_found() -> None:
    times = [1.0, 1.0, 1.0, 1.3, 1.3, 1.3, 2.0, 1.3, 1.0, 1.0]
    whole = judged(*map(run, times))
    for length in range(1, len(times)):
        part = judged(*map(run, times[:length]))
        settled = states(part)[:-1] if states(part)[-1] == "to be confirmed" else states(part)
        assert states(whole)[: len(settled)] == settled
        assert part.changes == whole.changes[: len(part.changes)]


def test_a_run_without_the_arm_is_passed_over_and_places_stay_those_of_the_series() -> None:
    found = judged([], run(1.0), [], run(1.0), run(1.2), [], run(1.2))
    assert [point.place for point in found.points] == [1, 3, 4, 6]
    assert [(change.before, change.first, change.second) for change in found.changes] == [(3, 4, 6)]
    assert judged([], []) == Trend((), (), ())
