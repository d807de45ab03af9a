"""Keep the least cloudy scenes of each granule and period.

All scenes of a granule are compared, also those outside of the cube, because a pixel must not depend on its area.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time

from ardcube.catalog.malformed import printable_id
from ardcube.catalog.scene import LOWEST_COSINE, Scene
from ardcube.catalog.source import ItemParser, Source
from ardcube.errors import InputError
from ardcube.extent.lattice import METRES_PER_DEGREE
from ardcube.extent.periods import Period

_SHIFT = 0.15
"""Share of a granule's side by which its rasters may be placed differently, such as those of one Landsat path and
row, or be turned against north."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


def keep_least_cloudy(
    scenes: Sequence[Scene], most: int, parsers: Sequence[tuple[Source, ItemParser]], period: Period
) -> list[Scene]:
    """Return the scenes of the least cloudy acquisitions of each granule, in their order, and all bad scenes.

    The catalogue is searched again, on the whole area of the granules. Processings of one acquisition count once.

    Parameters
    ----------
    scenes : sequence of Scene
        Scenes of one period that intersect the cube.
    most : int
        Acquisitions to keep of each granule.
    parsers : sequence of (Source, ItemParser)
        Collections of the cube, and how their items are parsed.
    period : Period
        Period of the scenes.

    Raises
    ------
    InputError
        If the granule of a scene is unknown.
    """
    usable = {scene.id: scene for scene in scenes if not scene.problem}
    if not usable:
        return list(scenes)
    unknown = next((scene for scene in usable.values() if not scene.granule), None)
    if unknown is not None:
        raise InputError(
            f"max-scenes: item {unknown.id!r:.100} states no grid:code, no MGRS tile, and no path and row; omit "
            "max-scenes, or select scenes with --query 'eo:cloud_cover<N'"
        )
    granules = {scene.granule for scene in usable.values()}
    area = granule_bounds(usable.values())
    around = {scene.id: scene for scene in _around(parsers, area, period, usable) if scene.granule in granules}
    kept = least_cloudy([*usable.values(), *around.values()], most)
    return [scene for scene in scenes if scene.problem or scene.id in kept]


def least_cloudy(scenes: Iterable[Scene], most: int) -> set[str]:
    """Return the ids of the scenes of the least cloudy acquisitions of each granule.

    The cloud cover of an acquisition is that of its newest processing. Unknown cloud cover comes last. Of equal cloud
    cover, the earlier acquisition comes first, then the lower id.

    Parameters
    ----------
    scenes : iterable of Scene
        All scenes of the granules in a period.
    most : int
        Acquisitions to keep of each granule.
    """
    acquisitions: dict[str, dict[str, list[Scene]]] = defaultdict(lambda: defaultdict(list))
    for scene in scenes:
        acquisitions[scene.granule][scene.acquisition or f"only {scene.id}"].append(scene)
    kept: set[str] = set()
    for of_granule in acquisitions.values():
        ordered = sorted(of_granule.values(), key=lambda same: _rank(max(same, key=lambda one: one.processing)))
        kept.update(scene.id for same in ordered[:most] for scene in same)
    return kept


def _rank(scene: Scene) -> tuple[float, datetime, str]:
    return math.inf if scene.cloud_cover is None else scene.cloud_cover, scene.datetime, scene.id


def granule_bounds(scenes: Iterable[Scene]) -> Bounds:
    """Return bounds that contain all scenes of the granules of some scenes.

    A swath may end within a granule. The sides of its raster therefore count, where items state them.
    """
    bounds = [_raster_bounds(scene) for scene in scenes]
    west, south, east, north = zip(*bounds, strict=True)
    return min(west), max(-90.0, min(south)), max(east), min(90.0, max(north))


def _raster_bounds(scene: Scene) -> Bounds:
    """Return bounds that contain the raster of a scene wherever its footprint is in it."""
    west, south, east, north = scene.footprint.bounds
    cosine = max(LOWEST_COSINE, math.cos(math.radians((south + north) / 2)))
    side = max(_side(scene) / METRES_PER_DEGREE, north - south, (east - west) * cosine)
    high = side - (north - south) + _SHIFT * side
    wide = (side - (east - west) * cosine + _SHIFT * side) / cosine
    return west - wide, south - high, east + wide, north + high


def _side(scene: Scene) -> float:
    """Return the longer side of a scene's raster in metres, 0 if it is unknown."""
    sides = (max(asset.height, asset.width) * asset.pixel_size for asset in scene.bands.values())
    return max(sides, default=0.0)


def _around(
    parsers: Sequence[tuple[Source, ItemParser]], area: Bounds, period: Period, known: Mapping[str, Scene]
) -> Iterator[Scene]:
    """Yield the further scenes of an area that can be used."""
    start, end = (datetime.combine(day, time(), UTC) for day in (period.start, period.end))
    for source, parser in parsers:
        for item in source.catalog.search(area, start, end):
            name = printable_id(item)
            if (f"{parser.pool}/{name}" if parser.pool else name) in known:
                continue
            scene = parser.parse(item, source.catalog.collection, start)
            if not scene.problem and start <= scene.datetime < end:
                yield scene
