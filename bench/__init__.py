"""A benchmark suite of Keras and PyTorch on small sequence models: the rules. No framework is imported here."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.loaded import LoadedRun

__all__ = ["load_run"]


def load_run(path: str | os.PathLike[str]) -> "LoadedRun":
    """The run in the folder `path`: typed records and pandas frames, see `bench.report.loaded.LoadedRun`.

    Raises a `bench.errors.UsageError` of one line where `run.json` in it is missing or cannot be used.
    """
    from bench.report import loaded  # pandas and matplotlib: not for `import bench`

    return loaded.load_run(path)
