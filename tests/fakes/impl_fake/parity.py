"""Stands in for the parity gate: `python -m impl_fake.parity WORKLOAD ARM DEVICE OUT PARENT`; fake-unequal fails it."""

import os
import signal
import sys
import tempfile
from pathlib import Path

from bench import catalogue, record
from bench.process import die_with_parent


def command(python: str, name: str, arm: str, device: str, out: Path, settings: dict[str, str]) -> list[str]:
    """Takes the place of bench.gate.parity_command."""
    return [python, "-P", "-m", "impl_fake.parity", name, arm, device, str(out), settings["parent"]]


def main(name: str, arm: str, device: str, out: Path, parent: int) -> int:
    """Writes a record and returns the exit code, as the gate does."""
    die_with_parent(parent)
    fifo = Path(tempfile.gettempdir(), "fake-parity.fifo")
    if fifo.exists():  # a test wants it to hang, and its number
        fifo.write_text(str(os.getpid()))
        signal.pause()
    passed = arm != "fake-unequal"
    verdict = record.Parity(
        schema=record.SCHEMA,
        id=out.stem,
        workload=name,
        arm=arm,
        device=device,
        digest=catalogue.load(name).digest(),
        passed=passed,
        reason=None if passed else "float64 gradient conv1.kernel: error 0.5, bound 1e-9",
        checks=(),
        notes=(),
        wall_s=0.0,
    )
    record.write(out, verdict)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), int(sys.argv[5])))
