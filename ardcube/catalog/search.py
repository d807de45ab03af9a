"""Where scenes are found: one search per period, of a STAC API or of a catalogue on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from itertools import chain
from pathlib import Path
from typing import Protocol

import shapely
from shapely.geometry import box

from ardcube.catalog.access import Reach
from ardcube.catalog.bands import check_bands
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.items import parse_scene
from ardcube.catalog.local import LocalCatalog
from ardcube.catalog.malformed import Item
from ardcube.catalog.scene import Scene, without_duplicates
from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period


class Catalog(Protocol):
    """A source of STAC items of one collection."""

    @property
    def collection(self) -> Item | None:
        """The collection's document, where there is one."""
        ...

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterable[Item]:
        """Items around `bounds` (degrees, east above 180 across the antimeridian) from `start` to `end`, UTC.

        May give too many, never too few. Hrefs are absolute. They come as they are found, and nobody holds them: the
        items of a continent do not fit into memory as JSON.
        """
        ...


def open_catalog(stac_url: str, collection: str, roots: tuple[str, ...] = ()) -> Catalog:
    """Open the catalogue at a URL or path and look up its collection.

    Parameters
    ----------
    stac_url, collection : str
        Which.
    roots : tuple of str
        Folders and URLs that it may point to besides its own; see `ardcube.catalog.access`.

    Raises
    ------
    InputError
        If it cannot be reached, is no STAC, or lacks the collection.
    """
    if stac_url.startswith(("http://", "https://")):
        from ardcube.catalog.stac_api import StacApi  # its client is slow to import, and a local catalogue needs none

        return StacApi.open(stac_url, collection, roots)
    if is_remote(stac_url):
        raise InputError(f"stac-url {stac_url} is neither http(s) nor a local path; give one of these")
    return LocalCatalog.open(local_path(stac_url), collection, roots)


def local_path(stac_url: str) -> Path:
    """The absolute path that a local catalogue's URL or path means."""
    return Path(stac_url.removeprefix("file://")).absolute()


def find_scenes(
    catalog: Catalog,
    cube: CubeConfig,
    extra_bands: Sequence[str],
    grid: Grid,
    period: Period,
    roots: tuple[str, ...] = (),
) -> list[Scene]:
    """Scenes of one period: footprint meets the grid, datetime in the half-open period, newest baseline only.

    Parameters
    ----------
    catalog : Catalog
        Open catalogue.
    cube : CubeConfig
        Says which bands.
    extra_bands : sequence of str
        What the cloud mask needs besides.
    grid : Grid
        Of the whole cube.
    period : Period
        UTC.
    roots : tuple of str
        Folders and URLs that items may point to besides the catalogue's own.

    Raises
    ------
    InputError
        If the items lack a band, or point where a catalogue may not.
    """
    bands = list(dict.fromkeys((*cube.bands, *extra_bands)))
    start, end = (datetime.combine(day, time(), UTC) for day in (period.start, period.end))
    items = iter(catalog.search(grid.bounds, start, end))
    first = next(items, None)
    if first is None:
        return []
    if not (catalog.collection or {}).get("item_assets"):
        check_bands(first, None, cube.bands, reflectance=True)
        check_bands(first, None, extra_bands, reflectance=False)
    whole = box(*grid.bounds)
    shapely.prepare(whole)
    scenes = (parse_scene(item, catalog.collection, bands, grid.central_longitude) for item in chain([first], items))
    found = without_duplicates(
        scene for scene in scenes if start <= scene.datetime < end and whole.intersects(scene.footprint)
    )
    reach = Reach(cube.stac_url, roots)
    for scene in found:
        reach.check_scene(scene)
    return found
