"""Searches of a STAC API: page sizes, retries of transient errors, and refusal of wrong addresses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import shapely

from ardcube.catalog import stac_api
from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.complete import SearchCount
from ardcube.catalog.search import find_scenes, open_catalog
from ardcube.catalog.source import ItemParser
from ardcube.catalog.stac_api import PAGE_SIZE, StacApi
from ardcube.config import CubeConfig
from ardcube.errors import CatalogError, InputError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from tests.servers import processes
from tests.servers.earth_search import EarthSearch
from tests.servers.faults import LoopbackServer, Reply
from tests.strategies import COLLECTION_ID, stac_collection, stac_item

Serve = Callable[[list[Any], list[Any]], EarthSearch]
AUGUST = datetime(2023, 8, 1, tzinfo=UTC), datetime(2023, 9, 1, tzinfo=UTC)
HERE = (15.0, 46.0, 15.2, 46.1)


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the number of retries, with short waits between them."""
    monkeypatch.setattr(stac_api, "RETRY", stac_api.RETRY.new(backoff_factor=0.001, backoff_jitter=0.0))


def items(count: int) -> list[dict[str, Any]]:
    return [stac_item(f"item-{i:04d}", f"2023-08-{1 + i % 28:02d}T10:{i // 28 % 60:02d}:00Z") for i in range(count)]


def limits(server: EarthSearch) -> list[int]:
    """Return the page size of each search request."""
    return [request.body["limit"] for request in server.requests if request.path == "v1/search"]


def search(server: EarthSearch, bounds: tuple[float, float, float, float] = HERE) -> list[str]:
    found = StacApi.open(server.url, COLLECTION_ID).search(bounds, *AUGUST)
    return sorted(str(item["id"]) for item in found)


# ---- pages ---------------------------------------------------------------------------------------


def test_one_search_returns_all_items_page_by_page(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(620))
    assert search(server) == [f"item-{i:04d}" for i in range(620)]
    assert len(server.searches) == 1
    assert set(limits(server)) == {PAGE_SIZE} == {250}
    # Three pages, and the empty one that the last `next` link leads to.
    assert len(limits(server)) == 4


def test_a_search_is_limited_to_collection_time_and_area(earth_search: Serve) -> None:
    other = stac_item("other collection") | {"collection": "sentinel-2-l2a"}
    july, october = stac_item("july", "2023-07-31T23:59:59Z"), stac_item("october", "2023-10-01T00:00:00Z")
    elsewhere = stac_item("elsewhere", box=(16.0, 46.0, 16.2, 46.1))
    server = earth_search([stac_collection()], [other, july, october, elsewhere, stac_item("here")])
    assert search(server) == ["here"]


def test_the_page_size_is_halved_until_the_server_accepts_it(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(70))
    server.max_limit = 65
    assert len(search(server)) == 70
    assert limits(server) == [250, 125, 62, 62, 62]
    assert len(server.searches) == 1


def test_a_search_that_fails_after_some_pages_is_repeated_and_loses_no_item(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(300))
    fault = server.fail("v1/search", status=500, skip=1)
    assert len(search(server)) == 300
    assert fault.fired == 1


def test_a_search_that_always_fails_raises_a_catalog_error_after_exponential_backoff(
    earth_search: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = earth_search([stac_collection()], items(3))
    api = StacApi.open(server.url, COLLECTION_ID)
    waited: list[float] = []
    monkeypatch.setattr(stac_api, "time", SimpleNamespace(sleep=waited.append, monotonic=time.monotonic))
    fault = server.fail("v1/search", status=500, times=None)
    with pytest.raises(CatalogError, match=f"search at {server.url}: failed") as caught:
        list(api.search(HERE, *AUGUST))
    assert "\n" not in str(caught.value)
    assert fault.fired == 6  # pages of 250, 125, 62, 31, 15, 7
    assert waited == [0.5, 1, 2, 4, 8]


def test_a_search_that_the_server_refuses_is_not_repeated(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(3))
    api = StacApi.open(server.url, COLLECTION_ID)
    fault = server.fail("v1/search", status=400, times=None)
    with pytest.raises(CatalogError):
        list(api.search(HERE, *AUGUST))
    assert fault.fired == 1


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_fails_at_once_and_says_that_no_token_is_sent(earth_search: Serve, status: int) -> None:
    server = earth_search([stac_collection()], items(3))
    api = StacApi.open(server.url, COLLECTION_ID)
    refused = rf"access refused \(HTTP {status}\); ardcube sends no token or API key.*\.netrc"
    fault = server.fail("v1/search", status=status, times=None)
    with pytest.raises(InputError, match=f"search at {server.url}: {refused}"):
        list(api.search(HERE, *AUGUST))
    assert fault.fired == 1
    for path in (f"v1/collections/{COLLECTION_ID}", "v1"):
        server.fail(path, status=status, times=None)
        with pytest.raises(InputError, match=f"stac-url {server.url}: {refused}"):
            StacApi.open(server.url, COLLECTION_ID)


class Guarded(EarthSearch):
    """Refuse requests without the name and password me:hush."""

    def answer(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        if headers.get("Authorization") != "Basic bWU6aHVzaA==":
            return Reply(401, b"")
        return super().answer(method, path, query, headers, body)


def test_name_and_password_of_a_catalogue_come_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hush\n")
    (tmp_path / "netrc").chmod(0o600)
    with Guarded([stac_collection()], items(1)) as server:
        with pytest.raises(InputError, match="access refused"):
            search(server)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert search(server) == ["item-0000"]


# ---- transient errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        {"status": 429, "retry_after": 0},
        {"status": 429},
        {"status": 502},
        {"status": 503, "retry_after": 0},
        {"status": 504},
        {"kind": "reset"},
    ],
    ids=str,
)
def test_a_transient_error_is_retried_with_the_same_page_size(earth_search: Serve, rule: dict[str, Any]) -> None:
    server = earth_search([stac_collection()], items(5))
    api = StacApi.open(server.url, COLLECTION_ID)
    fault = server.fail("v1/search", times=2, **rule)
    assert len(list(api.search(HERE, *AUGUST))) == 5
    assert fault.fired == 2
    assert set(limits(server)) == {250}
    assert len(server.searches) == 1


def test_a_truncated_page_is_requested_again(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(5))
    api = StacApi.open(server.url, COLLECTION_ID)
    fault = server.fail("v1/search", kind="truncate")
    assert len(list(api.search(HERE, *AUGUST))) == 5
    assert fault.fired == 1


def test_a_retry_waits_as_long_as_the_server_asks(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(1))
    api = StacApi.open(server.url, COLLECTION_ID)
    server.fail("v1/search", status=429, retry_after=1)
    before = time.monotonic()
    assert len(list(api.search(HERE, *AUGUST))) == 1
    assert time.monotonic() - before >= 1


class NeverEnding(EarthSearch):
    """Every page has a `next` link that leads to itself."""

    def _search(self, body: dict[str, Any], method: str) -> Reply:
        again = {**body, "next": body.get("next", "again")}
        link = {"rel": "next", "href": f"{self.url}/search", "method": "POST", "merge": False, "body": again}
        features = [stac_item("the same"), stac_item("and another")]
        return Reply.json({"type": "FeatureCollection", "features": features, "links": [link]})


def test_a_page_that_links_to_itself_is_an_error_because_items_may_be_missing() -> None:
    with NeverEnding([stac_collection()], []) as server:
        with pytest.raises(CatalogError, match="2 different items, 2 of them more than once, and states no number"):
            search(server)
        assert len(limits(server)) == 4


class Scripted(EarthSearch):
    """Return the given pages in order, the later pages in every later search, or new pages without end."""

    def __init__(
        self,
        pages: list[list[str]] | None,
        matched: int | list[int | None] | None = None,
        again: list[list[str]] | None = None,
        *,
        edit: Callable[[dict[str, Any]], Any] = lambda page: None,
    ) -> None:
        super().__init__([stac_collection()], [])
        self.pages = pages
        self.matched = matched
        self.again = again or pages
        self.edit = edit

    def _search(self, body: dict[str, Any], method: str) -> Reply:
        number = int(body.get("next", 0))
        pages = self.pages if body["limit"] == PAGE_SIZE else self.again
        names = [f"item-{number}-{k}" for k in range(3)] if pages is None else pages[number]
        following = {**body, "next": str(number + 1)}
        link = {"rel": "next", "href": f"{self.url}/search", "method": "POST", "merge": False, "body": following}
        page = {
            "type": "FeatureCollection",
            "features": [
                stac_item(name.removeprefix("other ")) | ({"collection": "other"} if name.startswith("other ") else {})
                for name in names
            ],
            "links": [link] if pages is None or number + 1 < len(pages) else [],
        }
        matched = self.matched[number] if isinstance(self.matched, list) else self.matched
        page |= {} if matched is None else {"numberMatched": matched}
        self.edit(page)
        return Reply.json(page)


@pytest.mark.parametrize(
    ("pages", "matched"),
    [
        ([["a", "b"], ["a", "b"]], 2),
        ([["a", "b"], ["b", "c"]], 3),
        ([["a", "b"], [], [], ["c"]], 3),
        ([["a", "b"], [], [], ["c"]], None),
        ([[], ["a"], []], 1),
        ([["a", "b"], ["c"], []], [None, 3, None]),
        ([["a"], ["other b", "c"], ["other d"]], 2),
        ([["a", "b"], ["c"]], None),
        ([[]], 0),
        ([[]], None),
    ],
    ids=[
        "repeated page", "overlap", "empty pages", "empty pages, no number", "empty first page", "number on one page",
        "other collections", "no number", "nothing", "nothing, no number",
    ],
)  # fmt: skip
def test_a_search_whose_items_are_as_many_as_matched_is_complete(pages: list[list[str]], matched: Any) -> None:
    expected = sorted({name for page in pages for name in page if not name.startswith("other ")})
    with Scripted(pages, matched) as server:
        assert search(server) == expected
        assert len(limits(server)) == len(pages)


@pytest.mark.parametrize(
    ("pages", "matched", "problem"),
    [
        ([["a", "b"], ["b", "c"], ["d"]], 6, "6 matched items, but returns 4 different ones, and its pages overlap"),
        ([["a", "b"], ["a", "b"], ["c"]], 3, "3 matched items, but returns 2 different ones, and repeats a page"),
        ([["a", "b"], ["c"]], 4, "states 4 matched items, but returns 3 different ones"),
        ([["a", "b"]], 7, "states 7 matched items, but returns 2 different ones"),
        ([["a", "b"], ["c"]], 2, "states 2 matched items, but returns 3 different ones"),
        ([["a", "b"], ["other c"]], 3, "3 matched items, but returns 2 different ones and 1 of other collections"),
        ([["a", "b"], ["c"]], [2, 1], r"changes between pages \(1 and 2\)"),
        ([["a", "b"], ["b", "c"]], None, "3 different items, 1 of them more than once, and states no number"),
        ([["a", "b", "b"]], None, "2 different items, 1 of them more than once, and states no number"),
        ([["a"], *[[]] * 30, ["b"]], 2, "states 2 matched items, but returns 1 different ones"),
        ([[]], 3, "states 3 matched items, but returns 0 different ones"),
    ],
    ids=[
        "overlap", "repeated page", "too few", "no next link", "an estimate below", "other collections do not count",
        "number of each page", "overlap without a number", "twice on a page", "empty pages without end", "nothing",
    ],
)  # fmt: skip
def test_an_incomplete_search_is_repeated_once_with_smaller_pages_and_then_fails(
    pages: list[list[str]], matched: Any, problem: str
) -> None:
    with Scripted(pages, matched) as server:
        with pytest.raises(CatalogError, match=f"search at {server.url}: .*{problem}") as caught:
            search(server)
        assert set(limits(server)) == {250, 100}
        assert len(server.searches) == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "again", [[["a", "b"], ["c", "d"]], [["c"], ["d"], ["c", "d"], ["a", "b"]], [["c"], ["d"]]], ids=len
)
def test_items_that_overlapping_pages_lose_are_found_by_the_repeated_search(again: list[list[str]]) -> None:
    with Scripted([["a", "b"], ["b", "c"]], 4, again) as server:
        assert search(server) == ["a", "b", "c", "d"]


def test_the_number_of_matched_items_may_be_in_the_context() -> None:
    def context(page: dict[str, Any]) -> None:
        page["context"] = {"matched": page.pop("numberMatched"), "limit": 10}

    with Scripted([["a"], ["b"]], 2, edit=context) as server:
        assert search(server) == ["a", "b"]
    with Scripted([["a"], ["b"]], 3, edit=context) as server, pytest.raises(CatalogError, match="states 3 matched"):
        search(server)


class Merging(EarthSearch):
    """The body of a next link has only the token, to be merged into the body of the search."""

    def _next(self, body: dict[str, Any], token: str, method: str) -> dict[str, Any]:
        link = super()._next(body, token, method)
        return link | {"merge": True, "body": {"next": token}}


def test_a_next_link_may_be_merged_into_the_search() -> None:
    with Merging([stac_collection()], [*items(300), stac_item("july", "2023-07-15T10:00:00Z")]) as server:
        assert len(search(server)) == 300
        assert set(limits(server)) == {250}


class ByGet(EarthSearch):
    """A server that offers GET alone."""

    def _landing(self) -> dict[str, Any]:
        landing = super()._landing()
        landing["links"] = [link for link in landing["links"] if link.get("method") != "POST"]
        return landing


def test_a_search_may_be_by_get() -> None:
    with ByGet([stac_collection()], items(300)) as server:
        assert len(search(server)) == 300
        assert {request.method for request in server.requests} == {"GET"}


def _stating(stated: Any) -> list[Callable[[dict[str, Any]], None]]:
    """Return edits of a page that state a number of matched items."""
    return [lambda page: page.update(numberMatched=stated), lambda page: page.update(context={"matched": stated})]


@pytest.mark.parametrize("stated", [2, "2", " 2", 2.0, "2.0", None], ids=repr)
def test_a_number_of_matched_items_may_be_a_text(stated: Any) -> None:
    for edit in _stating(stated):
        with Scripted([["a"], ["b"]], edit=edit) as server:
            assert search(server) == ["a", "b"]


@pytest.mark.parametrize("stated", ["3", 3.0], ids=repr)
def test_a_text_counts_as_the_number_of_matched_items(stated: Any) -> None:
    for edit in _stating(stated):
        with Scripted([["a"], ["b"]], edit=edit) as server, pytest.raises(CatalogError, match="states 3 matched items"):
            search(server)


@pytest.mark.parametrize("stated", ["many", "", True, {}, [2], 1.5, "inf", "nan"], ids=repr)
def test_a_number_of_matched_items_that_is_no_number_fails_the_search(stated: Any) -> None:
    for edit in _stating(stated):
        with (
            Scripted([["a"], ["b"]], edit=edit) as server,
            pytest.raises(CatalogError, match=r"states .* as the number of matched items, which is no number; try"),
        ):
            search(server)


@pytest.mark.parametrize("context", [None, "3", True, [3], {}, {"matched": None}], ids=repr)
def test_a_context_without_a_number_is_ignored(context: Any) -> None:
    with Scripted([["a"], ["b"]], edit=lambda page: page.update(context=context)) as server:
        assert search(server) == ["a", "b"]


@pytest.mark.real
def test_a_recorded_next_link_to_an_empty_page_ends_a_complete_search(shared_real: Path) -> None:
    folder = shared_real / "stac_recorded" / "earth_search_v1"
    count = SearchCount(None)
    for number in (1, 2):
        recorded = json.loads((folder / f"POST_search_multi_collections_p{number}.json").read_text())
        page = recorded["response"]["body"]
        count.add({**page, "features": [{**item, "collection": None} for item in page["features"]]})
        assert any(link["rel"] == "next" for link in page["links"]) == (number == 1)
    assert count.problem(2) is None


def test_a_search_with_an_implausible_number_of_items_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stac_api, "_MAX_ITEMS", 20)
    with Scripted(None) as server:
        with pytest.raises(CatalogError, match="no end after 21 items"):
            search(server)
        assert len(limits(server)) == 7


def test_a_server_that_does_not_answer_is_retried_for_a_bounded_time(
    earth_search: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stac_api, "_TIMEOUT", (1.0, 0.1))
    monkeypatch.setattr(stac_api, "_PATIENCE", 0.5)
    server = earth_search([stac_collection()], items(3))
    api = StacApi.open(server.url, COLLECTION_ID)
    monkeypatch.setattr(stac_api, "time", SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic))
    hanging = server.fail("v1/search", kind="delay", seconds=60, times=None)
    with pytest.raises(CatalogError, match="timed out"):
        list(api.search(HERE, *AUGUST))
    assert hanging.fired <= 9  # three tries of each page size


def test_a_retry_after_of_an_hour_is_shortened_to_a_minute(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(1))
    server.fail("v1/search", status=503, retry_after=3600)
    response = requests.post(f"{server.url}/search", json={}, timeout=5)
    assert response.headers["Retry-After"] == "3600"
    assert stac_api.RETRY.get_retry_after(response.raw) == 60.0


# ---- areas ---------------------------------------------------------------------------------------


def test_an_area_across_the_antimeridian_is_one_search(earth_search: Serve) -> None:
    east, west = (
        stac_item(name, box=box)
        for name, box in (("east", (178.5, -17, 179.5, -16)), ("west", (-179.5, -17, -178.5, -16)))
    )
    cut = stac_item(
        "cut",
        geometry={
            "type": "MultiPolygon",
            "coordinates": [
                [[[179.5, -17], [180, -17], [180, -16], [179.5, -16], [179.5, -17]]],
                [[[-180, -17], [-179.5, -17], [-179.5, -16], [-180, -16], [-180, -17]]],
            ],
        },
    )
    far = stac_item("far", box=(0, -17, 1, -16))
    server = earth_search([stac_collection()], [east, west, cut, far])
    assert search(server, (179.0, -17.0, 181.0, -16.0)) == ["cut", "east", "west"]
    assert len(server.searches) == 1


@pytest.mark.parametrize(
    ("bbox", "resolution"),
    [
        ((-180.0, -17.0, -179.5, -16.5), 0.0007),  # the grid's edge is snapped outward to -180.0004
        ((179.5, -17.0, 180.0, -16.5), 0.0007),
        ((-180.0, -60.0, 180.0, 60.0), 0.7),
        ((10.0, 89.5, 11.0, 90.0), 0.0007),
        ((10.0, -90.0, 11.0, -89.5), 0.0007),
    ],
)
def test_a_search_has_valid_degrees_even_if_the_grid_is_snapped_beyond_them(
    earth_search: Serve, bbox: tuple[float, float, float, float], resolution: float
) -> None:
    west, south, _, _ = bbox
    box = (west + 0.1, south + 0.1, west + 0.2, south + 0.2)
    server = earth_search([stac_collection()], [stac_item("here", box=box)])
    assert search(server, Grid.from_bounds(bbox, resolution).bounds) == ["here"]
    lon, lat = searched_degrees(server)
    assert max(map(abs, lon)) <= 180
    assert max(map(abs, lat)) <= 90


def test_an_area_with_longitudes_above_180_is_searched_below_180(earth_search: Serve) -> None:
    """A geometry file may count longitudes from 0 to 360."""
    here, beyond = (stac_item(name, box=(w, -14.0, w + 1, -13.0)) for name, w in (("here", -172.0), ("beyond", -160.0)))
    server = earth_search([stac_collection()], [here, beyond])
    assert search(server, (187.0, -15.0, 190.0, -12.0)) == ["here"]
    lon, _ = searched_degrees(server)
    assert max(map(abs, lon)) <= 180


def searched_degrees(server: EarthSearch) -> tuple[list[float], list[float]]:
    """Return the longitudes and latitudes of the single search that a server received."""
    (request,) = server.searches
    if "bbox" in request.body:
        numbers = request.body["bbox"]
        return numbers[::2], numbers[1::2]
    corners = shapely.get_coordinates(shapely.geometry.shape(request.body["intersects"]))
    return corners[:, 0].tolist(), corners[:, 1].tolist()


def test_relative_hrefs_are_resolved_against_the_item(earth_search: Serve) -> None:
    item = stac_item("here")
    item["assets"]["red"]["href"] = "./red.tif"
    server = earth_search([stac_collection()], [item])
    (found,) = StacApi.open(server.url, COLLECTION_ID).search(HERE, *AUGUST)
    assert found["assets"]["red"]["href"] == f"{server.url}/collections/{COLLECTION_ID}/items/red.tif"


def test_a_period_is_half_open_and_has_all_processings_of_an_acquisition(earth_search: Serve) -> None:
    tile = {"grid:code": "MGRS-33TWM", "platform": "sentinel-2a"}
    take = {"s2:datatake_id": "GS2A_20230815T100031_042544_N05.09"}
    server = earth_search(
        [stac_collection()],
        [
            stac_item("first moment", "2023-08-01T00:00:00Z"),
            stac_item("too late", "2023-09-01T00:00:00Z"),
            stac_item("old", "2023-08-15T10:00:00Z", **{**tile, **take, "s2:processing_baseline": "05.09"}),
            stac_item("new", "2023-08-15T10:00:00Z", **{**tile, **take, "s2:processing_baseline": "05.10"}),
        ],
    )
    cube = CubeConfig(start_date="2023-08-01", end_date="2023-08-31", bbox=HERE, stac_url=server.url)
    period = Period(0, date(2023, 8, 1), date(2023, 9, 1))
    catalog = open_catalog(server.url, COLLECTION_ID)
    parser, policy = ItemParser(cube.bands, ("scl",)), AccessPolicy(cube.stac_url)
    scenes = find_scenes(catalog, parser, Grid.from_bounds(HERE, 0.001), period, policy)
    assert [scene.id for scene in scenes] == ["first moment", "new", "old"]
    assert list(scenes[0].bands) == ["red", "green", "blue", "nir", "scl"]
    assert len(server.searches) == 1


# ---- wrong addresses -----------------------------------------------------------------------------


def refusal(url: str, collection: str = COLLECTION_ID) -> str:
    with pytest.raises(InputError) as caught:
        StacApi.open(url, collection)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_an_address_without_a_server_is_refused() -> None:
    url = f"http://127.0.0.1:{processes.free_port()}/v1"
    assert refusal(url).startswith(f"stac-url {url}: cannot be reached (")


class Answering(LoopbackServer):
    """Answer every request with one document."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply

    def answer(self, *_: Any) -> Reply:
        return self.reply


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}),
        Reply(200, b""),
        Reply.json({"hello": "world"}),
        Reply.json([1, 2]),
        Reply.json(None),
        Reply.json(stac_item()),
        Reply.json({"type": "Catalog", "id": "static", "stac_version": "1.0.0", "description": "d", "links": []}),
        Reply(404, b"nothing here"),
        Reply(401, b"who are you"),
    ],
    ids=["a web page", "nothing", "JSON", "a list", "null", "an item", "a static catalogue", "404", "401"],
)
def test_a_server_that_is_not_a_stac_api_is_refused(reply: Reply) -> None:
    with Answering(reply) as server:
        assert refusal(server.origin).startswith(f"stac-url {server.origin}: ")


def test_a_missing_collection_is_refused_with_the_list_of_collections(earth_search: Serve) -> None:
    server = earth_search([stac_collection(), stac_collection() | {"id": "sentinel-2-l2a"}], [])
    message = refusal(server.url, "sentinel-2")
    assert message == f"collection sentinel-2: not at {server.url}; choose from sentinel-2-c1-l2a, sentinel-2-l2a"


def test_a_slash_at_the_end_of_the_address_does_not_matter(earth_search: Serve) -> None:
    server = earth_search([stac_collection()], items(1))
    assert len(list(StacApi.open(server.url + "/", COLLECTION_ID).search(HERE, *AUGUST))) == 1


def test_only_http_and_local_paths_are_catalogues() -> None:
    with pytest.raises(InputError, match="ftp://host/items: its scheme is not supported"):
        open_catalog("ftp://host/items", COLLECTION_ID)
