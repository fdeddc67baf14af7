"""The data sets as NumPy arrays: the same bytes, in the same batches, in the same order, for every arm.

`load` and `prepare` import what reads and downloads files only when called: a cell opens prepared data without it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from bench.data.prepared import open_saved, save
from bench.data.windows import Dataset
from bench.workload import Workload

__all__ = ["Kind", "load", "open_saved", "prepare", "save"]

Kind = Literal["auto", "real", "synthetic"]


def _to_screen(line: str) -> None:
    print(line, file=sys.stderr)


def load(
    workload: Workload,
    kind: Kind = "auto",
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    cache: Path | None = None,
    say: Callable[[str], None] = _to_screen,
) -> Dataset:
    """The workload's data: from `data_dir`, else the cache, else a download, else (under `auto`) synthetic of `seed`.

    `cache` None is `caches.root()`; `say` gets one line for what a user must know. UsageError: something named
    is wrong, or a file is bad. MachineError: `real`, and it cannot be had here.
    """
    from bench import caches
    from bench.data import sources

    where = cache or caches.root()
    return sources.load(workload, kind=kind, data_dir=data_dir, seed=seed, cache=where, say=say)


def prepare(
    workload: Workload,
    kind: Kind = "auto",
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    cache: Path | None = None,
    say: Callable[[str], None] = _to_screen,
) -> Path:
    """The same, saved in the cache once and used again: the folder for `open_saved`."""
    from bench import caches
    from bench.data import sources

    where = cache or caches.root()
    return sources.prepare(workload, kind=kind, data_dir=data_dir, seed=seed, cache=where, say=say)
