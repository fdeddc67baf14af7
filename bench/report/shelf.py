"""The runs that lie side by side in one folder, and those of them that cannot be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import history
from bench.errors import UsageError
from bench.fleet.record import FILE
from bench.history import Entry
from bench.report.folder import load

REPORTS = ("report.html", "report.md")


@dataclass(frozen=True)
class Listed:
    """A run, and what the table of runs says of it beside its times."""

    folder: str
    """Name of its folder."""
    entry: Entry
    ok: int
    """So many of its planned cells were measured."""
    failed: int
    set_aside: int
    report: str | None
    """Name of its report in the folder; None: it has none."""


@dataclass(frozen=True)
class LeftOut:
    """A folder that no line of the history is made from."""

    folder: str
    reason: str


def read(folder: Path) -> tuple[list[Listed], list[LeftOut]]:
    """Every run once, in the order of the folders' names, and what is left out.

    Raises a UsageError where there is neither, and where the folder cannot be read.
    """
    listed: dict[str, Listed] = {}
    left_out = []
    for place in _places(folder):
        try:
            found = _listed(place)
        except UsageError as error:
            left_out.append(LeftOut(place.name, str(error).replace(f"{place}/", "")))
            continue
        first = listed.setdefault(found.entry.run.id, found)
        if first is not found:
            left_out.append(
                LeftOut(place.name, f"is run {found.entry.run.id} again, as in {first.folder}; counts once")
            )
    if not listed and not left_out:
        raise UsageError(
            f"{folder}: neither a run nor a folder of runs (no run.json in it, and none in the folders in it); name a "
            "run's folder, its id under --out, or the folder that holds runs"
        )
    return list(listed.values()), left_out


def _places(folder: Path) -> Iterator[Path]:
    try:
        for place in sorted(folder.iterdir()):
            try:
                if (place / "run.json").is_file() or _is_fleet(place):
                    yield place
            except PermissionError:
                yield place  # what it holds cannot be told: reading it will say so
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror}); let this user in") from error


def _is_fleet(place: Path) -> bool:
    try:
        return (place / FILE).is_file()
    except PermissionError:
        return False  # reading it will say so


def _listed(place: Path) -> Listed:
    """One run; its cells are let go of, only their figures stay."""
    if _is_fleet(place):
        raise UsageError("a fleet's run: its own report.html holds its classes side by side")
    found = load(place)
    planned = {cell.id for cell in found.run.plan}
    return Listed(
        place.name,
        history.entry(found.run, found.everything),
        ok=sum(cell.status == "ok" and cell.id in planned for cell in found.everything),
        failed=sum(cell.status == "failed" for cell in found.everything),
        set_aside=len(found.set_aside),
        report=next((name for name in REPORTS if (place / name).is_file()), None),
    )
