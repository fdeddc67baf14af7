"""Whether what a run was obtained with is here: its image, else its code and packages; and how this machine differs."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

import bench
from bench import environment, image, interpreters
from bench.compare.differences import differences, table
from bench.errors import MachineError
from bench.record import Run

IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
OF_THE_HOST = ("processor", "cores", "physical cores", "memory in bytes", "GPU")
"""Differences that no option of a container takes away."""


def in_image(run: Run, say: Callable[[str], None]) -> bool:
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
        if image.here() is None and engine_has(known):
            return True
        lack = f"the engine here has no image {known}" if image.here() is None else f"this container is not of {known}"
    except MachineError as error:
        lack = str(error)
    try:
        check_code(run)
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


def engine_has(name: str) -> bool:
    """Whether the engine has the image of this very id: a tag, which a record may hold, names whatever it is now."""
    from bench.containers.engine import connected  # its SDK is an extra

    if IMAGE_ID.fullmatch(name) is None:
        return False
    with connected() as engine:
        return (engine.image(name) or {}).get("Id") == name


def check_code(run: Run) -> None:
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


def say_machine(run: Run, say: Callable[[str], None], *, in_image: bool) -> None:
    """Says before anything is measured what will keep the two runs from being comparable."""
    here = msgspec.structs.replace(run, environment=environment.describe())
    for difference in differences(run, here):
        # A container without a GPU sees none of the host's.
        hidden = difference.what == "GPU" and run.device != "gpu"
        if difference.prevents and not (in_image and (hidden or difference.what not in OF_THE_HOST)):
            say(f"not comparable: {difference.what} is {difference.b} here, {difference.a} in the run")
