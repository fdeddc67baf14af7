"""From what the user asked for to the data set of a workload: real, downloaded or synthetic."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.data import Kind, imdb, jena, places, prepared, reviews, series, synthetic, synthetic_weather
from bench.data.fetch import REMOTES, FetchError, Remote, Remotes, cache_lock, fetch
from bench.data.files import fingerprint, wrong
from bench.data.windows import Dataset, Source
from bench.errors import MachineError, UsageError
from bench.workload import SEMANTICS, Reviews, Workload

Say = Callable[[str], None]


@dataclass(frozen=True)
class Origin:
    """Where a workload's data comes from, before it is read."""

    path: Path | None
    """The real file; None: synthetic data of `seed`."""
    seed: int
    why: str = ""
    """Of synthetic data under `auto`: why there is no real data."""


def data_dir_from(option: Path | None) -> Path | None:
    """The folder of local copies the user named: the option, else `BENCH_DATA_DIR`, else None."""
    named = os.environ.get("BENCH_DATA_DIR")
    return option or (Path(named) if named else None)


def read(path: Path, workload: Workload) -> Dataset:
    """The workload's data set from its real file; a UsageError where it is not what it should be."""
    return imdb.load(path, workload) if isinstance(workload.data, Reviews) else jena.load(path, workload)


def remote_of(workload: Workload, remotes: Remotes = REMOTES) -> Remote:
    """What would be downloaded for the workload."""
    return remotes.imdb if isinstance(workload.data, Reviews) else remotes.jena


def locate(
    workload: Workload,
    *,
    kind: Kind,
    data_dir: Path | None,
    seed: int,
    cache: Path,
    say: Say,
    remotes: Remotes = REMOTES,
) -> Origin:
    """Finds the real file, downloads it where that is due, or settles for synthetic data; `say` gets what happens.

    UsageError: `data_dir` was named and has no such file. MachineError: `real`, but neither cache nor network has it.
    """
    if kind == "synthetic":
        return Origin(None, seed)
    remote = remote_of(workload, remotes)
    if data_dir is not None:
        return Origin(named(data_dir, workload, remote), seed)
    if path := places.found(workload, cache):
        return Origin(path, seed)
    try:
        return Origin(fetch(remote, cache, lambda got: read(got, workload), say), seed)
    except FetchError as error:
        missing = f"{remote.name} for workload '{workload.name}' is not in {places.words(cache)}"
        lacking = f"{missing} and was not downloaded ({error})"
        if kind == "real":
            raise MachineError(f"--data real: {lacking}; {places.cure()}, or ask for --data synthetic") from error
        say(f"SYNTHETIC data: {lacking}; for real data {places.cure()}")
        return Origin(None, seed, f"no real data: {remote.name} neither given nor downloaded")


def named(data_dir: Path, workload: Workload, remote: Remote) -> Path:
    """The workload's file in the folder the user named; a UsageError where it has none."""
    expected = f"a folder that holds {remote.name.removesuffix('.zip')} for workload '{workload.name}'"
    cure = "put it there, or name another folder with --data-dir (or BENCH_DATA_DIR)"
    if not data_dir.is_dir():
        found = "not a folder" if data_dir.exists() else "no such folder"
        raise wrong(data_dir, found, expected, cure)
    path = places.find(data_dir, workload)
    if path is None:
        raise wrong(data_dir, f"holds {places.held(data_dir) or 'nothing'}", expected, cure)
    return path


def build(origin: Origin, workload: Workload) -> Dataset:
    """The workload's data set, read from the real file or made."""
    if origin.path is not None:
        return read(origin.path, workload)
    what = "reviews" if isinstance(workload.data, Reviews) else "weather"
    text = f"SYNTHETIC {what} made by bench, seed {origin.seed}: not comparable with published figures"
    source = Source(identity="synthetic", description=text + (f" ({origin.why})" if origin.why else ""), files=())
    if isinstance(workload.data, Reviews):
        return reviews.dataset(workload, *synthetic.reviews(workload.data, origin.seed), source)
    return series.dataset(workload, synthetic_weather.weather(workload.data.rows, origin.seed), source)


def load(
    workload: Workload,
    *,
    kind: Kind,
    data_dir: Path | None,
    seed: int,
    cache: Path,
    say: Say,
    remotes: Remotes = REMOTES,
) -> Dataset:
    """`locate` and `build` in one: the workload's data set in memory."""
    return build(
        locate(workload, kind=kind, data_dir=data_dir, seed=seed, cache=cache, say=say, remotes=remotes), workload
    )


def prepare(
    workload: Workload,
    *,
    kind: Kind,
    data_dir: Path | None,
    seed: int,
    cache: Path,
    say: Say,
    remotes: Remotes = REMOTES,
) -> Path:
    """The folder of the workload's prepared data, for `prepared.open_saved`; made unless a whole one is there.

    Workloads with the same data, window and batches share one. A folder that is not whole is made anew.
    """
    origin = locate(workload, kind=kind, data_dir=data_dir, seed=seed, cache=cache, say=say, remotes=remotes)
    parent = cache / "prepared"
    folder = parent / _key(origin, workload)
    with cache_lock(parent, folder.name, say):
        try:
            prepared.open_saved(folder)
        except UsageError as error:
            if folder.exists():
                say(f"preparing the data again: {error}")
            prepared.save(build(origin, workload), folder)
    return folder


def _key(origin: Origin, workload: Workload) -> str:
    """Name of the prepared folder: changes with the bytes of the source, the spec and the code's formats."""
    is_reviews = isinstance(workload.data, Reviews)
    source: list[str | int]
    if origin.path is not None:
        file = fingerprint(origin.path, f"the data of workload '{workload.name}'")
        source = [file.name, file.sha256]
    else:
        source = ["synthetic", origin.seed, origin.why, (synthetic if is_reviews else synthetic_weather).VERSION]
    parts = [prepared.FORMAT, SEMANTICS, source, workload.data, workload.batch_size, workload.steps_per_epoch]
    digest = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]
    return f"{'reviews' if is_reviews else 'series'}-{digest}"
