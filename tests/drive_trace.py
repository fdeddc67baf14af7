"""What a Keras backend's reader finds in a trace of a GPU made by hand, and in one of its own profiler on a CPU; JSON.

python drive_trace.py tensorflow|jax TRACE
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = sys.argv[1]

from impl_keras.backend import backend

path = Path(sys.argv[2])
if sys.argv[1] == "tensorflow":
    found = backend.in_trace(path.read_bytes())
else:
    import jax

    found = backend.in_trace(jax.profiler.ProfileData.from_file(str(path)))
ran = []
on_cpu = backend.kernels(lambda: ran.append("ran"))
print(json.dumps({"found": found, "ran": ran, "on a CPU": on_cpu}))
