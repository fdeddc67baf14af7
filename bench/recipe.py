"""What a run was obtained with, what of it cannot be exact again, and the commands that obtain it again, in words."""

import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import caches, image
from bench.compare.differences import image_id, table
from bench.contest import Options
from bench.data.files import fingerprint
from bench.data.windows import DataFile
from bench.record import Run
from bench.report.folder import Folder

PLACE = "DIR"
"""Stands in a printed command for a folder the user has to name."""


def arguments(run: Run, options: Options) -> list[str]:
    """The words after `bench run` that ask for the same again, every option spelled out; no place, no resume."""
    synthetic = {workload.data.identity == "synthetic" for workload in run.workloads.values()}
    # Where some data was real and some not, under auto, it has to be asked for in the same way again.
    data = options.data if len(synthetic) != 1 else "synthetic" if True in synthetic else "real"
    words = [word for name in run.workloads for word in ("--workload", name)]
    words += [word for name in run.arms for word in ("--arm", name)]
    words += ["--device", run.device, "--profile", run.profile, "--data", data]
    words += [word for seed in seeds(run) for word in ("--seed", str(seed))]
    words += ["--budget", f"{_decimal(run.budget_s)}s"] if run.budget_s is not None else []
    words += ["--margin", f"{_decimal(run.margin * 100)}%"]
    # Head and gate stand in the workloads' keys; in those of schemas 1 and 2 they do not.
    for option, value in (("--control", run.control), ("--head", options.head), ("--gate", options.gate)):
        words += [option, value] if value is not None else []
    return words


def seeds(run: Run) -> list[int]:
    """What `--seed` was: the seeds that every arm which can run trains every workload from; else the run's own.

    A study of dead starts plans trainings from further seeds, of one workload and by one arm.
    """
    trained: dict[tuple[str, str], list[int]] = {}
    for cell in run.plan:
        if cell.seed is not None and run.arms[cell.arm].hole is None:
            trained.setdefault((cell.workload, cell.arm), []).append(cell.seed)
    first, *others = trained.values() or [[run.seed]]
    return [seed for seed in first if all(seed in each for each in others)]


def _decimal(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


def facts(old: Folder, data_dir: Path | None) -> Iterator[str]:
    """One line for each thing the records hold of it; `data_dir` is where its data is looked for."""
    run, known = old.run, old.run.environment
    yield f"run {run.id}: {shlex.join(run.command)}"
    budget, margin = "none" if run.budget_s is None else f"{_decimal(run.budget_s)} s", _decimal(run.margin * 100)
    seeded = ", ".join(map(str, seeds(run)))
    yield f"profile {run.profile} on {run.device}, seed {seeded}, budget {budget}, margin {margin} %"
    yield f"image: {_image(run)}"
    git = table(known, "git")
    changed = ", with changes that were not committed" if git.get("dirty") else ""
    yield f"commit: {git.get('commit') or 'unknown'}{changed}; code digest {known.get('code_digest') or 'unknown'}"
    for name, digest in table(known, "locks").items() or [("of no file known", "")]:
        yield f"lock: {name} {digest}".rstrip()
    for framework, offer in table(known, "interpreters").items():
        versions = offer if isinstance(offer, dict) else {"": offer}
        yield f"interpreter for {framework}: {', '.join(f'{name} {version}' for name, version in versions.items())}"
    for name, workload in run.workloads.items():
        yield f"data of {name}: {workload.data.identity}; {workload.data.description}"
        for file in workload.data.files:
            yield f"  {file.name}, {file.size_bytes:,} bytes, sha256 {file.sha256}; {_whereabouts(file, data_dir)}"


def _image(run: Run) -> str:
    found = table(run.environment, "image")
    if not found:
        return "not run in an image"
    if not found.get("id"):
        return "id unknown: the container was started by plain docker run, which does not tell it"
    digests = found.get("digests")
    return f"{found['id']}, " + (f"digests {', '.join(map(str, digests))}" if digests else "in no registry")


def _whereabouts(file: DataFile, data_dir: Path | None) -> str:
    """Whether the same file is on this machine."""
    for place in [data_dir] if data_dir else [caches.root(), *image.DATA]:
        path = place / Path(file.name).name
        if path.is_file():
            same = fingerprint(path, file.name).sha256 == file.sha256
            return f"here, {path}" if same else f"NOT here: {path} is another file"
    return f"NOT here: not in {data_dir or caches.root()}"


def inexact(old: Folder) -> Iterator[str]:
    """What will not be the same, or cannot be known to be."""
    run, git = old.run, table(old.run.environment, "git")
    found, name = table(run.environment, "image"), image_id(run)
    if found and name is None:
        yield "not exact: which image it was; build one from the same commit"
    if found.get("id") and not found.get("digests"):
        yield "exact only where the image still is: no registry is known to have it"
    if git.get("dirty"):
        without = " without that very image" if found.get("id") else ""
        yield f"not exact{without}: the code had changes that were not committed; only who has them can run the same"
    if not git.get("commit") and not found.get("id"):
        yield "not exact: the commit is unknown; the code digest tells whether other code is the same"
    if any(workload.data.identity == "synthetic" for workload in run.workloads.values()):
        yield "exact: synthetic data, made again byte for byte by the same code"
    if run.budget_s is not None:
        yield "not exact: the number of blocks; a run holds as many as its budget has time for"
    if run.finished is None:
        yield f"not exact: the run is not finished, {len(old.missing())} of {len(run.plan)} planned cells are not there"
    cores, budget = run.environment.get("logical_cores"), run.environment.get("cpu_budget")
    if found and _cpuset(run):
        yield f"not exact: the container could use {budget} of {cores} cores, unknown which; the first are named"
    elif not found and isinstance(cores, int) and isinstance(budget, int) and budget < cores:
        yield f"not exact without care: the run could use {budget} of {cores} cores; taskset -c names so many"
    for name, arm in run.arms.items():
        if arm.hole:
            yield f"not measured: {name}, {arm.hole}"


def limits(run: Run) -> list[str]:
    """Options of `bench image run` for what the container was held to."""
    known, words = run.environment, list[str]()
    quota = known.get("cpu_quota")
    if isinstance(quota, (int, float)):
        words += ["--cpus", _decimal(quota)]
    words += _cpuset(run)
    limit, memory = known.get("memory_limit_bytes"), known.get("memory_bytes")
    if isinstance(limit, int) and isinstance(memory, int) and limit < memory:
        words += ["--memory", f"{limit // 1024}k"]
    return words if table(known, "image") else []


def _cpuset(run: Run) -> list[str]:
    """The option for fewer cores than the machine has, where no quota explains them."""
    cores, budget, quota = (run.environment.get(key) for key in ("logical_cores", "cpu_budget", "cpu_quota"))
    if not (isinstance(cores, int) and isinstance(budget, int) and budget < cores):
        return []
    explained = isinstance(quota, (int, float)) and max(1, math.ceil(quota)) == budget
    return [] if explained else ["--cpuset-cpus", f"0-{budget - 1}"]


def commands(run: Run, words: Sequence[str], out: Path, data_dir: Path | None) -> Iterator[str]:
    """What to type, or to have typed by --yes."""
    real = any(workload.data.files for workload in run.workloads.values())
    place = str(data_dir.absolute()) if data_dir else PLACE
    data = ["--data-dir", place] if real else []
    commit, known = table(run.environment, "git").get("commit"), table(run.environment, "image")
    yield "again:" + (f"  ({PLACE}: a folder with the files above)" if real and place == PLACE else "")
    if commit and not known.get("id"):
        yield f"  git checkout {shlex.quote(str(commit))}"
    if known:
        yield from _in_container(run, words, out, place if real else None)
        return
    if run.budget_s is not None:
        yield f"  {shlex.join(['tox', '-e', f'bench-{run.device}', '--', *words, '--out', str(out), *data])}"
        yield "or, where the locked versions are installed:"
    yield f"  {shlex.join(['bench', 'run', *words, '--out', str(out), *data])}"


def _in_container(run: Run, words: Sequence[str], out: Path, place: str | None) -> Iterator[str]:
    known = table(run.environment, "image")
    name = str(known.get("id") or f"bench:{run.device}")
    if not known.get("id"):
        yield f"  {shlex.join(['bench', 'image', 'build', '--device', run.device])}"
    for digest in known.get("digests") or ():
        yield f"  docker pull {shlex.quote(str(digest))}"
    data = ["--data-dir", place] if place else []
    start = ["bench", "image", "run", "--image", name, *limits(run)]
    yield f"  {shlex.join([*start, *words, '--out', str(out), *data])}"
    yield "or, without bench on the host:"
    gpu = ["--gpus", "all", "--shm-size", "1g"] if run.device == "gpu" else []
    held = "".join(f"{shlex.quote(word)} " for word in (*gpu, *limits(run)))
    mounts = [*_mount(str(out.absolute()), "/results"), *(_mount(place, "/data", readonly=True) if place else [])]
    volumes = shlex.join(mounts)
    user = '--user "$(id -u):$(id -g)"'
    yield f"  {shlex.join(['mkdir', '-p', str(out.absolute())])}"  # Docker's own would be root's
    yield f"  docker run --rm {user} {volumes} {held}{shlex.join([name, 'run', *words])}"


def _mount(source: str, there: str, *, readonly: bool = False) -> list[str]:
    """Options of `docker run` that mount a folder; `-v` parts its value at colons, `--mount` at commas, as CSV."""
    if ":" not in source:
        return ["-v", f"{source}:{there}" + ":ro" * readonly]
    field = f"src={source}"
    if any(char in field for char in ',"\r\n'):
        field = '"' + field.replace('"', '""') + '"'
    return ["--mount", f"type=bind,{field},dst={there}" + ",readonly" * readonly]
