"""An image built from this checkout, step by step, with what went wrong in one line."""

import re
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import bench
from bench import environment
from bench.containers.engine import Engine, answered, connected, explanation, one_line
from bench.display.live import duration
from bench.errors import BenchError, MachineError, UsageError

ROOT = Path(bench.__file__).resolve().parent.parent
DOCKERFILE = "docker/Dockerfile"
SPACE_BYTES = {"cpu": 10_000_000_000, "gpu": 30_000_000_000}
"""Free disk a first build needs: the image, the layers of its other stages, what pip unpacks meanwhile."""
REBUILD_BYTES = 1_000_000_000
"""Where the tag is there already, most layers come from the cache."""
STEP = re.compile(r"Step (?P<number>\d+)/(?P<total>\d+) : (?P<what>.+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""The classic builder paints what a step writes to standard error."""
FULL = "no space left on device"
REASON = re.compile(r"error|fatal|cannot|could not|no such|denied|not found|fail|unable|assert", re.IGNORECASE)
NOISE = ("Removing intermediate container", "--->", "[notice]")
REASONS = 3
"""So many of the last lines that say why are told."""
NO_BASE = ("pull access denied", "manifest unknown", "manifest for", "invalid reference format", "not found: ")


@dataclass(frozen=True)
class Recipe:
    """What to build."""

    target: str
    """Of the Dockerfile: `cpu` or `gpu`."""
    tag: str
    base: str | None = None
    """Another base image than the Dockerfile's own."""
    data: Path | None = None
    """Folder in the checkout, relative to it, with data files to bake in."""


@dataclass
class Log:
    """What the engine has said so far."""

    step: str = "before its first step"
    done: int = 0
    total: int | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    """The last lines of the step's output."""

    def add(self, entry: Mapping[str, Any]) -> bool:
        """Takes one message of the engine; whether a new step has begun."""
        begun = False
        for line in COLOUR.sub("", entry.get("stream") or "").splitlines():
            if match := STEP.match(line):
                self.done, self.total = int(match["number"]) - 1, int(match["total"])
                self.step = f"step {match['number']}/{match['total']}, {one_line(match['what'])}"
                self.tail.clear()
                begun = True
            elif line.strip() and not line.strip().startswith(NOISE):
                self.tail.append(one_line(line))
        return begun

    def why(self) -> str:
        """The lines that most likely say why the step failed: the last that name an error, else the last one."""
        found = [line for line in self.tail if REASON.search(line)] or list(self.tail)[-1:]
        return " | ".join(dict.fromkeys(found[-REASONS:]))


def build(recipe: Recipe, console: Console, root: Path) -> str:
    """Builds the image from the checkout at `root`, shows how far it is, and returns the image's id.

    MachineError: no checkout, no engine, no disk. UsageError: the tag, the base image or the data. BenchError: a step
    of the build failed.
    """
    if not (root / DOCKERFILE).is_file():
        raise MachineError(
            f"bench image build: no {DOCKERFILE} in {root}, bench is installed without its sources; run it from a "
            "checkout, installed with pip install -e ."
        )
    if recipe.data is not None and not (root / recipe.data).is_dir():
        raise UsageError(
            f"--data {recipe.data}: no folder in {root}, where an image is built from; put the files there"
        )
    began_s = time.monotonic()
    with connected() as engine:
        _check_space(recipe, engine)
        _follow(recipe, engine, root, console)
        found = engine.image(recipe.tag)
    if found is None:
        raise BenchError(f"{recipe.tag}: was built, and is gone already; somebody else has removed it")
    image: str = found["Id"]
    took = duration(time.monotonic() - began_s)
    _say(console, f"{recipe.tag} is {image}, {found['Size'] / 1e9:.2f} GB, built in {took}")
    return image


def _follow(recipe: Recipe, engine: Engine, root: Path, console: Console) -> None:
    """Builds; on a terminal a bar of steps with the last line of output, elsewhere a line for every step."""
    log = Log()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sending the checkout", total=None)
        try:
            for entry in _messages(recipe, engine, root):
                if "error" in entry:
                    raise _failed(recipe, engine, log, entry["error"])
                if log.add(entry):
                    _say(console, log.step)
                doing = log.tail[-1] if log.tail else entry.get("status") or log.step
                bar.update(task, completed=log.done, total=log.total, description=escape(doing[:60]))
        except requests.RequestException as error:
            if answered(error):
                raise _failed(recipe, engine, log, explanation(error)) from error
            raise


def _messages(recipe: Recipe, engine: Engine, root: Path) -> Iterator[Mapping[str, Any]]:
    from docker.errors import DockerException

    git = environment.git_state(root)
    commit = git and git["commit"] + "-dirty" * git["dirty"]
    arguments = {"BASE": recipe.base, "COMMIT": commit, "DATA": recipe.data and recipe.data.as_posix()}
    try:
        yield from engine.client.build(
            path=str(root),
            dockerfile=DOCKERFILE,
            target=recipe.target,
            tag=recipe.tag,
            buildargs={name: value for name, value in arguments.items() if value is not None},
            rm=True,
            forcerm=True,
            decode=True,
        )
    except requests.RequestException:
        raise
    except DockerException as error:  # the SDK's own checks, before anything is sent
        raise UsageError(f"--tag {recipe.tag}: {one_line(error)}; a tag looks like bench:cpu") from error
    except OSError as error:  # of the checkout, or of the temporary file it is packed into
        raise MachineError(f"{root}: cannot be packed for the Docker engine ({one_line(error)})") from error


def _failed(recipe: Recipe, engine: Engine, log: Log, said: str) -> BenchError:
    if FULL in said.lower() or any(FULL in line.lower() for line in log.tail):
        root = engine.client.info()["DockerRootDir"]
        return MachineError(
            f"{recipe.tag}: no space left on the disk of the Docker engine ({root}) at {log.step}; free some, as with "
            "docker system prune"
        )
    if recipe.base is not None and any(word in said for word in NO_BASE):
        return UsageError(f"--base {recipe.base}: {one_line(said)}; name an image that is here or can be pulled")
    why = log.why()
    return BenchError(f"{recipe.tag} was not built: {log.step}: {f'{why} | ' if why else ''}{one_line(said)}")


def _check_space(recipe: Recipe, engine: Engine) -> None:
    """Raises a MachineError where the engine keeps its images on a disk of this machine that will not hold them."""
    root = Path(engine.client.info()["DockerRootDir"])
    if engine.socket is None or not root.exists():  # another machine's, or a virtual one's
        return
    needed = REBUILD_BYTES if engine.client.images(recipe.tag) else SPACE_BYTES[recipe.target]
    free = shutil.disk_usage(root).free
    if free < needed:
        raise MachineError(
            f"{recipe.tag}: {free / 1e9:.1f} GB of disk are free where the Docker engine keeps its images ({root}), "
            f"{needed / 1e9:.0f} GB needed; free some, as with docker system prune"
        )


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
