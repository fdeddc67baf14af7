"""What the forms of `keras-tuned` are made of on TensorFlow: its own operations, and XLA where a loop is wanted.

Not the whole step by XLA: its convolutions and its products take longer on a CPU than TensorFlow's own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.data.windows import Indices
from impl_keras.backend_tensorflow import Data, Trainer
from impl_keras.data import common_size

Tensor = tf.Tensor
Function = Callable[[Tensor], Tensor]


def distinct_rows(table: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (D, C) of a table that `tokens` (B, T) name, each once, and for each token which of them is its own."""
    distinct, slots = tf.unique(tf.reshape(tokens, (-1,)))
    return tf.gather(tf.convert_to_tensor(table), distinct), tf.reshape(slots, tf.shape(tokens))


def sums_of_rows(rows: Tensor, places: Tensor, most: int) -> Tensor:
    """rows (R, F) of which there are at `most` so many, places (B, T, K) → (B, T, F): the sum of the K rows there.

    XLA makes one loop of each way, where TensorFlow's own operations write every row down before it is added. It wants
    to know how many rows there are: behind those in use stand zeros.
    """

    @tf.custom_gradient
    def run(rows: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        there = tf.shape(rows)[0]

        def back(to_sums: Tensor) -> Tensor:
            return _sums_back(to_sums, places, most)[:there]

        return _sums(tf.pad(rows, ((0, most - there), (0, 0))), places), back

    return run(rows)


@tf.function(jit_compile=True)
def _sums(rows: Tensor, places: Tensor) -> Tensor:
    return tf.add_n([tf.gather(rows, each) for each in tf.unstack(places, axis=2)])


@tf.function(jit_compile=True)
def _sums_back(to_sums: Tensor, places: Tensor, most: int) -> Tensor:
    flat = tf.reshape(to_sums, (-1, to_sums.shape[2]))
    return tf.add_n(
        [tf.math.unsorted_segment_sum(flat, tf.reshape(each, (-1,)), most) for each in tf.unstack(places, axis=2)]
    )


def recur(of_input: Tensor, kernels: Tensor, masks: Tensor, gate: Function, slope: Function) -> Tensor:
    """The last state (B, U) of the GRU in `bench.layers`, from the inputs' part of its gates.

    of_input (T, G, B, U), kernels (G, U, U), masks (G, B, U), gates in the order z, r, h; `slope` of the gate, as a
    function of its value. A loop forward and one back, each compiled by XLA. The gradients of the kernels are taken
    after them, for all time steps at once. With dh what came back to a state,

        da_h = dh * (1 - z) (1 - c²)    q = m_h * (da_h @ U_hᵀ)    da_r = q * h g'(r)    da_z = dh * (h - c) g'(z)
        dh   = dh * z + q * r + m_z * (da_z @ U_zᵀ) + m_r * (da_r @ U_rᵀ)
    """
    m_z, m_r, m_h = tf.unstack(masks)

    @tf.function(jit_compile=True, autograph=False)
    def forth(of_input: Tensor, kernels: Tensor) -> list[Tensor]:
        """The last state (B, U); of every time step h before it, z, r, c, (T, B, U) each."""
        u_z, u_r, u_h = tf.unstack(kernels)

        def step(t: Tensor, h: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            x_z, x_r, x_h = tf.unstack(of_input[t])
            z = gate(x_z + tf.matmul(h * m_z, u_z))
            r = gate(x_r + tf.matmul(h * m_r, u_r))
            c = tf.tanh(x_h + tf.matmul(r * h * m_h, u_h))
            return c + z * (h - c), (h, z, r, c)  # the carried h is not masked

        return _over_time(step, tf.zeros_like(m_z), tf.range(of_input.shape[0]), 4)

    @tf.function(jit_compile=True, autograph=False)
    def back(dh: Tensor, h: Tensor, z: Tensor, r: Tensor, c: Tensor, kernels: Tensor) -> list[Tensor]:
        """What comes back to the gates z, r, h, (T, B, U) each, behind what comes back to the first state."""
        u_z, u_r, u_h = tf.unstack(tf.transpose(kernels, (0, 2, 1)))

        def step(t: Tensor, dh: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            da_h = dh * (1 - z[t]) * (1 - c[t] * c[t])
            q = m_h * tf.matmul(da_h, u_h)
            da_z, da_r = dh * (h[t] - c[t]) * slope(z[t]), q * h[t] * slope(r[t])
            through = m_z * tf.matmul(da_z, u_z) + m_r * tf.matmul(da_r, u_r)
            return dh * z[t] + q * r[t] + through, (da_z, da_r, da_h)

        return _over_time(step, dh, tf.range(h.shape[0])[::-1], 3)

    @tf.custom_gradient
    def run(of_input: Tensor, kernels: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
        last, h, z, r, c = forth(of_input, kernels)

        def gradients(dh: Tensor) -> tuple[Tensor, Tensor]:
            _, *da = back(dh, h, z, r, c, kernels)
            units = kernels.shape[1]
            operands = (tf.reshape(each, (-1, units)) for each in (h * m_z, h * m_r, r * h * m_h))  # (T·B, U)
            of_gates = zip(operands, (tf.reshape(each, (-1, units)) for each in da), strict=True)
            return tf.stack(da, axis=1), tf.stack([tf.matmul(a, b, transpose_a=True) for a, b in of_gates])

        return last, gradients

    return run(of_input, kernels)


def _over_time(
    step: Callable[[Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]], state: Tensor, times: Tensor, kept: int
) -> list[Tensor]:
    """The last state, and what `step(time, state)` keeps beside the next one at each of `times`, by time."""
    arrays = [tf.TensorArray(state.dtype, times.shape[0], element_shape=state.shape) for _ in range(kept)]

    def turn(number: Tensor, state: Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
        state, values = step(times[number], state)
        written = (array.write(times[number], value) for array, value in zip(arrays, values, strict=True))
        return number + 1, state, *written

    _, state, *arrays = tf.while_loop(lambda number, *_: number < times.shape[0], turn, (0, state, *arrays))
    return [state, *(array.stack() for array in arrays)]


class Loop(Trainer):
    """Many training steps in one call: those asked for wait until there are enough, or until somebody looks."""

    MOST = 100
    """Steps that wait."""

    def __init__(self, model: keras.Model) -> None:
        self.asked: list[int] = []
        self.batches: tuple[Tensor, ...] = ()
        super().__init__(model)

    def trace_again(self) -> None:
        self.settle()
        super().trace_again()
        self._passes: dict[int, Callable[[Tensor], None]] = {}
        if self.batches:
            self._trace_steps()

    def stage(self, data: Data) -> None:
        self.settle()
        self.data, self._passes = data, {}  # which hold the data

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self.settle()
        common = [self.data.batch(indices) for indices in batches]
        self.batches = tuple(tf.stack(each) for each in zip(*common, strict=True))
        self._trace_steps()

    def ask(self, number: int) -> None:
        """One training step on a staged batch, some time before `settle` returns."""
        self.asked.append(number)
        if len(self.asked) == self.MOST:
            self.settle()

    def settle(self) -> None:
        asked, self.asked = self.asked, []
        if asked:
            self._run(*self.batches, tf.constant(asked))

    def synchronise(self) -> None:
        self.settle()
        super().synchronise()

    def epoch(self, batches: Sequence[Indices]) -> None:
        """One pass; a last batch that is shorter is a call of its own."""
        size = common_size(batches)
        whole = [indices for indices in batches if len(indices) == size]
        self._pass(np.stack(whole))
        if len(whole) < len(batches):
            self._pass(batches[-1][None])

    def _trace_steps(self) -> None:
        """For any number of steps: one for each number would be traced where time is taken."""
        specs = [tf.TensorSpec.from_tensor(each) for each in self.batches]
        self._run = tf.function(self._steps, [*specs, tf.TensorSpec((None,), tf.int32)], autograph=False)

    def _pass(self, batches: Indices) -> None:
        """As `_trace_steps`; batches (N, B) of one size B."""
        size = batches.shape[1]
        if size not in self._passes:
            spec = tf.TensorSpec((None, size), tf.as_dtype(batches.dtype))
            self._passes[size] = tf.function(self._epoch, [spec], autograph=False)
        self._passes[size](tf.constant(batches))

    def _steps(self, inputs: Tensor, targets: Tensor, numbers: Tensor) -> None:
        _for_each(numbers, lambda number: self.model.train_step((inputs[number], targets[number])))

    def _epoch(self, batches: Tensor) -> None:
        _for_each(batches, lambda indices: self.model.train_step(self.data.gather(indices)))


def _for_each(values: Tensor, do: Callable[[Tensor], object]) -> None:
    """A loop of TensorFlow's own."""

    def body(place: Tensor) -> Tensor:
        do(values[place])
        return place + 1

    tf.while_loop(lambda place: place < tf.shape(values)[0], body, [tf.constant(0)], parallel_iterations=1)
