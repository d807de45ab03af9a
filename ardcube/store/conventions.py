"""Attributes of the Zarr conventions `proj`, `spatial` and `multiscales` (v0.1).

They state the grid as CF does, in other words, and list the levels of a pyramid.

CF attributes and the coordinates remain, because most readers take the grid from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import zarr_cm
from pyproj import CRS

from ardcube.extent.grid import Grid


def of_group(grid: Grid) -> dict[str, Any]:
    """Return the attributes of a group: CRS, dimensions and bounds of the grid.

    The bounds are west, south, east, north in CRS units. Those of a grid across the antimeridian extend beyond 180
    degrees, as its coordinates do.
    """
    text = grid.lattice.crs
    proj = {"proj:wkt2": CRS.from_user_input(text).to_wkt("WKT2_2019")}
    if "[" not in text:  # an authority code
        proj["proj:code"] = text
    spatial: dict[str, Any] = {"spatial:dimensions": list(grid.axes), "spatial:bbox": list(grid.bounds)}
    return dict(zarr_cm.create_many({"proj": proj, "spatial": spatial}))


def of_pyramid(grids: Sequence[Grid]) -> dict[str, Any]:
    """Return the attributes of the group that holds the levels of a pyramid as groups ``0``, ``1``, ``2``, ...

    `scale` and `translation` relate to the level below. All levels have the same origin, the corner of the first pixel.
    """
    layout: list[dict[str, Any]] = []
    for level, grid in enumerate(grids):
        item: dict[str, Any] = {"asset": str(level)}
        if level:
            halved = {"scale": [2.0, 2.0], "translation": [0.0, 0.0]}
            item |= {"derived_from": str(level - 1), "transform": halved, "resampling_method": "average"}
        layout.append(item | _place_of(grid))
    attributes = of_group(grids[0])
    return dict(zarr_cm.insert_many(attributes, {"multiscales": {"layout": layout}}))


def of_array(grid: Grid) -> dict[str, Any]:
    """Return the attributes of an array of pixels: transform and shape. The CRS is that of its group."""
    return zarr_cm.create_many(
        {
            "spatial": {
                "spatial:dimensions": list(grid.axes),  # required of an array, although its group states them
                "spatial:transform_type": "affine",
                "spatial:registration": "pixel",
                **_place_of(grid),
            }
        }
    )


def _place_of(grid: Grid) -> dict[str, Any]:
    transform = [float(number) for number in grid.transform[:6]]
    return {"spatial:transform": transform, "spatial:shape": [grid.height, grid.width]}


def without_conventions(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes without those of conventions: no other format can hold them, and a part has another grid."""
    keys = {"zarr_conventions", *zarr_cm.ALL_CONVENTION_KEYS}
    return {name: value for name, value in attributes.items() if name not in keys}
