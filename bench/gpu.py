"""Which NVIDIA GPUs there are, asked of the driver itself: needs neither a framework nor nvidia-smi."""

from typing import Any

import pynvml

from bench.errors import MachineError

CURES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "install the NVIDIA driver (in a container: start it with --gpus all)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "load the NVIDIA driver (in a container: start it with --gpus all)",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was updated under a running kernel: restart the machine",
    pynvml.NVML_ERROR_NO_PERMISSION: "give this user access to /dev/nvidia*",
}


def devices() -> tuple[list[dict[str, Any]], str | None]:
    """Name, driver and memory of every GPU the driver shows; or none, and why with the cure."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        cure = CURES.get(error.value, "see that nvidia-smi works on this machine")
        return [], f"no GPU driver answers ({error}); {cure}"
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
            found.append({"name": pynvml.nvmlDeviceGetName(handle), "driver": driver, "memory_bytes": memory})
    except pynvml.NVMLError as error:
        return [], f"the GPU driver fails ({error}); see that nvidia-smi works on this machine"
    finally:
        pynvml.nvmlShutdown()
    return found, None if found else "the GPU driver shows no device; see that one is attached and visible"


def require() -> None:
    """Raises a MachineError, one line with the cure, unless a GPU can be used."""
    found, problem = devices()
    if not found:
        raise MachineError(f"--device gpu: {problem}; or leave out --device gpu to measure on the CPU")
