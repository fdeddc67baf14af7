"""What a run leaves to its user: how to go on with it, and where its folder goes with the container, how to save it."""

import platform
import re
import shlex
from pathlib import Path

from rich.console import Console

from bench import image

ROOT = Path("/")


def goes_with_container(folder: Path, root: Path = ROOT) -> bool:
    """Whether the folder lies in the container's own layer, or in memory, and in no mounted folder."""
    place = folder.resolve()
    found = ("/", "overlay")
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        described, _, source = line.partition(" - ")
        mount = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), described.split()[4])
        if place.is_relative_to(mount) and len(mount) >= len(found[0]):  # a later mount covers an earlier one
            found = mount, source.split()[0]
    return found[0] == "/" or found[1] == "tmpfs"


def show(folder: Path, console: Console) -> None:
    """Prints the whole report and how to get the files out, where they would be lost otherwise."""
    if image.here() is None or not goes_with_container(folder):
        return
    report = folder / "report.md"
    if report.is_file():
        console.print(report.read_text(), highlight=False, markup=False, emoji=False, soft_wrap=True)
    host = platform.node()
    container = host if re.fullmatch("[0-9a-f]{12}", host) else "CONTAINER"
    console.print(
        f"the files of this run are only in the container: docker cp {container}:{folder.resolve()} . gets them out, "
        "unless it was started with --rm; next time add "
        '-v "$PWD/results:/results" --user "$(id -u):$(id -g)" before the image, or --stream > run.tar behind it',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def resume(folder: Path) -> str:
    """How to go on with an interrupted run, as its user has to type it; empty where whoever started it tells."""
    if image.here() is None:
        return f"bench run --resume {shlex.quote(str(folder))}"
    if image.identity()["id"] is not None:  # by `bench image run`, which knows the folder's name on the host
        return ""
    return f"the same docker run, and behind the image's name: run --resume {shlex.quote(folder.name)}"
