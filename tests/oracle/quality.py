"""The quality layers of the oracle, pixel by pixel."""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracle.cube import Observations

NO_DAY = -(2**31)


def quality_layers(seen: Observations, start: date) -> dict[str, NDArray[Any]]:
    """Return the quality layers of one period that begins on `start`: (y, x), or (y, x, band).

    `sensor_share` is a dict of arrays by sensor, as the oracle names them.
    """
    order = sorted(range(len(seen.days)), key=seen.days.__getitem__)
    days, numbers, masked = [seen.days[k] for k in order], seen.numbers[order], seen.masked()[order]
    _, bands, height, width = numbers.shape
    layers: dict[str, Any] = {name: np.full((height, width), NO_DAY) for name in ("date", "first_date", "last_date")}
    layers["valid_count"] = np.zeros((height, width), int)
    layers["clear_share"] = np.full((height, width), np.nan)
    layers["spread"] = np.full((height, width, bands), 65535)
    sensors = {sensor for _, sensor in days}
    shares = {sensor: np.full((height, width), np.nan) for sensor in sensors}
    for pixel in np.ndindex(height, width):
        clear = [k for k in range(len(days)) if numbers[(k, slice(None), *pixel)].any()]
        valid = [k for k in range(len(days)) if k in clear or masked[(k, *pixel)]]
        layers["valid_count"][pixel] = len(valid)
        if valid:
            layers["clear_share"][pixel] = len(clear) / len(valid)
        if not clear:
            continue
        offsets = [(days[k][0] - start).days for k in clear]
        layers["first_date"][pixel], layers["last_date"][pixel] = min(offsets), max(offsets)
        layers["date"][pixel] = sorted(offsets)[(len(offsets) - 1) // 2]
        for sensor in sensors:
            shares[sensor][pixel] = sum(days[k][1] == sensor for k in clear) / len(clear)
        for band in range(bands):
            layers["spread"][(*pixel, band)] = spread([int(numbers[(k, band, *pixel)]) for k in clear])
    return layers | {"sensor_share": shares}


def spread(numbers: list[int]) -> int:
    """Median absolute deviation of the numbers that are not 0, halves to even; 65535 without a number."""
    some = [number for number in numbers if number]
    if not some:
        return 65535
    middle = round(float(np.median(some)))
    return round(float(np.median([abs(number - middle) for number in some])))
