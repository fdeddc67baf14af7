"""Where real data is looked for: one folder, or the cache and the places of an image."""

from pathlib import Path

from bench import image
from bench.data import imdb, jena
from bench.data.files import unreadable
from bench.workload import Reviews, Workload

MOST_NAMES = 5


def find(folder: Path, workload: Workload) -> Path | None:
    """The workload's real data file in a folder; None where there is none. A UsageError where it may not be entered."""
    try:
        if isinstance(workload.data, Reviews):
            path = folder / imdb.NAME
            return path if path.exists() else None
        return jena.find(folder, workload)
    except PermissionError as error:
        raise unreadable(folder, error, f"the data of workload '{workload.name}' in it") from error


def places(cache: Path) -> tuple[Path, ...]:
    """The folders, in order, when none is named."""
    if image.here() is None:
        return (cache,)
    mounted, *baked_in = image.DATA
    return (mounted, cache, *baked_in)


def found(workload: Workload, cache: Path) -> Path | None:
    """The workload's real data file in the first of the places that has it; None where none has."""
    return next((path for folder in places(cache) if (path := find(folder, workload))), None)


def words(cache: Path) -> str:
    """The places in words; what the image's hold instead."""
    told = []
    for folder in places(cache):
        names = "" if folder == cache else held(folder)
        told.append(f"{folder} (which holds {names})" if names else str(folder))
    return " or ".join(filter(None, (", ".join(told[:-1]), told[-1])))


def held(folder: Path) -> str:
    """Names of the first few entries; empty where there is nothing."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".") if folder.is_dir() else []
    except PermissionError:
        return "what this user may not list"
    return f"{', '.join(names[:MOST_NAMES])}{' …' * (len(names) > MOST_NAMES)}"


def cure() -> str:
    """How to bring the data."""
    if image.here():
        return f"mount a folder that holds it with -v DIR:{image.DATA[0]}:ro"
    return "name a folder that holds it with --data-dir"
