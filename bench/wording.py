"""How numbers are written, wherever somebody reads them: figures, ratios and their intervals."""

import math

from bench.effects import Effect


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits with thousands set apart and no exponent; a dash for None."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    if magnitude < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - magnitude)}f}"


def ratio(effect: Effect) -> str:
    """`1.26 [1.24, 1.28]`, with digits as the interval deserves them."""
    return f"{figure(effect.ratio, effect)} {interval(effect)}"


def interval(effect: Effect) -> str:
    """`[1.24, 1.28]`; in words where so few blocks give none."""
    if math.isinf(effect.high):
        return "(no interval)"
    return f"[{figure(effect.low, effect)}, {figure(effect.high, effect)}]"


def figure(value: float, effect: Effect) -> str:
    """`value`, which is the effect's ratio or an end of its interval, with as many digits as the interval deserves."""
    half = (effect.high - effect.low) / 2
    decimals = 4 if half < 0.0015 else 3 if half < 0.03 else 2
    while decimals < 4 and any(end != 1 and round(end, decimals) == 1 for end in (effect.low, effect.high)):
        decimals += 1  # on which side of 1 it ends is the verdict
    return f"{value:.{decimals}f}" if value >= 0.01 else number(value, 2)
