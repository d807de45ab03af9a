"""List the granules, passes and scenes of the sample archive, with the flaws of real archives (pure).

The grids are parts of real MGRS tiles, and the passes have the real period of relative orbits 22 and 122. Land, weather
and processing are invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Literal

COLLECTION = "sentinel-2-c1-l2a"
BBOX = (11.92, 46.828, 12.08, 46.908)
START_DATE, END_DATE = date(2023, 5, 1), date(2023, 7, 31)
RESOLUTION = 0.00025
CHUNK_SIZE = 200
"""Pixels per side of a chunk: 640 x 320 pixels have 4 x 2 tiles, with smaller ones at the east and south edges."""

_EDGE_LATITUDE, _EDGE_SLANT = 46.868, 0.365
"""Swath edge of a descending orbit, about 14 degrees west of south: degrees of longitude per degree of latitude."""
_RECORDED = {"A": (date(2023, 8, 11), 42490), "B": (date(2023, 8, 6), 33510)}
"""A pass of relative orbit 22 by each satellite, and its absolute orbit."""


@dataclass(frozen=True, slots=True)
class Granule:
    """A raster grid of 10 m pixels, part of an MGRS tile."""

    tile: str
    """MGRS tile, such as 33TTN."""
    epsg: int
    left: int
    """West edge, in m."""
    top: int
    """North edge, in m."""
    width: int
    """Columns of 10 m."""
    height: int
    """Rows of 10 m."""
    seconds: float
    """Seconds between the pass over the northernmost granule and over this one."""

    def transform(self, pixel: int) -> tuple[int, int, int, int, int, int]:
        """Return the affine transform of a grid of `pixel` metres, in the order of STAC."""
        return pixel, 0, self.left, 0, -pixel, self.top

    def shape(self, pixel: int) -> tuple[int, int]:
        """Return the rows and columns of a grid of `pixel` metres that covers the granule."""
        return -(-self.height * 10 // pixel), -(-self.width * 10 // pixel)


# Odd sizes, so that the ratios of overviews are not exact powers of two.
NORTH = Granule("33TTN", 32633, 264920, 5199780, 1289, 659, 0.0)
SOUTH = Granule("33TTM", 32633, 264920, 5194800, 1285, 485, 14.424)
WEST = Granule("32TQS", 32632, 722200, 5199580, 681, 963, 11.913)


class Flaw(Enum):
    """Difference of a scene from its neighbours that occurs in real archives."""

    NONE = "none"
    SUPERSEDED = "superseded"
    """Older processing of a scene that also exists in a newer one, with other pixels."""
    NO_OFFSET = "no offset"
    """Processed before baseline 04.00: digital numbers have no offset, and the item declares none."""
    OFFSET_APPLIED = "offset applied"
    """The offset was applied to the pixels, but the item still declares it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One granule on one date, processed once."""

    granule: Granule
    day: date
    satellite: Literal["A", "B"]
    orbit: Literal[22, 122]
    """Relative orbit: 22 covers the west of the area, 122 the east."""
    cloud: float
    """Fraction of the area under thick cloud, 0 to 1."""
    haze: float
    """Fraction of light lost to haze, 0 to 1."""
    baseline: str = "05.09"
    flaw: Flaw = Flaw.NONE

    @property
    def id(self) -> str:
        """Id of the item, in the format of Collection 1."""
        return f"S2{self.satellite}_T{self.granule.tile}_{self.strip:%Y%m%dT%H%M%S}_L2A"

    @property
    def take(self) -> datetime:
        """Start of the datatake, equal for all granules and processings of a pass."""
        start = {22: {"A": (10, 10, 31), "B": (10, 5, 59)}, 122: {"A": (10, 0, 31), "B": (9, 55, 59)}}
        hour, minute, second = start[self.orbit][self.satellite]
        return datetime(self.day.year, self.day.month, self.day.day, hour, minute, second, tzinfo=UTC)

    @property
    def sensed(self) -> datetime:
        """Time at which the granule was sensed."""
        first = (10, 17, 53.782) if self.orbit == 22 else (10, 7, 53.942)
        seconds = first[0] * 3600 + first[1] * 60 + first[2] + self.granule.seconds
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC) + timedelta(seconds=seconds)

    @property
    def strip(self) -> datetime:
        """Start of the datastrip; it differs by a second between processings."""
        late = 6 if self.flaw is Flaw.SUPERSEDED else 5
        return self.take + timedelta(minutes=late, seconds=self.take.second % 7 + late)

    @property
    def generated(self) -> datetime:
        """Time of processing."""
        return self.take + timedelta(hours=4, minutes=37 + self.day.day, seconds=13 + self.orbit % 40)

    @property
    def absolute_orbit(self) -> int:
        """Number of the orbit since launch."""
        day, number = _RECORDED[self.satellite]
        extra = self.orbit - 22
        days = (self.day - day).days - (7 if extra else 0)
        return number + extra + 143 * round(days / 10)

    @property
    def true_offset(self) -> float:
        """Reflectance of digital number 0 in the pixels, regardless of the item."""
        return 0.0 if self.flaw in (Flaw.NO_OFFSET, Flaw.OFFSET_APPLIED) else -0.1

    @property
    def declared_offset(self) -> float:
        """Offset that the bands of the item declare."""
        return 0.0 if self.flaw is Flaw.NO_OFFSET else -0.1

    @property
    def edge(self) -> tuple[float, float]:
        """Swath edge, longitude = first + second * latitude; orbit 22 covers west of it, 122 east of it."""
        # Passes of one orbit differ by a few hundred metres.
        drift = (self.day.toordinal() * 37 % 11) / 11 * 0.004
        middle = 12.030 + drift if self.orbit == 22 else 11.962 + drift
        return middle - _EDGE_SLANT * _EDGE_LATITUDE, _EDGE_SLANT


_PASSES: tuple[tuple[date, Literal["A", "B"], Literal[22, 122], tuple[Granule, ...], float, float], ...] = (
    # May has no pass of orbit 122, so that the south-east corner has no scene.
    (date(2023, 5, 3), "A", 22, (NORTH, SOUTH, WEST), 0.12, 0.04),
    (date(2023, 5, 8), "B", 22, (NORTH,), 0.55, 0.06),
    (date(2023, 5, 13), "A", 22, (NORTH,), 1.00, 0.05),
    (date(2023, 5, 18), "B", 22, (SOUTH,), 0.22, 0.03),
    (date(2023, 5, 23), "A", 22, (SOUTH, WEST), 0.35, 0.05),
    (date(2023, 5, 28), "B", 22, (NORTH, SOUTH), 0.00, 0.04),
    (date(2023, 6, 2), "A", 22, (SOUTH,), 0.30, 0.05),
    (date(2023, 6, 4), "B", 122, (NORTH, SOUTH), 0.08, 0.03),
    (date(2023, 6, 12), "A", 22, (WEST,), 0.60, 0.07),
    (date(2023, 6, 14), "B", 122, (NORTH,), 0.25, 0.05),
    (date(2023, 6, 22), "A", 22, (NORTH, SOUTH), 0.05, 0.04),
    (date(2023, 6, 24), "B", 122, (SOUTH,), 0.85, 0.08),
    (date(2023, 7, 7), "B", 22, (NORTH, SOUTH), 0.18, 0.04),
    (date(2023, 7, 9), "A", 122, (SOUTH,), 0.10, 0.05),
    (date(2023, 7, 17), "B", 22, (SOUTH, WEST), 0.45, 0.07),
    (date(2023, 7, 19), "A", 122, (NORTH,), 0.70, 0.06),
    (date(2023, 7, 27), "B", 22, (NORTH, SOUTH), 0.00, 0.03),
    (date(2023, 7, 29), "A", 122, (NORTH,), 0.04, 0.05),
)
_FLAWS = {
    (date(2023, 7, 9), "33TTM"): ("03.01", Flaw.NO_OFFSET),
    (date(2023, 7, 27), "33TTN"): ("05.09", Flaw.OFFSET_APPLIED),
}
_REPROCESSED = (date(2023, 6, 22), "33TTN")


def scenes() -> tuple[Scene, ...]:
    """Return all scenes of the archive, in order of time."""
    out = []
    for day, satellite, orbit, granules, cloud, haze in _PASSES:
        for granule in granules:
            baseline, flaw = _FLAWS.get((day, granule.tile), ("05.09", Flaw.NONE))
            if (day, granule.tile) == _REPROCESSED:
                out.append(Scene(granule, day, satellite, orbit, cloud, haze, "04.00", Flaw.SUPERSEDED))
            out.append(Scene(granule, day, satellite, orbit, cloud, haze, baseline, flaw))
    return tuple(out)
