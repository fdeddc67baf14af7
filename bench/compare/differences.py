"""What differs between two runs, in words: what keeps them from being compared, and what is merely other."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.record import Run

UNKNOWN = "unknown"
MEMORY_SHARE = 0.05
"""Memory differs by less than this between two kernels on one machine."""
PREVENTING = (
    ("processor", "cpu"),
    ("cores", "logical_cores"),
    ("physical cores", "physical_cores"),
    ("CPU budget", "cpu_budget"),  # every arm's threads follow it
)
"""What of the environment makes step times those of another machine; name and key."""
SHARED_OUT = "threads_per_device"
"""There where a run shared the CPU budget out among several devices; else the only one has all of it."""
OTHER = (
    ("CPU quota", "cpu_quota"),
    ("memory limit in bytes", "memory_limit_bytes"),
    ("kernel", "kernel"),
    ("operating system", "os"),
    ("container", "container"),
    ("frequency governor", "cpu_governor"),
    ("processor boost", "cpu_boost"),
    ("transparent huge pages", "transparent_hugepages"),
    ("Python of bench", "python"),
    ("version of bench", "bench"),
    ("version of pytest", "pytest"),
    ("version of pytest-benchmark", "pytest_benchmark"),
    ("code digest", "code_digest"),
)
"""What else of it is compared."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same in run A and run B."""

    what: str
    a: str
    b: str
    prevents: bool
    """Step times of the two, and ratios of them, cannot be expected to agree."""
    workload: str | None = None
    """The one it is about; None: all of them."""

    def __str__(self) -> str:
        about = f"{self.workload}: " if self.workload else ""
        return f"{about}{self.what}: {self.a} in A, {self.b} in B"


def differences(a: Run, b: Run) -> tuple[Difference, ...]:
    """Everything known to differ, what prevents a comparison first. What neither record holds is not looked at."""
    names = dict.fromkeys((*a.workloads, *b.workloads))
    found = [
        *_nothing_in_common(a, b),
        *_asked(a, b),
        *_machine(a, b),
        *_workloads(a, b, names),
        *_provenance(a, b),
        *_settings(a, b),
    ]
    return tuple(sorted(found, key=lambda difference: not difference.prevents))


def same_machine(a: Run, b: Run) -> bool:
    """Whether nothing of the hardware prevents a comparison, whichever device was measured."""
    return not any(difference.prevents for difference in _machine(a, b))


def comparable(a: Run, b: Run, workload: str) -> bool:
    """Whether nothing prevents a comparison of two runs that both have the workload; the quick way to ask."""
    found = (each for part in (_asked(a, b), _machine(a, b), _workloads(a, b, (workload,))) for each in part)
    return not any(difference.prevents for difference in found)


def _nothing_in_common(a: Run, b: Run) -> Iterator[Difference]:
    if not {*a.workloads} & {*b.workloads}:
        yield Difference("workloads", ", ".join(a.workloads), ", ".join(b.workloads), prevents=True)


def _asked(a: Run, b: Run) -> Iterator[Difference]:
    yield from _one("device", a.device, b.device, prevents=True)
    if SHARED_OUT in a.environment or SHARED_OUT in b.environment:
        each = (run.environment.get(SHARED_OUT, run.environment.get("cpu_budget")) for run in (a, b))
        yield from _one("CPU threads of each device", *each, prevents=True)
    # An older record does not say what the newer one knows of disturbances, and its warm-up is another.
    yield from _one("result schema", a.schema, b.schema, prevents=True)


def _machine(a: Run, b: Run) -> Iterator[Difference]:
    for what, key in PREVENTING:
        yield from _one(what, a.environment.get(key), b.environment.get(key), prevents=True)
    yield from _one("GPU", *(gpu_names(run) for run in (a, b)), prevents=True)
    yield from _one("driver and settings of the GPU", a.environment.get("gpus"), b.environment.get("gpus"))
    sizes = a.environment.get("memory_bytes"), b.environment.get("memory_bytes")
    numbers = [size for size in sizes if isinstance(size, (int, float))]
    if len(numbers) < 2 or abs(numbers[0] - numbers[1]) > MEMORY_SHARE * max(numbers):
        yield from _one("memory in bytes", *sizes, prevents=True)


def gpu_names(run: Run) -> list[str] | None:
    """Of every GPU of the machine, in its order; None where it is not known."""
    gpus = run.environment.get("gpus")
    if not isinstance(gpus, list):
        return None
    return [shown(gpu.get("name")) if isinstance(gpu, dict) else shown(gpu) for gpu in gpus]


def _workloads(a: Run, b: Run, names: Iterable[str]) -> Iterator[Difference]:
    for name in names:
        one, other = a.workloads.get(name), b.workloads.get(name)
        if one is None or other is None:
            yield from _one("planned", one is not None, other is not None, workload=name)
            continue
        yield from _one("digest of the workload", one.digest, other.digest, prevents=True, workload=name)
        yield from _one("data", one.data.identity, other.data.identity, prevents=True, workload=name)
        hashes = [", ".join(file.sha256 for file in each.data.files) or "no file" for each in (one, other)]
        yield from _one("sha256 of the data", *hashes, prevents=True, workload=name)
        yield from _one("head", one.head, other.head, workload=name, lacking="none")


def _provenance(a: Run, b: Run) -> Iterator[Difference]:
    for what, key in OTHER:
        yield from _one(what, a.environment.get(key), b.environment.get(key))
    for what, group, key in (("commit", "git", "commit"), ("uncommitted changes", "git", "dirty")):
        yield from _one(what, *(table(run.environment, group).get(key) for run in (a, b)))
    ids = [image_id(run) for run in (a, b)]
    yield from _one("image", *ids)
    locks = [table(run.environment, "locks") for run in (a, b)]
    for file in sorted({*locks[0], *locks[1]}):
        yield from _one(f"lock file {file}", locks[0].get(file), locks[1].get(file))
    offers = [table(run.environment, "interpreters") for run in (a, b)]
    for framework in (name for name in offers[0] if name in offers[1]):
        one, other = (table(offer, framework) for offer in offers)
        for package in dict.fromkeys((*one, *other)):
            named = "all packages" if package == "installed" else package
            yield from _one(f"{named} of the interpreter for {framework}", one.get(package), other.get(package))


def _settings(a: Run, b: Run) -> Iterator[Difference]:
    yield from _one("profile", a.profile, b.profile)
    yield from _one("seed", a.seed, b.seed)
    yield from _one("budget in seconds", a.budget_s, b.budget_s, lacking="none")
    yield from _one("margin", a.margin, b.margin)
    yield from _one("A/A control", a.control, b.control, lacking="none")
    gates = [{part for cell in run.plan for part in cell.id.split(".") if part.startswith("gate-")} for run in (a, b)]
    yield from _one(
        "gate", *(", ".join(sorted(gate)).replace("gate-", "") or None for gate in gates), lacking="as spec"
    )
    for name in (name for name in a.arms if name in b.arms):
        yield from _one(f"settings of {name}", a.arms[name].settings, b.arms[name].settings)


def _one(
    what: str, a: object, b: object, *, prevents: bool = False, workload: str | None = None, lacking: str = UNKNOWN
) -> Iterator[Difference]:
    """The difference, if it is one. What one record does not hold is one to mention, and prevents nothing."""
    if a == b or shown(a) == shown(b):
        return
    yield Difference(what, shown(a, lacking), shown(b, lacking), prevents and None not in (a, b), workload)


def shown(value: object, lacking: str = UNKNOWN) -> str:
    """A value of a record in words."""
    if value is None:
        return lacking
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def table(environment: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of an environment that is a table; an empty one where there is none, as in older records."""
    found = environment.get(key)
    return found if isinstance(found, dict) else {}


def image_id(run: Run) -> str | None:
    """Id of the image the run was measured in, or that it was none; None where it is not known."""
    if "image" in run.environment and run.environment["image"] is None:
        return "not in an image"
    found = table(run.environment, "image").get("id")
    return found if isinstance(found, str) else None
