"""What the tests of `bench reproduce` share: a run that was measured in an image, and a `bench` that only listens."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from make_run import edit, make_run
from rich.console import Console

from bench import cli, image, interpreters, record, reproduce

IMAGE = {
    "id": "sha256:" + "ab" * 32, "digests": ["example.org/bench@sha256:" + "cd" * 32], "device": "cpu", "version": "1",
    "commit": "0" * 40, "locks": {}, "base": "debian",
}  # fmt: skip


def commands(output: str) -> list[list[str]]:
    """The command lines that were printed, as a shell would read them."""
    lines = output[output.index("again:") :].splitlines()[1:]
    return [shlex.split(line) for line in lines if line.startswith("  ")]


class Bench:
    """What `bench reproduce` is given of the program around it: the real parser, and a `bench` that only listens."""

    def __init__(self, then: Callable[[], int] = lambda: 0) -> None:
        self.then, self.words = then, list[list[str]]()

    def invoke(self, words: Sequence[str]) -> int:
        self.words.append(list(words))
        return self.then()

    def reproduce(self, folder: Path, out: Path, *, again: bool = False, data_dir: Path | None = None) -> int:
        def parse(words: Sequence[str]) -> Any:
            return cli._options(cli._parser().parse_args(words), words)

        return reproduce.reproduce(
            folder, out, data_dir, again=again, parse=parse, invoke=self.invoke, console=Console(width=200)
        )


def in_image(folder: Path, **changes: Any) -> Path:
    """A simulated run that says it was measured in a container."""
    run = make_run(
        folder / "results" / "old", workloads=("conv_only",), arms=("torch-eager", "torch-compile"), rounds=9
    )
    known = {"image": IMAGE, "git": {"commit": "0" * 40, "dirty": False}, "code_digest": "c0de"}
    known |= {"locks": {"requirements/cpu.txt": "ef" * 32}}
    edit(run / "run.json", environment=known | changes)
    return run


def with_files(run: Path, files: tuple[Any, ...]) -> dict[str, record.Workload]:
    workload = record.read(run / "run.json", record.Run).workloads["conv_only"]
    return {"conv_only": msgspec.structs.replace(workload, data=msgspec.structs.replace(workload.data, files=files))}


def inside(folder: Path, monkeypatch: pytest.MonkeyPatch, **says: Any) -> None:
    """Makes this process believe that it runs in an image that says so of itself."""
    known = image.Image(**({"device": "cpu", "version": "1", "locks": {"cpu.txt": "ef"}, "base": "debian"} | says))
    path = folder / f"image-{len(list(folder.iterdir()))}.json"
    path.write_bytes(msgspec.json.encode(known))
    monkeypatch.setenv("BENCH_IMAGE", str(path))


def packages(installed: str | None = None) -> dict[str, Any]:
    """What a record holds of the interpreter for the simulated arms' framework: the one here, or another."""
    found = interpreters.summary("torch")
    return {"torch": found | {"installed": installed or found["installed"]}}
