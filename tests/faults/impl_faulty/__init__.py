"""Arms with one planted fault each, which the parity gate must catch. Importing this imports no framework."""

from bench.implementation import Arm

FAULTS = (
    "swapped-gates",
    "epsilon-outside",
    "shared-mask",
    "one-draw-for-all-gates",
    "mask-drawn-each-time-step",
    "masked-carry",
    "broadcast-loss",
    "broadcast-metric",
    "second-bias",
    "centred-convolution",
)

ARMS = tuple(
    Arm(
        name=f"faulty-{fault}",
        framework="torch",
        tier="stock",
        session="impl_faulty.session:open_session",
        distributions=("torch",),
        settings={"fault": fault},
    )
    for fault in FAULTS
)
