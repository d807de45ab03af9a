"""Draw the frame of a map (period, corners, scale bar), and state its position as a world file (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.extent.lattice import DEGREES, Lattice, transformer
from ardcube.extent.window import Window
from ardcube.report.thumbnail import cosine

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

_LINE = 17
"""Height of a line of text, in pixels."""
_FONT = 12
_MARGIN = 6
"""Pixels around the frame, and between texts."""
_INK, _GREY, _PAPER = (30, 30, 30), (150, 150, 150), (255, 255, 255)
_DEGREE = 111_195.0
"""Metres of a degree of latitude on a sphere of 6371 km."""
_BAR = 0.4
"""Longest scale bar as a share of the picture's width."""


@dataclass(frozen=True, slots=True)
class MapPosition:
    """Position of a map: the edges of the part of the cube that it shows, in units of the CRS."""

    lattice: Lattice
    west: float
    south: float
    east: float
    north: float

    @classmethod
    def of(cls, grid: Grid, window: Window) -> MapPosition:
        """Return the position of a window of a grid."""
        return cls(grid.lattice, *grid.window_bounds(window))

    @property
    def pixel_width(self) -> float:
        """Width of a pixel of the cube at the centre, as a share of its height."""
        shape = abs(self.lattice.step_x / self.lattice.step_y)
        return shape * cosine((self.south + self.north) / 2) if self.lattice.is_geographic else shape

    @property
    def metres(self) -> float:
        """Metres from the western to the eastern edge at the centre."""
        if self.lattice.is_geographic:
            return (self.east - self.west) * _DEGREE * cosine((self.south + self.north) / 2)
        return (self.east - self.west) * self.lattice.metres_per_unit

    def corners(self) -> list[list[tuple[float, float]]]:
        """Return longitude and latitude of the corners: upper left and right, lower left and right."""
        xs, ys = (self.west, self.east), (self.north, self.south)
        if self.lattice.is_geographic:
            return [[(x, y) for x in xs] for y in ys]
        return [[transformer(self.lattice.crs, DEGREES).transform(x, y) for x in xs] for y in ys]

    def world_file(self, shape: tuple[int, int], origin: tuple[int, int]) -> str:
        """Return the six lines of an ESRI world file.

        Parameters
        ----------
        shape : (rows, columns)
            Pixels of the map.
        origin : (row, column)
            Position of the map's first pixel in the picture.
        """
        step_x, step_y = (self.east - self.west) / shape[1], (self.north - self.south) / shape[0]
        # The centre of the picture's first pixel, which is outside the map if the picture has a frame.
        first_x, first_y = self.west + (0.5 - origin[1]) * step_x, self.north - (0.5 - origin[0]) * step_y
        return "".join(f"{number!r}\n" for number in (step_x, 0.0, 0.0, -step_y, first_x, first_y))


def draw_frame(
    picture: NDArray[np.uint8], position: MapPosition, caption: str
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Draw a map with its period, the coordinates of its corners and a scale bar around it.

    Parameters
    ----------
    picture : uint8 (4, y, x)
        The map.
    position : MapPosition
        Its position.
    caption : str
        First line, such as the period.

    Returns
    -------
    uint8 (4, y, x)
        The map, unchanged, on white paper.
    (row, column)
        Position of the map's first pixel.
    """
    from PIL import Image, ImageDraw  # slow to import, and seldom used

    _, high, wide = picture.shape
    corners = position.corners()
    flat = np.array(corners).reshape(4, 2)
    span = float(max(np.ptp(flat[:, 0]), np.ptp(flat[:, 1])))
    texts = [[_corner(longitude, latitude, span) for longitude, latitude in row] for row in corners]
    inner = max(wide, _width(caption), *(_width(left) + _width(right) + 2 * _MARGIN for left, right in texts))
    top, left, right = _MARGIN + 2 * _LINE, _MARGIN + (inner - wide) // 2, _MARGIN + inner
    bottom = top + high
    canvas = Image.new("RGBA", (inner + 2 * _MARGIN, bottom + 2 * _LINE + _MARGIN), (*_PAPER, 255))
    draw = ImageDraw.Draw(canvas)

    def write(row: int, text: str, end: int | None = None) -> None:
        draw.text((_MARGIN if end is None else end - _width(text), row), text, fill=_INK, font=_font())

    write(_MARGIN, caption)
    for row, (west, east) in zip((_MARGIN + _LINE, bottom + 2), texts, strict=True):
        write(row, west)
        write(row, east, right)
    draw.rectangle((left - 1, top - 1, left + wide, bottom), outline=_GREY)
    bar, text = scale_bar(position.metres / wide, inner)
    row = bottom + _LINE + _LINE // 2
    draw.line((_MARGIN, row, _MARGIN + bar, row), fill=_INK, width=2)
    for end in (_MARGIN, _MARGIN + bar):
        draw.line((end, row - 4, end, row + 4), fill=_INK)
    draw.text((_MARGIN + bar + _MARGIN, bottom + _LINE), text, fill=_INK, font=_font())
    framed = np.asarray(canvas).transpose(2, 0, 1).copy()
    framed[:, top:bottom, left : left + wide] = picture
    return framed, (top, left)


def scale_bar(metres: float, width: int) -> tuple[int, str]:
    """Return the length of a scale bar in pixels, and its text.

    Parameters
    ----------
    metres : float
        Metres per pixel.
    width : int
        Pixels of the map. The bar is the longest of 1, 2 or 5 times a power of ten metres below 40 % of them.
    """
    most = metres * width * _BAR
    power = 10.0 ** math.floor(math.log10(most))
    length = power * max(step for step in (1, 2, 5) if step * power <= most)
    return round(length / metres), f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"


def _corner(longitude: float, latitude: float, span: float) -> str:
    digits = min(6, max(1, 4 - math.ceil(math.log10(span))))
    turned = (longitude + 180) % 360 - 180 if longitude > 180 else longitude
    return (
        f"{abs(latitude):.{digits}f}° {'N' if latitude >= 0 else 'S'}  "
        f"{abs(turned):.{digits}f}° {'E' if turned >= 0 else 'W'}"
    )


def _width(text: str) -> int:
    return math.ceil(_font().getlength(text))


@cache
def _font() -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(_FONT)
