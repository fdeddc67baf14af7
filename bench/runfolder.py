"""The folder of a run: made new or taken up again, locked against a second runner, checked before measuring."""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import caches, image, record
from bench.errors import UsageError
from bench.fleet.record import FILE

CACHE_SPACE_BYTES = 1_000_000_000  # prepared data and compile caches of one run, with room to spare
SAME = (
    "code_digest", "interpreters", "cpu", "cpu_budget", "cpu_quota", "memory_bytes", "memory_limit_bytes", "kernel",
    "cpu_governor", "cpu_boost", "gpus", "locks", "image",
)  # fmt: skip
"""What of the environment must not change within a run."""
MOUNT = (
    "mount a folder of yours and run as yourself: mkdir -p results && docker run --rm "
    '--user "$(id -u):$(id -g)" -v "$PWD/results:/results" …'
)
"""The cure in a container. Where the folder is missing, Docker makes it, and root owns it."""
RESULT_SPACE_BYTES = 50_000_000  # a quick run is about 5 MB; figures and another run's worth of room


def now() -> str:
    """UTC, ISO 8601, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id() -> str:
    """A run's name: sorts by time, unique."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def work_folder(run_id: str) -> Path:
    """Where a run keeps what is no result: prepared data, compile caches, what cells hand back.

    It is deleted with the run: a UsageError where the id, which may come from a file, would name another place.
    """
    if run_id in ("", ".", "..") or "/" in run_id or "\0" in run_id:
        raise UsageError(f"{run_id!r}: is no run's id; restore the run's folder from a copy")
    return caches.root() / "runs" / run_id


def check_writable(out: Path) -> None:
    """Raises a UsageError unless results can be written to `out` and working files to the cache."""
    _check_folder("--out", out, RESULT_SPACE_BYTES, MOUNT)
    check_cache()


def check_cache() -> None:
    """Raises a UsageError unless working files can be written to the cache; makes its folder."""
    _check_folder("BENCH_CACHE_DIR", caches.root(), CACHE_SPACE_BYTES, "start the container with --tmpfs /tmp:exec")


def _check_folder(name: str, folder: Path, needed: float, cure: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable-") as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        cure = cure if image.here() else "name a folder that can"
        raise UsageError(f"{name} {folder}: cannot be written ({error.strerror}); {cure}") from error
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"{name} {folder}: {free / 1e6:.0f} MB of disk are free, {needed / 1e6:.0f} MB needed; "
            "free some or name another folder"
        )


def create(out: Path, run: record.Run, name: str | None = None) -> Path:
    """Makes the run's folder with the plan in it: `out/<run id>`, or `out/name`."""
    folder = out / (name or run.id)
    folder.mkdir(exist_ok=name is not None)  # of a class whose record was never written
    for part in ("cells", "parity"):
        (folder / part).mkdir(exist_ok=name is not None)
    record.write(folder / "run.json", run)
    return folder


def find(run: str, out: Path) -> Path:
    """The folder that `--resume` or `bench report` names: a path, or an id under `out`."""
    if not run:
        raise UsageError("'': no run has an empty name; name a run's folder, or its id under --out")
    places = dict.fromkeys((Path(run), out / run))  # an absolute path is the same place twice
    for folder in places:
        try:
            if (folder / "run.json").is_file():
                return folder
        except PermissionError as error:
            cure = "let this user in, or run bench as its owner"
            raise UsageError(f"{folder}: cannot be entered ({error.strerror}); {cure}") from error
        except OSError as error:  # a name longer than any file's
            raise UsageError(f"{run[:40]}…: cannot be a folder ({error.strerror}); name a run's, or its id") from error
    for folder in places:
        if (folder / FILE).is_file():
            classes = ", ".join(sorted(path.parent.name for path in folder.glob("*/run.json"))) or "it has none yet"
            raise UsageError(f"{run}: is a fleet's run; name the folder in it of one of its classes: {classes}")
    missing = " and ".join(str(folder / "run.json") for folder in places)
    raise UsageError(f"{run}: no run there (looked for {missing}); name a run's folder, or its id under --out")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second runner out of the folder; the lock goes with the process, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY)  # the folder itself: no lock file to leave behind
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UsageError(f"{folder}: another bench is measuring into it; wait for it or start a new run") from error
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Takes away what a killed runner half wrote. Under the lock, and before anything writes here: parity processes
    and cells put their records under such names for a moment too."""
    for left in [*folder.glob(".*"), *folder.glob("*/.*")]:
        left.unlink()


def missing(folder: Path, run: record.Run) -> tuple[record.PlannedCell, ...]:
    """The planned cells without a file, in the order of the plan."""
    return tuple(cell for cell in run.plan if not (folder / "cells" / f"{cell.id}.json").exists())


def check_same(run: record.Run, workloads: Mapping[str, record.Workload], environment: Mapping[str, Any]) -> None:
    """Raises a UsageError naming what has changed since `run` began, so that its cells would not be comparable."""
    changed = _changed_data(run, workloads)
    for key in SAME:
        now, then = (json.loads(json.dumps(entry.get(key))) for entry in (environment, run.environment))
        if key == "image" and now and then and None in (now["id"], then["id"]):  # docker run does not tell it
            now, then = ({**image, "id": None, "digests": None} for image in (now, then))
        if now != then:
            changed.append(f"{key} is {now!r}, the run has {then!r}")
    _refuse(run, changed)


def check_same_data(run: record.Run, workloads: Mapping[str, record.Workload]) -> None:
    """Raises a UsageError naming what has changed of the workloads and their data since `run` began."""
    _refuse(run, _changed_data(run, workloads))


def _changed_data(run: record.Run, workloads: Mapping[str, record.Workload]) -> list[str]:
    changed = []
    for name, stored in run.workloads.items():
        found = workloads[name]
        if found.digest != stored.digest:
            changed.append(f"workload {name} has digest {found.digest}, the run has {stored.digest}")
        if found.data != stored.data:
            changed.append(f"the data of {name} is '{found.data.description}', the run has '{stored.data.description}'")
    return changed


def _refuse(run: record.Run, changed: list[str]) -> None:
    if changed:
        raise UsageError(f"--resume {run.id}: cannot be completed, {'; '.join(changed)}; start a new run")
