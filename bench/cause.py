"""Why a training step takes as long as it does, in plain words, from measured evidence only.

- The step of a small batch tells what a step costs whatever the batch: the line through both batch sizes, continued to
  no samples. That fixed cost is launches, Python, one time step after another, and the update of the weights. Kernels
  that a small batch fills less well count into it too, so it is an upper bound.
- The step of a whole epoch, against the step on batches staged beforehand, tells what data and loop add.
- The rate of the framework's own matrix product, on the same cores, is the ceiling that arithmetic can reach here.
"""

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["compute-bound", "input-bound", "overhead-bound", "not determined"]

INPUT_BOUND = 1.5
"""An epoch's step of so many staged steps: a third of it is not the model, more than two runs of one cell differ by."""
OVERHEAD_BOUND = 0.5
"""Share of a step that is fixed cost: from half on, a batch twice as large costs less than half as much again."""
LOW_SHARE = 0.1
"""Share of the ceiling under which arithmetic explains too little of a step to be called its cause."""


@dataclass(frozen=True)
class Evidence:
    """What was measured of one arm on one workload; None: it was not.

    Both step times are best taken from one cell: what differs between two processes would pass for fixed cost.
    """

    step_s: float
    """On staged batches of full size."""
    flops_per_step: float
    """By analytic count."""
    ceiling_flops: float | None = None
    """Per second, of the framework's own matrix product."""
    small_step_s: float | None = None
    """On staged batches cut to `small_share` of the samples."""
    small_share: float | None = None
    epoch_step_s: float | None = None
    """Time of an epoch over its steps."""

    @property
    def achieved_flops(self) -> float:
        """Per second, in a step on staged batches."""
        return self.flops_per_step / self.step_s

    @property
    def achieved_share(self) -> float | None:
        """Of the ceiling."""
        return self.achieved_flops / self.ceiling_flops if self.ceiling_flops else None

    @property
    def fixed_s(self) -> float | None:
        """What a step costs whatever the batch; between nothing and the whole step, which noise could leave."""
        if self.small_step_s is None or self.small_share is None or not 0 < self.small_share < 1:
            return None
        for_samples_s = (self.step_s - self.small_step_s) / (1 - self.small_share)
        return min(max(0.0, self.step_s - for_samples_s), self.step_s)


@dataclass(frozen=True)
class Cause:
    """What a step's time goes into."""

    kind: Kind
    sentence: str
    """Without the kind: the measured figures, and what follows from them."""


def cause(evidence: Evidence) -> Cause:
    """Names the cause; ValueError for a step time that is none."""
    if not (math.isfinite(evidence.step_s) and evidence.step_s > 0):
        raise ValueError(f"step_s is {evidence.step_s!r}; expected a time")
    kind = _kind(evidence)
    told = (_epoch, _fixed, _ceiling) if kind == "input-bound" else (_fixed, _epoch, _ceiling)
    parts = (tell(evidence, kind) for tell in told)
    sentence = "; ".join(part for part in parts if part)
    return Cause(kind, sentence[0].upper() + sentence[1:] + ".")


def _kind(evidence: Evidence) -> Kind:
    if evidence.epoch_step_s is not None and evidence.epoch_step_s >= INPUT_BOUND * evidence.step_s:
        return "input-bound"
    if evidence.fixed_s is None:
        return "not determined"
    return "overhead-bound" if evidence.fixed_s >= OVERHEAD_BOUND * evidence.step_s else "compute-bound"


def _epoch(evidence: Evidence, kind: Kind) -> str:
    if evidence.epoch_step_s is None:
        return "" if kind == "not determined" else "no epoch was measured, so a wait for data cannot be ruled out"
    words = f"in an epoch a step takes {_time(evidence.epoch_step_s)}, "
    words += f"{evidence.epoch_step_s / evidence.step_s:.2f} times the {_time(evidence.step_s)} on staged batches"
    return f"{words}: it waits for data and the loop, not for the model" if kind == "input-bound" else words


def _fixed(evidence: Evidence, kind: Kind) -> str:
    fixed_s = evidence.fixed_s
    if fixed_s is None or evidence.small_step_s is None or evidence.small_share is None:
        missing = "no step of a small batch was measured, so fixed cost and cost per sample cannot be told apart"
        return missing if kind == "not determined" else ""
    words = f"a step takes {_time(evidence.step_s)}, with {_percent(evidence.small_share)} of its samples "
    words += f"{_time(evidence.small_step_s)}, which makes {_time(fixed_s)} ({_percent(fixed_s / evidence.step_s)}) "
    if kind == "overhead-bound":
        return words + "fixed cost: launches, Python, one time step after another, the update of the weights"
    return words + "fixed cost, and the rest grows with the samples"


def _ceiling(evidence: Evidence, kind: Kind) -> str:
    words = f"{_figure(evidence.achieved_flops / 1e9)} GFLOP/s"
    if evidence.ceiling_flops is None or evidence.achieved_share is None:
        return f"{words}, of a ceiling that was not measured"
    words += f", {_percent(evidence.achieved_share)} of the {_figure(evidence.ceiling_flops / 1e9)} GFLOP/s of the "
    words += "framework's own matrix product"
    if kind == "compute-bound" and evidence.achieved_share < LOW_SHARE:
        words += (
            f": at that rate its arithmetic would take {_time(evidence.flops_per_step / evidence.ceiling_flops)}, so "
            "kernels that move memory or do not fill the machine take the rest"
        )
    return words


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{_figure(seconds)} s"
    return f"{_figure(seconds * 1e3)} ms" if seconds >= 1e-3 else f"{_figure(seconds * 1e6)} µs"


def _percent(share: float) -> str:
    return f"{_figure(share * 100)} %"


def _figure(value: float) -> str:
    """Three digits, and no exponent for what is larger."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
