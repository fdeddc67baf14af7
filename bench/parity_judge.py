"""Compares tensors with the reference's and keeps, for each, the error, the bound and whether it held."""

import numpy as np
from numpy.typing import NDArray

from bench.implementation import Arrays, Precision
from bench.record import ParityCheck


class Judge:
    """Collects the checks of one precision."""

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
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
