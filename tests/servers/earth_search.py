"""Simulate Earth Search v1 as recorded exchanges with the real service show.

From the recordings come: links and conformance of the landing page; the body of a 404; `next` as a POST link with
`merge: false` and the complete body of the next request; a `next` link on the last page, followed by an empty page;
descending order by datetime, id and collection; `context`, `numberMatched` and `numberReturned`; an ignored `filter`;
HTTP 500 for a page that is too large. Responses without a recording (400 for an invalid query) are strict.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import shapely
from shapely.geometry.base import BaseGeometry

from tests.servers.faults import LoopbackServer, Reply, Request

MAX_LIMIT = 250
"""Items per page; the real service may answer larger pages with HTTP 500."""
_DEFAULT_LIMIT = 10
_GEOJSON = "application/geo+json"
_FIELDS = (
    "type",
    "stac_version",
    "id",
    "collection",
    "bbox",
    "geometry",
    "links",
    "assets",
    "properties.datetime",
)
"""Fields that `fields` returns if it includes none by name."""

_STAC = "https://api.stacspec.org/v1.0.0"
CONFORMANCE = (
    f"{_STAC}/core",
    f"{_STAC}/collections",
    f"{_STAC}/ogcapi-features",
    f"{_STAC}/item-search",
    f"{_STAC}/ogcapi-features#fields",
    f"{_STAC}/ogcapi-features#sort",
    f"{_STAC}/ogcapi-features#query",
    f"{_STAC}/item-search#fields",
    f"{_STAC}/item-search#sort",
    f"{_STAC}/item-search#query",
    "https://api.stacspec.org/v0.3.0/aggregation",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)

_COMPARE = {
    "eq": lambda value, other: value == other,
    "neq": lambda value, other: value != other,
    "lt": lambda value, other: value is not None and value < other,
    "lte": lambda value, other: value is not None and value <= other,
    "gt": lambda value, other: value is not None and value > other,
    "gte": lambda value, other: value is not None and value >= other,
    "in": lambda value, other: value in other,
}


class _BadRequestError(Exception):
    """Invalid query; the message becomes part of the response."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An item, with the values that searches compare."""

    item: dict[str, Any]
    when: datetime
    footprint: BaseGeometry

    @property
    def order(self) -> tuple[datetime, str, str]:
        """Key of the default order, descending."""
        return self.when, self.item["id"], self.item["collection"]

    @property
    def token(self) -> str:
        """Token of the `next` link if this item is the last of a page."""
        return ",".join((self.item["properties"]["datetime"], *self.order[1:]))


class EarthSearch(LoopbackServer):
    """Serve collections and items under `url`, which ends in `/v1`.

    Parameters
    ----------
    collections, items
        STAC documents, or pystac objects. Asset hrefs are served unchanged.

    Attributes
    ----------
    max_limit
        Largest page size; a larger one gets HTTP 500.
    """

    def __init__(self, collections: Iterable[Any], items: Iterable[Any]) -> None:
        super().__init__()
        self.max_limit = MAX_LIMIT
        self._collections = {document["id"]: document for document in map(_document, collections)}
        self._entries: list[_Entry] = []
        self.add(*items)

    @property
    def url(self) -> str:
        """URL of the landing page."""
        return f"{self.origin}/v1"

    @property
    def searches(self) -> list[Request]:
        """First requests of searches that were answered, one per search."""
        return [
            request
            for request in self.requests
            if request.path == "v1/search"
            and request.status == HTTPStatus.OK
            and "next" not in (request.body or request.query)
        ]

    def add(self, *items: Any) -> None:
        """Publish more items."""
        for item in map(_document, items):
            entry = _Entry(item, _time(item["properties"]["datetime"]), shapely.geometry.shape(item["geometry"]))
            self._entries.append(entry)
        self._entries.sort(key=lambda entry: entry.order, reverse=True)

    def answer(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        """Answer one request."""
        match path.rstrip("/").split("/"):
            case ["v1"]:
                return Reply.json(self._landing())
            case ["v1", "conformance"]:
                return Reply.json({"conformsTo": CONFORMANCE})
            case ["v1", "search"]:
                try:
                    return self._search(body if method == "POST" else _from_query(query), method)
                except _BadRequestError as error:
                    return Reply.json({"code": "BadRequest", "description": str(error)}, HTTPStatus.BAD_REQUEST)
            case ["v1", "collections"]:
                return Reply.json(self._all_collections())
            case ["v1", "collections", name] if name in self._collections:
                return Reply.json(self._collection(name))
        return Reply.json({"code": "NotFound", "description": "Not Found"}, HTTPStatus.NOT_FOUND)

    def _link(self, rel: str, path: str = "", media_type: str = "application/json", **more: Any) -> dict[str, Any]:
        return {"rel": rel, "type": media_type, "href": f"{self.url}{path}", **more}

    def _landing(self) -> dict[str, Any]:
        links = [
            self._link("self"),
            self._link("root"),
            self._link("conformance", "/conformance"),
            self._link("data", "/collections"),
            self._link("search", "/search", _GEOJSON, method="GET"),
            self._link("search", "/search", _GEOJSON, method="POST"),
            self._link("aggregate", "/aggregate", method="GET"),
            self._link("aggregations", "/aggregations"),
            self._link("service-desc", "/api", "application/vnd.oai.openapi"),
            self._link("service-doc", "/api.html", "text/html"),
            self._link("http://www.opengis.net/def/rel/ogc/1.0/queryables", "/queryables", "application/schema+json"),
            self._link("server", "/server", "text/html"),
            *(self._link("child", f"/collections/{name}", _GEOJSON) for name in self._collections),
        ]
        return {
            "stac_version": "1.0.0",
            "type": "Catalog",
            "id": "earth-search-aws",
            "title": "Earth Search by Element 84",
            "description": "A STAC API of public datasets on AWS",
            "links": links,
            "conformsTo": CONFORMANCE,
        }

    def _all_collections(self) -> dict[str, Any]:
        count = len(self._collections)
        return {
            "collections": [self._collection(name) for name in self._collections],
            "links": [self._link("self", "/collections"), self._link("root")],
            "context": {"page": 1, "limit": 100, "matched": count, "returned": count},
        }

    def _collection(self, name: str) -> dict[str, Any]:
        here = f"/collections/{name}"
        own = [
            self._link("self", here),
            self._link("parent"),
            self._link("root"),
            self._link("items", f"{here}/items", _GEOJSON),
        ]
        return _relinked(self._collections[name], own)

    def _item(self, entry: _Entry) -> dict[str, Any]:
        collection = f"/collections/{entry.item['collection']}"
        own = [
            self._link("self", f"{collection}/items/{entry.item['id']}", _GEOJSON),
            self._link("parent", collection),
            self._link("collection", collection),
            self._link("root"),
        ]
        return _relinked(entry.item, own)

    def _search(self, body: dict[str, Any], method: str) -> Reply:
        limit = int(body.get("limit", _DEFAULT_LIMIT))
        if limit > self.max_limit:
            error = {"code": "InternalServerError", "description": "Internal Server Error"}
            return Reply.json(error, HTTPStatus.INTERNAL_SERVER_ERROR)
        found = _sorted(_matching(self._entries, body), body.get("sortby"))
        start = _after(body["next"], found) if "next" in body else 0
        page = found[start : start + limit]
        features = [self._item(entry) for entry in page]
        if "fields" in body:
            features = [_only(feature, body["fields"]) for feature in features]
        document = {
            "type": "FeatureCollection",
            "stac_version": "1.0.0",
            "stac_extensions": [],
            "context": {"limit": limit, "matched": len(found), "returned": len(page)},
            "numberMatched": len(found),
            "numberReturned": len(page),
            "features": features,
            "links": [*([self._next(body, page[-1].token, method)] if page else []), self._link("root")],
        }
        return Reply.json(document, media_type=_GEOJSON)

    def _next(self, body: dict[str, Any], token: str, method: str) -> dict[str, Any]:
        known = ("datetime", "bbox", "intersects", "query", "sortby", "fields", "ids", "collections", "limit")
        following = {name: body[name] for name in known if name in body} | {"next": token}
        link = {"rel": "next", "title": "Next page of Items", "method": method, "type": _GEOJSON}
        if method == "POST":
            return {**link, "href": f"{self.url}/search", "merge": False, "body": following}
        return {**link, "href": f"{self.url}/search?{urlencode(_to_query(following))}"}


def read_catalogue(folder: Path, url: str | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read `collection.json` of a folder and the items of its subfolders, with absolute asset hrefs.

    Parameters
    ----------
    url
        URL at which the folder is served. Without it, hrefs become local paths.
    """
    collection = json.loads((folder / "collection.json").read_text())
    items = []
    for file in sorted(folder.glob("*/*.json")):
        if file.name.endswith(".recorded.json"):
            continue
        item = json.loads(file.read_text())
        for asset in item["assets"].values():
            href = (file.parent / asset["href"]).resolve()
            asset["href"] = f"{url}/{href.relative_to(folder.resolve())}" if url else str(href)
        items.append(item)
    return collection, items


def _document(thing: Any) -> dict[str, Any]:
    """Return a copy of a document as a dictionary."""
    if isinstance(thing, Mapping):
        return copy.deepcopy(dict(thing))
    document: dict[str, Any] = thing.to_dict(include_self_link=False, transform_hrefs=False)
    return document


def _relinked(document: dict[str, Any], own: list[dict[str, Any]]) -> dict[str, Any]:
    replaced = {link["rel"] for link in own}
    kept = [link for link in document.get("links", []) if link["rel"] not in replaced and "://" in link["href"]]
    return {**document, "links": [*own, *kept]}


def _time(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _interval(text: str) -> tuple[datetime, datetime]:
    """Parse an interval that includes both ends; `..` or nothing is an open end."""
    first, _, last = text.partition("/") if "/" in text else (text, "", text)
    try:
        return (
            datetime.min.replace(tzinfo=UTC) if first in ("", "..") else _time(first),
            datetime.max.replace(tzinfo=UTC) if last in ("", "..") else _time(last),
        )
    except ValueError as error:
        raise _BadRequestError(f"Invalid datetime {text}") from error


def _area(body: Mapping[str, Any]) -> BaseGeometry | None:
    bbox, geometry = body.get("bbox"), body.get("intersects")
    if bbox and geometry:
        raise _BadRequestError("Expected bbox OR intersects, not both")
    if geometry:
        return shapely.geometry.shape(geometry)
    if not bbox:
        return None
    if len(bbox) not in (4, 6):
        raise _BadRequestError("Invalid bbox, must have 4 or 6 points")
    west, south, east, north = bbox if len(bbox) == 4 else (*bbox[:2], *bbox[3:5])
    if south > north:
        raise _BadRequestError("Invalid bbox, SW latitude must be less than NE latitude")
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise _BadRequestError("Invalid bbox, longitudes must lie within -180 and 180")
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(shapely.box(west, south, 180, north), shapely.box(-180, south, east, north))


def _matching(entries: list[_Entry], body: Mapping[str, Any]) -> list[_Entry]:
    """Return the entries that a search matches; `filter` and unknown parameters are ignored."""
    area = _area(body)
    first, last = _interval(body.get("datetime") or "../..")
    wanted = {"collection": body.get("collections"), "id": body.get("ids")}
    return [
        entry
        for entry in entries
        if all(values is None or entry.item[name] in values for name, values in wanted.items())
        and first <= entry.when <= last
        and (area is None or entry.footprint.intersects(area))
        and _passes(entry.item["properties"], body.get("query") or {})
    ]


def _passes(properties: Mapping[str, Any], query: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(
        _COMPARE[operator](properties.get(name), other)
        for name, conditions in query.items()
        for operator, other in conditions.items()
    )


def _sorted(entries: list[_Entry], sortby: list[dict[str, str]] | None) -> list[_Entry]:
    for rule in reversed(sortby or []):
        name = rule["field"].removeprefix("properties.")
        entries = sorted(
            entries,
            key=lambda entry: entry.item.get(name, entry.item["properties"].get(name)),
            reverse=rule.get("direction") == "desc",
        )
    return entries


def _after(token: str, found: list[_Entry]) -> int:
    """Return the index of the first item after that of a token, which may be missing in the result."""
    for index, entry in enumerate(found):
        if entry.token == token:
            return index + 1
    timestamp, *names = token.split(",")
    last = (_time(timestamp), *names)
    return next((index for index, entry in enumerate(found) if entry.order < last), len(found))


def _only(feature: dict[str, Any], fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the fields of an item that the `fields` extension selects."""
    excluded = set(fields.get("exclude") or ())
    included = [name for name in fields.get("include") or _FIELDS if name not in excluded]
    left: dict[str, Any] = {name: feature[name] for name in included if name in feature}
    for name in included:
        head, _, tail = name.partition(".")
        if head == "properties" and tail in feature["properties"]:
            left.setdefault("properties", {})[tail] = feature["properties"][tail]
    return left


def _from_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Convert the query of a GET request to the body of the equivalent POST request."""
    body: dict[str, Any] = dict(query)
    for name in ("collections", "ids"):
        if name in body:
            body[name] = body[name].split(",")
    if "bbox" in body:
        body["bbox"] = [float(number) for number in body["bbox"].split(",")]
    for name in ("intersects", "query"):
        if name in body:
            body[name] = json.loads(body[name])
    if "sortby" in body:
        body["sortby"] = [
            {"field": rule.lstrip("+-"), "direction": "desc" if rule.startswith("-") else "asc"}
            for rule in body["sortby"].split(",")
        ]
    if "fields" in body:
        names = body["fields"].split(",")
        body["fields"] = {
            "include": [name.lstrip("+") for name in names if not name.startswith("-")],
            "exclude": [name[1:] for name in names if name.startswith("-")],
        }
    return body


def _to_query(body: Mapping[str, Any]) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in body.items():
        if name == "sortby":
            query[name] = ",".join(f"{'-' if rule['direction'] == 'desc' else '+'}{rule['field']}" for rule in value)
        elif name == "fields":
            query[name] = ",".join([*value["include"], *(f"-{excluded}" for excluded in value["exclude"])])
        elif isinstance(value, list):
            query[name] = ",".join(map(str, value))
        else:
            query[name] = json.dumps(value) if isinstance(value, dict) else str(value)
    return query
