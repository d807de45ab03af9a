"""Select periods and a window of a cube, and name the files (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from string import Formatter

import shapely

from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.extent.reproject import from_degrees
from ardcube.extent.window import Window

LIST = "ardcube-export.json"
"""Name of the list of exported files in their folder."""
_RESERVED = (LIST, "lease.json")
_FIELDS = ("cube", "varname", "period")
"""Fields of a template of file names."""
_MOST_LISTED = 20
"""Periods that an error names."""
_ROUNDING = 1e-6
"""Share of a pixel by which an edge may miss that of a pixel."""
_WORLD = 360.0


def select_periods(periods: Sequence[Period], labels: Sequence[str]) -> list[Period]:
    """Return the periods of labels, in order of time; all without labels.

    Raises
    ------
    InputError
        If a label is that of no period.
    """
    known = {period.label: period for period in periods}
    for label in labels:
        if label not in known:
            more = len(known) - _MOST_LISTED
            listed = ", ".join(list(known)[:_MOST_LISTED]) + (f", and {more} more" if more > 0 else "")
            raise InputError(f"--period {label!r:.60}: no such period; the cube has {listed}")
    return [period for period in periods if not labels or period.label in labels]


def select_window(grid: Grid, bbox: Sequence[float] | None) -> Window:
    """Return the pixels that a box touches; the whole grid without a box.

    Parameters
    ----------
    grid : Grid
        Grid of the cube.
    bbox : sequence of float, optional
        West, south, east, north, in degrees.

    Raises
    ------
    InputError
        If it is no box, or no pixel of the cube is in it.
    """
    if bbox is None:
        return Window(0, grid.height, 0, grid.width)
    text = " ".join(map(str, bbox))[:100]
    numbers = [number for number in bbox if isinstance(number, (int, float)) and math.isfinite(number)]
    if len(numbers) != len(bbox) or len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise InputError(f"--bbox {text}: not west, south, east, north in degrees")
    west, south, east, north = numbers
    if grid.lattice.is_geographic:  # longitudes of a grid across the antimeridian extend beyond 180
        boxes = [(west + turn, south, east + turn, north) for turn in (0.0, _WORLD, -_WORLD)]
    else:
        boxes = [from_degrees(shapely.box(west, south, east, north), grid.lattice.crs).bounds]
    for box in boxes:
        window = _touched(grid, box)
        if min(window.shape) > 0:
            return window
    raise InputError(f"--bbox {text}: no pixel of the cube is in it; give a box that meets {grid}")


def _touched(grid: Grid, box: Sequence[float]) -> Window:
    inverse = ~grid.transform
    (left, top), (right, bottom) = inverse * (box[0], box[3]), inverse * (box[2], box[1])
    y0, x0 = (max(0, math.floor(edge + _ROUNDING)) for edge in (top, left))
    return Window(
        y0,
        min(grid.height, math.ceil(bottom - _ROUNDING)),
        x0,
        min(grid.width, math.ceil(right - _ROUNDING)),
    )


def file_name(template: str, cube: str, varname: str, period: str) -> str:
    """Return the name of a file, relative to the folder of an export.

    Raises
    ------
    InputError
        If the template has other fields, or the name leaves the folder.
    """
    try:
        fields = {field for _, field, spec, conversion in Formatter().parse(template) if field is not None}
        plain = all(not spec and not conversion for _, _, spec, conversion in Formatter().parse(template))
    except ValueError:
        fields, plain = {""}, False
    if not plain or not fields <= set(_FIELDS):
        known = ", ".join(f"{{{name}}}" for name in _FIELDS)
        raise InputError(f"--template {template!r:.100}: not a template of file names; its fields are {known}")
    name = template.format(cube=cube, varname=varname, period=period)
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or name.endswith("/") or ".." in parts or "\\" in name or name in _RESERVED:
        raise InputError(f"--template {template!r:.100}: {name!r:.100} is no file in the folder; give a relative name")
    return str(PurePosixPath(name))
