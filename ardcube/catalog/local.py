"""Read a local catalogue: a folder of items, an ItemCollection file, or a stac-geoparquet file."""

from __future__ import annotations

import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from ardcube.catalog.hrefs import is_remote, resolve_hrefs
from ardcube.catalog.malformed import MALFORMED, Item, describe
from ardcube.errors import InputError


@dataclass(frozen=True, slots=True)
class LocalCatalog:
    """Items of one collection, held in memory."""

    collection: Item | None
    items: tuple[Item, ...]
    """In order of time."""
    times: tuple[datetime, ...]
    """Time of each item."""
    undated: tuple[Item, ...] = ()
    """Items whose time is missing or not valid."""

    def selecting(self, _query: Mapping[str, Mapping[str, Any]]) -> LocalCatalog:
        """Return the same catalogue: it supports no queries."""
        return self

    @classmethod
    def open(cls, path: Path, collection: str, *, alone: bool = True) -> LocalCatalog:
        """Read all items of `collection` at `path`.

        Parameters
        ----------
        path : Path
            A folder or file.
        collection : str
            Id of the collection.
        alone : bool
            Whether items that name no collection belong to this one.

        Raises
        ------
        InputError
            If the path does not exist, contains no STAC items, or none of the collection. If an item names no
            collection, and may belong to another one.
        """
        if not path.exists():
            raise InputError(f"stac-url {path}: does not exist; give a folder, a file, or the URL of a STAC API")
        documents = list(_read(path))
        items = [(source, document) for source, document in documents if document.get("type") == "Feature"]
        if not items:
            raise InputError(f"stac-url {path}: contains no STAC items; give a catalogue with items")
        nameless = None if alone else next((item for _, item in items if item.get("collection") is None), None)
        if nameless is not None:
            raise InputError(
                f"stac-url {path}: item {nameless['id']:.200} names no collection, and the cube has several; add its "
                "collection to the item"
            )
        chosen = _unique_items((source, item) for source, item in items if item.get("collection") in (collection, None))
        if not chosen:
            names = ", ".join(sorted({f"{item['collection']!s:.100}" for _, item in items})[:20])
            raise InputError(f"collection {collection}: not in {path}; choose from {names}")
        described = [
            (source.stem != collection and source.name != "collection.json", document)
            for source, document in documents
            if document.get("type") == "Collection" and document.get("id") == collection
        ]
        timed = [(when, item) for item in chosen if (when := _time(item)) is not None]
        timed.sort(key=itemgetter(0))
        return cls(
            min(described, key=itemgetter(0))[1] if described else None,
            tuple(item for _, item in timed),
            tuple(when for when, _ in timed),
            tuple(item for item in chosen if _time(item) is None),
        )

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Sequence[Item]:
        """Return the items from `start` to `end`, UTC, and those without a time, because they may belong to any period.

        The bounds are ignored, because callers check footprints.
        """
        return (*self.undated, *self.items[bisect_left(self.times, start) : bisect_right(self.times, end)])


def _time(item: Item) -> datetime | None:
    try:
        properties = item.get("properties") or {}
        parsed = datetime.fromisoformat(properties.get("datetime") or properties["start_datetime"])
    except MALFORMED:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed


def _read(path: Path) -> Iterable[tuple[Path, dict[str, Any]]]:
    """Yield every STAC document at a path with its file; asset hrefs are made absolute."""
    if path.is_dir():
        for file in sorted(path.rglob("*.json")) + sorted(path.rglob("*.geojson")):
            yield from _documents(file, _load_json(file))
    elif path.suffix in (".parquet", ".geoparquet"):
        yield from _documents(path, _load_parquet(path))
    else:
        yield from _documents(path, _load_json(path))


def _documents(file: Path, content: Any) -> Iterable[tuple[Path, dict[str, Any]]]:
    kinds = ("Feature", "FeatureCollection", "Collection")
    if not isinstance(content, dict) or content.get("type") not in kinds:
        return
    members = content.get("features") or [] if content["type"] == "FeatureCollection" else [content]
    try:
        for member in members:
            if content["type"] != "Collection":
                if "stac_version" not in member and not {"assets", "id"} <= member.keys():
                    continue  # GeoJSON that is not STAC, such as an area of interest in the same folder
                resolve_hrefs(member, lambda href: _absolute(href, file.parent))
            if not isinstance(member["id"], str):
                raise TypeError("an id is not a text")
            yield file, member
    except MALFORMED as error:
        raise InputError(
            f"stac-url file {file}: it does not follow the STAC specification ({describe(error)}); correct or remove it"
        ) from error


def _absolute(href: str, folder: Path) -> str:
    if is_remote(href):
        return href
    return os.path.normpath(folder.absolute() / href.removeprefix("file://"))


def _unique_items(documents: Iterable[tuple[Path, Item]]) -> list[Item]:
    """Return one item per id; of several, the one whose file is named after it, as STAC's best practices recommend.

    Raises
    ------
    InputError
        If several items have one id and differ, and the names of their files do not decide.
    """
    by_id: dict[str, list[tuple[Path, Item]]] = {}
    for file, item in documents:
        by_id.setdefault(item["id"], []).append((file, item))
    return [_best_item(name, found) for name, found in by_id.items()]


def _best_item(name: str, found: list[tuple[Path, Item]]) -> Item:
    named = [(file, item) for file, item in found if file.stem == name] or found
    (first_file, first), *others = named
    for file, other in others:
        if _description(first) != _description(other):
            where = first_file if file == first_file else f"{first_file} and {file}"
            raise InputError(
                f"stac-url file {where}: different items have the id {name:.200}; change the id of one, or remove it"
            )
    return first


def _description(item: Item) -> Any:
    """Return what two copies of an item have in common, wherever their files are."""
    assets = item.get("assets")
    keys = sorted(map(str, assets)) if isinstance(assets, dict) else assets
    return item.get("properties"), item.get("geometry"), keys


def _load_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"stac-url file {file}: not readable JSON ({error}); correct or remove it") from error


def _load_parquet(file: Path) -> Any:
    import rustac

    try:
        return rustac.read_sync(str(file))
    except (rustac.RustacError, OSError, ValueError) as error:
        raise InputError(f"stac-url file {file}: not readable stac-geoparquet ({error}); give another one") from error
