"""Every arm against the reference in full length, with every head and gate: `tox -e proofs`, about half an hour."""

import itertools
import os
import subprocess

import pytest

from bench import record, workload
from bench.implementation import arms
from bench.interpreters import interpreter


def variants(name: str) -> list[list[str]]:
    spec = workload.load(name)
    heads = [["--head", head] if head != spec.head else [] for head in spec.heads or [None]]
    gates = [[], ["--gate", "hard_sigmoid"]] if spec.masks(1) else [[]]
    return [head + gate for head, gate in itertools.product(heads, gates)]


CASES = [(name, arm, options) for name in workload.names() for options in variants(name) for arm in arms()]


@pytest.mark.parametrize(("name", "arm", "options"), CASES, ids=lambda value: str(value))
def test_an_arm_computes_what_the_reference_computes(name, arm, options, tmp_path):
    out = tmp_path / f"{name}.{arm}.cpu.json"
    own = {name: value.format(cache=tmp_path, threads=1) for name, value in arms()[arm].environment.items()}
    environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [interpreter(arms()[arm].framework), "-m", "bench.parity", "--full", "--workload", name, "--arm", arm]
    command += [*options, "--out", str(out)]
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert record.read(out, record.Parity).passed
