"""Writes a trace as a profiler writes one of a GPU: two streams, and the lines that tell the same again.

python make_trace.py FILE
"""

import sys
from pathlib import Path

from tensorflow.tsl.profiler.protobuf import xplane_pb2

space = xplane_pb2.XSpace()
gpu, host = space.planes.add(name="/device:GPU:0"), space.planes.add(name="/host:CPU")
for number, name in enumerate(("gemm", "loop_fusion", "module"), 1):
    gpu.event_metadata[number].id, gpu.event_metadata[number].name = number, name
host.event_metadata[1].id, host.event_metadata[1].name = 1, "Session.run"
for line, events in {
    "Stream #7(Compute)": [(1, 0, 2_000_000), (2, 3_000_000, 1_000_000)],  # picoseconds
    "Stream #8(MemcpyH2D)": [(2, 500_000, 250_000)],
    "XLA Modules": [(3, 0, 4_000_000)],
}.items():
    row = gpu.lines.add(name=line, timestamp_ns=1_000)
    for kind, offset_ps, duration_ps in events:
        row.events.add(metadata_id=kind, offset_ps=offset_ps, duration_ps=duration_ps)
host.lines.add(name="python", timestamp_ns=1_000).events.add(metadata_id=1, offset_ps=0, duration_ps=9_000_000)
Path(sys.argv[1]).write_bytes(space.SerializeToString())
