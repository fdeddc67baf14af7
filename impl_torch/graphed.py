"""The Session of `torch-tuned` on a CUDA device: whole training steps, data gathered in them, replayed as CUDA graphs.

A graph is recorded once for each number of steps and samples, and runs without a word from Python. Masks come from
PyTorch's generator, which counts on from one replay to the next.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.data.windows import Dataset, Indices
from bench.implementation import Arrays, Metrics
from impl_torch.session import TorchSession

STEPS = 20
"""Of one replay in an epoch."""
WARM_UP = 3
"""Calls before a recording, in which libraries choose their kernels and allocate what they keep."""


def recorded(run: Callable[[], None]) -> Callable[[], None]:
    """What does the same as `run` on the device without its Python. `run` is called a few times before."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


class GraphSession(TorchSession):
    """See `bench.implementation.Session` for what every method promises."""

    def stage(self, dataset: Dataset) -> None:
        super().stage(dataset)
        self.graphs: dict[tuple[int, ...], tuple[Tensor, Callable[[], None]]] = {}

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self.staged = torch.stack(self._indices(batches))

    def train_step(self, number: int) -> None:
        self._replay(self.staged[number % len(self.staged)].unsqueeze(0))

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        self._start()
        indices = self._indices(batches)
        whole = torch.stack([each for each in indices if len(each) == len(indices[0])])
        several = len(whole) // STEPS * STEPS
        for count in (STEPS, 1):  # now, and not at the end of an epoch that is timed
            self._ready(whole[:1].expand(count, -1))
        for steps in (*whole[:several].split(STEPS), *whole[several:].split(1)):
            if len(steps):  # of nothing, split makes one empty part
                self._replay(steps)
        if len(whole) < len(indices):
            self._replay(indices[-1].unsqueeze(0))
        return self._means()

    def set_masks(self, masks: Arrays | None) -> None:
        super().set_masks(masks)
        self.graphs = {}  # they hold the masks, or the drawing of them, that were in force

    def _replay(self, indices: Tensor) -> None:
        """Training steps on the samples of `indices` (steps, B)."""
        read, replay = self._ready(indices)
        read.copy_(indices)
        replay()
        self.samples += indices.numel()

    def _ready(self, indices: Tensor) -> tuple[Tensor, Callable[[], None]]:
        """For indices of this shape: from where a graph reads them, and its replay."""
        shape = tuple(indices.shape)
        if shape not in self.graphs:
            self.graphs[shape] = self._record(indices)
        return self.graphs[shape]

    def _record(self, indices: Tensor) -> tuple[Tensor, Callable[[], None]]:
        """Training goes on from where it was: the steps that a recording takes are taken back."""
        before, counted = self.get_state(), ({name: total.clone() for name, total in self.totals.items()}, self.samples)
        read = indices.clone()

        def steps() -> None:
            for each in read:
                self._step(*self._gather(each))

        replay = recorded(steps)
        self.set_state(before)
        totals, self.samples = counted
        for name, total in totals.items():
            self.totals[name].copy_(total)
        return read, replay
