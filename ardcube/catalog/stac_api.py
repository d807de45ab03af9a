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
from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import MaxRetryError

from ardcube.catalog.access import Reach
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.malformed import MALFORMED, Item, what_is_wrong
from ardcube.errors import CatalogError, InputError
from ardcube.redaction import without_secrets

PAGE_SIZE = 250
"""Items per page; Earth Search answers larger pages with HTTP 500."""
_SMALLEST_PAGE = 7
_MAX_ITEMS = 5_000_000
"""Of one search: more than that is a server that makes them up, or one that counts in circles."""
_TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for bytes."""
_PATIENCE = 180.0
"""Seconds without an answer after which a search is not begun anew."""
_LONGEST_WAIT = 60.0
"""Seconds that a server may ask to be left alone."""


class _Patience(Retry):
    """As its base class, for a server that asks for an hour too."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds to wait for."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, _LONGEST_WAIT)


_RETRY = _Patience(
    total=5,
    read=2,  # as often a reset is forgiven; one that hangs takes half a minute each time
    backoff_factor=0.5,
    backoff_jitter=0.5,
    # 500 is missing on purpose: it is Earth Search's answer to a page that is too large; a smaller one mends it.
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,
    respect_retry_after_header=True,
)
_RETRY_AT_OPEN = _RETRY.new(connect=1)
"""An address where nothing listens is most likely a mistake, which a person should hear of at once."""
_NOT_A_PAGE = (
    LookupError, TypeError, AttributeError, RecursionError, requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema,
)  # fmt: skip
"""What reading an answer gives that came whole and is not as STAC has it; a smaller page mends nothing."""

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
        url, collection : str
            Which.
        roots : tuple of str
            URLs that its links and redirects may lead to besides its own host; see `ardcube.catalog.access`.

        Raises
        ------
        InputError
            If the URL cannot be reached, is no STAC API with item search, or lacks the collection.
        """
        io = _HttpIO(timeout=_TIMEOUT)
        reach = Reach(url, roots)
        _be_patient(io, reach, _RETRY_AT_OPEN)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of conformance classes that are not needed here
                client = pystac_client.Client.open(url, stac_io=io, timeout=_TIMEOUT)  # (which else sets none)
                offers_search = client.get_search_link() is not None and client.conforms_to("ITEM_SEARCH")
        except (APIError, requests.RequestException, OSError) as error:
            raise InputError(f"stac-url {url} cannot be reached: {_reason(error)}; check the address") from error
        except (pystac.STACError, pystac.STACTypeError, ClientTypeError, *MALFORMED) as error:
            raise InputError(f"stac-url {url} is not a STAC API ({_reason(error)}); give its root URL") from error
        if not offers_search:
            raise InputError(f"stac-url {url} offers no item search; give the root URL of a STAC API")
        try:
            found = io.read_json(f"{url.rstrip('/')}/collections/{quote(collection, safe='')}")
        except APIError as error:
            if getattr(error, "status_code", None) != requests.codes.not_found:
                raise InputError(f"stac-url {url} does not give its collections: {_reason(error)}") from error
            raise InputError(f"collection {collection} is not at {url}; it has {_collection_ids(io, url)}") from error
        except MALFORMED as error:
            raise InputError(
                f"stac-url {url} gives no collection {collection} that can be read: {_reason(error)}"
            ) from error
        if not isinstance(found, dict) or found.get("id") != collection:
            raise InputError(f"stac-url {url} gives something else for collection {collection}; give another URL")
        _be_patient(io, reach, _RETRY)  # from here on it is known to be there
        return cls(url, found, client)

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterator[Item]:
        """Search once, page by page; the page size is halved, and the search begun anew, on a server error.

        Each item comes once, when its page does.

        Raises
        ------
        CatalogError
            If the API still fails with small pages, or gives the same page again before all items came.
        """
        limit = PAGE_SIZE
        delay = 0.5
        told: set[str] = set()
        answered = time.monotonic()
        while True:
            try:
                for page in self._pages(bounds, start, end, limit):
                    fresh = {item["id"]: item for item in page if item["id"] not in told}
                    told.update(fresh)
                    yield from (_absolute(item, self.url) for item in fresh.values())
                    answered = time.monotonic()
                return
            except (pystac.STACError, *_NOT_A_PAGE) as error:
                raise CatalogError(f"search at {self.url} gave no page of items: {what_is_wrong(error)}") from error
            except (APIError, requests.RequestException, ValueError) as error:
                if _led_astray(error):
                    raise InputError(f"search at {self.url} was stopped: {_reason(error)}") from error
                status = getattr(error, "status_code", None)
                refused = status is not None and 400 <= status < 500
                if refused or limit <= _SMALLEST_PAGE or time.monotonic() - answered > _PATIENCE:
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
        for page in search.pages_as_dicts():
            before = len(seen)
            seen.update(item["id"] for item in page["features"])
            if len(seen) > _MAX_ITEMS:
                raise CatalogError(f"search at {self.url} does not end: it gave {len(seen)} items")
            if len(seen) == before:
                # A server that repeats itself would be asked for ever.
                matched = _matched(page)
                if matched is not None and len(seen) < matched:
                    raise CatalogError(
                        f"search at {self.url} repeats a page: it gave {len(seen)} of {matched} items; try again, or "
                        "tell its operator"
                    )
                break
            yield page["features"]


def _matched(page: dict[str, Any]) -> int | None:
    """How many items a search found, if its page says so."""
    context = page.get("context")
    told = page.get("numberMatched", context.get("matched") if isinstance(context, dict) else None)
    return told if type(told) is int else None


class _GuardedAdapter(HTTPAdapter):
    """Asks nobody that the catalogue may not point to; requests sends what is redirected through here too."""

    def __init__(self, reach: Reach, retries: Retry) -> None:
        self.reach = reach
        super().__init__(max_retries=retries)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, unless its address is objected to."""
        wrong = self.reach.objection(request.url or "")
        if wrong:
            raise _LedAstrayError(f"its answer leads to {without_secrets(request.url or '')}, {wrong}")
        return super().send(request, *args, **kwargs)


class _LedAstrayError(requests.RequestException):
    """A link or a redirect leads where the catalogue may not point to."""


def _led_astray(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, _LedAstrayError):
        error = error.__cause__ or error.__context__
    return error is not None


def _be_patient(io: StacApiIO, reach: Reach, retries: Retry) -> None:
    for scheme in ("http://", "https://"):
        io.session.mount(scheme, _GuardedAdapter(reach, retries))


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


class _HttpIO(StacApiIO):
    """Reads URLs, and not what else a link may say: pystac_client opens that as a file of this machine."""

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Read what a URL or a link leads to."""
        if not isinstance(source, pystac.Link) and not str(source).startswith(("http://", "https://")):
            raise pystac.STACError(f"a link to {str(source)!r:.100}, which is no URL of http(s)")
        return super().read_text(source, *args, **kwargs)


def _collection_ids(io: StacApiIO, url: str) -> str:
    try:
        listed = io.read_json(f"{url.rstrip('/')}/collections").get("collections", [])
        return ", ".join(sorted(str(entry["id"]) for entry in listed)[:50]) or "none"
    except (APIError, requests.RequestException, *MALFORMED):
        return "others"


def _reason(error: BaseException) -> str:
    """What went wrong, from the innermost error: the outer ones of urllib3 and requests only say that it did."""
    while isinstance(error, (APIError, requests.RequestException, MaxRetryError)):
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__ or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
