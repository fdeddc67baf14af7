"""What ran on a GPU, out of the trace that TensorFlow's and JAX's profiler writes (XPlane).

Source: xplane.proto of OpenXLA: a space holds planes, a plane lines, a line events. Of a GPU's plane the lines named
`Stream …` hold what ran; others hold the same again, summed up by module or operation.
"""

from collections.abc import Iterable
from pathlib import Path

from bench.implementation import Kernel

DEVICE, STREAM = "/device:GPU:0", "Stream"
"""Of several GPUs the first speaks for all."""
Event = tuple[str, str, str, float, float]
"""Names of plane, line and event; seconds of start and end."""


def on_gpu(events: Iterable[Event]) -> list[Kernel]:
    """The kernels and copies among all events of a trace."""
    return [
        Kernel(name, start_s, end_s)
        for plane, line, name, start_s, end_s in events
        if plane.partition(" ")[0] == DEVICE and line.startswith(STREAM)
    ]


def file_in(folder: Path) -> Path:
    """The one trace below `folder`."""
    (found,) = folder.rglob("*.xplane.pb")
    return found
