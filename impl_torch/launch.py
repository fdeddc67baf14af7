"""Starts a module of the suite once for each device, under torchrun: `python -m impl_torch.launch 2 pytest …`.

torchrun is asked for two things: to start the processes and tell them of each other, and to end all of them when one
fails. This process is torchrun's agent; it dies with the one that started it, and the others die with it.
"""

import os
import signal
import sys
from collections.abc import Sequence

from bench.implementation import die_with
from impl_torch.member import AGENT

PARENT = "--parent"


def main(arguments: Sequence[str]) -> None:
    """`arguments`: the number of devices, the module, and the module's own, in which `--parent` names a process."""
    devices, module, *rest = arguments
    if (parent := parent_in(rest)) is not None:
        die_with(parent)
    from torch.distributed import run  # here: not before this process knows with whom to die
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ[AGENT] = str(os.getpid())
    os.environ["PYTHONSAFEPATH"] = "1"  # as this process was started: -P, which torchrun does not hand on
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all of them are on this machine, whose name may be nobody's
    # A port of its own for every run; the end of one process is the end of all, and nothing is tried again.
    asked = ["--standalone", "--local-addr=localhost", f"--nproc-per-node={devices}", "--max-restarts=0"]
    asked += [f"--log-dir={os.devnull}"]  # else each run leaves a folder behind
    try:
        run.main([*asked, "--module", "impl_torch.member", module, *rest])
    except ChildFailedError as error:  # its words are torchrun's, with the name of this host; a member has said its own
        _, failure = error.get_first_failure()
        end_like(failure.exitcode)
    except SignalException as error:  # torchrun has made an exception of it: nothing here has failed
        end_like(-error.sigval)


def end_like(code: int) -> None:
    """Ends this process as the first member to fail was: by its exit code, or by the same signal (negative)."""
    if code < 0:
        if -code != signal.SIGKILL:  # whose handling is nobody's to choose
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def parent_in(arguments: Sequence[str]) -> int | None:
    """The process that `--parent=N` or `--parent N` names."""
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == PARENT:
            return int(value if equals else arguments[place + 1])
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
