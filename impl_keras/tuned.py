"""The Session of `keras-tuned`: Keras' layers and weights in the forms of `impl_keras.fused`, many steps a call."""

from collections.abc import Sequence

from bench.data.windows import Dataset, Indices
from bench.implementation import Metrics, Setup
from impl_keras.fused import forms, fuse
from impl_keras.session import KerasSession


def open_session(setup: Setup) -> "TunedSession":
    """Opens a session; a RuntimeError says so when backend or device are not the ones asked for."""
    return TunedSession(setup)


class TunedSession(KerasSession):
    """See `bench.implementation.Session` for what every method promises."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup, lambda model: fuse(model, setup.workload), forms.Loop)

    def stage(self, dataset: Dataset) -> None:
        super().stage(dataset)
        self.trainer.stage(self.data)

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self.count = len(batches)
        self.trainer.stage_batches(batches)

    def train_step(self, number: int) -> None:
        self.trainer.ask(number % self.count)

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        self.trainer.settle()
        self.fitted.reset_metrics()
        self.trainer.epoch(batches)
        means = self.fitted.get_metrics_result()
        return {name: float(means[name]) for name in self.workload.metrics}

    def aside(self) -> None:
        return None
