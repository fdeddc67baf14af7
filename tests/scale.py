"""How long a large run takes to load and to report, measured in processes of their own."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.report import loaded

GIB = 2**30
BUILD = """
import json, sys, time
from pathlib import Path
from bench import report

start_s = time.perf_counter()
report.build(Path(sys.argv[1]))
seconds = time.perf_counter() - start_s
# not ru_maxrss, in which the peak of the process that started this one lives on
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(json.dumps({"seconds": seconds, "peak_bytes": int(peak.split()[1]) * 1024}))
"""


@dataclass(frozen=True)
class Built:
    """What `bench report` took, imports left out of the time and in the memory."""

    seconds: float
    peak_bytes: int


def load_s(folder: Path, cells: int) -> float:
    """Best of five: whatever else the machine does can only make a load longer. Importing pandas is not in it."""
    assert loaded is not None
    took_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        found = bench.load_run(folder)
        took_s.append(time.perf_counter() - start_s)
        assert len(found.cells) == cells
        assert len(found.measurements) > 36 * cells
    return min(took_s)


def build(folder: Path) -> Built:
    """Once, in a process of its own; an error in it is this one's too."""
    done = subprocess.run([sys.executable, "-c", BUILD, str(folder)], check=True, capture_output=True, text=True)
    return Built(**json.loads(done.stdout))
