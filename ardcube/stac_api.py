"""Searching a STAC API: pages of bounded size, retries with backoff."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin

import pystac
import pystac_client
import requests
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError

from ardcube.errors import CatalogError, InputError
from ardcube.scenes import Item, is_remote

PAGE_SIZE = 250
"""Items per page; Earth Search answers larger pages with HTTP 500."""
_SMALLEST_PAGE = 7
_MAX_PAGES = 10_000
_TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for bytes."""
_RETRY = Retry(
    total=5,
    backoff_factor=0.5,
    backoff_jitter=0.5,
    # 500 is missing on purpose: it is Earth Search's answer to a page that is too large; a smaller one mends it.
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,
    respect_retry_after_header=True,
)
_RETRY_AT_OPEN = _RETRY.new(connect=1)
"""An address where nothing listens is most likely a mistake, which a person should hear of at once."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StacApi:
    """One collection of a STAC API."""

    url: str
    collection: Item | None
    client: pystac_client.Client

    @classmethod
    def open(cls, url: str, collection: str) -> StacApi:
        """Connect and fetch the collection.

        Raises
        ------
        InputError
            If the URL cannot be reached, is no STAC API with item search, or lacks the collection.
        """
        io = StacApiIO(max_retries=_RETRY_AT_OPEN, timeout=_TIMEOUT)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of conformance classes that are not needed here
                client = pystac_client.Client.open(url, stac_io=io)
        except (APIError, requests.RequestException, OSError) as error:
            raise InputError(f"stac-url {url} cannot be reached: {_reason(error)}; check the address") from error
        except (
            pystac.STACError,
            pystac.STACTypeError,
            ClientTypeError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:
            raise InputError(f"stac-url {url} is not a STAC API ({_reason(error)}); give its root URL") from error
        if client.get_search_link() is None:
            raise InputError(f"stac-url {url} offers no item search; give the root URL of a STAC API")
        try:
            found = io.read_json(f"{url.rstrip('/')}/collections/{quote(collection, safe='')}")
        except APIError as error:
            if getattr(error, "status_code", None) != requests.codes.not_found:
                raise InputError(f"stac-url {url} does not give its collections: {_reason(error)}") from error
            raise InputError(f"collection {collection} is not at {url}; it has {_collection_ids(io, url)}") from error
        for scheme in ("http://", "https://"):
            io.session.mount(scheme, HTTPAdapter(max_retries=_RETRY))  # from here on it is known to be there
        return cls(url, found, client)

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterator[Item]:
        """Search once, page by page; the page size is halved, and the search begun anew, on a server error.

        Each item comes once, when its page does.

        Raises
        ------
        CatalogError
            If the API still fails with small pages.
        """
        limit = PAGE_SIZE
        delay = 0.5
        told: set[str] = set()
        while True:
            try:
                for page in self._pages(bounds, start, end, limit):
                    fresh = {item["id"]: item for item in page if item["id"] not in told}
                    told.update(fresh)
                    yield from (_absolute(item, self.url) for item in fresh.values())
                return
            except (APIError, requests.RequestException, ValueError) as error:
                status = getattr(error, "status_code", None)
                refused = status is not None and 400 <= status < 500
                if refused or limit <= _SMALLEST_PAGE:
                    raise CatalogError(f"search at {self.url} failed: {_reason(error)}") from error
                limit = max(_SMALLEST_PAGE, limit // 2)
                logger.warning("search at %s failed (%s); again with pages of %d", self.url, _reason(error), limit)
                time.sleep(delay)
                delay *= 2

    def _pages(
        self, bounds: tuple[float, float, float, float], start: datetime, end: datetime, limit: int
    ) -> Iterator[list[dict[str, Any]]]:
        seen: set[str] = set()
        search = self.client.search(
            collections=[self.collection["id"]] if self.collection else None,
            datetime=f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}",
            limit=limit,
            **_where(bounds),
        )
        for number, page in enumerate(search.pages_as_dicts()):
            before = len(seen)
            seen.update(item["id"] for item in page["features"])
            if len(seen) == before or number >= _MAX_PAGES:
                break  # a server that repeats itself would be asked for ever
            yield page["features"]


def _where(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    west, south, east, north = bounds
    south, north = max(south, -90.0), min(north, 90.0)  # a grid that was snapped outward may reach a pixel beyond
    if west >= 180:
        west, east = west - 360, east - 360
    west = max(west, -180.0)
    if east - west >= 360:
        return {"bbox": (-180.0, south, 180.0, north)}
    if east <= 180:
        return {"bbox": (west, south, east, north)}
    parts = [(west, 180.0), (-180.0, east - 360)]
    rings = [[[[w, south], [e, south], [e, north], [w, north], [w, south]]] for w, e in parts]
    return {"intersects": {"type": "MultiPolygon", "coordinates": rings}}


def _absolute(item: dict[str, Any], url: str) -> Item:
    """The item with hrefs that stand alone; relative ones count from its own link."""
    links = item.get("links") or []
    base = next((urljoin(url, link["href"]) for link in links if link.get("rel") == "self"), url)
    assets: Mapping[str, Any] = item.get("assets") or {}
    for asset in assets.values():
        if not is_remote(asset["href"]):
            asset["href"] = urljoin(base, asset["href"])
    return item


def _collection_ids(io: StacApiIO, url: str) -> str:
    try:
        listed = io.read_json(f"{url.rstrip('/')}/collections").get("collections", [])
    except (APIError, requests.RequestException, ValueError):
        return "others"
    return ", ".join(sorted(entry["id"] for entry in listed)) or "none"


def _reason(error: BaseException) -> str:
    """What went wrong, from the innermost error: the outer ones of urllib3 and requests only say that it did."""
    while isinstance(error, (APIError, requests.RequestException, MaxRetryError)):
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__ or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
