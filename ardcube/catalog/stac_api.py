"""Search a STAC API: pages of bounded size, and repetition with smaller pages."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from ardcube.catalog.complete import SearchCount
from ardcube.catalog.hrefs import is_remote, resolve_hrefs
from ardcube.catalog.malformed import MALFORMED, Item, describe
from ardcube.catalog.transport import (
    RETRY,
    RETRY_AT_OPEN,
    HttpIO,
    access_refused,
    is_forbidden_address,
    mount,
    reason,
)
from ardcube.errors import CatalogError, InputError, OutageError, UnreachableError
from ardcube.runtime.outages import Outage

PAGE_SIZE = 250
"""Items per page; Earth Search answers larger pages with HTTP 500."""
_SMALLEST_PAGE = 7
_MAX_ITEMS = 5_000_000
"""Items per search. A server that returns more invents them, or its pages form a circle."""
_EMPTY_PAGES = 20
"""Empty pages in a row after which a search ends, although they have next links."""
_TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for bytes."""
_PATIENCE = 180.0
"""Least seconds without a page after which a search is not repeated with smaller pages."""
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
    patience: float = 0.0
    """Seconds to wait for an API that does not answer a search."""
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Comparisons with properties of items, as STAC's query extension writes them."""

    def selecting(self, query: Mapping[str, Mapping[str, Any]]) -> StacApi:
        """Return the API with a query; the same one if it does not support queries."""
        return replace(self, query=query) if self.client.conforms_to("QUERY") else self

    @classmethod
    def open(cls, url: str, collection: str, roots: tuple[str, ...] = (), patience: float = 0.0) -> StacApi:
        """Connect and fetch the collection.

        Parameters
        ----------
        url : str
            Root URL of the API.
        collection : str
            Id of the collection.
        roots : tuple of str
            Addresses that the user allows for links and redirects; see `ardcube.catalog.access`.
        patience : float
            Seconds to wait for an API that stops answering.

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
            if refused := access_refused(error):
                raise InputError(f"stac-url {url}: {refused}") from error
            raise UnreachableError(f"stac-url {url}: cannot be reached ({reason(error)}); check the address") from error
        except (pystac.STACError, pystac.STACTypeError, ClientTypeError, *MALFORMED) as error:
            raise InputError(f"stac-url {url}: not a STAC API ({reason(error)}); give the root URL of one") from error
        if not offers_search:
            raise InputError(f"stac-url {url}: offers no item search; give the root URL of a STAC API that does")
        try:
            found = io.read_json(f"{url.rstrip('/')}/collections/{quote(collection, safe='')}")
        except APIError as error:
            if refused := access_refused(error):
                raise InputError(f"stac-url {url}: {refused}") from error
            if getattr(error, "status_code", None) != requests.codes.not_found:
                raise UnreachableError(
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
        return cls(url, found, client, patience)

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterator[Item]:
        """Search page by page; repeat the search with smaller pages after a server error or if items are missing.

        Each item is yielded once, when its page arrives.

        Raises
        ------
        CatalogError
            If the API fails even with small pages, or if its pages do not contain all items, twice.
        InputError
            If the API refuses access, or leads to an address that is not allowed.
        """
        limit = PAGE_SIZE
        delay = 0.5
        yielded: set[str] = set()
        repeated = False
        with Outage(self.url, self.patience) as outage:
            while True:
                count = SearchCount(str(self.collection["id"]) if self.collection else None)
                try:
                    for page in self._pages(bounds, start, end, limit):
                        new = [item for item in count.add(page) if item["id"] not in yielded]
                        yielded.update(item["id"] for item in new)
                        yield from (_with_absolute_hrefs(item, self.url) for item in new)
                        outage.answered(more=True)
                    problem = count.problem(len(yielded))
                    if problem is None:
                        return
                    if repeated:
                        raise CatalogError(
                            f"search at {self.url}: {problem}; try again later, or report it to the operator of the API"
                        )
                    repeated, limit = True, max(_SMALLEST_PAGE, limit * 2 // 5)
                    logger.warning("search at %s: %s; repeating it with pages of %d", self.url, problem, limit)
                except (pystac.STACError, *_NOT_A_PAGE) as error:
                    raise CatalogError(
                        f"search at {self.url}: the answer is not a page of items ({describe(error)}); "
                        "try again or report it to the operator of the API"
                    ) from error
                except (APIError, requests.RequestException, ValueError) as error:
                    self._check_may_repeat(error, outage.seconds)
                    if limit > _SMALLEST_PAGE:
                        limit = max(_SMALLEST_PAGE, limit // 2)
                        logger.warning(
                            "search at %s failed (%s); retrying with pages of %d", self.url, reason(error), limit
                        )
                        time.sleep(delay)
                        delay *= 2
                    else:
                        self._wait(outage, error)

    def _check_may_repeat(self, error: Exception, seconds: float) -> None:
        """Raise an error if a search that failed cannot succeed later, or has failed for too long."""
        if is_forbidden_address(error):
            raise InputError(f"search at {self.url}: {reason(error)}") from error
        if no_access := access_refused(error):
            raise InputError(f"search at {self.url}: {no_access}") from error
        status = getattr(error, "status_code", None)
        refused = status is not None and 400 <= status < 500
        if refused or seconds > max(_PATIENCE, self.patience):
            raise self._failed(error) from error

    def _wait(self, outage: Outage, error: Exception) -> None:
        """Wait before the smallest page is requested again."""
        try:
            outage.failed(reason(error), error)
        except OutageError:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> CatalogError:
        return CatalogError(f"search at {self.url}: failed ({reason(error)}); try again later")

    def _pages(
        self, bounds: tuple[float, float, float, float], start: datetime, end: datetime, limit: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a search, also empty ones: `pystac_client` ends at an empty page that has a next link."""
        methods = {link.extra_fields.get("method") for link in self.client.get_links("search")}
        search = self.client.search(
            method="GET" if methods == {"GET"} else "POST",
            collections=[self.collection["id"]] if self.collection else None,
            datetime=f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}",
            limit=limit,
            query={name: dict(terms) for name, terms in self.query.items()} or None,
            **_spatial_filter(bounds),
        )
        io = self.client._stac_io
        if io is None:
            raise CatalogError(f"search at {self.url}: the connection was closed; try again")
        parameters = search.get_parameters()
        page = io.read_json(search.url, method=search.method, parameters=parameters)
        seen: set[str] = set()
        empty = 0
        while True:
            ids = {item["id"] for item in page["features"]}
            yield page
            following = next((link for link in page.get("links") or [] if link.get("rel") == "next"), None)
            empty = 0 if ids else empty + 1
            if following is None or (ids and ids <= seen) or empty > _EMPTY_PAGES:
                return  # without the last two, the search of a server that repeats pages would not end
            seen |= ids
            if len(seen) > _MAX_ITEMS:
                raise CatalogError(
                    f"search at {self.url}: no end after {len(seen)} items; report it to the operator of the API"
                )
            page = io.read_json(pystac.Link.from_dict(following), parameters=parameters)  # a link may say "merge"


def _spatial_filter(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    west, south, east, north = bounds
    south, north = max(south, -90.0), min(north, 90.0)  # a grid snapped outward may extend a pixel beyond the pole
    if east - west >= 360:
        return {"bbox": (-180.0, south, 180.0, north)}
    turns = 360.0 * math.floor((west + 180.0) / 360.0)
    west, east = west - turns, east - turns
    if east <= 180:
        return {"bbox": (west, south, east, north)}
    sides = [(west, 180.0), (-180.0, east - 360)]
    rings = [[[[w, south], [e, south], [e, north], [w, north], [w, south]]] for w, e in sides]
    return {"intersects": {"type": "MultiPolygon", "coordinates": rings}}


def _with_absolute_hrefs(item: dict[str, Any], url: str) -> Item:
    """Resolve relative asset hrefs against the item's own link."""
    links = item.get("links") or []
    base = next((urljoin(url, link["href"]) for link in links if link.get("rel") == "self"), url)
    resolve_hrefs(item, lambda href: href if is_remote(href) else urljoin(base, href))
    return item


def _collection_ids(io: StacApiIO, url: str) -> str:
    try:
        listed = io.read_json(f"{url.rstrip('/')}/collections").get("collections", [])
        return ", ".join(sorted(str(entry["id"]) for entry in listed)[:50]) or "(no collections)"
    except (APIError, requests.RequestException, *MALFORMED):
        return f"those listed at {url.rstrip('/')}/collections"
