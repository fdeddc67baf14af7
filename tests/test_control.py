"""The A/A control on a real arm: measured like any other pair, and printed as this machine's noise."""

import math

import harness
import pytest

from bench import effects


@pytest.mark.proof  # 100 s of measuring
def test_a_real_run_measures_an_arm_against_itself_and_prints_the_interval(tmp_path):
    words = ["--workload", "conv_only", "--arm", "torch-eager", "--data", "synthetic", "--budget", "100s"]
    process = harness.start_real(tmp_path, "run", *words)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    run = harness.only_run(tmp_path)
    assert harness.stored(run).control == "torch-eager"
    noise = effects.effect(*harness.control_steps(run))
    assert noise is not None
    assert noise.blocks >= 2  # what 100 s hold on any machine that trains these models at all
    assert 0 < noise.low <= noise.ratio <= noise.high < math.inf
    report = (run / "report.md").read_text()
    assert "torch-eager against itself" in report
    assert f"{noise.blocks} blocks" in report
    assert "torch-eager (a2)" in output
