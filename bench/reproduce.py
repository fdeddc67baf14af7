"""`bench reproduce`: what a run was obtained with, how to obtain it again, and whether the same comes out.

The run is measured again by the words that are printed, in the image it was measured in, else by the code that is
here if that is the same. What was stored of another place (`--out`, `--data-dir`) is never used.
"""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

import bench.data
from bench import caches, contest, means, recipe, record
from bench.compare import compare
from bench.compare.differences import image_id
from bench.contest import Options
from bench.data.files import fingerprint
from bench.errors import BenchError, UsageError
from bench.interrupt import INTERRUPTED
from bench.profiles import PROFILES
from bench.record import Run
from bench.report import comparison
from bench.report.folder import Folder, load
from bench.report.markdown import visible

PAGE = "reproduction.md"
"""File in the new run's folder that holds the comparison."""


def reproduce(
    folder: Path,
    out: Path,
    data_dir: Path | None,
    *,
    again: bool,
    parse: Callable[[Sequence[str]], Options],
    invoke: Callable[[Sequence[str]], int],
    console: Console,
) -> int:
    """Prints it all and, if `again`, measures into `out` and compares; the exit code of the new run.

    `parse` makes options of the words after `bench`, `invoke` runs them. UsageError: the run cannot be read, or the
    data here is not the run's. MachineError: neither its image nor its code is here.
    """

    def say(line: str) -> None:
        console.print(visible(line), highlight=False, markup=False, emoji=False, soft_wrap=True)

    old = load(folder)
    options = _options(old.run, folder, parse)
    words = recipe.arguments(old.run, options)
    for lines in (recipe.facts(old, data_dir), recipe.inexact(old), recipe.commands(old.run, words, out, data_dir)):
        for line in lines:
            say(line)
    if not again:
        return 0
    in_image = means.in_image(old.run, say)
    if not in_image:
        means.check_code(old.run)
    means.say_machine(old.run, say, in_image=in_image)
    _check_data(old.run, None if in_image else parse(["run", *words]), data_dir, say)
    verb = ["image", "run"] if in_image else ["run"]
    held = ["--image", str(image_id(old.run)), *recipe.limits(old.run)] if in_image else []
    before = set(out.iterdir()) if out.is_dir() else set()
    code = invoke([*verb, *held, *words, "--out", str(out), *(["--data-dir", str(data_dir)] if data_dir else [])])
    new = _new_runs(out, before, old.run)
    if code == INTERRUPTED:
        cures = [f"complete the new run with: {shlex.join(['bench', *verb, '--resume', str(path)])}" for path in new]
        say(f"interrupted; nothing is compared. {' or '.join(cures) or 'Nothing was measured'}")
    if code not in (0, 1):
        return code
    if len(new) != 1:
        names = ", ".join(map(str, new)) or "none"
        raise BenchError(f"reproduce {old.run.id}: expected one new run in {out}, found {names}; nothing is compared")
    _show(old, new[0], console, say)
    return code


def _show(old: Folder, folder: Path, console: Console, say: Callable[[str], None]) -> None:
    """Compares the run in `folder` with the old one, on screen and in a file beside its report."""
    new = load(folder)
    compared = compare(old.run, old.everything, new.run, new.everything)
    page = comparison.page(compared)
    record.write_bytes(folder / PAGE, page.encode())
    console.print(page, highlight=False, markup=False, emoji=False, soft_wrap=True)
    say(f"comparison: {folder / PAGE}")
    say(comparison.sentence(compared))


def _options(run: Run, folder: Path, parse: Callable[[Sequence[str]], Options]) -> Options:
    """The options of the stored command line, read by the parser that every command line is read by."""
    where = f"{folder / 'run.json'}: its command line {shlex.join(run.command)!r}"
    if run.command[:2] != ("bench", "run"):
        raise UsageError(f"{where} is not one of bench run; there is nothing to run again")
    try:
        return parse(run.command[1:])
    except (UsageError, SystemExit) as error:  # --help ends a program
        raise UsageError(f"{where} is not understood ({visible(error)}); use the bench that wrote it") from error


def _check_data(run: Run, options: Options | None, data_dir: Path | None, say: Callable[[str], None]) -> None:
    """Raises a UsageError that names both hashes unless the data that would be measured on is the run's.

    `options` are those of a run by the code here; None: it will be the image's.
    """
    specs = contest.contest(options, PROFILES[options.profile]).workloads if options else {}
    for name, spec in specs.items():
        then = run.workloads[name].digest
        if spec.digest() != then:
            raise UsageError(f"reproduce {run.id}: workload {name} has digest {spec.digest()} here, {then} in the run")
    for name, workload in run.workloads.items():
        files = workload.data.files
        if not files:
            continue
        if specs:
            folder = bench.data.prepare(specs[name], "real", data_dir, cache=caches.root(), say=say)
            found = bench.data.open_saved(folder).source.files
        elif data_dir is not None:
            found = tuple(fingerprint(data_dir / Path(file.name).name, file.name) for file in files)
        else:
            continue  # in the image itself, if anywhere; the comparison will tell
        here, then = (", ".join(f"{file.name} {file.sha256}" for file in each) for each in (found, files))
        if here != then:
            raise UsageError(
                f"reproduce {run.id}: the data of {name} here is {here}, the run's {then}; name a folder that holds "
                "that with --data-dir"
            )


def _new_runs(out: Path, before: set[Path], run: Run) -> list[Path]:
    """The folders that have appeared in `out` and were asked for what `run` was; one, unless others work there."""
    appeared = sorted(set(out.iterdir()) - before) if out.is_dir() else []
    runs = [folder for folder in appeared if (folder / "run.json").is_file()]
    return [folder for folder in runs if _asked(record.read(folder / "run.json", Run)) == _asked(run)]


def _asked(run: Run) -> tuple[object, ...]:
    return run.profile, run.device, recipe.seeds(run), tuple(run.workloads), tuple(run.arms), run.margin
