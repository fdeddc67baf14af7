"""The pytest plugin of the timed files: their options, their subject, and the report a cell hands back."""

import dataclasses
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench import record
from bench.cell import EXTRAS, KERNELS, OBSERVED_FILE, PHASE_FILE, Observed, Request
from bench.derived import LOCAL
from bench.errors import BenchError
from bench.measure.ledger import Ledger
from bench.measure.subject import DivergedError, Subject
from bench.process import die_with_parent

FAILURE = pytest.StashKey[str]()
SUBJECT = pytest.StashKey[Subject]()
LEDGER = pytest.StashKey[Ledger]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cell", "what to measure (bench)")
    for field in dataclasses.fields(Request):
        default = None if field.default is dataclasses.MISSING else field.default
        kind: Any = next((known for known in (int, float) if known.__name__ in str(field.type)), str)
        group.addoption(f"--{field.name.replace('_', '-')}", dest=f"cell_{field.name}", type=kind, default=default)


def pytest_configure(config: pytest.Config) -> None:
    parent, started_s = config.getoption("cell_parent"), config.getoption("cell_started_s")
    if parent is not None:
        die_with_parent(parent)
    config.stash[LEDGER] = Ledger(time.monotonic() if started_s is None else started_s)
    config.stash[LEDGER].mark("interpreter")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # a framework's deprecation warning is no failure of a measurement, whatever the project says
        item.add_marker(pytest.mark.filterwarnings("default"))


def pytest_benchmark_generate_machine_info() -> dict[str, str]:
    """Short: `run.json` describes the machine, and the host's name is nobody's business."""
    return {"python_implementation": platform.python_implementation(), "python_version": platform.python_version()}


def pytest_benchmark_generate_commit_info() -> dict[str, str]:
    """Empty: `run.json` names the commit."""
    return {}


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    """The arm and workload of this process."""
    options = {field.name: request.config.getoption(f"cell_{field.name}") for field in dataclasses.fields(Request)}
    if not options["workload"] or not options["arm"]:  # `ceiling` stands for no workload
        raise pytest.UsageError("name what to measure: --workload NAME --arm NAME")
    made = Subject(Request(**options), request.config.stash[LEDGER])
    request.config.stash[SUBJECT] = made
    return made


def pytest_runtest_setup(item: pytest.Item) -> None:
    out, name = item.config.getoption("cell_out"), item.name.removeprefix("test_")
    if out is not None:
        Path(out, PHASE_FILE).write_text(name)
    subject = item.config.stash.get(SUBJECT, None)
    if name in (KERNELS, LOCAL, *EXTRAS) and subject is not None and subject.peaks_bytes is None:
        subject.note_peak_memory()  # a profiler, another batch, a second model are not the arm's


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    error = call.excinfo and call.excinfo.value
    skipped = isinstance(error, pytest.skip.Exception)
    if error is not None and not skipped and FAILURE not in item.config.stash:
        lines = str(error).strip().splitlines() or [""]
        kind = "" if isinstance(error, BenchError) else f"{type(error).__name__}: "
        item.config.stash[FAILURE] = f"{item.name.removeprefix('test_')}: {kind}{lines[0]}"[:500]
        if isinstance(error, DivergedError):
            item.config.stash[SUBJECT].diverged = True
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    out, subject = session.config.getoption("cell_out"), session.config.stash.get(SUBJECT, None)
    if out is None or subject is None:
        return
    opened = subject.opened
    subject.watch.close()
    if subject.peaks_bytes is None:
        subject.note_peak_memory()
    assert subject.peaks_bytes is not None
    # Frameworks have their own kinds of string for a version.
    versions = {name: str(value) for name, value in opened.versions().items()} if opened else {}
    subject.ledger.mark("suite")
    observed = Observed(
        failure=session.config.stash.get(FAILURE, None),
        skipped=subject.skipped,
        threads=subject.threads,
        versions=versions,
        peak_memory_bytes=subject.peaks_bytes.host,
        device_peak_memory_bytes=subject.peaks_bytes.allocator,
        device_process_peak_memory_bytes=subject.peaks_bytes.process,
        ledger=tuple(subject.ledger.spans),
        watch=tuple(subject.watch.windows),
        energy=tuple(subject.energies),
        tested=subject.tested,
        starts=tuple(subject.starts),
        resumed=subject.resumed,
        diverged=subject.diverged,
        kernels=subject.kernels,
        unused_checkpoint=subject.unused_checkpoint,
    )
    record.write_bytes(Path(out, OBSERVED_FILE), msgspec.json.encode(observed))
