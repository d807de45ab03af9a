"""Find the scenes of a period: one search of a STAC API or of a local catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from itertools import chain, islice
from pathlib import Path

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.categories import Categories
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.local import LocalCatalog
from ardcube.catalog.malformed import Item
from ardcube.catalog.scene import Scene, grow_bounds
from ardcube.catalog.source import Catalog, CatalogSource, ItemParser, Source
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period

_ITEMS_LOOKED_AT = 50
"""Items that are looked at before a search, if the collection does not describe their bands."""


def open_catalog(
    stac_url: str, collection: str, roots: tuple[str, ...] = (), patience: float = 0.0, *, alone: bool = True
) -> CatalogSource:
    """Open the catalogue at a URL or path and look up its collection.

    Parameters
    ----------
    stac_url : str
        URL of a STAC API, or path of a local catalogue.
    collection : str
        Id of the collection.
    roots : tuple of str
        Addresses that the user allows; see `ardcube.catalog.access`.
    patience : float
        Seconds to wait for a STAC API that stops answering.
    alone : bool
        Whether items of a local catalogue that name no collection belong to this one.

    Raises
    ------
    InputError
        If the catalogue cannot be reached, is not STAC, or lacks the collection.
    """
    if stac_url.startswith(("http://", "https://")):
        from ardcube.catalog.stac_api import StacApi  # pystac_client is slow to import

        return StacApi.open(stac_url, collection, roots, patience)
    if is_remote(stac_url):
        raise InputError(f"stac-url {stac_url}: its scheme is not supported; give an http(s) URL or a local path")
    return LocalCatalog.open(local_path(stac_url), collection, alone=alone)


def local_path(stac_url: str) -> Path:
    """Return the absolute path of a local catalogue."""
    return Path(stac_url.removeprefix("file://")).absolute()


def find_scenes(catalog: Catalog, parser: ItemParser, grid: Grid, period: Period, policy: AccessPolicy) -> list[Scene]:
    """Return the scenes of one period, ordered by time, then id; also bad scenes, whose items cannot be used.

    A scene belongs to the period if its datetime is in the half-open period and its reach intersects the grid.

    Parameters
    ----------
    catalog : Catalog
        Open catalogue.
    parser : ItemParser
        Bands of the cube and of its cloud mask.
    grid : Grid
        Grid of the whole cube, with the halo of the cloud mask.
    period : Period
        UTC.
    policy : AccessPolicy
        Addresses that items may have.

    Raises
    ------
    InputError
        If an item has an address that is not allowed, or several definitions recognize it.
    """
    start, end = (datetime.combine(day, time(), UTC) for day in (period.start, period.end))
    outline = grid.outline
    area = west, _, east, _ = grow_bounds(outline.bounds)
    scenes = (
        parser.parse(item, catalog.collection, start).at_longitudes(west, east)
        for item in catalog.search(area, start, end)
    )
    in_period = {scene.id: scene for scene in scenes if start <= scene.datetime < end}
    ordered = sorted(in_period.values(), key=lambda scene: (scene.datetime, scene.id))
    found = SceneIndex(ordered).query(outline)
    for scene in found:
        policy.check_scene(scene)
    return found


def find_in_all(
    sources: Sequence[Source], bands: Sequence[str], categories: Sequence[str] | Categories, grid: Grid, period: Period
) -> list[Scene]:
    """Return the scenes of one period from all collections of a cube, ordered by time, then id, as `find_scenes`.

    An item that two catalogues have in collections of one id counts once, from the catalogue that comes first.
    """
    each = [
        find_scenes(source.catalog, source.parser(bands, categories), grid, period, source.policy) for source in sources
    ]
    if len(each) == 1:
        return each[0]
    found: dict[str, Scene] = {}
    for scene in chain.from_iterable(each):
        found.setdefault(scene.id, scene)
    return sorted(found.values(), key=lambda scene: (scene.datetime, scene.id))


def first_items(catalog: Catalog, bounds: tuple[float, float, float, float], periods: Sequence[Period]) -> list[Item]:
    """Return the first items of a cube that a search finds.

    Parameters
    ----------
    catalog : Catalog
        Open catalogue.
    bounds : tuple of float
        Area of the cube: west, south, east, north in degrees.
    periods : sequence of Period
        Periods of the cube.
    """
    start, end = (datetime.combine(day, time(), UTC) for day in (periods[0].start, periods[-1].end))
    return list(islice(catalog.search(grow_bounds(bounds), start, end), _ITEMS_LOOKED_AT))


def finest_pixel(
    sources: Sequence[Source],
    bands: Sequence[str],
    bounds: tuple[float, float, float, float],
    periods: Sequence[Period],
) -> float:
    """Return the pixel size of the finest reflectance band in metres, from the first items of each collection.

    Parameters
    ----------
    sources : sequence of Source
        Collections of the cube.
    bands : sequence of str
        Reflectance bands.
    bounds : tuple of float
        Area of the cube: west, south, east, north in degrees.
    periods : sequence of Period
        Periods of the cube.

    Raises
    ------
    InputError
        If there is no item that can be used.
    """
    start = datetime.combine(periods[0].start, time(), UTC)
    scenes = [
        source.parser(bands).parse(item, source.catalog.collection, start)
        for source in sources
        for item in first_items(source.catalog, bounds, periods)
    ]
    sizes = [asset.pixel_size for scene in scenes for asset in scene.bands.values()]
    if not sizes:
        raise InputError("resolution: not given, and no scene states the pixel size of the bands; give --resolution")
    return min(sizes)
