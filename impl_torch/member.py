"""One of the processes that torchrun has started: runs the module it is given, which is told its place among them."""

import contextlib
import os
import runpy
import sys
import traceback
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
    except Exception:
        traceback.print_exc()
        leave(place, 1)
    except SystemExit as error:
        if error.code not in (None, 0):
            if not isinstance(error.code, int):
                print(error.code, file=sys.stderr)
            leave(place, error.code if isinstance(error.code, int) else 1)
        raise


def leave(place: int, code: int) -> None:
    """Ends this process, which has failed, once the first one has told of it if that fails too.

    Not by way of `atexit`: NCCL's end waits for all processes, and the others wait for this one in an exchange.
    """
    if place:
        wait_for_first()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def wait_for_first() -> None:
    """What fails here may fail in the first process too, which then has to report it before torchrun ends everybody."""
    beside = psutil.Process().parent().children()  # type: ignore[union-attr]  # it is the agent, with which we would die
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.wait_procs([each for each in beside if each.environ().get("RANK") == "0"], timeout=REPORT_S)


if __name__ == "__main__":
    main(sys.argv[1:])
