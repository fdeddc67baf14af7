"""Holds arms, or the Triton kernels in Triton's interpreter, to the reference in odd shapes; JSON, a line for each.

python drive_shapes.py ARM [DEVICE]       the arm as it is for that device, on the CPU
TRITON_INTERPRET=1 python drive_shapes.py triton
"""

import json
import sys

from odd_shapes import SHAPES

from bench import parity
from bench.implementation import Session, Setup, arm, open_session
from bench.parity_judge import Judge
from bench.workload import Workload

name, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cpu"


def opened(spec: Workload) -> Session:
    if name != "triton":
        return open_session(Setup(arm(name, device), spec, "cpu", 2, "float64", parity.SEED))
    from impl_torch import fused, triton_calls, triton_convolution
    from impl_torch.session import TorchSession

    triton_convolution.PARTS = 2
    fused.calls = lambda tensor: triton_calls
    fused.distinct = lambda tokens, vocabulary: (None, tokens)  # as where tensors are on a CUDA device
    session = TorchSession(Setup(arm("torch-eager"), spec, "cpu", 2, "float64", parity.SEED))
    session.network, _ = fused.fuse(session.model)
    return session


for what, (samples, spec) in SHAPES.items():
    parity.BATCH = samples
    if name == "triton":  # whose interpreter takes milliseconds for every program, and each sample has its own
        parity.BATCH, parity.STEPS = min(samples, 5), 4
    judge = Judge("float64")
    parity.hold_session(judge, opened(spec), spec)
    failed = [(check.quantity, check.error, check.bound) for check in judge.checks if not check.passed]
    print(json.dumps({"shape": what, "checks": len(judge.checks), "failed": failed}), flush=True)
