"""What a run leaves to its user: how to go on with it, and where its folder goes with the container, how to save it."""

import platform
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from bench import image, record
from bench.errors import UsageError
from bench.record import Cell, Parity, Run

PAGES = ("report.html", "report.md", "broken-head.html")
"""What a reader opens first."""
ROOT = Path("/")
MOUNT = '-v "$PWD/results:/results" --user "$(id -u):$(id -g)"'


def goes_with_container(folder: Path, root: Path = ROOT) -> bool:
    """Whether the folder lies in the container's own layer, or in memory, and in no folder of the host."""
    place = folder.resolve()
    found = ("/", "/", "overlay")
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        described, _, source = line.partition(" - ")
        part, escaped = described.split()[3:5]  # of the mounted file system: all of it, "/", or a folder bound here
        mount = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), escaped)
        if place.is_relative_to(mount) and len(mount) >= len(found[0]):  # a later mount covers an earlier one
            found = mount, part, source.split()[0]
    return found[0] == "/" or found[1:] == ("/", "tmpfs")


def pages(built: Iterable[Path]) -> list[str]:
    """Where the report is, a line for each of its pages; what a container calls a path is another one outside of it."""
    found = sorted((path for path in built if path.name in PAGES), key=lambda path: PAGES.index(path.name))
    lines = [f"report: {path}" for path in found]
    if found and image.here() is not None and not goes_with_container(folder := found[0].parent):
        lines.append(f"        in the container; outside, {folder.name} is in the folder mounted at {folder.parent}")
    return lines


def cautions(run: Run, cells: Sequence[Cell], folder: Path) -> list[str]:
    """What asks for caution, in one line that points to the report; none where nothing does."""
    found = doubts(run, cells, folder)
    return [f'caution: {"; ".join(found)}: see "Read this first" in the report'] if found else []


def doubts(run: Run, cells: Sequence[Cell], folder: Path) -> list[str]:
    """What asks for caution, in a few words each."""
    found = []
    failed, unreadable = _failed_parities(folder)
    for identity, words in (("synthetic", "synthetic data"), ("other", "another year's data")):
        named = [name for name, workload in run.workloads.items() if workload.data.identity == identity]
        found += [words + (f" ({', '.join(named)})" if len(named) < len(run.workloads) else "")] if named else []
    counts = (
        ("failed", sum(cell.status == "failed" for cell in cells)),
        ("not measured (holes)", sum(cell.status == "hole" for cell in cells)),
        ("tried again", sum(bool(cell.tries) for cell in cells)),
    )
    found += [f"{_count(failed, 'parity check')} failed"] if failed else []
    found += [f"{_count(unreadable, 'parity record')} unreadable"] if unreadable else []
    return found + [f"{_count(number, 'cell')} {what}" for what, number in counts if number]


def _failed_parities(folder: Path) -> tuple[int, int]:
    """How many parity records say so, and how many cannot be read: no reason to end a run without its report."""
    failed = unreadable = 0
    for path in sorted((folder / "parity").glob("*.json")):
        try:
            failed += not record.read(path, Parity).passed
        except UsageError:
            unreadable += 1
    return failed, unreadable


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def show(folder: Path, console: Console) -> None:
    """Prints the whole report and how to get the files out, where they would be lost otherwise."""
    if image.here() is None or not goes_with_container(folder):
        return
    report = folder / "report.md"
    if report.is_file():
        console.print(report.read_text(), highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(
        f"the files of this run are only in the container: {_copy(folder)} . gets them out, unless that was started "
        f"with --rm, or with the folder as --tmpfs; next time add {MOUNT} before the image, or --stream > run.tar "
        "behind it",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def resume(folder: Path) -> str:
    """How to go on with an interrupted run, as its user has to type it; empty where whoever started it tells."""
    if image.here() is None:
        return f"bench run --resume {shlex.quote(str(folder))}"
    if image.identity()["id"] is not None:  # by `bench image run`, which knows the folder's name on the host
        return ""
    again = f"behind the image's name: run --resume {shlex.quote(folder.name)}"
    if goes_with_container(folder):
        saved = f"mkdir -p results && {_copy(folder)} results (if the container is still there)"
        return f"{saved}, then the same docker run with {MOUNT} before the image's name, and {again}"
    return f"the same docker run, and {again}"


def stream(folder: Path) -> str:
    """Where a run is whose tar was not written whole, and how to get at it."""
    if image.here() is not None and goes_with_container(folder):
        return f"the run is only in the container: {_copy(folder)} . gets it out, unless that was started with --rm"
    return f"the run is kept; once more: bench report {shlex.quote(str(folder))} --stream > run.tar"


def _copy(folder: Path) -> str:
    """The command that copies the folder out of this container, up to the place it is copied to."""
    host = platform.node()
    container = host if re.fullmatch("[0-9a-f]{12}", host) else "CONTAINER"
    return f"docker cp {shlex.quote(f'{container}:{folder.resolve()}')}"
