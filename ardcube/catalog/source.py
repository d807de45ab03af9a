"""A collection of a cube: its catalogue, and the parser of its items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.categories import Categories
from ardcube.catalog.items import bad_scene, parse_scene
from ardcube.catalog.malformed import Item
from ardcube.catalog.scene import Scene
from ardcube.collections.recognize import NO_DEFINITIONS, Definitions
from ardcube.config import CollectionAddress
from ardcube.errors import InputError, SceneError
from ardcube.redaction import without_secrets


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


def none_usable(source: Source, scenes: Sequence[Scene]) -> InputError:
    """Return the error for a collection whose scenes are all bad."""
    name = source.noun if source.is_pooled else f"stac-url {without_secrets(source.address.stac_url)}"
    return InputError(f"{name}: none of its {len(scenes)} scenes can be used: {scenes[0].problem}")
