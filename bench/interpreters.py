"""Which Python runs an arm, and whether it can: the answer is None or a hole's reason with the cure."""

import functools
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bench
from bench import caches
from bench.errors import UsageError
from bench.implementation import Arm, declared
from bench.probe import CUDA_RUNTIMES

PROBE_LIMIT_S = 120  # starting a Python on a cold network file system and one small compilation

INHERITED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME",
    "VIRTUAL_ENV", "CONDA_PREFIX", "CC", "CXX", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "SSL_CERT_FILE", "XDG_CACHE_HOME", "BENCH_DATA_DIR",
    "BENCH_CACHE_DIR",
)  # fmt: skip
"""What a measured process gets of the caller's environment: enough to find programs and devices, nothing that tunes."""


def interpreter(framework: str) -> str:
    """Path of the Python for a framework: `BENCH_PYTHON_<FRAMEWORK>`, else the one that runs `bench`."""
    variable = _variable(framework)
    path = os.environ.get(variable)
    if not path:
        return sys.executable
    if not os.access(path, os.X_OK) or Path(path).is_dir():
        raise UsageError(f"{variable}={path}: not a program that can be run; name a Python interpreter or unset it")
    return path


def base_environment() -> dict[str, str]:
    """The environment every child starts from; the same Python code as here wherever bench is not installed."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    if "PYTHONPATH" in kept:  # children work in other folders
        kept["PYTHONPATH"] = os.pathsep.join(
            str(Path(entry).absolute()) for entry in kept["PYTHONPATH"].split(os.pathsep)
        )
    root = str(Path(bench.__file__).resolve().parent.parent)
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:  # a checkout
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))
    # CUDA numbers GPUs by their power, NVML by their place: those that are watched have to be those that are used.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | kept | {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}


def hole(arm: Arm, device: str) -> str | None:
    """Why `arm` cannot run on `device` here, with the cure; None when it can."""
    if device not in arm.devices:
        return f"{arm.name} runs on {', '.join(arm.devices)} only; name it with --device"
    offer = probe(arm.framework)
    missing = [name for name in arm.distributions if offer["distributions"].get(name) is None]
    if missing:
        wanted = " ".join(name.partition("|")[0] for name in missing)
        where = os.environ.get(_variable(arm.framework)) or sys.executable
        return f"{', '.join(missing)} not installed in {where}; install with: {where} -m pip install {wanted}"
    if arm.needs_compiler and (problem := caches.kernel_problem()):
        return problem
    if arm.needs_compiler and device == "cpu" and offer["compiler_problem"]:
        return (
            f"no working C++ compiler: {offer['compiler_problem']}; "
            "install g++ and the Python headers (Debian: apt install g++ python3-dev)"
        )
    return None


@functools.cache
def probe(framework: str) -> Mapping[str, Any]:
    """What the framework's interpreter offers: keys as printed by `bench.probe`. UsageError if it cannot run bench."""
    named_by_arms = {name for arm in declared() if arm.framework == framework for name in arm.distributions}
    wanted = sorted(named_by_arms | set(CUDA_RUNTIMES))
    python = interpreter(framework)
    compiled = any(arm.framework == framework and arm.needs_compiler for arm in declared())
    command = [python, "-P", "-m", "bench.probe", *wanted, *(["--compiler"] if compiled else [])]  # that takes a second
    named = f"{_variable(framework)}={python}"
    try:
        done = subprocess.run(  # noqa: S603 (the interpreter the user named; no shell)
            command, env=base_environment(), capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{named}: cannot be run as a Python ({error}); name a working one or unset it") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"{named}: cannot run bench ({last}); install this bench there or unset the variable")
    offer: dict[str, Any] = json.loads(done.stdout)
    if python != sys.executable and offer["code_digest"] != probe_self():
        raise UsageError(f"{named}: has another bench installed than the one running; install this one there")
    return offer


def summary(framework: str) -> dict[str, Any]:
    """Python and package versions of the framework's interpreter, and a hash of all it has, for the result."""
    offer = probe(framework)
    found = filter(None, offer["distributions"].values())
    return {"python": offer["python"], **dict(found), "installed": offer["installed"]}


@functools.cache
def probe_self() -> str:
    """The code digest of the bench that is running."""
    from bench.probe import code_digest

    return code_digest()


def _variable(framework: str) -> str:
    return f"BENCH_PYTHON_{framework.upper()}"
