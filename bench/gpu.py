"""What the NVIDIA driver says of the GPUs, asked of the driver itself: needs neither a framework nor nvidia-smi.

A figure that a GPU, its driver or the user's rights do not give is absent; no query here raises for it.
"""

import functools
import operator
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pynvml

from bench.errors import MachineError

_CONTAINER = "in a container: start it with --gpus all; the host needs the NVIDIA driver and container toolkit"
CURES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: f"install the NVIDIA driver ({_CONTAINER})",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: f"load the NVIDIA driver ({_CONTAINER})",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was updated under a running kernel: restart the machine",
    pynvml.NVML_ERROR_NO_PERMISSION: "give this user access to /dev/nvidia*",
}
SLOWDOWNS = {  # nvml.h, nvmlClocksEventReason*
    0x08: "power or heat of the board (HW slowdown)",
    0x10: "another GPU of its sync boost group is slower",
    0x20: "its temperature (driver)",
    0x40: "its temperature (hardware)",
    0x80: "the power supply (power brake)",
}
"""Bits that say the clock is lowered by something from outside. Not among them: an idle GPU, clocks the owner has set,
and the power cap, which a heavy load reaches by itself and any arm that is as heavy reaches too."""


def devices() -> tuple[list[dict[str, Any]], str | None]:
    """What every GPU that the driver shows is and how it is set; or none, and why with the cure."""
    problem = _start()
    if problem is not None:
        return [], problem
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        found = []
        for handle in _handles():
            memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
            found.append({"name": pynvml.nvmlDeviceGetName(handle), "driver": driver, "memory_bytes": memory})
            found[-1] |= settings(handle)
    except pynvml.NVMLError as error:
        return [], f"the GPU driver fails ({error}); see that nvidia-smi works on this machine"
    return found, None if found else "the GPU driver shows no device; see that one is attached and visible"


def require() -> None:
    """Raises a MachineError, one line with the cure, unless a GPU can be used."""
    found, problem = devices()
    on_cpu = "or measure on the CPU with --device cpu"
    if not found:
        raise MachineError(f"--device gpu: {problem}; {on_cpu}")
    if selected() is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise MachineError(
            f"--device gpu: CUDA_VISIBLE_DEVICES={visible} names no GPU of this machine; unset it, {on_cpu}"
        )
    try:
        pynvml.nvmlSystemGetCudaDriverVersion_v2()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            raise MachineError(
                "--device gpu: the driver is there without its CUDA library, libcuda.so.1; install it (in a container: "
                f"start it with -e NVIDIA_DRIVER_CAPABILITIES=compute,utility); {on_cpu}"
            ) from error


def driver_version() -> str:
    """Of a driver that answers."""
    return str(pynvml.nvmlSystemGetDriverVersion())


def cuda_version() -> tuple[int, int] | None:
    """Major and minor version of the newest CUDA that the driver offers; None where it does not tell."""
    try:
        number = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    except pynvml.NVMLError:
        return None
    return number // 1000, number % 1000 // 10


def settings(handle: Any) -> dict[str, Any]:
    """How a GPU is set; None for what it does not have or does not tell."""
    ecc, mig = ask("nvmlDeviceGetEccMode", handle), ask("nvmlDeviceGetMigMode", handle)
    cap_mw, persistence = ask("nvmlDeviceGetEnforcedPowerLimit", handle), ask("nvmlDeviceGetPersistenceMode", handle)
    return {
        "ecc": None if ecc is None else bool(ecc[0]),
        "mig": None if mig is None else bool(mig[0]),
        "power_cap_w": None if cap_mw is None else cap_mw / 1000,
        "persistence": None if persistence is None else bool(persistence),
    }


def selected() -> Any | None:
    """Handle of the GPU a framework takes first in this process; None for none."""
    return next(iter(visible()), None)


def visible() -> list[Any]:
    """Handles of the GPUs a framework sees in this process, by CUDA_VISIBLE_DEVICES, in its order.

    In the driver's order, which `bench.interpreters.base_environment` has CUDA take unless the caller's says another.
    As with CUDA, a name that there is not hides what comes after it.
    """
    if _start() is not None:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        everything = _handles()
    except pynvml.NVMLError:
        return []
    names = [str(index) for index in range(len(everything))] if named is None else named.split(",")
    return list(_named(dict.fromkeys(name.strip() for name in names), everything))


def _named(names: Iterable[str], everything: list[Any]) -> Iterator[Any]:
    for name in names:
        if name.startswith("MIG-"):  # of which a process has one
            if (handle := ask("nvmlDeviceGetHandleByUUID", name)) is not None:
                yield handle
            return
        for index, handle in enumerate(everything):
            uuid = ask("nvmlDeviceGetUUID", handle) or ""
            if name == str(index) or (name.startswith("GPU-") and uuid.startswith(name)):
                yield handle
                break
        else:
            return


def ask(query: str, *arguments: Any) -> Any | None:
    """One query by its NVML name; None when this library, driver, GPU or user does not get an answer."""
    function = getattr(pynvml, query, None)
    try:
        return None if function is None else function(*arguments)
    except pynvml.NVMLError:
        return None


def energy_j(handle: Any) -> float | None:
    """Joules since the driver was loaded: Volta and later."""
    millijoules = ask("nvmlDeviceGetTotalEnergyConsumption", handle)
    return None if millijoules is None else millijoules / 1000


def counts(handle: Any) -> dict[str, float]:
    """What only ever grows."""
    errors = ask(
        "nvmlDeviceGetTotalEccErrors", handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    )
    return {} if errors is None else {"gpu_ecc_errors": float(errors)}


def states(handle: Any, own: Collection[int], root: Path = Path("/")) -> dict[str, float]:
    """What is so at this instant: clock, reasons for its slowness as bits, power, temperature, who computes on it.

    `own` are the processes being measured; the memory of all of them together is `gpu_process_bytes`.
    """
    found: dict[str, float | None] = {}
    clock_mhz = ask("nvmlDeviceGetClockInfo", handle, pynvml.NVML_CLOCK_SM)
    power_mw = ask("nvmlDeviceGetPowerUsage", handle)
    found["gpu_clock_hz"] = None if clock_mhz is None else clock_mhz * 1e6
    found["gpu_power_w"] = None if power_mw is None else power_mw / 1000
    found["gpu_temperature_c"] = ask("nvmlDeviceGetTemperature", handle, pynvml.NVML_TEMPERATURE_GPU)
    found["gpu_throttle"] = slowdown_bits(handle)
    processes = ask("nvmlDeviceGetComputeRunningProcesses", handle)
    if processes is not None:
        mine, foreign = divided(processes, own, root)
        held = [process.usedGpuMemory for process in mine if process.usedGpuMemory is not None]
        found["foreign_gpu_processes"] = len(foreign)
        found["gpu_process_bytes"] = sum(held) if held else None
    return {name: float(value) for name, value in found.items() if value is not None}


def together(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Counts or states of several GPUs as one: sums; the slowest clock, the highest temperature, every reason."""
    joined: dict[str, float] = {}
    for name in dict.fromkeys(name for each in found for name in each):
        values = [each[name] for each in found if name in each]
        if name == "gpu_throttle":
            joined[name] = float(functools.reduce(operator.or_, map(int, values)))
        else:
            joined[name] = {"gpu_clock_hz": min, "gpu_temperature_c": max}.get(name, sum)(values)
    return joined


def slowdown_bits(handle: Any) -> int | None:
    """NVML's reasons for the present clock; the query has another name in drivers before 535."""
    bits = ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    return ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle) if bits is None else bits


def slowdown_words(bits: int) -> list[str]:
    """Those of the reasons that disturb a measurement."""
    return [words for bit, words in SLOWDOWNS.items() if bits & bit]


def divided(processes: list[Any], own: Collection[int], root: Path = Path("/")) -> tuple[list[Any], list[Any]]:
    """Processes that compute on a GPU: the measured ones and the foreign ones.

    In a container the driver may number processes as the host does. Then none has a number of ours, and one that
    /proc does not know here is taken for ours: a foreign one is overlooked rather than invented.
    """
    mine = [process for process in processes if process.pid in own]
    foreign = [process for process in processes if process.pid not in own]
    unknown = [process for process in foreign if not (root / "proc" / str(process.pid)).exists()]
    if not mine and unknown:
        mine = unknown[:1]
        foreign.remove(mine[0])
    return mine, foreign


_STARTED: list[bool] = []


def _start() -> str | None:
    """Opens the driver's library once in this process; why it cannot be opened, with the cure."""
    if not _STARTED:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            cure = CURES.get(error.value, "see that nvidia-smi works on this machine")
            return f"no GPU driver answers ({error}); {cure}"
        _STARTED.append(True)
    return None


def _handles() -> list[Any]:
    return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
