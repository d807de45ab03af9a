"""Endless pixel grids in any CRS, whose pixels are counted from one origin (pure).

Coordinates come from global pixel indices. A pixel therefore has the same coordinates, to the last bit, in every
window that it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from ardcube.extent.window import Window

if TYPE_CHECKING:  # it takes half a second to import, and few callers need it
    from odc.geo.geobox import GeoBox

DEGREES = "EPSG:4326"
"""CRS of longitude and latitude."""
_WHOLE = 1e-6
"""Share of a pixel by which the edge of a grid may miss a whole multiple of its resolution."""
_OFF_GRID = 1e-3
"""Share of a pixel by which a geobox may miss the pixels of a lattice: its numbers were rounded."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """An endless pixel grid whose rows and columns are parallel to the axes of its CRS."""

    crs: str
    """Authority code where there is one, else WKT."""
    x0: float
    """Left edge of column 0, in CRS units."""
    y0: float
    """Upper edge of row 0 (lower edge where `step_y` is positive), in CRS units."""
    step_x: float
    """Width of a pixel, in CRS units."""
    step_y: float
    """Height of a pixel, in CRS units; negative where rows run southward."""

    @classmethod
    def of_geobox(cls, geobox: GeoBox) -> Self | None:
        """Return the lattice that a geobox belongs to, or None where its axes are rotated or it has no CRS.

        A geobox whose edges are whole multiples of its resolution, or in the middle between them, belongs to the
        lattice of all others like it. Any other geobox starts a lattice at its corner.
        """
        a, b, c, d, e, f, *_ = geobox.transform
        if b or d or geobox.crs is None:
            return None
        return cls.through(str(geobox.crs), c, f, a, e)

    @classmethod
    def through(cls, crs: str, x: float, y: float, step_x: float, step_y: float) -> Self:
        """Return the lattice with a corner at a point: that through the origin of the CRS where it fits."""
        return cls(crs, _origin(x, step_x), _origin(y, step_y), step_x, step_y)

    def window(self, geobox: GeoBox) -> Window | None:
        """Return the window of this lattice that a geobox covers, or None where its pixels are others."""
        a, b, c, d, e, f, *_ = geobox.transform
        column, row = (c - self.x0) / self.step_x, (f - self.y0) / self.step_y
        height, width = geobox.shape
        shift = max(abs(column - round(column)), abs(row - round(row)))
        stretch = max(abs(a / self.step_x - 1) * width, abs(e / self.step_y - 1) * height)
        if b or d or max(shift, stretch) > _OFF_GRID or str(geobox.crs) != self.crs:
            return None
        return Window(round(row), round(row) + height, round(column), round(column) + width)

    def __str__(self) -> str:
        sides = dict.fromkeys(f"{abs(step):.6g}" for step in (self.step_x, self.step_y))
        return f"{' x '.join(sides)} {self.unit}, {crs_name(self.crs)}"

    @property
    def unit(self) -> str:
        """Unit of coordinates: `degrees`, `m`, or its name."""
        if self.is_geographic:
            return "degrees"
        name = str(crs_of(self.crs).axis_info[0].unit_name)
        return "m" if name == "metre" else name

    @property
    def is_degrees(self) -> bool:
        """Whether coordinates are longitude and latitude in EPSG:4326."""
        return self.crs == DEGREES

    @property
    def is_geographic(self) -> bool:
        """Whether coordinates are degrees of any datum."""
        return self.is_degrees or crs_of(self.crs).is_geographic

    @property
    def metres_per_unit(self) -> float:
        """Metres of one unit of the CRS along an axis; of a degree along a meridian."""
        return METRES_PER_DEGREE if self.is_geographic else crs_of(self.crs).axis_info[0].unit_conversion_factor

    def x(self, columns: NDArray[np.number]) -> NDArray[np.float64]:
        """Easting or longitude of the centres of columns, in CRS units."""
        return self.x0 + (np.asarray(columns, np.float64) + 0.5) * self.step_x

    def y(self, rows: NDArray[np.number]) -> NDArray[np.float64]:
        """Northing or latitude of the centres of rows, in CRS units."""
        return self.y0 + (np.asarray(rows, np.float64) + 0.5) * self.step_y

    def left(self, column: int) -> float:
        """Left edge of a column, in CRS units."""
        return self.x0 + column * self.step_x

    def top(self, row: int) -> float:
        """Upper edge of a row, in CRS units."""
        return self.y0 + row * self.step_y


METRES_PER_DEGREE = 111_320.0
"""Metres of one degree of latitude."""


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Transformer:
    """Return the transformer between two CRS, x (easting or longitude) first."""
    return Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=256)
def is_same_crs(one: str, other: str) -> bool:
    """Return whether two texts mean one CRS, whatever the order of its axes."""
    return one == other or bool(crs_of(one).equals(crs_of(other), ignore_axis_order=True))


@lru_cache(maxsize=256)
def crs_of(text: str) -> CRS:
    """Return the CRS of a code or WKT; cached, because parsing a text takes a tenth of a millisecond."""
    return CRS.from_user_input(text)


def canonical_crs(text: str) -> str:
    """Return the EPSG code of a CRS, or WKT if none means the same."""
    crs = crs_of(text)
    code = crs.to_epsg()
    return f"EPSG:{code}" if code and is_same_crs(f"EPSG:{code}", text) else str(crs.to_wkt())


def crs_name(text: str) -> str:
    """Return a CRS for a message: its code, or its name if it has none."""
    return text if len(text) < 24 and "[" not in text else f"{crs_of(text).name} (no EPSG code)"


def _origin(edge: float, step: float) -> float:
    """Return the edge, in 0..step, that belongs to the same lattice as an edge: 0 or half a step where it is that."""
    share = edge / step
    for origin in (0.0, 0.5):
        if abs(share - origin - round(share - origin)) < _WHOLE:
            return origin * step
    return edge
