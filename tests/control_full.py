"""Ten runs of a real arm against itself, about 20 minutes: `tox -e proofs`. Keep the machine to them.

A run that a choked machine left too few blocks for a verdict proves nothing: another one is added, three at the most.
Whatever such a run says counts all the same.
"""

import harness
import pytest

from bench import effects

RUNS, ADDED = 10, 3


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[effects.Effect]:
    effect_of: list[effects.Effect] = []
    for number in range(RUNS + ADDED):
        if len(_whole(effect_of)) == RUNS:
            break
        folder = tmp_path_factory.mktemp("control")
        words = ["--workload", "conv_only", "--arm", "torch-eager", "--data", "synthetic", "--seed", str(number)]
        process = harness.start_real(folder, "run", *words, "--budget", "110s")
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
        noise = effects.effect(*harness.control_steps(harness.only_run(folder)))
        assert noise is not None
        effect_of.append(noise)
        print(f"seed {number}: {noise.ratio:.3f} [{noise.low:.3f}, {noise.high:.3f}], {noise.blocks} blocks,", end=" ")
        print(effects.verdict(noise))
    return effect_of


def _whole(found: list[effects.Effect]) -> list[effects.Effect]:
    return [noise for noise in found if noise.blocks >= effects.FIRST_LOOK]


def test_at_most_one_of_ten_runs_finds_an_arm_faster_or_slower_than_itself(found):
    verdicts = [effects.verdict(noise) for noise in found]
    # Of ten 95 % intervals, two or more miss with a probability of 9 %; the issue asks for no more than one.
    assert sum(verdict in ("FASTER", "SLOWER") for verdict in verdicts) <= 1


def test_ten_runs_have_the_blocks_that_a_verdict_needs(found):
    assert len(_whole(found)) == RUNS
