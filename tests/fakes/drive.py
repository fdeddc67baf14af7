"""`bench` with small numbers and the stand-in parity gate, as a process: `python drive.py run …`."""

import sys

from impl_fake import parity

from bench.cli import main
from bench.estimate import Assumptions
from bench.execution import Setting
from bench.profiles import Profile

SETTING = Setting(
    profiles={
        "smoke": Profile("smoke", "", blocks=1, full_blocks=1, warmup_rounds=2, rounds=15, budget_s=None),
        "quick": Profile("quick", "", blocks=3, full_blocks=2, warmup_rounds=1, rounds=2, budget_s=600),
        "book": Profile("book", "", blocks=1, full_blocks=0, warmup_rounds=0, rounds=0, budget_s=None, converge=True),
    },
    assumptions=Assumptions(start_s=0.5, parity_s=0.2, flops_per_core=1e15, step_overhead_s=1e-5, time_step_s=0.0),
    parity_command=parity.command,
    least_limit_s=4.0,
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SETTING))
