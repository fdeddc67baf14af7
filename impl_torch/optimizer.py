"""Keras 3's RMSprop for PyTorch, whose own divides by sqrt(v) + eps and cannot be set to sqrt(v + eps)."""

from collections.abc import Iterable

import torch
from torch import Tensor

import bench.workload


class RMSprop(torch.optim.Optimizer):
    """v = rho v + (1 - rho) g²;  w = w - learning_rate g / sqrt(v + epsilon), over all tensors at once."""

    def __init__(self, parameters: Iterable[Tensor], spec: bench.workload.RMSprop) -> None:
        given = {"lr": spec.learning_rate, "rho": spec.rho, "epsilon": spec.epsilon}
        super().__init__(parameters, given | {"epsilon_inside": spec.epsilon_inside})
        self.reset()

    def reset(self) -> None:
        """Puts every v back to zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if "square" in state:
                    state["square"].zero_()
                else:
                    state["square"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = group["params"]
            gradients = [weight.grad for weight in weights]
            squares = [self.state[weight]["square"] for weight in weights]
            torch._foreach_mul_(squares, group["rho"])
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["rho"])
            if group["epsilon_inside"]:
                roots = torch._foreach_add(squares, group["epsilon"])
                torch._foreach_sqrt_(roots)
            else:  # the book's
                roots = torch._foreach_sqrt(squares)
                torch._foreach_add_(roots, group["epsilon"])
            torch._foreach_addcdiv_(weights, gradients, roots, value=-group["lr"])
