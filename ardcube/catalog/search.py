"""Find the scenes of a period: one search of a STAC API or of a local catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.bands import Assets, band_names_of, candidates, in_one_line, raster_bands
from ardcube.catalog.categories import Categories
from ardcube.catalog.encoding import states_encoding
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.items import bad_scene, parse_scene
from ardcube.catalog.local import LocalCatalog
from ardcube.catalog.malformed import MALFORMED, Item, describe
from ardcube.catalog.scene import Scene, grow_bounds
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.collections.recognize import NO_DEFINITIONS, Definitions
from ardcube.config import CollectionAddress
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


class CatalogSource(Catalog, Protocol):
    """A catalogue before any item was selected."""

    def selecting(self, query: Mapping[str, Mapping[str, Any]]) -> CatalogSource:
        """Return the catalogue with a query, as STAC's query extension writes it; the same one without support."""
        ...


@dataclass(frozen=True, slots=True)
class ItemParser:
    """The parts of each item that a cube needs, and the definitions that name them."""

    bands: Sequence[str]
    """Reflectance bands."""
    categories: Sequence[str] | Categories = ()
    """Categorical bands, for the cloud mask."""
    definitions: Definitions = NO_DEFINITIONS
    pool: str = ""
    """Id of the collection, if the cube has several: ids of scenes then begin with it, because items of different
    collections may have one id."""

    def parse(self, item: Item, collection: Item | None, when: datetime) -> Scene:
        """Return the scene of an item; a bad scene, at `when` if it has no time, if the item cannot be used."""
        try:
            scene = parse_scene(item, collection, self.bands, self.categories, self.definitions)
        except SceneError as error:
            scene = bad_scene(item, str(error), when)
        return replace(scene, id=f"{self.pool}/{scene.id}", collection=self.pool) if self.pool else scene


@dataclass(frozen=True, slots=True)
class Source:
    """A collection of a cube: its catalogue, and what its items need."""

    address: CollectionAddress
    catalog: Catalog
    definitions: Definitions
    """Definitions by which its items are recognized."""
    policy: AccessPolicy
    """Addresses that its items may have."""
    is_pooled: bool = False
    """Whether the cube has further collections."""

    @property
    def pool(self) -> str:
        """Id of the collection, if the cube has several."""
        return self.address.collection if self.is_pooled else ""

    @property
    def noun(self) -> str:
        """Words for the collection in messages; only a cube of several needs the id."""
        return f"collection {self.address.collection}" if self.is_pooled else "the collection"

    def parser(self, bands: Sequence[str], categories: Sequence[str] | Categories = ()) -> ItemParser:
        """Return the parser of its items."""
        return ItemParser(bands, categories, self.definitions, self.pool)


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


def none_usable(source: Source, scenes: Sequence[Scene]) -> InputError:
    """Return the error for a collection whose scenes are all bad."""
    name = source.noun if source.is_pooled else f"stac-url {without_secrets(source.address.stac_url)}"
    return InputError(f"{name}: none of its {len(scenes)} scenes can be used: {scenes[0].problem}")
