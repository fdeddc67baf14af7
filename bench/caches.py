"""Where the suite keeps what is no result: downloads, prepared data, compiled kernels, temporary files."""

import functools
import os
import tempfile
from pathlib import Path

import platformdirs

from bench import image
from bench.errors import MachineError

TEMPORARY_CURE = "set TMPDIR to a folder that can be written (in a container: start it with --tmpfs /tmp:exec)"


def root() -> Path:
    """`BENCH_CACHE_DIR`, else the user's cache folder; in an image the first of its places that will do."""
    named = os.environ.get("BENCH_CACHE_DIR")
    if named:
        return Path(named).absolute()
    if image.here() is None:
        return Path(platformdirs.user_cache_dir("bench")).absolute()
    return in_image()


@functools.cache
def in_image(places: tuple[Path, ...] = image.CACHES) -> Path:
    """The first place that can be written and holds programs that run; else the first that can be written."""
    usable = [place for place in places if _writable(place)]
    return next((place for place in usable if not noexec(place)), usable[0] if usable else places[-1])


def nearest(folder: Path) -> Path:
    """The folder, else the nearest one above it that this user can see."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if os.access(path, os.F_OK))


def noexec(folder: Path) -> bool:
    """Whether nothing in the folder, which need not be there yet, can be run or loaded as code."""
    return bool(os.statvfs(nearest(folder)).f_flag & os.ST_NOEXEC)


def kernel_problem() -> str | None:
    """Why compiled code that is put into the cache cannot be run, with the cure; None when it can."""
    folder = root()
    if not noexec(folder):
        return None
    return (
        f"{folder} is mounted noexec, so that compiled kernels in it cannot run; set BENCH_CACHE_DIR to a folder that "
        "allows it (in a container: start it with --tmpfs /tmp:exec)"
    )


def require_temporary() -> None:
    """Raises a MachineError, one line with the cure, where there is no folder for temporary files."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise MachineError(f"no folder for temporary files can be written; {TEMPORARY_CURE}") from error


def _writable(folder: Path) -> bool:
    there = nearest(folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
