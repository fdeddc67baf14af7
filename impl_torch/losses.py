"""Loss and accuracy of every head, on raw outputs of shape (batch,)."""

import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)
from torch import Tensor

from bench.workload import Workload

CLIP = 1e-7


def _require_same_shape(outputs: Tensor, targets: Tensor) -> None:
    # (batch,) against (batch, 1) broadcasts to (batch, batch) without an error, and trains on nonsense.
    if outputs.shape != targets.shape:
        raise ValueError(f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} must have one shape")


def loss(workload: Workload, outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean loss over the batch, a scalar."""
    _require_same_shape(outputs, targets)
    if workload.loss == "mean_absolute_error":
        return F.l1_loss(outputs, targets)
    if workload.head == "logits":
        return F.binary_cross_entropy_with_logits(outputs, targets)
    return F.binary_cross_entropy(outputs.clamp(CLIP, 1 - CLIP), targets)


def correct(workload: Workload, outputs: Tensor, targets: Tensor) -> Tensor:
    """How many samples of the batch are classified right, a scalar."""
    _require_same_shape(outputs, targets)
    labels = (outputs > 0).to(targets.dtype) if workload.head == "logits" else outputs.round()
    return (labels == targets).sum()
