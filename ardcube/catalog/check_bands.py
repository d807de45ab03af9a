"""Check, before a search, that a collection has the bands of a cube and states their encoding."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from itertools import chain

from ardcube.catalog.bands import Assets, band_names_of, candidates, in_one_line, raster_bands
from ardcube.catalog.categories import Categories
from ardcube.catalog.encoding import states_encoding
from ardcube.catalog.malformed import MALFORMED, Item, describe
from ardcube.catalog.scene import grow_bounds
from ardcube.catalog.search import first_items
from ardcube.catalog.source import ItemParser, Source, none_usable
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period


def check_bands(source: Source, parser: ItemParser, grid: Grid, periods: Sequence[Period]) -> None:
    """Check that a collection has the bands, and that the encoding of the reflectance bands is known.

    If the collection does not state them, or the cloud mask names classes, the first items are looked at.

    Parameters
    ----------
    source : Source
        The collection.
    parser : ItemParser
        Bands of the cube and of its cloud mask.
    grid : Grid
        Grid of the whole cube.
    periods : sequence of Period
        Periods of the cube.

    Raises
    ------
    InputError
        If neither the collection nor the first items have a band, or none of these items can be used.
    """
    catalog, collection, url = source.catalog, source.catalog.collection, source.address.stac_url
    try:
        listed: Assets = (collection or {}).get("item_assets") or {}
        categories = Categories.of(parser.categories)
        needed = (*parser.bands, *categories.always)
        unlisted = [band for band in needed if not candidates(listed, band)]
        unknown = [band for band in parser.bands if not states_encoding(collection, band)]
        if not unlisted and not unknown and not categories.classes:
            return
        items = first_items(catalog, grid.outline.bounds, periods)
        _check_names(unlisted, listed, items, source)
    except MALFORMED as error:
        raise InputError(
            f"stac-url {url}: its collection or items do not follow the STAC specification "
            f"({describe(error)}); correct them or choose another catalogue"
        ) from error
    start = datetime.combine(periods[0].start, time(), UTC)
    west, _, east, _ = grow_bounds(grid.outline.bounds)
    scenes = [parser.parse(item, collection, start).at_longitudes(west, east) for item in items]
    scenes = SceneIndex(scenes).query(grid.outline)
    if len(scenes) > 1 and all(scene.problem for scene in scenes):
        raise none_usable(source, scenes)


def _check_names(unlisted: Sequence[str], listed: Assets, items: Sequence[Item], source: Source) -> None:
    """Raise InputError for a band that no item has; without items, for one that no definition of the collection has."""
    possible = [] if items else source.definitions.of_collection(source.address.collection)
    described = [(item, assets, source.definitions.of(item)) for item in items if (assets := item.get("assets"))]
    for band in unlisted:
        holds = any(
            any(band == key or band in band_names_of(assets[key]) for key in assets)
            or (definition is not None and definition.asset_key(item, band) is not None)
            for item, assets, definition in described
        )
        holds = holds or any(definition.band(band) for definition in possible)
        if not holds and (described or listed):
            stated = [raster_bands(assets) for assets in (listed, *(assets for _, assets, _ in described))]
            defined = [
                [name for name in definition.bands if definition.asset_key(item, name)]
                for item, _, definition in described
                if definition is not None
            ]
            known = dict.fromkeys(chain(*stated, *defined, *(definition.bands for definition in possible)))
            raise InputError(f"band {band}: not in {source.noun}; choose from {in_one_line(known)}")
