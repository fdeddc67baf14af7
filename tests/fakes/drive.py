"""`bench` with small numbers and the stand-in parity gate, as a process: `python drive.py run …`."""

import os
import sys

from impl_fake import doctor, parity

import bench.doctor
from bench.cli import main
from bench.estimate import Assumptions
from bench.execution import Patience, Setting
from bench.profiles import Profile

BLOCKS = tuple(map(int, os.environ.get("FAKE_BLOCKS", "3-5").split("-")))
"""At least and at most so many."""
SETTING = Setting(
    profiles={
        "smoke": Profile("smoke", "", blocks=1, most_blocks=1, full_blocks=1, rounds=17, budget_s=None),
        "quick": Profile("quick", "", blocks=BLOCKS[0], most_blocks=BLOCKS[1], full_blocks=2, rounds=3, budget_s=600),
        "book": Profile("book", "", 1, most_blocks=1, full_blocks=0, rounds=0, budget_s=None, converge=True),
    },
    assumptions=Assumptions(start_s=0.5, parity_s=0.2, flops_per_core=1e15, step_overhead_s=1e-5, time_step_s=0.0),
    parity_command=parity.command,
    least_limit_s=float(os.environ.get("FAKE_LIMIT_S", "7")),
    patience=Patience(
        poll_s=0.2,
        nodes_s=0.5,
        calm_s=3.0,
        return_s=float(os.environ.get("FAKE_RETURN_S", "30")),
        disturbed=int(os.environ.get("FAKE_DISTURBED", "1000000")),
    ),
    look=bench.doctor.look if os.environ.get("FAKE_LOOKS") else doctor.look,
    data_limit_bytes=1_500_000_000,  # what a fake arm's NumPy needs, twice, and far below what any machine has
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SETTING))
