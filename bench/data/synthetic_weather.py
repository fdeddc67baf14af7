"""Weather the suite makes itself where there is no real one: deterministic from a seed, and with a real structure.

Years and days turn; air masses come and go within days; a cold front announces itself (pressure falls, the wind turns
and freshens, it grows damp and mild) a day before the temperature drops. So the weather now says little of tomorrow's
and the last days' course says more. The other columns follow from temperature, pressure and humidity by physics.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

VERSION = 1
"""Raised when a seed gives other data than before."""

_ROWS_PER_DAY = 144
_YEAR_DAYS = 365.2425
_FRONT_EVERY_DAYS = 4.5
_KELVIN = 273.15
_DRY_AIR, _VAPOUR = 287.05, 461.5  # gas constants in J/(kg K)


def weather(rows: int, seed: int) -> Values:
    """(rows, 14) readings ten minutes apart in the columns of the Jena file, rounded like them to 0.01."""
    random = np.random.RandomState([seed, VERSION, 2])
    days = np.arange(1, rows + 1) / _ROWS_PER_DAY
    summer = -np.cos(2 * np.pi * (days - 20) / _YEAR_DAYS)  # -1 on 20 January, 1 in July
    front = _fronts(rows, random)

    high = _noise(rows, 3.0, random)  # settled weather; it outlasts the fronts
    pressure = 990.0 + 4.5 * high + 7.0 * front["pressure"]
    clear = 1 / (1 + np.exp(-1.2 * high - 1.5 * _noise(rows, 0.7, random)))
    afternoon = np.cos(2 * np.pi * (days - 15 / 24))
    mild = 9.5 + 10.5 * summer + 2.1 * _noise(rows, 3.0, random) + 4.9 * front["temperature"]
    warm = mild + (1.0 + (2.6 + 1.8 * summer) * clear) * afternoon + 0.3 * _noise(rows, 0.1, random)

    dry = np.exp(1.0 + 0.5 * clear + 0.5 * _noise(rows, 1.0, random) - 0.4 * front["damp"])
    dew = np.minimum(mild - dry, warm - 0.05)
    wind = np.exp(0.45 + 0.45 * _noise(rows, 0.2, random) + 0.8 * front["wind"] + 0.15 * afternoon)
    gust = wind * (1.45 + 0.25 * np.abs(_noise(rows, 0.02, random))) + 0.2
    direction = (200 + 60 * _noise(rows, 1.0, random) + 70 * front["turn"]) % 360
    return np.round(_columns(pressure, warm, dew, wind, gust, direction), 2)


def _columns(pressure: Values, warm: Values, dew: Values, wind: Values, gust: Values, direction: Values) -> Values:
    """All 14 columns from the six that are free: hPa, degrees Celsius, m/s and degrees."""
    kelvin = warm + _KELVIN
    saturation, vapour = _saturation(warm), _saturation(dew)
    density = 100_000 * ((pressure - vapour) / _DRY_AIR + vapour / _VAPOUR) / kelvin
    return np.stack(
        [
            pressure,
            warm,
            kelvin * (1000 / pressure) ** 0.286,
            dew,
            100 * vapour / saturation,
            saturation,
            vapour,
            saturation - vapour,
            622 * vapour / (pressure - 0.378 * vapour),
            1000 * vapour / pressure,
            density,
            wind,
            gust,
            direction,
        ],
        axis=1,
    )


def _saturation(celsius: Values) -> Values:
    """Vapour pressure over water at saturation in hPa, by Magnus' formula."""
    return 6.1078 * np.exp(17.08085 * celsius / (234.175 + celsius))


def _noise(rows: int, days: float, random: np.random.RandomState) -> Values:
    """(rows,) noise of variance 1 that forgets itself within about `days`, shaped in the frequency domain."""
    size = 1 << (rows - 1).bit_length()
    turns = np.fft.rfftfreq(size, d=1 / _ROWS_PER_DAY) * 2 * np.pi * days
    shape = 1 / np.sqrt(1 + turns**2)
    scale = np.sqrt((2 * np.sum(shape[1:-1] ** 2) + shape[0] ** 2 + shape[-1] ** 2) / size)
    noise: Values = np.fft.irfft(np.fft.rfft(random.standard_normal(size)) * shape, size)[:rows] / scale
    return noise


def _fronts(rows: int, random: np.random.RandomState) -> dict[str, Values]:
    """What cold fronts of random strength at random times do to each quantity, as (rows,) courses of order 1."""
    size = 1 << (rows - 1).bit_length()
    passes = np.zeros(size)
    count = round(size / (_FRONT_EVERY_DAYS * _ROWS_PER_DAY))
    np.add.at(passes, random.randint(0, size, count), 0.6 + 0.4 * random.gamma(2.0, 0.5, count))
    spectrum = np.fft.rfft(passes)

    since = np.arange(-size // 2, size // 2) / _ROWS_PER_DAY  # days since the front passed; before it, negative
    before, after = np.minimum(since, 0), np.maximum(since, 0)
    coming, gone = np.exp(-((before / 0.7) ** 2)), np.exp(-after / 2.0)
    passed = 1 / (1 + np.exp(-np.clip(since / 0.06, -60, 60)))  # the change itself takes a few hours
    ahead = np.exp(-(((since + 0.7) / 0.6) ** 2))
    near = np.exp(-((since / 0.35) ** 2))
    courses = {
        "temperature": (1 - passed) * 0.7 * coming - passed * gone,
        "pressure": -(1 - passed) * np.exp(-((before / 1.5) ** 2)) + passed * (0.8 * gone - 1.8 * np.exp(-after / 0.4)),
        "damp": ahead,
        "wind": 0.5 * ahead + 0.5 * near,
        "turn": passed * gone - 0.5 * (1 - passed) * coming,
    }
    return {
        name: np.fft.irfft(spectrum * np.fft.rfft(np.fft.ifftshift(course)), size)[:rows]
        for name, course in courses.items()
    }
