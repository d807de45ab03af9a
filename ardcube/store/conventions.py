"""Attributes of the Zarr conventions `proj` and `spatial` (v0.1), which state the grid as CF does, in other words.

CF attributes and the coordinates remain, because most readers take the grid from them.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def of_array(grid: Grid) -> dict[str, Any]:
    """Return the attributes of an array of pixels: transform and shape. The CRS is that of its group."""
    return zarr_cm.create_many(
        {
            "spatial": {
                "spatial:dimensions": list(grid.axes),  # required of an array, although its group states them
                "spatial:transform_type": "affine",
                "spatial:transform": [float(number) for number in grid.transform[:6]],
                "spatial:shape": [grid.height, grid.width],
                "spatial:registration": "pixel",
            }
        }
    )


def without_conventions(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes without those of conventions: no other format can hold them, and a part has another grid."""
    keys = {"zarr_conventions", *zarr_cm.ALL_CONVENTION_KEYS}
    return {name: value for name, value in attributes.items() if name not in keys}
