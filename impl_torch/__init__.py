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
            "recurrence": "GRU: input products for all time steps at once, then a Python loop over time; LSTM: nn.LSTM",
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
            "recurrence": "GRU: as torch-eager, its loop unrolled by the compiler; LSTM: nn.LSTM",
            "compiled": "forward and loss (fullgraph, static shapes) with their backward; optimizer step. "
            "Of a model with a GRU of more than 60 time steps only its loop, 12 steps a graph, and the optimizer step; "
            "of one with an LSTM only the optimizer step",
        },
        needs_compiler=True,
    ),
)
