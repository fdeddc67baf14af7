"""The eager PyTorch session with one thing wrong, the way it goes wrong in practice."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from bench.implementation import Setup
from impl_torch.model import CausalConv1D
from impl_torch.optimizer import RMSprop
from impl_torch.recurrent import GRU, LSTM, masked
from impl_torch.session import TorchSession


def open_session(setup: Setup) -> TorchSession:
    session = TorchSession(setup)
    PLANT[setup.arm.settings["fault"]](session)
    return session


def _swapped_gates(session: TorchSession) -> None:
    """PyTorch's own order is r, z, n: a copied kernel lands in the wrong gates."""
    load = session.model.load_canonical

    def load_swapped(weights):
        load(weights)
        with torch.no_grad():
            for layer in _layers(session, GRU):
                for kernel in (layer.kernel, layer.recurrent_kernel, layer.bias):
                    kernel.copy_(kernel[[1, 0, 2]].clone())

    session.model.load_canonical = load_swapped


def _epsilon_outside(session: TorchSession) -> None:
    """The rule of PyTorch's own RMSprop: sqrt(v) + epsilon."""
    optimizer = session.optimizer

    @torch.no_grad()
    def step():
        for group in optimizer.param_groups:
            for weight in group["params"]:
                v = optimizer.state[weight]["square"]
                v.mul_(group["rho"]).addcmul_(weight.grad, weight.grad, value=1 - group["rho"])
                weight.addcdiv_(weight.grad, v.sqrt() + group["epsilon"], value=-group["lr"])

    session.update = step


def _shared_mask(session: TorchSession) -> None:
    """One mask for all gates, as Keras' other GRU implementation has it."""
    for layer in _layers(session, GRU):
        whole = GRU.forward

        def forward(x, input_mask, recurrent_mask, layer=layer, whole=whole):
            shared = [None if mask is None else mask[:1].expand_as(mask) for mask in (input_mask, recurrent_mask)]
            return whole(layer, x, *shared)

        layer.forward = forward


def _one_draw_for_all_gates(session: TorchSession) -> None:
    """Given masks are used as they should be; its own sampler draws one and hands it to every gate."""
    sample = session.model.sample_masks
    session.model.sample_masks = lambda samples: {
        name: mask[:1].expand_as(mask) for name, mask in sample(samples).items()
    }


def _mask_drawn_each_time_step(session: TorchSession) -> None:
    """Given masks are used as they should be; its own vary over time, as ordinary dropout on the input does."""
    for layer in _layers(session, GRU):
        whole = GRU.forward

        def forward(x, input_mask, recurrent_mask, layer=layer, whole=whole):
            if input_mask is not None and session.masks is None:
                x = F.dropout(x, layer.layer.dropout)
                input_mask = torch.ones_like(input_mask)
            return whole(layer, x, input_mask, recurrent_mask)

        layer.forward = forward


def _masked_carry(session: TorchSession) -> None:
    """The state is masked where it is carried on, not only where it enters the products (Keras 3.5's fault)."""
    for layer in _layers(session, GRU):

        def forward(x, input_mask, recurrent_mask, layer=layer):
            x = x.permute(2, 0, 1).expand(3, -1, -1, -1)
            if input_mask is not None:
                x = x * input_mask.unsqueeze(1)
            x = torch.matmul(x, layer.kernel.unsqueeze(1)) + layer.bias.unsqueeze(1)  # (3, T, B, U)
            h = x.new_zeros(x.shape[2], layer.layer.units)
            for x_z, x_r, x_h in x.unbind(1):
                h = masked(h, None if recurrent_mask is None else recurrent_mask[0])
                z = torch.sigmoid(x_z + h @ layer.recurrent_kernel[0])
                r = torch.sigmoid(x_r + h @ layer.recurrent_kernel[1])
                c = torch.tanh(x_h + (r * h) @ layer.recurrent_kernel[2])
                h = z * h + (1 - z) * c
            return h

        layer.forward = forward


def _broadcast_loss(session: TorchSession) -> None:
    """Outputs (batch,) against targets (batch, 1): every output is compared with every target."""

    def forward(inputs, targets, masks):
        outputs = session.model(inputs, masks)
        column = targets.unsqueeze(1)
        if session.workload.loss == "mean_absolute_error":
            return outputs, (outputs - column).abs().mean()
        wide, tall = torch.broadcast_tensors(outputs, column)
        return outputs, F.binary_cross_entropy_with_logits(wide, tall)

    session.forward = forward


def _broadcast_metric(session: TorchSession) -> None:
    """The same in the accuracy only: training is right, what it reports is not."""

    def count(outputs, targets, loss):
        session.samples += len(targets)
        session.totals["loss"] += loss * len(targets)
        said = (outputs > 0).to(targets.dtype)
        session.totals["accuracy"] += (said == targets.unsqueeze(1)).to(targets.dtype).mean() * len(targets)

    session._count = count


def _second_bias(session: TorchSession) -> None:
    """PyTorch's own LSTM as it comes: it trains both of its biases, and their sum moves twice as far."""
    for layer in _layers(session, LSTM):
        zeros = layer.bias_hh_l0
        del layer.bias_hh_l0
        layer.bias_hh_l0 = nn.Parameter(zeros)
    session.optimizer = RMSprop(session.model.parameters(), session.workload.optimizer)
    session.update = session.optimizer.step


def _centred_convolution(session: TorchSession) -> None:
    """As many zeros after the series as before it: the outputs see later time steps."""
    for layer in _layers(session, CausalConv1D):

        def forward(x, layer=layer):
            half = layer.before // 2
            return F.relu(nn.Conv1d.forward(layer, F.pad(x, (half, layer.before - half))))

        layer.forward = forward


def _layers(session: TorchSession, kind: type) -> list[nn.Module]:
    return [layer for layer in session.model.layers.values() if isinstance(layer, kind)]


PLANT = {
    "swapped-gates": _swapped_gates,
    "epsilon-outside": _epsilon_outside,
    "shared-mask": _shared_mask,
    "one-draw-for-all-gates": _one_draw_for_all_gates,
    "mask-drawn-each-time-step": _mask_drawn_each_time_step,
    "masked-carry": _masked_carry,
    "broadcast-loss": _broadcast_loss,
    "broadcast-metric": _broadcast_metric,
    "second-bias": _second_bias,
    "centred-convolution": _centred_convolution,
}
