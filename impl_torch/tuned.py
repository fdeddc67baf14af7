"""The Session of `torch-tuned`: that of `torch-eager` with its layers, and its optimiser's step, in fewer calls."""

import functools

import torch

from bench.implementation import Setup
from impl_torch import fused
from impl_torch.graphed import GraphSession
from impl_torch.native import build, library
from impl_torch.optimizer import RMSprop
from impl_torch.session import TorchSession


def open_session(setup: Setup) -> TorchSession:
    """On a CPU this builds the C++ if this machine has not yet; a RuntimeError when that fails."""
    session = (GraphSession if setup.device == "gpu" else TorchSession)(setup)
    session.network, session.compiled = fused.fuse(session.model)
    if setup.device == "cpu":
        build()
        session.update = lambda: step(session.optimizer)
    return session


@torch.no_grad()
def step(optimizer: RMSprop) -> None:
    """What `RMSprop.step` does, each weight in one pass."""
    for group in optimizer.param_groups:
        rho, epsilon = group["rho"], group["epsilon"]
        within, beside = (epsilon, 0.0) if group["epsilon_inside"] else (0.0, epsilon)
        for weight in group["params"]:
            square, gradient, keep = optimizer.state[weight]["square"], weight.grad, rho
            rows = every_row(len(weight))
            if gradient.is_sparse:  # of a table: rows without a gradient keep their weights
                square.mul_(rho)
                # Not `indices`: autograd forgets that no row stands there twice.
                rows, gradient, keep = gradient._indices()[0], gradient._values(), 1.0
            library(weight.dtype).rmsprop(
                weight, square, gradient.contiguous(), rows, group["lr"], keep, 1 - rho, within, beside
            )


@functools.cache
def every_row(count: int) -> torch.Tensor:
    """The numbers of so many rows."""
    return torch.arange(count)
