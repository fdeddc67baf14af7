import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from make_book import NAIVE, make_judged
from make_training import make_training

from bench import record
from bench.judgement import claims, evidence
from bench.judgement.claims import CLAIMS, Judgement
from bench.judgement.trainings import Training, Untried

SERIES = ("conv_only", "conv_gru", "gru")
FAR, NEAR = 0.03, 0.002
"""Differences of three margins and of a fifth of one."""
SHAKES = (-0.001, 0.0, 0.0012)
"""Of three seeds, around a value: a scatter far below the margin."""


def run(identity: str = "equivalent", names: Sequence[str] = ("conv", "lstm", *SERIES)) -> record.Run:
    return record.Run(
        schema=record.SCHEMA, id="simulated", started="", command=(), profile="book", device="cpu", seed=0,
        budget_s=None, arms={}, workloads={name: make_judged(name, identity) for name in names}, plan=(),
        environment={},
    )  # fmt: skip


def trained(name: str, best: float, shakes: Sequence[float] = SHAKES, epochs: int = 10, **given: Any) -> list[Training]:
    """A training for every shake: best in the middle, a little worse everywhere else."""
    metric = "loss" if name in SERIES else "accuracy"
    worse = 0.004 if metric == "loss" else -0.004
    return [
        make_training(
            [best + shake + worse * abs(epoch - epochs // 2) for epoch in range(epochs)],
            workload=name, metric=metric, **({"seed": seed} | given),
        )
        for seed, shake in enumerate(shakes)
    ]  # fmt: skip


def judged(
    number: int, *trainings: Sequence[Training], of: record.Run | None = None, device: str = "cpu", variant: str = ""
) -> Judgement:
    found = claims.judge(of or run(), [training for group in trainings for training in group])
    mine = (each for each in found if (each.claim.number, each.claim.variant) == (number, variant))
    return next(each for each in mine if each.device in (None, device))


CASES: list[tuple[int, list[tuple[str, float, dict[str, Any]]], str]] = [
    (1, [("conv", 0.86, {}), ("lstm", 0.86 + FAR, {})], "CONFIRMED"),
    (1, [("conv", 0.86, {}), ("lstm", 0.86 - FAR, {})], "REFUTED"),
    (1, [("conv", 0.86, {}), ("lstm", 0.86 + NEAR, {})], "REFUTED"),
    (1, [("conv", 0.86, {}), ("lstm", 0.868, {"shakes": (-0.01, 0.0, 0.01)})], "UNRESOLVED"),
    (1, [("conv", 0.86, {}), ("lstm", 0.86 + FAR, {"shakes": (0.0,)})], "UNRESOLVED"),
    (1, [("conv", 0.86, {})], "NOT MEASURED"),
    (1, [("conv", 0.86, {"arm": "a"}), ("lstm", 0.9, {"arm": "b"})], "NOT MEASURED"),
    (2, [("conv", 0.86, {"epoch_s": 3.0}), ("lstm", 0.86, {"epoch_s": 30.0})], "CONFIRMED"),
    (2, [("conv", 0.86, {"epoch_s": 30.0}), ("lstm", 0.86, {"epoch_s": 3.0})], "REFUTED"),
    (3, [("conv_only", NAIVE + FAR, {})], "CONFIRMED"),
    (3, [("conv_only", NAIVE - NEAR, {"shakes": (-0.004, 0.0, 0.004)})], "UNRESOLVED"),
    (3, [("conv_only", NAIVE, {})], "CONFIRMED"),
    (3, [("conv_only", NAIVE - FAR, {})], "REFUTED"),
    (3, [("conv_only", NAIVE + FAR, {"shakes": (0.0, 0.0)})], "UNRESOLVED"),
    (4, [("conv_gru", NAIVE - FAR, {}), ("conv_only", NAIVE + FAR, {})], "CONFIRMED"),
    (4, [("conv_gru", NAIVE + FAR, {}), ("conv_only", NAIVE + 2 * FAR, {})], "REFUTED"),
    (4, [("conv_gru", NAIVE - FAR, {})], "UNRESOLVED"),
    (5, [("conv_gru", 0.28, {"epoch_s": 5.0}), ("gru", 0.25, {"epoch_s": 50.0})], "CONFIRMED"),
    (5, [("conv_gru", 0.25, {"epoch_s": 5.0}), ("gru", 0.28, {"epoch_s": 50.0})], "REFUTED"),
    (5, [("conv_gru", 0.28, {"epoch_s": 50.0}), ("gru", 0.25, {"epoch_s": 60.0})], "REFUTED"),
]


@pytest.mark.parametrize(("number", "made", "verdict"), CASES)
def test_a_claim_is_judged_as_declared(number: int, made: Any, verdict: str) -> None:
    found = judged(number, *(trained(name, best, **given) for name, best, given in made))
    assert found.verdict == verdict
    assert found.line == verdict, "the data is the book's"
    measured = [part for part in found.parts if part.estimate is not None]
    assert bool(measured) == (verdict != "NOT MEASURED")
    for part in measured:
        assert part.arms == ("a",)
        assert all(part.seeds)


LOGITS, PUBLISHED = ("conv", "with logits"), ("conv.head-as_published", "as published")


def with_eighth(value: float, shake: float, seed: int, workload: str = "conv") -> Training:
    values = [0.80 + shake] * 7 + [value + shake, 0.86 + shake, 0.8 + shake]
    return make_training(values, seed=seed, workload=workload)


@pytest.mark.parametrize(("workload", "variant"), [LOGITS, PUBLISHED])
@pytest.mark.parametrize(("eighth", "verdict"), [(0.858, "CONFIRMED"), (0.82, "REFUTED")])
def test_eight_epochs_are_right_if_stopping_there_costs_less_than_the_margin(
    eighth: float, verdict: str, workload: str, variant: str
) -> None:
    of = run(names=(workload,))
    trainings = [with_eighth(eighth, shake, seed, workload) for seed, shake in enumerate(SHAKES)]
    found = judged(6, trainings, of=of, variant=variant)
    assert found.verdict == verdict
    assert "best epochs: 9, 9, 9; 8 does not lie among them" in found.notes
    assert judged(6, trainings[:1], of=of, variant=variant).verdict == "UNRESOLVED", "one seed"
    short = [make_training([0.8, 0.9], seed=seed, workload=workload) for seed in range(3)]
    assert judged(6, short, of=of, variant=variant).verdict == "NOT MEASURED"
    diverged = make_training([0.8], seed=9, ended="diverged", workload=workload)
    assert judged(6, [*trainings, diverged], of=of, variant=variant).verdict == "UNRESOLVED"


def test_each_head_has_its_own_verdict_on_the_eight_epochs_and_no_dead_seed_has_a_say() -> None:
    of = run(names=("conv", PUBLISHED[0]))
    logits = [with_eighth(0.82, shake, seed) for seed, shake in enumerate(SHAKES)]
    published = [with_eighth(0.858, shake, seed, PUBLISHED[0]) for seed, shake in enumerate(SHAKES)]
    published += [make_training([0.5] * 10, seed=seed, workload=PUBLISHED[0], dead=True) for seed in (14, 10)]
    verdicts = {variant: judged(6, logits, published, of=of, variant=variant) for _, variant in (LOGITS, PUBLISHED)}
    assert {variant: found.verdict for variant, found in verdicts.items()} == {
        "with logits": "REFUTED",
        "as published": "CONFIRMED",
    }
    assert verdicts["as published"].notes == (
        "left out: dead seeds 14, 10, for which no number of epochs is right or wrong",
        "best epochs: 9, 9, 9; 8 does not lie among them",
    )
    assert verdicts["as published"].parts[0].seeds == (3,)


@pytest.mark.parametrize(
    ("only", "gru", "verdict"), [(1.05, 1.6, "CONFIRMED"), (1.3, 1.6, "REFUTED"), (1.05, 1.1, "REFUTED")]
)
def test_blindness_to_order_is_judged_from_the_shuffled_validation_set(only: float, gru: float, verdict: str) -> None:
    def shuffled(name: str, factor: float, permutations: int = 2) -> list[Training]:
        made = []
        for each in trained(name, NAIVE - FAR):
            best = each.points[each.best_epoch - 1].validation["loss"]
            costs = tuple({"loss": best * (factor + shake)} for shake in (-0.01, 0.01)[:permutations])
            made.append(dataclasses.replace(each, tested=record.Tested(each.best_epoch, {}, 1.0, costs)))
        return made

    found = judged(7, shuffled("conv_only", only), shuffled("conv_gru", gru))
    assert found.verdict == verdict
    assert f"conv_only, of every training, over 2 permutations: {only:.2f}, {only:.2f}, {only:.2f}" in found.notes
    assert not any("without skill" in note for note in found.notes), "they beat it"
    unshuffled = judged(7, shuffled("conv_only", only, permutations=0), shuffled("conv_gru", gru, permutations=0))
    assert unshuffled.verdict == "NOT MEASURED"


def test_blindness_to_order_of_models_that_do_not_beat_the_naive_forecast_is_told_with_that() -> None:
    made = []
    for each in trained("conv_only", NAIVE + FAR):
        best = each.points[each.best_epoch - 1].validation["loss"]
        made.append(dataclasses.replace(each, tested=record.Tested(each.best_epoch, {}, 1.0, ({"loss": best},))))
    no_skill = "no training of conv_only beats the naive forecast: a model without skill may be blind to order for that"
    assert no_skill in judged(7, made).notes
    better = [*made[1:], dataclasses.replace(made[0], values=(NAIVE - FAR, *made[0].values[1:]))]
    assert no_skill not in judged(7, better).notes


def test_several_arms_of_a_seed_are_one_seed_and_only_arms_of_both_sides_count() -> None:
    conv = [each for arm in "abc" for each in trained("conv", 0.86, arm=arm)]
    conv += trained("conv", 0.2, shakes=(0.0,), arm="alone", seed=77)
    lstm = [each for arm in "abc" for each in trained("lstm", 0.86 + FAR, arm=arm)]
    (part,) = judged(1, conv, lstm).parts
    assert part.arms == ("a", "b", "c")
    assert part.estimate is not None
    assert (part.estimate.seeds, part.estimate.value) == (3, pytest.approx(FAR))


def test_five_arms_of_one_seed_decide_nothing() -> None:
    both = [[each for arm in "abcde" for each in trained(name, best, shakes=(0.0,), arm=arm)]
            for name, best in (("conv", 0.8), ("lstm", 0.9))]  # fmt: skip
    found = judged(1, *both)
    assert (found.verdict, found.parts[0].note) == ("UNRESOLVED", "no interval of fewer than 3 seeds")


def test_the_claim_about_devices_is_judged_on_each_and_arms_must_agree() -> None:
    conv = [each for arm in "ab" for each in trained("conv", 0.8, arm=arm, epoch_s=3.0)]
    lstm = trained("lstm", 0.8, arm="a", epoch_s=30.0) + trained("lstm", 0.8, arm="b", epoch_s=1.0)
    assert judged(2, conv, lstm).verdict == "UNRESOLVED"
    gpu = judged(2, conv, lstm, device="gpu")
    assert gpu.verdict == "NOT MEASURED"
    assert gpu.notes[0] == "conv was not trained on the gpu, nor planned in this run"


def test_a_time_of_a_single_training_is_decided_only_where_no_drift_could_turn_it() -> None:
    conv = trained("conv", 0.8, shakes=(0.0,), epoch_s=10.0)
    for lstm_s, verdict in ((100.0, "CONFIRMED"), (14.0, "UNRESOLVED"), (5.0, "REFUTED"), (9.0, "UNRESOLVED")):
        lstm = trained("lstm", 0.8, shakes=(0.0,), epoch_s=lstm_s)
        assert judged(2, conv, lstm).verdict == verdict


def test_censored_trainings_stay_in_and_may_take_the_verdict_away() -> None:
    conv, lstm = trained("conv", 0.86), trained("lstm", 0.86 + FAR)
    broken = make_training([0.6], workload="lstm", seed=9, ended="diverged")
    found = judged(1, conv, [*lstm, broken])
    assert found.verdict == "UNRESOLVED"
    assert "lstm.a.cpu.s9 (diverged)" in found.parts[0].note
    late = make_training([0.6, 0.88], workload="lstm", seed=9, ended="failed")
    held = judged(1, conv, [*lstm, late])
    assert held.verdict == "CONFIRMED", "wherever it would have ended, it is far above"
    assert "the verdict holds" in held.parts[0].note
    none = [make_training([], workload="lstm", seed=seed, ended="failed") for seed in range(3)]
    lost = judged(1, conv, none)
    assert (lost.verdict, lost.parts[0].estimate) == ("UNRESOLVED", None)


def test_a_claim_judged_on_other_or_synthetic_data_says_so_in_its_verdict() -> None:
    for identity in ("other", "synthetic", "genuine"):
        found = judged(3, trained("conv_only", NAIVE + FAR, identity=identity), of=run(identity))
        said = "" if identity == "genuine" else f", on {identity} data, which is not the book's"
        assert found.line == f"CONFIRMED{said}"
        assert found.identity == (identity,)


def test_what_was_not_trained_is_named_with_its_reason() -> None:
    left = [Untried("lstm.a.cpu.s0", "lstm", "a", "cpu", 0, "budget spent")]
    found = claims.judge(run(names=("conv",)), trained("conv", 0.86), left)[0]
    assert (found.verdict, found.notes) == ("NOT MEASURED", ("lstm was not trained: budget spent",))
    nothing = claims.judge(run(), [])
    assert {each.verdict for each in nothing} == {"NOT MEASURED"}
    assert [(each.claim.number, each.device) for each in nothing][:3] == [(1, None), (2, "cpu"), (2, "gpu")]
    assert len(nothing) == len(CLAIMS) + 1


def test_the_text_on_conv_only_is_held_against_its_own_output() -> None:
    """From the published file: 0.4521 is its lowest validation loss, 0.5024 its highest, and no epoch is below 0.45."""
    note = judged(3, trained("conv_only", 0.46)).notes[0]
    assert "from 0.452 to 0.502, 0 of 20 epochs below 0.45; ours, best epochs: 0.459, 0.460, 0.461" in note


def test_as_published_trainings_decide_no_claim() -> None:
    broken = [make_training([0.506] * 10, workload="conv.head-as_published", seed=seed, dead=True) for seed in range(3)]
    found = claims.judge(run(names=("conv",)), broken)
    assert {each.verdict for each in found} == {"NOT MEASURED"}


def test_verdicts_of_the_same_truth_over_many_simulated_runs_are_rarely_wrong() -> None:
    """At a true difference of 0, 1 in 40 intervals lie above; three standard deviations of 1000 trials are allowed."""
    draw, wrong = np.random.default_rng(2), 0
    for _ in range(1000):
        a, b = draw.normal(0.86, 0.004, (2, 3)).tolist()
        wrong += evidence.decide(evidence.intervals.difference(a, b), 0.0, 0.0) == "CONFIRMED"
    assert wrong / 1000 <= 0.025 + 3 * (0.025 * 0.975 / 1000) ** 0.5


def test_every_constant_that_decides_stands_in_the_words() -> None:
    words = {claim.number: claim.decides for claim in CLAIMS}
    assert str(claims.SIGNIFICANTLY) in words[5]
    assert str(claims.CHOSEN) in words[6]
    assert str(claims.LITTLE) in words[7]
    assert str(claims.MUCH) in words[7]
