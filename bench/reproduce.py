"""`bench reproduce`: what a run was obtained with, how to obtain it again, and whether the same comes out.

The run is measured again by the words that are printed, in the image it was measured in, else by the code that is
here if that is the same. What was stored of another place (`--out`, `--data-dir`) is never used.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

import bench.data
from bench import caches, environment, image, interpreters, plan, recipe, record
from bench.compare import compare
from bench.data.files import fingerprint
from bench.differences import differences, image_id, table
from bench.errors import BenchError, MachineError, UsageError
from bench.interrupt import INTERRUPTED
from bench.plan import Options
from bench.record import Run
from bench.report import comparison
from bench.report.folder import Folder, load
from bench.report.markdown import visible

PAGE = "reproduction.md"
"""File in the new run's folder that holds the comparison."""
IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
OF_THE_HOST = ("processor", "cores", "physical cores", "memory in bytes", "GPU")
"""Differences that no option of a container takes away."""


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
    in_image = _in_image(old.run, say)
    if not in_image:
        _check_code(old.run)
    _say_machine(old.run, say, in_image=in_image)
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


def _in_image(run: Run, say: Callable[[str], None]) -> bool:
    """Whether to measure in the run's image: it is known, this is no container, and an engine here has it.

    False: the run was in none, this is its image already, or code and packages here are the same as in it.
    """
    then = table(run.environment, "image")
    if not then or _is_here(then):
        return False
    known = then.get("id")
    if not isinstance(known, str):
        build = shlex.join(["bench", "image", "build", "--device", run.device])
        raise MachineError(
            f"reproduce {run.id}: the image it was measured in is unknown, and the Python packages here may be others; "
            f"build one from its commit ({build}), then use the bench image run printed above"
        )
    try:
        if image.here() is None and _engine_has(known):
            return True
        lack = f"the engine here has no image {known}" if image.here() is None else f"this container is not of {known}"
    except MachineError as error:
        lack = str(error)
    try:
        _check_code(run)
        _check_packages(run)
    except MachineError as error:
        raise MachineError(f"{lack}; {error}") from error
    say(f"not in the image: {lack}; the code here is the same and measures instead")
    return False


def _is_here(then: Mapping[str, Any]) -> bool:
    """Whether this process runs in the image of a record, or in one built of the same commit and the same locks."""
    here = image.here()
    if here is None:
        return False
    if then.get("id") is not None and then["id"] == image.identity()["id"]:
        return True
    built = (here.commit, here.locks, here.dirty)
    return here.commit is not None and built == (then.get("commit"), then.get("locks"), False) and not then.get("dirty")


def _engine_has(name: str) -> bool:
    """Whether the engine has the image of this very id: a tag, which a record may hold, names whatever it is now."""
    from bench.containers.engine import connected  # its SDK is an extra

    if IMAGE_ID.fullmatch(name) is None:
        return False
    with connected() as engine:
        return (engine.image(name) or {}).get("Id") == name


def _check_code(run: Run) -> None:
    """Raises a MachineError unless the code here is the run's."""
    then, now = run.environment.get("code_digest"), interpreters.probe_self()
    git = table(run.environment, "git")
    commit = git.get("commit")
    if then is not None:
        same, what = then == now, f"the code here has digest {now}, the run's {then}"
    else:
        found = environment.git_state(Path(bench.__file__).resolve().parent.parent) or {}
        clean = not git.get("dirty") and not found.get("dirty")
        same = commit is not None and clean and commit == found.get("commit")
        what = f"the code here is of commit {found.get('commit')}, the run's of {commit}" + " (or changed)" * (
            not clean
        )
    if same:
        return
    cure = f"git checkout {commit}" if commit else "install the bench that measured it"
    changed = ", which lacks what was changed in it and not committed" if git.get("dirty") else ""
    raise MachineError(f"reproduce {run.id}: {what}; {cure}{changed}")


def _check_packages(run: Run) -> None:
    """Raises a MachineError unless every interpreter here has installed what the run's had."""
    then = table(run.environment, "interpreters")
    for framework in then:
        stored, found = table(then, framework).get("installed"), interpreters.summary(framework)["installed"]
        if stored != found:
            raise MachineError(
                f"reproduce {run.id}: the packages for {framework} here have hash {found}, the run's {stored}; "
                "get the image, or install the packages of its lock"
            )
    if not then:
        raise MachineError(f"reproduce {run.id}: does not know its Python packages; get the image")


def _say_machine(run: Run, say: Callable[[str], None], *, in_image: bool) -> None:
    """Says before anything is measured what will keep the two runs from being comparable."""
    here = msgspec.structs.replace(run, environment=environment.describe())
    for difference in differences(run, here):
        # A container without a GPU sees none of the host's.
        hidden = difference.what == "GPU" and run.device != "gpu"
        if difference.prevents and not (in_image and (hidden or difference.what not in OF_THE_HOST)):
            say(f"not comparable: {difference.what} is {difference.b} here, {difference.a} in the run")


def _check_data(run: Run, options: Options | None, data_dir: Path | None, say: Callable[[str], None]) -> None:
    """Raises a UsageError that names both hashes unless the data that would be measured on is the run's.

    `options` are those of a run by the code here; None: it will be the image's.
    """
    specs = plan.contest(options).workloads if options else {}
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
    return run.profile, run.device, run.seed, tuple(run.workloads), tuple(run.arms), run.margin
