"""One of the processes that torchrun has started: runs the module it is given, which is told its place among them."""

import contextlib
import os
import runpy
import sys
from collections.abc import Sequence

import psutil

from bench.implementation import die_with

AGENT = "BENCH_TORCHRUN_AGENT"
"""Variable that names the process which started this one, and with which it dies."""
REPORTS = ("--out=", "--benchmark-json=")
"""Beginnings of a cell's options that say where to report; only the first process does."""


REPORT_S = 20.0
"""For the first process to end by itself; it needs a second. One that waits for this one never does."""


def arguments_of(place: int, given: Sequence[str], parent: int) -> list[str]:
    """What the module is told in the process of that place, whose parent is torchrun's agent."""
    told = [word for word in given if place == 0 or not word.startswith(REPORTS)]
    for number, word in enumerate(told):
        if word.startswith("--parent="):
            told[number] = f"--parent={parent}"
    return [*told, f"--place={place}"]


def main(arguments: Sequence[str]) -> None:
    """`arguments`: the module and its own."""
    module, *rest = arguments
    parent = int(os.environ[AGENT])  # not `getppid`: it may be gone by now
    die_with(parent)
    place = int(os.environ["RANK"])
    sys.argv = [module, *arguments_of(place, rest, parent)]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except BaseException:
        if place:
            wait_for_first()
        raise


def wait_for_first() -> None:
    """What fails here may fail in the first process too, which then has to report it before torchrun ends everybody."""
    beside = psutil.Process().parent().children()  # type: ignore[union-attr]  # it is the agent, with which we would die
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.wait_procs([each for each in beside if each.environ().get("RANK") == "0"], timeout=REPORT_S)


if __name__ == "__main__":
    main(sys.argv[1:])
