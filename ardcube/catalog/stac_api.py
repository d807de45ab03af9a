"""Search a STAC API: pages of bounded size, and repetition with smaller pages."""

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

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.malformed import MALFORMED, Item, describe
from ardcube.catalog.transport import RETRY, RETRY_AT_OPEN, HttpIO, is_forbidden_address, mount, reason
from ardcube.errors import CatalogError, InputError

PAGE_SIZE = 250
"""Items per page; Earth Search answers larger pages with HTTP 500."""
_SMALLEST_PAGE = 7
_MAX_ITEMS = 5_000_000
"""Items per search. A server that returns more invents them, or its pages form a circle."""
_TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for bytes."""
_PATIENCE = 180.0
"""Seconds without a page after which a search is not repeated."""
_NOT_A_PAGE = (
    LookupError, TypeError, AttributeError, RecursionError, requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema,
)  # fmt: skip
"""Exceptions that reading a complete but malformed page raises; a smaller page would not help."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StacApi:
    """One collection of a STAC API."""

    url: str
    collection: Item | None
    client: pystac_client.Client

    @classmethod
    def open(cls, url: str, collection: str, roots: tuple[str, ...] = ()) -> StacApi:
        """Connect and fetch the collection.

        Parameters
        ----------
        url : str
            Root URL of the API.
        collection : str
            Id of the collection.
        roots : tuple of str
            Addresses that the user allows for links and redirects; see `ardcube.catalog.access`.

        Raises
        ------
        InputError
            If the URL cannot be reached, is not a STAC API with item search, or lacks the collection.
        """
        io = HttpIO(timeout=_TIMEOUT)
        policy = AccessPolicy(url, roots)
        mount(io, policy, RETRY_AT_OPEN)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about conformance classes that are not needed here
                client = pystac_client.Client.open(url, stac_io=io, timeout=_TIMEOUT)  # without it, no timeout
                offers_search = client.get_search_link() is not None and client.conforms_to("ITEM_SEARCH")
        except (APIError, requests.RequestException, OSError) as error:
            raise InputError(f"stac-url {url}: cannot be reached ({reason(error)}); check the address") from error
        except (pystac.STACError, pystac.STACTypeError, ClientTypeError, *MALFORMED) as error:
            raise InputError(f"stac-url {url}: not a STAC API ({reason(error)}); give the root URL of one") from error
        if not offers_search:
            raise InputError(f"stac-url {url}: offers no item search; give the root URL of a STAC API that does")
        try:
            found = io.read_json(f"{url.rstrip('/')}/collections/{quote(collection, safe='')}")
        except APIError as error:
            if getattr(error, "status_code", None) != requests.codes.not_found:
                raise InputError(
                    f"stac-url {url}: its collections cannot be read ({reason(error)}); try again or give another URL"
                ) from error
            raise InputError(
                f"collection {collection}: not at {url}; choose from {_collection_ids(io, url)}"
            ) from error
        except MALFORMED as error:
            raise InputError(
                f"stac-url {url}: its collection {collection} cannot be read ({reason(error)}); give another URL"
            ) from error
        if not isinstance(found, dict) or found.get("id") != collection:
            raise InputError(f"stac-url {url}: returns another document for collection {collection}; give another URL")
        mount(io, policy, RETRY)  # from here on the server is known to exist
        return cls(url, found, client)

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterator[Item]:
        """Search page by page; after a server error, halve the page size and repeat the search.

        Each item is yielded once, when its page arrives.

        Raises
        ------
        CatalogError
            If the API fails even with small pages, or repeats a page before it has returned all items.
        """
        limit = PAGE_SIZE
        delay = 0.5
        yielded: set[str] = set()
        last_page = time.monotonic()
        while True:
            try:
                for page in self._pages(bounds, start, end, limit):
                    new = {item["id"]: item for item in page if item["id"] not in yielded}
                    yielded.update(new)
                    yield from (_with_absolute_hrefs(item, self.url) for item in new.values())
                    last_page = time.monotonic()
                return
            except (pystac.STACError, *_NOT_A_PAGE) as error:
                raise CatalogError(
                    f"search at {self.url}: the answer is not a page of items ({describe(error)}); "
                    "try again or report it to the operator of the API"
                ) from error
            except (APIError, requests.RequestException, ValueError) as error:
                if is_forbidden_address(error):
                    raise InputError(f"search at {self.url}: {reason(error)}") from error
                status = getattr(error, "status_code", None)
                refused = status is not None and 400 <= status < 500
                if refused or limit <= _SMALLEST_PAGE or time.monotonic() - last_page > _PATIENCE:
                    raise CatalogError(f"search at {self.url}: failed ({reason(error)}); try again later") from error
                limit = max(_SMALLEST_PAGE, limit // 2)
                logger.warning("search at %s failed (%s); retrying with pages of %d", self.url, reason(error), limit)
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
            **_spatial_filter(bounds),
        )
        for page in search.pages_as_dicts():
            before = len(seen)
            seen.update(item["id"] for item in page["features"])
            if len(seen) > _MAX_ITEMS:
                raise CatalogError(
                    f"search at {self.url}: no end after {len(seen)} items; report it to the operator of the API"
                )
            if len(seen) == before:
                # Without this, the search of a server that repeats a page would not end.
                matched = _matched(page)
                if matched is not None and len(seen) < matched:
                    raise CatalogError(
                        f"search at {self.url}: repeats a page after {len(seen)} of {matched} items; "
                        "try again or report it to the operator of the API"
                    )
                break
            yield page["features"]


def _matched(page: dict[str, Any]) -> int | None:
    """Return the number of items that the search matched, or None if the page does not state it."""
    context = page.get("context")
    count = page.get("numberMatched", context.get("matched") if isinstance(context, dict) else None)
    return count if type(count) is int else None


def _spatial_filter(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    west, south, east, north = bounds
    south, north = max(south, -90.0), min(north, 90.0)  # a grid snapped outward may extend a pixel beyond the pole
    if west >= 180:
        west, east = west - 360, east - 360
    west = max(west, -180.0)
    if east - west >= 360:
        return {"bbox": (-180.0, south, 180.0, north)}
    if east <= 180:
        return {"bbox": (west, south, east, north)}
    sides = [(west, 180.0), (-180.0, east - 360)]
    rings = [[[[w, south], [e, south], [e, north], [w, north], [w, south]]] for w, e in sides]
    return {"intersects": {"type": "MultiPolygon", "coordinates": rings}}


def _with_absolute_hrefs(item: dict[str, Any], url: str) -> Item:
    """Resolve relative asset hrefs against the item's own link."""
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
        return ", ".join(sorted(str(entry["id"]) for entry in listed)[:50]) or "(no collections)"
    except (APIError, requests.RequestException, *MALFORMED):
        return f"those listed at {url.rstrip('/')}/collections"
