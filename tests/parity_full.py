"""Every arm against the reference in full length, with every head, gate and optimiser: `tox -e proofs`."""

import os
import subprocess

import pytest

from bench import catalogue, record
from bench.gate import parity_command
from bench.implementation import arms
from bench.interpreters import interpreter


def variants(name: str) -> list[str]:
    """The workload's key, and one with each of its other settings."""
    spec = catalogue.load(name)
    settings = [f"head-{head}" for head in spec.heads if head != spec.head]
    if spec.masks(1):
        settings.append("gate-hard_sigmoid")
    if name == "conv":
        settings.append("optimizer-book")  # where it meets both kinds of gradient, an embedding's and a kernel's
    return [name, *(f"{name}.{setting}" for setting in settings)]


CASES = [(key, arm) for name in catalogue.names() for key in variants(name) for arm in arms()]


@pytest.mark.parametrize(("key", "arm"), CASES, ids=lambda value: str(value))
def test_an_arm_computes_what_the_reference_computes(key, arm, tmp_path):
    out = tmp_path / f"{key}.{arm}.cpu.json"
    own = {name: value.format(cache=tmp_path, threads=1) for name, value in arms()[arm].environment.items()}
    environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [*parity_command(interpreter(arms()[arm].framework), key, arm, "cpu", out, {}), "--full"]
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert record.read(out, record.Parity).passed
