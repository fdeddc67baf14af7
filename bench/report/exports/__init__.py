"""A run in the forms that other tools read, written to `exports/` in its folder from its records alone.

The result schemas of those tools are theirs: each module says which one it keeps to, and what of a run it holds.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from bench import record, report
from bench.errors import UsageError
from bench.report import frames, summary
from bench.report.contest import Contest
from bench.report.exports import action_benchmark, junit, mllog, pytest_benchmark
from bench.report.folder import Folder, load

Export = Callable[[Folder, Sequence[Contest]], bytes]

FOLDER = "exports"
FORMATS: dict[str, tuple[str, Export]] = {
    "pytest-benchmark": ("benchmark.json", pytest_benchmark.export),
    "junit": ("junit.xml", junit.export),
    "github-action-benchmark": ("action-benchmark.json", action_benchmark.export),
    "mllog": ("mllog.txt", mllog.export),
}
"""Name of a form → its file in `exports/`, and what makes the file's content."""
PARTS = ("html", "md", "csv")
"""Of the report itself: suffixes of its files."""


def make(run_folder: Path, names: Collection[str]) -> list[Path]:
    """Writes what `names` of PARTS and FORMATS ask for; returns those paths.

    A part is written with the whole report. Without names that is written, and again the forms that are there already.
    """
    parts = [f".{name}" for name in names if name in PARTS]
    built = [] if names and not parts else report.build(run_folder)
    forms = [name for name in names if name in FORMATS]
    if not names:
        forms = [name for name, (file, _) in FORMATS.items() if (run_folder / FOLDER / file).exists()]
    return [path for path in built if not names or path.suffix in parts] + (write(run_folder, forms) if forms else [])


def write(run_folder: Path, names: Iterable[str]) -> list[Path]:
    """Writes the forms of these names; returns their paths in the order of the names.

    Raises a UsageError when `run.json` cannot be used or the folder cannot be written.
    """
    folder = load(run_folder)
    contests = summary.contests(folder, frames.measurements(folder), frames.curves(folder))
    written = []
    for name in dict.fromkeys(names):
        file, export = FORMATS[name]
        path = run_folder / FOLDER / file
        content = export(folder, contests)
        try:
            path.parent.mkdir(exist_ok=True)
            record.write_bytes(path, content)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written there ({error.strerror}); free it or copy the run") from error
        written.append(path)
    return written
