"""What the forms of `keras-tuned` are made of on JAX: a jitted loop over training steps, a scan over time in each."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from bench.data.windows import Indices
from impl_keras.backend_jax import Data, Trainer
from impl_keras.data import common_size

Tensor = jax.Array
Function = Callable[[Tensor], Tensor]
UNROLL = 10
"""Time steps in one turn of the recurrence's loop: a turn costs the start of its kernels."""


def distinct_rows(table: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """All rows of a table, for each token its own: how many `tokens` (B, T) name is not known when this is compiled."""
    return jnp.asarray(table), tokens


def sums_of_rows(rows: Tensor, places: Tensor, most: int) -> Tensor:
    """rows (R, F), all there can be, places (B, T, K) → (B, T, F), each the sum of the K rows at its places."""
    return rows[places].sum(axis=2)


def recur(of_input: Tensor, kernels: Tensor, masks: Tensor, gate: Function, slope: Function) -> Tensor:
    """The last state (B, U) of the GRU in `bench.layers`, from the inputs' part of its gates.

    of_input (T, G, B, U), kernels (G, U, U), masks (G, B, U), gates in the order z, r, h.
    """

    def step(h: Tensor, x: Tensor) -> tuple[Tensor, None]:
        z, r = gate(x[:2] + (h * masks[:2]) @ kernels[:2])
        c = jnp.tanh(x[2] + (r * h * masks[2]) @ kernels[2])
        return z * h + (1 - z) * c, None  # the carried h is not masked

    return jax.lax.scan(step, jnp.zeros_like(masks[0]), of_input, unroll=UNROLL)[0]


class Loop(Trainer):
    """Many training steps in one call: those asked for wait until there are enough, or until somebody looks."""

    MOST = 100
    """Steps that wait."""

    def __init__(self, model: keras.Model) -> None:
        self.asked: list[int] = []
        super().__init__(model)

    def trace_again(self) -> None:
        super().trace_again()  # which settles
        self._run = jax.jit(self._steps, donate_argnums=0)

    def stage(self, data: Data) -> None:
        self._turn()  # the steps that wait are on the data there is
        self.data = data

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self._turn()
        self.batches = np.stack(batches)

    def ask(self, number: int) -> None:
        """One training step on a staged batch, some time before `settle` returns."""
        self.asked.append(number)
        if len(self.asked) == self.MOST:
            self._turn()

    def settle(self) -> None:
        self._turn()
        super().settle()

    def synchronise(self) -> None:
        self._turn()
        super().synchronise()

    def epoch(self, batches: Sequence[Indices]) -> None:
        """One pass; a last batch that is shorter is a call of its own."""
        size = common_size(batches)
        whole = [indices for indices in batches if len(indices) == size]
        self._train(np.stack(whole))
        if len(whole) < len(batches):
            self._train(batches[-1][None])
        self.settle()

    def _turn(self) -> None:
        asked, self.asked = self.asked, []
        if asked:
            self._train(self.batches[asked])

    def _train(self, indices: Indices) -> None:
        if self._state is None:
            self._state = tuple([variable.value for variable in group] for group in self._variables())
        for first in range(0, len(indices), self.MOST):
            part = indices[first : first + self.MOST]
            # Always as many, the rest unused: another number would be compiled where time is taken.
            padded = np.zeros((self.MOST, indices.shape[1]), indices.dtype)
            padded[: len(part)] = part
            self._state = self._run(self._state, self.data.arrays, padded, len(part))

    def _steps(self, state: Any, arrays: Any, indices: Any, count: Any) -> Any:
        def step(place: Any, state: Any) -> Any:
            return self.model.train_step(state, self.data.gather(arrays, indices[place]))[1]

        return jax.lax.fori_loop(0, count, step, state)
