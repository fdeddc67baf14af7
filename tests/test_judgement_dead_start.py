import dataclasses
from pathlib import Path

import numpy as np
import pytest
from make_book import HEAD, LIVE_ACCURACY, LIVE_LOSS, make_book
from make_training import make_training
from scipy import stats

from bench.judgement import dead_start, intervals, trainings
from bench.judgement.dead_start import contradiction, outcomes, shares, starts, to_train
from bench.published import published_curve
from bench.record import Start
from bench.report import folder

SAMPLES = 20_000
PARTLY = 1234


def start(seed: int, live: int, initialiser: str = "shared") -> Start:
    return Start(seed, initialiser, live, SAMPLES, SAMPLES - live, -0.2, 0.0, 0.2)


def some(initialiser: str, dead: int, partly: int, live: int) -> list[Start]:
    counts = [0] * dead + [PARTLY] * partly + [SAMPLES] * live
    return [start(seed, count, initialiser) for seed, count in enumerate(counts)]


def test_shares_over_seeds_have_the_exact_interval() -> None:
    (found,) = shares(some("shared", 23, 17, 10))
    assert found.counts == {"dead": 23, "partly live": 17, "live": 10}
    assert (found.seeds, found.against_shared) == (50, None)
    for kind, count in found.counts.items():
        exact = stats.binomtest(count, 50).proportion_ci(method="exact")
        assert found.intervals[kind] == pytest.approx((exact.low, exact.high))


def test_the_exact_interval_covers_at_least_what_it_says_whatever_the_share() -> None:
    """Every possible count, weighted with its probability: no simulation, so no tolerance but rounding."""
    for seeds in (3, 20, 50):
        ends = [intervals.share(hits, seeds) for hits in range(seeds + 1)]
        for share in np.linspace(0.01, 0.99, 33):
            covering = [hits for hits, (low, high) in enumerate(ends) if low <= share <= high]
            assert stats.binom.pmf(covering, seeds, share).sum() >= 0.95 - 1e-9
    assert intervals.share(0, 10)[0] == 0.0
    assert intervals.share(10, 10)[1] == 1.0
    for hits, of in ((11, 10), (-1, 10), (0, 0)):
        with pytest.raises(ValueError, match="hits of"):
            intervals.share(hits, of)


def test_the_frameworks_own_initialisers_are_held_against_the_shared_weights() -> None:
    found = shares([*some("shared", 25, 15, 10), *some("keras", 24, 20, 6), *some("other", 2, 20, 28)])
    assert [each.initialiser for each in found] == ["shared", "keras", "other"]
    assert found[1].against_shared == pytest.approx(stats.fisher_exact(np.array([[25, 25], [24, 26]])).pvalue)
    assert found[1].against_shared > 0.5
    assert found[2].against_shared is not None
    assert found[2].against_shared < 1e-5
    (alone,) = shares(some("keras", 1, 1, 1))
    assert alone.against_shared is None, "without the shared weights there is nothing to hold it against"


def test_the_seeds_to_train_are_the_first_of_each_state_of_the_shared_weights() -> None:
    lives = [PARTLY, 0, SAMPLES, PARTLY, 0, 1, SAMPLES - 1, 0, SAMPLES, PARTLY, PARTLY]
    mine = [start(seed, live) for seed, live in enumerate(lives)]
    others = [start(seed, 0, "keras") for seed in range(11)]
    for given in ([*mine, *others], [*others, *reversed(mine)]):
        assert to_train(given, 2, 5, 1) == {"dead": (1, 4), "partly live": (0, 3, 5, 6, 9), "live": (2,)}
    assert to_train(mine[:1], 2, 5, 1) == {"dead": (), "partly live": (0,), "live": ()}


def test_every_start_counts_once_however_many_cells_tell_of_it(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=(HEAD,), arms=("torch-eager",), seeds=2, starts=6)
    found = folder.load(path).cells
    assert len(starts(found)) == 12
    assert starts([*found, *found]) == starts(found)
    assert [each.initialiser for each in starts(found)][:6] == ["shared"] * 6


def test_what_became_of_the_trained_seeds_stands_with_how_they_started(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=(HEAD, "conv"), arms=("torch-eager",), seeds=9, starts=9)
    found = folder.load(path)
    read = trainings.read(found.run, found.cells)
    told = outcomes(found.run, starts(found.cells), read)
    assert {outcome.training.workload for outcome in told} == {HEAD}
    rows = [
        (dead_start.state(outcome.start), outcome.training.seed, outcome.words) for outcome in told if outcome.start
    ]
    dead, alive = "never moved", "alive to the end"
    assert rows == [
        ("dead", 0, dead), ("dead", 3, dead), ("dead", 5, dead), ("dead", 8, dead),
        ("partly live", 2, alive), ("partly live", 4, alive),
        ("partly live", 7, "died after epoch 5"),
        ("live", 1, alive), ("live", 6, alive),
    ]  # fmt: skip
    unknown = outcomes(found.run, (), read)
    assert [outcome.start for outcome in unknown] == [None] * 9
    broken = dataclasses.replace(read[1], ended="diverged")
    assert dead_start.became(broken) == "diverged after epoch 10"


def test_accuracy_that_falls_while_the_loss_falls_is_found_in_the_published_curve() -> None:
    column = published_curve("conv.csv")
    assert column is not None
    found = contradiction(column["loss"].tolist(), column["acc"].tolist())
    assert found is not None
    assert (found.first, found.last, found.loss, found.accuracy) == (6, 10, (0.3455, 0.2356), (0.8653, 0.8052))
    assert contradiction(column["val_loss"].tolist(), column["val_acc"].tolist()) is None, "there the loss rises too"
    assert contradiction([0.5, 0.4], [0.6, 0.7]) is None
    assert contradiction([], []) is None
    assert contradiction([*LIVE_LOSS[:5], 0.1], [*LIVE_ACCURACY[:5], 0.5]) is not None


def test_a_training_without_an_epoch_is_told_of_too() -> None:
    assert dead_start.became(make_training([], ended="failed")) == "failed after epoch 0"
