"""The arms of native PyTorch. Importing this package imports no framework; `session` and `ceiling` do."""

from bench.implementation import Arm

ARMS = (
    Arm(
        name="torch-eager",
        framework="torch",
        tier="stock",
        session="impl_torch.session:open_session",
        ceiling="impl_torch.ceiling:open_ceiling",
        distributions=("torch",),
        settings={
            "training loop": "plain loop over an index stream, data gathered on the device",
            "recurrence": "input products for all time steps at once, then a Python loop over time",
            "optimizer": "RMSprop with epsilon inside the root, over torch's foreach kernels",
        },
    ),
    Arm(
        name="torch-compile",
        framework="torch",
        tier="stock",
        session="impl_torch.session:open_session",
        ceiling="impl_torch.ceiling:open_ceiling",
        distributions=("torch",),
        environment={"TORCHINDUCTOR_CACHE_DIR": "{cache}/inductor"},
        settings={
            "training loop": "plain loop over an index stream, data gathered on the device",
            "recurrence": "as torch-eager, unrolled by the compiler",
            "compiled": "forward and loss (fullgraph, static shapes) with their backward; optimizer step",
        },
        needs_compiler=True,
    ),
)
