"""Compares tensors with the reference's and keeps, for each, the error, the bound and whether it held."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.implementation import Arrays
from bench.record import ParityCheck
from bench.workload import Precision


@dataclass(frozen=True)
class Bounds:
    """The largest error allowed of each kind of quantity: max|a-b| / max|b| over a tensor, b the reference's."""

    values: float
    """Predictions and losses."""
    gradients: float | None
    """None: gradients are not held to a bound of their own in this precision."""
    weights: float | None
    """Weights after 20 RMSprop steps; None as for gradients."""
    metrics: float
    """Means over an epoch or an evaluation."""
    scale: float
    """What dropout scales the kept values by."""


BOUNDS: dict[Precision, Bounds] = {
    # float64 rounds at 1.1e-16; sums of up to 494 x 896 terms in another order lose some six digits of that at the
    # worst, and 20 updates one more. A wrong formula shows from 1e-6 upwards: the bounds stand clear of both.
    "float64": Bounds(values=1e-9, gradients=1e-9, weights=1e-8, metrics=1e-9, scale=1e-6),
    # float32 rounds at 6e-8, and the same sums lose one or two digits: the largest errors of five arms on a CPU were
    # 3.1e-6 (predictions), 2.4e-7 (losses, means) and 5.3e-7 (weights). The bound on weights leaves room for what
    # another machine's rounding can do: move one maximum or one sign, and carry that on for 20 steps. A wrong epsilon,
    # the smallest fault planted, shows at 6e-3.
    "float32": Bounds(values=1e-5, gradients=None, weights=1e-4, metrics=1e-5, scale=1e-6),
    # bfloat16 rounds at 3.9e-3: the largest errors of four arms on a CPU were 3.6e-2 (predictions of conv, which are
    # differences of nearly equal sums), 2e-3 (losses), 2.6e-2 (means: two reviews on the other side of the threshold)
    # and 1.6e-3 (scale). These bounds see another network, not a wrong formula: that is what the same code is held to
    # the reference in float64 for. RMSprop's first steps are as long for a tiny gradient as for a large one, so weights
    # after 20 of them are apart by a tenth, and are not held to any bound.
    "bf16": Bounds(values=1e-1, gradients=None, weights=None, metrics=1e-1, scale=4e-3),
    # TF32 rounds the factors of a product at 4.9e-4, an eighth of bfloat16's, and nothing else.
    "tf32": Bounds(values=1.25e-2, gradients=None, weights=None, metrics=1e-1, scale=1e-6),
}


class Judge:
    """Collects the checks of one precision."""

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.bounds = BOUNDS[precision]
        self.checks: list[ParityCheck] = []

    def hold(
        self, quantity: str, actual: NDArray[np.floating] | float, expected: NDArray[np.floating] | float, bound: float
    ) -> None:
        """Compares one tensor with the reference's; a wrong shape, an infinity or a NaN is no number and fails."""
        a, b = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
        error = None
        if a.shape == b.shape and np.isfinite(a).all():
            # where the reference is zero everywhere there is nothing to divide by, and the error is absolute
            error = float(np.max(np.abs(a - b), initial=0.0) / (np.max(np.abs(b), initial=0.0) or 1.0))
        self.state(quantity, error, bound)

    def state(self, quantity: str, error: float | None, bound: float) -> None:
        """Records a check whose error was worked out elsewhere; None: not comparable, which fails."""
        self.checks.append(ParityCheck(self.precision, quantity, error, bound, error is not None and error <= bound))

    def hold_all(self, kind: str, actual: Arrays, expected: Arrays, bound: float) -> None:
        """Compares tensors by canonical name; a missing or an extra one fails."""
        for name in {**expected, **actual}:
            if name in actual and name in expected:
                self.hold(f"{kind} {name}", actual[name], expected[name], bound)
            else:
                self.state(f"{kind} {name}", None, bound)


def describe(check: ParityCheck) -> str:
    """One check in words."""
    if check.error is None:
        return f"{check.precision} {check.quantity}: missing, of another shape, or not finite"
    return f"{check.precision} {check.quantity}: error {check.error:.2e}, bound {check.bound:.0e}"
