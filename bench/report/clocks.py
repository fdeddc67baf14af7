"""How fast and how hot the machine ran while each arm was measured, as far as it could be read."""

from collections.abc import Sequence

from bench.report.folder import Folder
from bench.report.markdown import short, table
from bench.wording import number

PROCESSOR = {"frequency_hz": ("frequency of the processor", "processor GHz", 1e-9)}
GPU = {
    "gpu_clock_hz": ("clock of the GPU", "GPU MHz", 1e-6),
    "gpu_temperature_c": ("temperature of the GPU", "GPU °C", 1.0),
    "gpu_power_w": ("power of the GPU", "GPU W", 1.0),
}
"""Reading of `bench.sentinel` → what it is, the heading with its unit, the factor to that unit."""


def clocks(folder: Folder) -> list[str]:
    """Markdown blocks: lowest to highest reading of every arm, then what could not be read."""
    wanted = PROCESSOR | (GPU if any(cell.device == "gpu" for cell in folder.everything) else {})
    found: dict[str, dict[str, list[float]]] = {}
    for cell in folder.everything:
        for window in cell.watch:
            for name in wanted.keys() & window.readings.keys():
                found.setdefault(cell.arm, {}).setdefault(name, []).append(window.readings[name])
    shown = [name for name in wanted if any(name in readings for readings in found.values())]
    unread = [what for name, (what, _, _) in wanted.items() if name not in shown]
    blocks = []
    if shown:
        rows = [
            [short(arm), *(_range(found[arm].get(name, ()), wanted[name][2]) for name in shown)]
            for arm in folder.run.arms
            if arm in found
        ]
        blocks += [
            "Lowest to highest of each arm, over all windows in which the machine was watched, idle ones included:",
            table(["arm", *(wanted[name][1] for name in shown)], rows),
        ]
    return [*blocks, *([f"Not readable here: {', '.join(unread)}."] if unread else [])]


def _range(values: Sequence[float], factor: float) -> str:
    if not values:
        return "-"
    low, high = number(min(values) * factor), number(max(values) * factor)
    return low if low == high else f"{low} to {high}"
