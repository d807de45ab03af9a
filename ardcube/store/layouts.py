"""The store of a cube in its layout: one group, or a group per level of a pyramid below a root.

`flat` is one group. `geozarr` is a root with the groups ``0``, ``1``, ``2``, ...: the pixels, then each level of half
the resolution. The root has the convention `multiscales` and the origin of the cube. Its metadata, which contain those
of all groups, are written last and make the store complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.config.cube import StoreLayout
from ardcube.extent.grid import Grid
from ardcube.extent.levels import level_grids
from ardcube.extent.periods import Period
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store import conventions, schema
from ardcube.store.backend import zarr_store
from ardcube.store.conventions import without_conventions
from ardcube.store.provenance import VERSION
from ardcube.store.session_place import SessionPlace
from ardcube.store.validate import METADATA, damage_as_store_error


def base_group(place: Place) -> Place:
    """Return the group with the pixels of a cube: the store itself, or the first level of its pyramid.

    Raises
    ------
    StoreError
        If the metadata are damaged.
    """
    return place.child("0") if "multiscales" in schema.read_attributes(place) else place


def group_of(place: Place, spec: CubeSpec) -> Place:
    """Return the group of a store that holds the arrays of a cube, or of a level of its pyramid."""
    return place if spec.layout == "flat" else place.child(str(spec.level))


def levels_of(spec: CubeSpec) -> tuple[CubeSpec, ...]:
    """Return the spec of each group that holds arrays: the cube itself first."""
    if spec.layout == "flat":
        return (spec,)
    return tuple(replace(spec, grid=grid, level=level) for level, grid in enumerate(level_grids(spec.grid)))


def described(spec: CubeSpec) -> dict[str, Any]:
    """Return what `cube.json` states of a store with levels, so that `remove` finds all of them."""
    if spec.layout == "flat":
        return {"arrays": [], "levels": 0}
    return {"arrays": [array.name for array in spec.arrays], "levels": len(level_grids(spec.grid))}


def origin_of(place: Place) -> dict[str, Any]:
    """Return the attributes of a store that are not those of its layout, for a copy of the cube."""
    described = without_conventions(schema.read_attributes(place))
    return {name: value for name, value in described.items() if name not in (*schema.ATTRIBUTES, VERSION)}


def create(
    place: Place,
    spec: CubeSpec,
    periods: Sequence[Period],
    chunk_size: int,
    shard: int = 1,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Create the store of a cube with all its groups, as `schema.create` does for one.

    All levels have the same size of chunks and shards. So the pixels below a chunk are those of 2 x 2 chunks.
    """
    if spec.layout == "flat":
        schema.create(place, spec, periods, chunk_size, shard, attributes)
        return
    levels = levels_of(spec)
    bands = {schema.BANDS: list(spec.bands)}
    for level in levels:
        schema.create(place.child(str(level.level)), level, periods, chunk_size, shard, bands)
    described = conventions.of_pyramid([level.grid for level in levels]) | dict(attributes or {})
    zarr.open_group(zarr_store(place), mode="a", zarr_format=3).update_attributes(described)
    schema.consolidate(place)


def check(place: Place, spec: CubeSpec, chunk_size: int, shard: int) -> None:
    """Raise StoreError if the layout of a group differs from the one it was created with."""
    for level in levels_of(spec):
        schema.check(group_of(place, level), level, chunk_size, shard)


def extend(place: Place, spec: CubeSpec, periods: Sequence[Period], attributes: Mapping[str, Any]) -> None:
    """Extend the time axis of all groups to `periods`, and replace attributes of the store; existing chunks remain."""
    names = [array.name for array in spec.arrays]
    if spec.layout == "flat":
        schema.extend(place, names, periods, attributes)
        return
    for level in levels_of(spec):
        schema.extend(group_of(place, level), names, periods)
    with damage_as_store_error(place.uri):
        schema.consolidate(place)
        zarr.open_group(zarr_store(place), mode="r+", zarr_format=3).update_attributes(dict(attributes))


def write_complete(place: Place, grid: Grid, layout: StoreLayout, shares: NDArray[np.float32]) -> None:
    """Write `complete`, the share of finished tiles of each period, to all groups, as `schema.write_complete` does."""
    levels = range(len(level_grids(grid))) if layout != "flat" else ()
    for group in [place.child(str(level)) for level in levels] or [place]:
        schema.write_complete(group, shares)


def remove(place: Place, names: Sequence[str], levels: int) -> None:
    """Delete arrays and metadata that `create` wrote, and no other file.

    Parameters
    ----------
    place : Place
        Location of the store.
    names : sequence of str
        Names of the arrays.
    levels : int
        Levels of the pyramid; 0 for a flat store.

    Raises
    ------
    StoreError
        If one of the names is not a plain name.
    """
    if isinstance(place, SessionPlace):
        place.remove_all()  # the repository and its versions remain
        return
    if not levels:
        schema.remove(place, *names)
        return
    # The root's metadata first, because the rest without it is no cube.
    place.remove([METADATA])
    for level in range(levels):
        schema.remove(place.child(str(level)), *names)
    place.remove_empty_folders()
