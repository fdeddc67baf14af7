"""Many runs on one page: what has changed for good, the trend of every step time on each machine, a table of the runs.

`index.md`, `index.html` and `trends/` in the folder that holds the runs; the same runs give the same bytes. The runs
themselves, and their reports, are left as they are.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import history, record
from bench.errors import UsageError
from bench.history import Machine
from bench.report import index_page, page, style, trends
from bench.report.figures import Drawing
from bench.report.frames import to_csv
from bench.report.shelf import read

TITLE = "Runs"


def asked(name: str, out: Path) -> bool:
    """Whether `bench report` is to make an index: `name` is a folder, and no run by its path or its id under `out`."""
    try:
        a_run = any((place / name / "run.json").is_file() for place in (Path(), out))
        return bool(name) and Path(name).is_dir() and not a_run
    except OSError:
        return False  # looking for the run will say so


def build(folder: Path) -> list[Path]:
    """Writes the index of the runs in the direct subfolders of `folder`; returns the paths of its files.

    A run that cannot be read is listed with the reason. Raises a UsageError where there is no run at all, and where the
    folder cannot be read or written.
    """
    listed, left_out = read(folder)
    machines = history.machines(run.entry for run in listed)
    drawings = _drawings(machines)
    blocks = index_page.blocks(listed, left_out, machines, {key: each.path for key, each in drawings.items()})
    by_path = {each.path: each for each in drawings.values()}
    files = {"index.md": ("\n\n".join([f"# {TITLE}", *blocks]) + "\n").encode()}
    files["index.html"] = page.document(TITLE, blocks, by_path)
    files |= {each.path: each.svg for each in by_path.values()} | {each.csv_path: each.csv for each in by_path.values()}
    return _write(folder, files)


def _drawings(machines: Sequence[Machine]) -> Mapping[tuple[int, int], Drawing]:
    """By the numbers of machine and series, both from 0; of series of two runs or more."""
    arms = dict.fromkeys(arm for machine in machines for series in machine.series for arm in series.trends)
    looks, found = style.looks(arms), {}
    with style.context():
        for number, machine in enumerate(machines):
            for place, series in enumerate(machine.series):
                if len(series.entries) < 2:
                    continue
                name = f"machine-{number + 1}-{_plain(series.workload)}-{_plain(series.device)}"
                name += f"-{series.number}" if series.number > 1 else ""
                found[number, place] = Drawing(
                    name,
                    index_page.caption(number, series),
                    f"trends/{name}.svg",
                    style.svg(trends.draw(series, number + 1, looks)),
                    to_csv(trends.data(series)),
                )
    return found


def _plain(name: str) -> str:
    """A workload or device as part of a file name; for one that cannot be, its hash."""
    return name if re.fullmatch(r"[A-Za-z0-9_]{1,60}", name) else hashlib.sha256(name.encode()).hexdigest()[:8]


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    kept = folder / "trends"
    try:
        if any(name.startswith("trends/") for name in files):
            kept.mkdir(exist_ok=True)
        for name, content in files.items():
            record.write_bytes(folder / name, content)
        for left in kept.glob("machine-*-*.*"):  # of runs that are no longer here
            if f"trends/{left.name}" not in files:
                left.unlink()
    except OSError as error:
        raise UsageError(
            f"{folder}: the index cannot be written there ({error.strerror}); free it or copy the runs"
        ) from error
    return [folder / name for name in sorted(files)]
