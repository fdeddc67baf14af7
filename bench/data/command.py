"""What `bench data` shows and does: where every data set is, what it is, and its download into the cache."""

import functools
from collections.abc import Sequence
from pathlib import Path

from bench.data import places, sources
from bench.data.fetch import REMOTES, FetchError, Remotes, fetch, offline
from bench.data.windows import Source
from bench.errors import MachineError
from bench.workload import Reviews, Workload

ONLINE = "BENCH_OFFLINE=0 (in a container: -e BENCH_OFFLINE=0)"


def describe(
    workloads: Sequence[Workload], *, data_dir: Path | None, cache: Path, remotes: Remotes = REMOTES
) -> list[str]:
    """Lines that tell, for every data set the workloads need, its place, identity, sha256 and size.

    Reads and checks the files, asks no network. A bad file, or a `data_dir` without the data, is a UsageError.
    """
    lines = _places(cache)
    for workload in _one_per_data_set(workloads):
        remote = sources.remote_of(workload, remotes)
        if data_dir is not None:
            path: Path | None = sources.named(data_dir, workload, remote)
        else:
            path = places.found(workload, cache)
        if path is None:
            later = f"bench data --fetch{f' with {ONLINE}' if offline() else ', or the next run,'}"
            lines += [
                f"{remote.name}: not here; {later} downloads it from {remote.url}",
                f"  without it a run makes synthetic data; {places.cure()}",
            ]
        else:
            lines += _file(path, sources.read(path, workload).source)
    return lines


def download(workloads: Sequence[Workload], *, cache: Path, say: sources.Say, remotes: Remotes = REMOTES) -> list[str]:
    """Downloads into the cache what the workloads need and is not there; the same lines as `describe`.

    A MachineError where a download does not work; a UsageError where the cache cannot be written.
    """
    lines = _places(cache)
    for workload in _one_per_data_set(workloads):
        remote = sources.remote_of(workload, remotes)
        path = places.found(workload, cache)
        if path is None:
            try:
                path = fetch(remote, cache, functools.partial(sources.read, workload=workload), say)
            except FetchError as error:
                cure = f"put the file into {cache}, or {places.cure()}"
                if offline():
                    cure = f"unset it (in a container: -e BENCH_OFFLINE=0), {cure}"
                raise MachineError(f"{remote.name} was not downloaded: {error}; {cure}") from error
        lines += _file(path, sources.read(path, workload).source)
    return lines


def _places(cache: Path) -> list[str]:
    """The places in order: the cache, and what is in those of an image."""
    told = [
        f"cache {cache}" if folder == cache else f"{folder}: {places.held(folder) or 'nothing there'}"
        for folder in places.places(cache)
    ]
    return [told[0], *(f"then {place}" for place in told[1:])]


def _one_per_data_set(workloads: Sequence[Workload]) -> list[Workload]:
    """One workload of each data set: of Jena the one that needs the most rows, so that its check serves all."""
    kinds = {type(workload.data): workload for workload in sorted(workloads, key=_most_rows)}
    return [kinds[kind] for kind in sorted(kinds, key=lambda kind: kind.__name__)]


def _most_rows(workload: Workload) -> int:
    return 0 if isinstance(workload.data, Reviews) else workload.data.lookback


def _file(path: Path, source: Source) -> list[str]:
    lines = [f"{path}: {source.identity}", f"  {source.description}"]
    return lines + [f"  sha256 {file.sha256}, {file.size_bytes:,} bytes" for file in source.files]
