"""Find the scenes of a period: one search of a STAC API or of a local catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from itertools import islice
from pathlib import Path
from typing import Protocol

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.bands import Assets, band_names_of, candidates, in_one_line, raster_bands
from ardcube.catalog.encoding import states_encoding
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.items import bad_scene, parse_scene
from ardcube.catalog.local import LocalCatalog
from ardcube.catalog.malformed import MALFORMED, Item, describe
from ardcube.catalog.scene import Scene, grow_bounds
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.config import CubeConfig
from ardcube.errors import InputError, SceneError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.redaction import without_secrets

_ITEMS_LOOKED_AT = 50
"""Items that are looked at before a search, if the collection does not describe their bands."""


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


def open_catalog(stac_url: str, collection: str, roots: tuple[str, ...] = (), patience: float = 0.0) -> Catalog:
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
    return LocalCatalog.open(local_path(stac_url), collection)


def local_path(stac_url: str) -> Path:
    """Return the absolute path of a local catalogue."""
    return Path(stac_url.removeprefix("file://")).absolute()


def find_scenes(
    catalog: Catalog,
    cube: CubeConfig,
    categories: Sequence[str],
    grid: Grid,
    period: Period,
    roots: tuple[str, ...] = (),
) -> list[Scene]:
    """Return the scenes of one period, ordered by time, then id; also bad scenes, whose items cannot be used.

    A scene belongs to the period if its datetime is in the half-open period and its reach intersects the grid.

    Parameters
    ----------
    catalog : Catalog
        Open catalogue.
    cube : CubeConfig
        Reflectance bands, and address of the catalogue.
    categories : sequence of str
        Categorical bands, for the cloud mask.
    grid : Grid
        Grid of the whole cube, with the halo of the cloud mask.
    period : Period
        UTC.
    roots : tuple of str
        Addresses that the user allows; see `ardcube.catalog.access`.

    Raises
    ------
    InputError
        If an item has an address that is not allowed.
    """
    start, end = (datetime.combine(day, time(), UTC) for day in (period.start, period.end))
    outline = grid.outline
    area = west, _, east, _ = grow_bounds(outline.bounds)
    scenes = (
        _scene(item, catalog.collection, cube.bands, categories, start).at_longitudes(west, east)
        for item in catalog.search(area, start, end)
    )
    in_period = {scene.id: scene for scene in scenes if start <= scene.datetime < end}
    ordered = sorted(in_period.values(), key=lambda scene: (scene.datetime, scene.id))
    found = SceneIndex(ordered).query(outline)
    policy = AccessPolicy(cube.stac_url, roots)
    for scene in found:
        policy.check_scene(scene)
    return found


def _scene(
    item: Item, collection: Item | None, bands: Sequence[str], categories: Sequence[str], when: datetime
) -> Scene:
    try:
        return parse_scene(item, collection, bands, categories)
    except SceneError as error:
        return bad_scene(item, str(error), when)


def check_bands(
    catalog: Catalog, cube: CubeConfig, categories: Sequence[str], grid: Grid, periods: Sequence[Period]
) -> None:
    """Check that a catalogue has the bands, and that the encoding of the reflectance bands is known.

    If the collection does not state them, the first items are looked at.

    Parameters
    ----------
    catalog : Catalog
        Open catalogue.
    cube : CubeConfig
        Collection and reflectance bands.
    categories : sequence of str
        Categorical bands, for the cloud mask.
    grid : Grid
        Grid of the whole cube.
    periods : sequence of Period
        Periods of the cube.

    Raises
    ------
    InputError
        If neither the collection nor the first items have a band, or none of these items can be used.
    """
    collection = catalog.collection
    try:
        listed: Assets = (collection or {}).get("item_assets") or {}
        unlisted = [band for band in (*cube.bands, *categories) if not candidates(listed, band)]
        unknown = [band for band in cube.bands if not states_encoding(cube.collection, collection, band)]
        if not unlisted and not unknown:
            return
        start, end = (datetime.combine(day, time(), UTC) for day in (periods[0].start, periods[-1].end))
        area = west, _, east, _ = grow_bounds(grid.outline.bounds)
        items = list(islice(catalog.search(area, start, end), _ITEMS_LOOKED_AT))
        _check_names(unlisted, listed, items)
    except MALFORMED as error:
        raise InputError(
            f"stac-url {cube.stac_url}: its collection or items do not follow the STAC specification "
            f"({describe(error)}); correct them or choose another catalogue"
        ) from error
    scenes = [_scene(item, collection, cube.bands, categories, start).at_longitudes(west, east) for item in items]
    scenes = SceneIndex(scenes).query(grid.outline)
    if len(scenes) > 1 and all(scene.problem for scene in scenes):
        raise none_usable(cube.stac_url, scenes)


def _check_names(unlisted: Sequence[str], listed: Assets, items: Sequence[Item]) -> None:
    """Raise InputError for a band that no item has."""
    documents = [assets for item in items if (assets := item.get("assets"))]
    for band in unlisted:
        holds = [
            assets for assets in documents if any(band == key or band in band_names_of(assets[key]) for key in assets)
        ]
        known = {name: None for assets in (listed, *documents) for name in raster_bands(assets)}
        if not holds and (documents or listed):
            raise InputError(f"band {band}: not in the collection; choose from {in_one_line(known)}")


def none_usable(stac_url: str, scenes: Sequence[Scene]) -> InputError:
    """Return the error for a catalogue whose scenes are all bad."""
    url = without_secrets(stac_url)
    return InputError(f"stac-url {url}: none of its {len(scenes)} scenes can be used: {scenes[0].problem}")
