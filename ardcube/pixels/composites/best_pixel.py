"""Composites that choose an observation of each pixel by its date and by figures of the scene that gave the pixel."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.choice import Choice, Chosen, PlainChoice, highest
from ardcube.pixels.composites.figures import MOST_CLOUD_METRES, Needs, SceneFigures
from ardcube.pixels.composites.protocol import Layer, Stack

_STEEPNESS = 10.0
"""Of the sigmoid of the distance to cloud: 0.2 per pixel, of 50 pixels, as in White et al. (2014)."""
_DECIMALS = 9
"""Decimals of scores, so that the last bits of an exponential, which differ between processors, choose nothing."""
_LAST = -1.0
"""Score of an observation of which nothing is known: below all others."""
_NUMBER = re.compile(r"\d{1,4}(\.\d{1,3})?|\.\d{1,3}")
_RANGES = {
    "day": (1, 366, "a day of the year"),
    "sigma": (1, 366, "a number of days"),
    "metres": (1, MOST_CLOUD_METRES, "a distance in metres"),
    "date": (0, 100, "a weight"),
    "cloud": (0, 100, "a weight"),
    "coverage": (0, 100, "a weight"),
}
"""Smallest and largest value of each parameter, and words for it."""
_WHOLE = ("day", "metres")
"""Parameters that are whole numbers."""
_EXAMPLE = "best-pixel:day=196,cloud=0.5"


@dataclass(frozen=True, slots=True)
class LeastCloudy(PlainChoice):
    """The observation from the scene with the lowest cloud cover; scenes of unknown cloud cover come last."""

    name: ClassVar[str] = "least-cloudy"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("clear observation of the scene with the lowest cloud cover"),)
    needs: ClassVar[Needs] = Needs(cloud_cover=True)

    def choose(self, stack: Stack) -> Chosen:
        """Return the observation of the least cloudy scene."""
        figures = _figures(stack)

        def score(day: int, rows: slice) -> NDArray[np.float64]:
            cover = figures.cloud_cover(day, rows)
            return np.where(np.isnan(cover), -np.finfo(float).max, -cover)

        return highest(stack, score)


@dataclass(frozen=True, slots=True)
class BestPixel(Choice):
    """The observation with the highest score, of its date, its distance to cloud and the cloud cover of its scene.

    The score is the mean of three terms from 0 to 1, weighted with `date`, `cloud` and `coverage`:

    - exp(-(days / sigma)**2 / 2), with the days from the target (Griffiths et al. 2013, White et al. 2014);
    - 1 / (1 + exp(-10 * (min(distance, metres) / metres - 1 / 2))), with the distance to cloud (the same);
    - 1 - cloud cover / 100. A scene whose cloud cover is unknown has the mean of the other terms.
    """

    name: ClassVar[str] = "best-pixel"
    bands: ClassVar[tuple[str, ...]] = ()
    layers: ClassVar[tuple[Layer, ...]] = (
        Layer("clear observation with the highest score of date, distance to cloud and cloud cover"),
    )

    day: int | None = None
    """Target: a day of the year, 1 to 366; None for the middle of the period."""
    sigma: float = 30.0
    """Days from the target at which the first term is 0.61."""
    metres: int = 1500
    """Distance to cloud beyond which an observation is not better, in metres."""
    date: float = 1.0
    cloud: float = 1.0
    coverage: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the composite of parameters such as ``day=196,cloud=0.5``.

        Raises
        ------
        ValueError
            If a parameter is unknown, is given twice, or is out of range; or if all weights are 0.
        """
        values: dict[str, Any] = {}
        for part in text.split(",") if text else ():
            name, _, number = part.partition("=")
            if name not in _RANGES or name in values:
                problem = "is given more than once" if name in values else "is not a parameter"
                raise ValueError(f"{name[:60]!r} {problem}; choose from {', '.join(_RANGES)}, such as {_EXAMPLE}")
            values[name] = _value(name, number)
        made = cls(**values)
        if not made.date + made.cloud + made.coverage > 0:
            raise ValueError(f"all weights are 0; make date, cloud or coverage larger, such as {_EXAMPLE}")
        return made

    @property
    def parameters(self) -> str:
        """Parameters that differ from the default."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = [field.name for field in fields(self) if given[field.name] != field.default]
        return ",".join(f"{name}={given[name]:.10g}" for name in changed)

    @property
    def needs(self) -> Needs:
        """Figures of the terms whose weight is not 0."""
        return Needs(self.coverage > 0, self.metres if self.cloud > 0 else 0)

    def choose(self, stack: Stack) -> Chosen:
        """Return the observation with the highest score."""
        dates: list[datetime.date] = stack.dates.astype("datetime64[D]").tolist()
        days = [self._days_from_target(one, stack.period) for one in dates]
        if not self.needs.any:
            scores = [self._scores(away, np.nan) for away in days]
            return highest(stack, lambda day, rows: np.broadcast_to(scores[day], stack.numbers[0, day, rows].shape))
        figures = _figures(stack)
        tables = [
            np.stack([self._scores(away, cover) for cover in covers])
            for away, covers in zip(days, figures.cloud_covers, strict=True)
        ]

        def score(day: int, rows: slice) -> NDArray[np.float64]:
            source = figures.source[day, rows]
            if not self.cloud:
                return np.asarray(tables[day][source, 0])
            distance = np.minimum(figures.cloud_distance(day, rows), self.metres)
            scores: NDArray[np.float64] = tables[day][source if len(tables[day]) > 1 else 0, distance]
            return scores

        return highest(stack, score)

    def _days_from_target(self, day: datetime.date, period: tuple[datetime.date, datetime.date] | None) -> float:
        """Return the days between a date and the nearest target."""
        if self.day is None:
            if period is None:
                raise ValueError("best-pixel: the period of the stack is unknown; give a day")
            first, end = period
            return abs((day - first).days - ((end - first).days - 1) / 2)
        after = datetime.timedelta(self.day - 1)
        years = range(max(1, day.year - 1), day.year + 2)
        return min(abs((day - (datetime.date(year, 1, 1) + after)).days) for year in years)

    def _scores(self, days: float, cover: float) -> NDArray[np.float64]:
        """Return the scores of one scene: by whole metres to cloud (metres + 1,), or (1,) without this term."""
        metres = np.arange(self.metres + 1 if self.cloud else 1)
        terms = [
            (self.date, np.exp(-0.5 * (days / self.sigma) ** 2)),
            (self.cloud, 1 / (1 + np.exp(-_STEEPNESS * (metres / self.metres - 0.5)))),
        ]
        if not np.isnan(cover):
            terms.append((self.coverage, 1 - cover / 100))
        weights = sum(weight for weight, _ in terms)
        if not weights:
            return np.full(1, _LAST)
        scores: NDArray[np.float64] = sum((weight * term for weight, term in terms), np.zeros(len(metres))) / weights
        return scores.round(_DECIMALS)


def _value(name: str, text: str) -> float:
    """Return the value of a parameter of `BestPixel`."""
    low, high, words = _RANGES[name]
    number = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not low <= number <= high or (name in _WHOLE and "." in text):
        kind = "a whole number" if name in _WHOLE else "a number with at most 3 decimals,"
        raise ValueError(f"{name}={text[:60]} is not {words}; give {kind} {low} to {high}")
    return int(number) if name in _WHOLE else number


def _figures(stack: Stack) -> SceneFigures:
    """Return the figures of a stack; `needs` asks for them."""
    if stack.figures is None:
        raise ValueError("the stack has no figures of scenes")
    return stack.figures
