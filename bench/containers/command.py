"""The verb `bench image`: its options, and what they mean in the container."""

import argparse
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import catalogue, record, runfolder
from bench.containers import build, run
from bench.containers.settings import Order
from bench.data import sources
from bench.errors import UsageError, tell
from bench.execution import Setting
from bench.image import DATA
from bench.interrupt import INTERRUPTED

BYTES = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[bkmg]?)b?", re.IGNORECASE)
UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
HERE = ("--image", "--name", "--cpus", "--cpuset-cpus", "--memory", "--shm-size", "--out", "--data-dir", "--resume")
"""Options that mean something on this side of the container only, or another thing than inside."""
DATA_PLACES = ("data", "docker/data")
LIMITS = ("--cpus", "--cpuset-cpus", "--memory", "--shm-size", "--data-dir")
"""Of these, what a run was begun with, it has to be completed with."""


def add_parser(verbs: Any, measuring: argparse.ArgumentParser) -> None:
    """Adds `image` with `build` and `run`; `measuring` holds the options of `bench run`."""
    verb = verbs.add_parser("image", help="build the container image, or measure in it")
    below = verb.add_subparsers(title="verbs", metavar="VERB", required=True, dest="image_verb")
    building = below.add_parser("build", help="build the image from this checkout")
    building.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    building.add_argument("--tag", metavar="TAG", help="default: bench:cpu or bench:gpu, after the device")
    building.add_argument("--base", metavar="IMAGE", help="another base image than the Dockerfile's own")
    building.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data files to bake in: data or docker/data of the checkout, or a folder below",
    )
    building.set_defaults(verb_function=_build)
    # Without abbreviations, so that every word is known for what it is when the container's are picked out.
    running = below.add_parser("run", parents=[measuring], allow_abbrev=False, help="bench run in a container")
    running.add_argument("--image", metavar="IMAGE", help="default: bench:cpu or bench:gpu, after --device")
    running.add_argument("--name", metavar="NAME", help="of the container; default: the engine makes one up")
    running.add_argument("--cpus", type=_cpus, metavar="N", help="CPU time of so many cores; default: no limit")
    running.add_argument("--cpuset-cpus", type=_cores, metavar="0-3", help="only these cores; default: all")
    running.add_argument("--memory", type=_bytes, metavar="4g", help="no swap on top; default: no limit")
    running.add_argument("--shm-size", type=_bytes, metavar="1g", help="of /dev/shm; default: with a GPU 1g")
    running.set_defaults(verb_function=_run)


def _build(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    tag = given.tag or f"bench:{given.device}"
    recipe = build.Recipe(given.device, tag, given.base, given.data and _in_checkout(given.data))
    build.build(recipe, console, build.ROOT)
    return 0


def _run(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    inner = _inner(words[2:])
    device = _value(inner, "--device")
    resumed: tuple[str, ...] = ()
    expected = None
    folder = None if given.resume is None else runfolder.find(given.resume, given.out).resolve()
    if folder is None:
        out = given.out.absolute()
    else:
        stored = record.read(folder / "run.json", record.Run)
        out, resumed, expected = folder.parent, ("--resume", folder.name), _image_of(stored)
        device = stored.device
    data_dir = _data_dir(given)
    there = () if data_dir is None else ("--data-dir", str(DATA[0]))
    tty = sys.stdout.isatty()
    if given.stream and tty:
        raise UsageError("--stream: standard output is a terminal; send the tar to a file, as in --stream > run.tar")
    order = Order(
        image=(expected or f"bench:{device or 'cpu'}") if given.image is None else given.image,
        named=given.image is not None,
        expected=expected,
        words=("run", *resumed, *there, *inner),
        out=_writable(out),
        data_dir=data_dir,
        device=device,
        name=given.name,
        cpus=given.cpus,
        cores=given.cpuset_cpus,
        memory_bytes=given.memory,
        shm_bytes=given.shm_size,
        tty=tty,
        stream=given.stream,
    )
    before = set(out.iterdir())
    code = run.run(order, tell)
    if code == INTERRUPTED:
        for path in [folder] if folder else sorted(set(out.iterdir()) - before):
            if (path / "run.json").is_file():
                tell(f"go on with: {shlex.join(_resumption(path, words))}")
    return code


def _resumption(folder: Path, words: Sequence[str]) -> list[str]:
    """The command that completes a run; the container itself knows neither the folder's place here nor its limits."""
    limits = [word for option in LIMITS if (value := _value(words, option)) for word in (option, value)]
    return ["bench", "image", "run", "--resume", str(folder), *limits]


def _inner(words: Sequence[str]) -> list[str]:
    """The words that the container's `bench run` is given as they are."""
    kept, rest = [], iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in HERE:
            kept.append(word)
        elif not equals:
            next(rest)
    return kept


def _value(words: Sequence[str], option: str) -> str | None:
    """What the words give an option; the last counts, as it does for argparse."""
    found = None
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option:
            found = value if equals else words[index + 1]
    return found


def _image_of(stored: record.Run) -> str:
    """Id of the image a run was measured in: the only one it may be completed in."""
    image = stored.environment.get("image")
    if image is None:
        raise UsageError(f"--resume {stored.id}: was not measured in a container; use bench run --resume {stored.id}")
    if image["id"] is None:
        raise UsageError(
            f"--resume {stored.id}: does not know the image it was measured in, as docker run does not tell; "
            f"use docker run with the same image and run --resume {stored.id}"
        )
    return str(image["id"])


def _data_dir(given: argparse.Namespace) -> Path | None:
    """The folder of real data, found good on this side, where its path means something to the user."""
    named = sources.data_dir_from(given.data_dir)
    if named is None or (given.data == "synthetic" and given.resume is None):
        return None
    folder = named.absolute()
    if given.resume is not None:
        if not folder.is_dir():
            raise UsageError(f"--data-dir {folder}: no folder there; name the one that holds the data of the run")
        return folder
    for spec in map(catalogue.load, given.workload or catalogue.names()):
        path = sources.named(folder, spec, sources.remote_of(spec))
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{path}: links out of --data-dir, where a container cannot follow; copy {path.resolve()} there, or "
                "name its folder"
            )
    return folder


def _writable(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".writable-"):
            return out
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error.strerror}); name a folder that can") from error


def _in_checkout(data: Path) -> Path:
    """The folder relative to the checkout, the only place from which files come into an image."""
    folder = data.resolve()
    if not folder.is_relative_to(build.ROOT):
        raise UsageError(
            f"--data {data}: lies outside of the checkout {build.ROOT}; copy the files to {build.ROOT}/data"
        )
    inside = folder.relative_to(build.ROOT)
    if not any(inside.is_relative_to(place) for place in DATA_PLACES):  # .dockerignore leaves everything else out
        raise UsageError(f"--data {data}: expected {' or '.join(DATA_PLACES)} in {build.ROOT}, or a folder below")
    return inside


def _cpus(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text) is None or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of CPUs; expected one above 0, as in 2 or 1.5")
    return float(text)


def _cores(text: str) -> str:
    if re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} names no cores; expected their numbers, as in 0-3 or 0,2")
    return text


def _bytes(text: str) -> int:
    match = BYTES.fullmatch(text)
    if match is None or float(match["number"]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected a number with k, m or g, as in 512m or 4g")
    return int(float(match["number"]) * UNITS[match["unit"].lower()])
