"""Malformed and hostile STAC items: a usable scene, or one line of error."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from types import NoneType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import pystac
import pytest
from shapely.geometry.base import BaseGeometry
from urllib3 import Retry

from ardcube.catalog import stac_api
from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.items import parse_scene
from ardcube.catalog.local import LocalCatalog
from ardcube.catalog.scene import Scene
from ardcube.catalog.search import find_scenes
from ardcube.catalog.source import ItemParser
from ardcube.catalog.stac_api import StacApi
from ardcube.config import CubeConfig
from ardcube.errors import InputError, SceneError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.ledger.manifest import read_manifest, write_manifest
from ardcube.storage.place import Place
from tests.hostile.mutation import DEEP, damaged, mutated, parsed, text_of
from tests.hostile.promise import answer, clear_line, hostile, of_kinds
from tests.servers.faults import LoopbackServer, Reply
from tests.strategies import COLLECTION_ID, stac_collection, stac_item

pytestmark = pytest.mark.filterwarnings("ignore::pystac_client.warnings.PystacClientWarning")

MAY = Period(0, date(2023, 5, 1), date(2023, 6, 1))
GRID = Grid.from_bounds((15.0, 46.0, 15.1, 46.1), 0.01)


def real_item(
    name: str = "S2A_T33TWM_20230510T100601_L2A", when: str = "2023-05-10T10:06:01.024000Z"
) -> dict[str, Any]:
    """Return an item with all fields that ardcube reads."""
    properties = {
        "created": "2023-05-10T18:00:00.000Z",
        "updated": "2023-05-11T18:00:00.000Z",
        "platform": "sentinel-2a",
        "grid:code": "MGRS-33TWM",
        "s2:processing_baseline": "05.09",
        "s2:datatake_id": "GS2A_20230510T100601_041234_N05.09",
        "s2:product_uri": "S2A_MSIL2A_20230510T100601_N0509_R022_T33TWM_20230510T150000.SAFE",
        "s2:generation_time": "2023-05-10T15:00:00.000000Z",
        "earthsearch:boa_offset_applied": False,
        "proj:epsg": 32633,
        "proj:shape": [10980, 10980],
        "proj:transform": [10, 0, 499980, 0, -10, 5200020],
    }
    item = stac_item(name, when, **properties)
    for band, asset in item["assets"].items():
        asset |= {"eo:bands": [{"name": band, "common_name": band}], "file:size": 1000, "gsd": 10}
        asset |= {"file:checksum": "1220abcd", "bands": [{"name": band, "nodata": 0, "raster:scale": 0.0001}]}
    item["links"] = [{"rel": "self", "href": "https://127.0.0.1:1/items/a.json"}]
    return item


def check_scene(scene: Scene) -> None:
    of_kinds(scene, id=str, datetime=datetime, footprint=BaseGeometry, acquisition=str, baseline=tuple, revision=str)
    assert scene.datetime.utcoffset() == timedelta(0)
    assert not scene.footprint.is_empty
    assert all(map(math.isfinite, scene.footprint.bounds))
    assert scene.datetime.year < 1000 or scene.datetime.year > 9990 or isinstance(scene.solar_day(), date)
    assert all(map(math.isfinite, scene.reach().bounds))
    for asset in scene.bands.values():
        of_kinds(asset, href=str, offset=float, nodata=(int, NoneType), size=int, pixels=int, pixel_size=float)
        assert math.isfinite(asset.offset)
        assert 0 <= (asset.nodata or 0) < 2**16
        assert asset.size >= 0
        assert asset.pixels >= 0
        assert 0 < asset.pixel_size < math.inf


@hostile(150)
def test_an_item_is_a_scene_or_refused(random: Random) -> None:
    item = parsed(mutated(real_item(), random))
    collection = random.choice((None, stac_collection(), parsed(mutated(stac_collection(), random))))
    try:
        scene = parse_scene(item, collection, ("red", "nir"))
    except (SceneError, InputError) as error:
        clear_line(error)
        return
    check_scene(scene)


@pytest.mark.parametrize("where", ["id", "platform", "href"])
def test_text_with_half_of_a_surrogate_pair_is_refused(where: str) -> None:
    item, half = real_item(), "a\ud800"  # valid in JSON, but not in UTF-8
    match where:
        case "id":
            item["id"] = half
        case "platform":
            item["properties"]["platform"] = half
        case "href":
            item["assets"]["red"]["href"] = f"https://127.0.0.1:1/{half}"
    with pytest.raises(SceneError, match="surrogates not allowed") as refused:
        parse_scene(item, stac_collection(), ("red",))
    clear_line(refused.value).encode()


def test_an_item_with_an_implausible_raster_size_is_planned(tmp_path: Path) -> None:
    item = real_item()
    item["assets"]["red"] |= {"proj:shape": [10**14, 10**14], "file:size": 10**14}
    scene = parse_scene(item, stac_collection(), ("red",))
    check_scene(scene)
    (written,) = read_manifest(str(tmp_path), write_manifest(Place.at(str(tmp_path)), MAY, [scene])).scenes
    assert written == scene


@hostile(60)
def test_a_folder_of_items_is_searched_or_refused(random: Random) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        collection = random.choice((stac_collection(), mutated(stac_collection(), random)))
        items = [mutated(real_item("a"), random), real_item("b", "2023-05-20T10:06:01Z")]
        members: Any = {"type": "FeatureCollection", "features": items}
        if random.random() < 0.3:
            members = mutated(members, random)
        (folder / "collection.json").write_bytes(text_of(collection))
        content = text_of(members)
        (folder / "items.json").write_bytes(damaged(content, random) if random.random() < 0.2 else content)
        answer(lambda: search(LocalCatalog.open(random.choice((folder, folder / "items.json")), COLLECTION_ID)))


def search(catalog: Any) -> None:
    """Find scenes, and write and read their manifest, as a plan does."""
    cube = CubeConfig(start_date=MAY.start, end_date=MAY.start, bbox=(15.0, 46.0, 15.1, 46.1))
    scenes = find_scenes(catalog, ItemParser(cube.bands, ("scl",)), GRID, MAY, AccessPolicy(cube.stac_url))
    for scene in scenes:
        check_scene(scene)
    with tempfile.TemporaryDirectory() as name:
        written = read_manifest(name, write_manifest(Place.at(name), MAY, scenes)).scenes
        assert [scene.id for scene in written] == [scene.id for scene in scenes]


class _Api(LoopbackServer):
    """A STAC API with configurable responses."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, bytes] = {}

    def answer(self, _method: str, path: str, query: dict[str, str], _headers: Any, _body: Any) -> Reply:
        page = f"{path}?{query['token']}" if "token" in query else path
        return Reply(200, self.answers.get(page, b"{}"), {"Content-Type": "application/geo+json"})


@cache
def api() -> _Api:
    server = _Api()
    server.__enter__()
    return server


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    if api.cache_info().currsize:
        api().__exit__(None, None, None)
        api.cache_clear()


def documents(url: str) -> dict[str, Any]:
    """Return the documents of a small API by path."""
    search_link = {"rel": "search", "href": f"{url}/search", "type": "application/geo+json", "method": "GET"}
    conforms = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
    landing = {
        "type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "made for a test",
        "conformsTo": conforms, "links": [{"rel": "self", "href": url}, {"rel": "root", "href": url}, search_link,
                                        search_link | {"method": "POST"}],
    }  # fmt: skip
    more = {"rel": "next", "href": f"{url}/search?token=2", "type": "application/geo+json", "method": "GET"}
    return {
        "": landing,
        f"collections/{COLLECTION_ID}": stac_collection(),
        "search": {"type": "FeatureCollection", "features": [real_item("a")], "links": [more]},
        "search?2": {"type": "FeatureCollection", "features": [real_item("b", "2023-05-20T10:06:01Z")], "links": []},
    }


@hostile(40)
def test_an_api_is_searched_or_refused(random: Random) -> None:
    server = api()
    pages = documents(server.origin)
    name = random.choice([*pages])
    pages[name] = mutated(pages[name], random)
    server.answers = {page: text_of(document) for page, document in pages.items()}
    if random.random() < 0.2:
        server.answers[name] = damaged(server.answers[name], random)
    with without_backoff():
        answer(lambda: search(StacApi.open(server.origin, COLLECTION_ID)))


@contextmanager
def without_backoff() -> Iterator[None]:
    """Retry at once, because the responses do not change."""
    at_once = {name: Retry(total=1, backoff_factor=0) for name in ("RETRY", "RETRY_AT_OPEN")}
    with patch.multiple(stac_api, time=SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic), **at_once):
        yield


def test_a_deeply_nested_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text("[" * DEEP)
    with pytest.raises(InputError, match=r"items\.json: not readable JSON"):
        LocalCatalog.open(tmp_path, COLLECTION_ID)


def test_an_api_cannot_make_the_client_read_a_local_file(tmp_path: Path) -> None:
    """pystac_client opens a link that is not a URL as a local file."""
    file = tmp_path / "local.json"
    server = api()
    file.write_text(json.dumps({**documents(server.origin)[""], "id": "read from the disk"}))
    server.answers = {page: text_of(document) for page, document in documents(server.origin).items()}
    catalog = StacApi.open(server.origin, COLLECTION_ID)
    stac_io = catalog.client._stac_io
    assert stac_io is not None
    for href in (str(file), file.as_uri()):
        with pytest.raises(pystac.STACError, match=r"is not an http\(s\) URL"):
            stac_io.read_json(href)


def test_an_address_with_a_line_break_is_refused_in_one_line(tmp_path: Path) -> None:
    item = json.loads(json.dumps(real_item("a")))
    item["assets"]["red"]["href"] = "./a\nb"
    (tmp_path / "collection.json").write_text(json.dumps(stac_collection()))
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    line = answer(lambda: search(LocalCatalog.open(tmp_path, COLLECTION_ID)))
    assert isinstance(line, str)
    assert "band red of item a" in line
