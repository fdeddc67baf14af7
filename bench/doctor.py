"""`bench doctor`: what this machine is, which arms can run on it, and a one-line cure for what is missing."""

import shutil
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import environment, gpu, implementation, interpreters, probe, runfolder
from bench.errors import BenchError


def examine(device: str, out: Path, console: Console) -> None:
    """Prints everything there is to say; a MachineError, and nothing else, when `device` cannot be used.

    Arms that cannot run are holes with their cure, not an error: what asks may be about to install them.
    """
    if device == "gpu":
        gpu.require()
    found = environment.describe()
    facts = Table("machine", "", show_header=False)
    for name, value in found.items():
        facts.add_row(name, _shown(name, value))
    facts.add_row("C++ compiler", escape(probe.compiler_problem() or "works"))
    for name, folder in (("space for results", out), ("space for caches", runfolder.cache_root())):
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        facts.add_row(name, escape(f"{shutil.disk_usage(there).free / 1e9:.1f} GB in {folder}"))
    console.print(facts)

    arms = Table("arm", "tier", "versions", f"on {device}")
    for name, arm in implementation.arms().items():
        try:
            reason = interpreters.hole(arm, device)
            versions = ", ".join(
                f"{package} {version}" for package, version in interpreters.summary(arm.framework).items()
            )
        except BenchError as error:
            reason, versions = str(error), ""
        arms.add_row(name, arm.tier, versions, "ready" if reason is None else escape(f"hole: {reason}"))
    console.print(arms)


def _shown(name: str, value: object) -> str:
    if value is None:
        return "none" if name.endswith("problem") else "unknown"
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 2**30:.1f} GiB"
    return escape(str(value))
