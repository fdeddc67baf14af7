"""A Dataset on disk, made once by `bench run` and opened by every cell: whole and checked, or not there."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.data.files import unwritable, wrong
from bench.data.windows import Dataset, Source, Split

FORMAT = 1
"""Raised when prepared folders of before must not be used any more."""

_EXPECTED = "data prepared by this version of bench"
_CURE = "delete it; bench run prepares it again"


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    source: Source
    ranges: dict[Split, tuple[int, int]]
    batch_size: int
    steps_per_epoch: int
    sha256: dict[str, str]
    """Of the values of every array, by its name."""


def save(dataset: Dataset, folder: Path) -> None:
    """Writes the data set to `folder` (dataset.json and one .npy an array), replacing what is there.

    Under a temporary name, synced, renamed at the end: `folder` is whole, or as it was. A UsageError where it cannot
    be written.
    """
    arrays: dict[str, NDArray[Any]] = {"inputs": dataset.inputs, "targets": dataset.targets}
    if dataset.offsets is not None:
        arrays["offsets"] = dataset.offsets
    arrays = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    manifest = _Manifest(
        format=FORMAT,
        source=dataset.source,
        ranges=dataset.ranges,
        batch_size=dataset.batch_size,
        steps_per_epoch=dataset.steps_per_epoch,
        sha256={name: _digest(values) for name, values in arrays.items()},
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            made = Path(temporary, "new")
            made.mkdir()
            for name, values in arrays.items():
                with (made / f"{name}.npy").open("wb") as stream:
                    _write(stream, values)
                    stream.flush()
                    os.fsync(stream.fileno())
            (made / "dataset.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
            if folder.exists():
                folder.replace(Path(temporary, "old"))
            made.replace(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def open_saved(folder: Path) -> Dataset:
    """The data set saved in `folder`, every byte checked; a UsageError where it is not whole."""
    path = folder / "dataset.json"
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
        if manifest.format != FORMAT:
            raise wrong(path, f"format {manifest.format}", f"format {FORMAT}", _CURE)
        arrays: dict[str, Any] = {}
        for name, digest in manifest.sha256.items():
            path = folder / f"{name}.npy"
            with path.open("rb") as stream:
                arrays[name] = np.load(stream, allow_pickle=False)
            if _digest(arrays[name]) != digest:
                raise wrong(path, "its bytes have changed", _EXPECTED, _CURE)
        return Dataset(
            source=manifest.source,
            inputs=arrays["inputs"],
            targets=arrays["targets"],
            offsets=arrays.get("offsets"),
            ranges=manifest.ranges,
            batch_size=manifest.batch_size,
            steps_per_epoch=manifest.steps_per_epoch,
        )
    except (OSError, ValueError, EOFError, KeyError) as error:  # msgspec's errors are ValueErrors
        raise wrong(path, f"not whole ({error})", _EXPECTED, _CURE) from error


def _write(stream: BinaryIO, values: NDArray[Any]) -> None:
    """As `np.save`, whose error on a full disk does not say that it is full."""
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(values))
    stream.write(values.data)


def _digest(values: NDArray[Any]) -> str:
    """sha256 of dtype, shape and bytes."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(values.data)
    return digest.hexdigest()
