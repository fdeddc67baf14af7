"""The arms of native PyTorch. Importing this package imports no framework; `session` and `ceiling` do."""

from bench.implementation import Arm
from bench.workload import PRECISIONS

ENGINE = (
    "torchrun, a process for each device; DistributedDataParallel over gloo on CPUs, NCCL on GPUs; each process draws "
    "the dropout masks of the whole batch and takes its part"
)
LAUNCHER = "impl_torch.launch"
ARMS = (
    Arm(
        name="torch-eager",
        framework="torch",
        tier="stock",
        session="impl_torch.session:open_session",
        precisions=PRECISIONS,
        ceiling="impl_torch.ceiling:open_ceiling",
        distributions=("torch",),
        settings={
            "training loop": "plain loop over an index stream, data gathered on the device",
            "recurrence": "GRU: input products for all time steps at once, then a Python loop over time; LSTM: nn.LSTM",
            "optimizer": "RMSprop with epsilon inside the root, over torch's foreach kernels",
        },
        engine=ENGINE,
        launcher=LAUNCHER,
    ),
    Arm(
        name="torch-compile",
        framework="torch",
        tier="stock",
        session="impl_torch.session:open_session",
        precisions=PRECISIONS,
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
        kernels={"": ("triton_",)},
        needs_compiler=True,
        engine=f"{ENGINE}, around the compiled graphs: one bucket holds all gradients of models this small",
        launcher=LAUNCHER,
    ),
    Arm(
        name="torch-tuned",
        framework="torch",
        tier="tuned",
        session="impl_torch.tuned:open_session",
        ceiling="impl_torch.ceiling:open_ceiling",
        distributions=("torch", "ninja"),
        devices=("cpu",),
        environment={
            "TORCH_EXTENSIONS_DIR": "{cache}/extensions",
            # A page that is given back is cleared anew for the next step: some thousand of them in each.
            "MALLOC_MMAP_THRESHOLD_": "33554432",  # bytes, the largest that glibc takes
            "MALLOC_TRIM_THRESHOLD_": "536870912",
        },
        settings={
            "training loop": "plain loop over an index stream, data gathered on the device",
            "layers": "C++ through torch.utils.cpp_extension: convolution, relu and pooling in one call; the embedding "
            "and its convolution as a table of the tokens in the batch; gradients of a maximum only where it stands",
            "recurrence": "GRU: C++, all time steps in one call, samples shared out among the threads; LSTM: nn.LSTM",
            "optimizer": "RMSprop with epsilon inside the root, C++, one pass over each weight; of a table, its rows "
            "that have a gradient",
            "memory": "the process keeps what it has freed (glibc)",
        },
        needs_compiler=True,
    ),
    Arm(
        name="torch-tuned",
        framework="torch",
        tier="tuned",
        session="impl_torch.tuned:open_session",
        ceiling="impl_torch.ceiling:open_ceiling",
        distributions=("torch", "triton"),
        devices=("gpu",),
        environment={"TRITON_CACHE_DIR": "{cache}/triton"},
        settings={
            "training loop": "whole steps, data gathered in them, recorded as CUDA graphs and replayed, in an epoch "
            "20 steps a replay",
            "layers": "Triton: convolution, relu and pooling in one kernel; the embedding and its convolution as a "
            "table of all tokens, whose gradient threads add to in any order",
            "recurrence": "GRU: Triton, all time steps in one kernel forward and one back, a sample to each program; "
            "LSTM: nn.LSTM",
            "optimizer": "RMSprop with epsilon inside the root, over torch's foreach kernels",
        },
        kernels={"conv1d": ("_pooled_forward",), "gru": ("_gru_forward", "_gru_backward")},
        needs_compiler=True,
    ),
)
