"""Find the scenes of a period: one search of a STAC API or of a local catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from itertools import chain
from pathlib import Path
from typing import Protocol

from shapely.geometry import box

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.bands import check_bands
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.items import parse_scene
from ardcube.catalog.local import LocalCatalog
from ardcube.catalog.malformed import Item
from ardcube.catalog.scene import Scene, drop_duplicates, grow_bounds
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period


class Catalog(Protocol):
    """A source of STAC items of one collection."""

    @property
    def collection(self) -> Item | None:
        """Collection document, or None if the catalogue has none."""
        ...

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterable[Item]:
        """Return the items that intersect `bounds`, from `start` to `end`.

        The result may contain further items, but lacks none. Items are yielded as they arrive, because the items of a
        continent do not fit into memory.

        Parameters
        ----------
        bounds : tuple of float
            West, south, east, north in degrees; east is above 180 across the antimeridian.
        start, end : datetime
            UTC.

        Returns
        -------
        iterable of Item
            Items with absolute hrefs.
        """
        ...


def open_catalog(stac_url: str, collection: str, roots: tuple[str, ...] = ()) -> Catalog:
    """Open the catalogue at a URL or path and look up its collection.

    Parameters
    ----------
    stac_url : str
        URL of a STAC API, or path of a local catalogue.
    collection : str
        Id of the collection.
    roots : tuple of str
        Addresses that the user allows; see `ardcube.catalog.access`.

    Raises
    ------
    InputError
        If the catalogue cannot be reached, is not STAC, or lacks the collection.
    """
    if stac_url.startswith(("http://", "https://")):
        from ardcube.catalog.stac_api import StacApi  # pystac_client is slow to import

        return StacApi.open(stac_url, collection, roots)
    if is_remote(stac_url):
        raise InputError(f"stac-url {stac_url}: its scheme is not supported; give an http(s) URL or a local path")
    return LocalCatalog.open(local_path(stac_url), collection)


def local_path(stac_url: str) -> Path:
    """Return the absolute path of a local catalogue."""
    return Path(stac_url.removeprefix("file://")).absolute()


def find_scenes(
    catalog: Catalog,
    cube: CubeConfig,
    extra_bands: Sequence[str],
    grid: Grid,
    period: Period,
    roots: tuple[str, ...] = (),
) -> list[Scene]:
    """Return the scenes of one period, of each acquisition the newest baseline only.

    A scene belongs to the period if its datetime is in the half-open period and its reach intersects the grid.

    Parameters
    ----------
    catalog : Catalog
        Open catalogue.
    cube : CubeConfig
        Bands and address of the catalogue.
    extra_bands : sequence of str
        Further bands, for the cloud mask.
    grid : Grid
        Grid of the whole cube, with the halo of the cloud mask.
    period : Period
        UTC.
    roots : tuple of str
        Addresses that the user allows; see `ardcube.catalog.access`.

    Raises
    ------
    InputError
        If an item lacks a band, or has an address that is not allowed.
    """
    bands = list(dict.fromkeys((*cube.bands, *extra_bands)))
    start, end = (datetime.combine(day, time(), UTC) for day in (period.start, period.end))
    area = west, _, east, _ = grow_bounds(grid.bounds)
    items = iter(catalog.search(area, start, end))
    first = next(items, None)
    if first is None:
        return []
    if not (catalog.collection or {}).get("item_assets"):
        check_bands(first, None, cube.bands, reflectance=True)
        check_bands(first, None, extra_bands, reflectance=False)
    scenes = (parse_scene(item, catalog.collection, bands).at_longitudes(west, east) for item in chain([first], items))
    in_period = [scene for scene in scenes if start <= scene.datetime < end]
    found = drop_duplicates(SceneIndex(in_period).query(box(*grid.bounds)))
    policy = AccessPolicy(cube.stac_url, roots)
    for scene in found:
        policy.check_scene(scene)
    return found
