"""A catalogue on this machine: a folder of items, an ItemCollection file, or a stac-geoparquet file."""

from __future__ import annotations

import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ardcube.catalog.access import Reach
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.malformed import MALFORMED, Item, what_is_wrong
from ardcube.errors import InputError


@dataclass(frozen=True, slots=True)
class LocalCatalog:
    """Items of one collection, held in memory."""

    collection: Item | None
    items: tuple[Item, ...]
    """In order of time."""
    times: tuple[datetime, ...]
    """Of the items."""

    @classmethod
    def open(cls, path: Path, collection: str, roots: tuple[str, ...] = ()) -> LocalCatalog:
        """Read all items of `collection` at `path`.

        Raises
        ------
        InputError
            If the path does not exist, holds no STAC items, or none of the collection; or if one of its files leads
            out of it, and not below one of `roots`.
        """
        if not path.exists():
            raise InputError(f"stac-url {path} does not exist; give a folder, a file, or the URL of a STAC API")
        documents = list(_read(path, Reach(str(path), roots)))
        items = [(source, document) for source, document in documents if document.get("type") == "Feature"]
        if not items:
            raise InputError(f"stac-url {path} holds no STAC items; give a catalogue with items")
        chosen = _unique((source, item) for source, item in items if item.get("collection") in (collection, None))
        if not chosen:
            names = ", ".join(sorted({f"{item['collection']!s:.100}" for _, item in items})[:20])
            raise InputError(f"collection {collection} is not in {path}; it has {names}")
        described = _unique(
            (source, document)
            for source, document in documents
            if document.get("type") == "Collection" and document.get("id") == collection
        )
        ordered = sorted(chosen, key=_moment)
        return cls(described[0] if described else None, tuple(ordered), tuple(map(_moment, ordered)))

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Sequence[Item]:
        """Items from `start` to `end`, UTC; where they lie is left to the footprints."""
        return self.items[bisect_left(self.times, start) : bisect_right(self.times, end)]


def _moment(item: Item) -> datetime:
    try:
        properties = item.get("properties") or {}
        text = properties.get("datetime") or properties.get("start_datetime") or "0001-01-01T00:00:00Z"
        parsed = datetime.fromisoformat(text)
    except MALFORMED as error:
        raise InputError(
            f"stac-url: item {item['id']} has no datetime that can be read ({what_is_wrong(error)}); mend or remove "
            "the item"
        ) from error
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed


def _read(path: Path, reach: Reach) -> Iterable[tuple[Path, dict[str, Any]]]:
    """Every STAC document at a path, with the file it stands in; asset hrefs are made absolute."""
    if path.is_dir():
        files = sorted(path.rglob("*.json")) + sorted(path.rglob("*.geojson"))
        for file in files:
            wrong = reach.objection(str(file.absolute())) if file.is_symlink() else None
            if wrong:
                raise InputError(f"stac-url {path}: {file} is {wrong}")
            yield from _documents(file, _load_json(file))
    elif path.suffix in (".parquet", ".geoparquet"):
        yield from _documents(path, _load_parquet(path))
    else:
        yield from _documents(path, _load_json(path))


def _documents(file: Path, content: Any) -> Iterable[tuple[Path, dict[str, Any]]]:
    if not isinstance(content, dict) or content.get("type") not in (
        "Feature",
        "FeatureCollection",
        "Collection",
    ):
        return
    members = content.get("features") or [] if content["type"] == "FeatureCollection" else [content]
    try:
        for member in members:
            if content["type"] != "Collection":
                if "assets" not in member or "id" not in member:
                    continue  # GeoJSON that is no STAC, such as an area of interest beside the items
                for asset in member["assets"].values():
                    asset["href"] = _absolute(asset["href"], file.parent)
            if not isinstance(member["id"], str):
                raise TypeError("an id that is no text")
            yield file, member
    except MALFORMED as error:
        raise InputError(
            f"stac-url: {file} holds what is not as STAC has it ({what_is_wrong(error)}); mend or remove it"
        ) from error


def _absolute(href: str, folder: Path) -> str:
    if is_remote(href):
        return href
    return os.path.normpath(folder.absolute() / href.removeprefix("file://"))


def _unique(documents: Iterable[tuple[Path, dict[str, Any]]]) -> list[Item]:
    """One document per id; the file named as STAC's best practices say wins over copies beside it."""
    chosen: dict[str, tuple[Path, dict[str, Any]]] = {}
    for file, document in documents:
        named_well = file.stem == document["id"] or file.name == "collection.json"
        if document["id"] not in chosen or named_well:
            chosen[document["id"]] = (file, document)
    return [document for _, document in chosen.values()]


def _load_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"stac-url: {file} is not readable JSON ({error}); mend or remove it") from error


def _load_parquet(file: Path) -> Any:
    import rustac

    try:
        return rustac.read_sync(str(file))
    except (rustac.RustacError, OSError, ValueError) as error:
        raise InputError(f"stac-url: {file} is not a stac-geoparquet file: {error}") from error
