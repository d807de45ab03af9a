"""Addresses in a catalogue: allowed schemes, no local files from servers, no link-local hosts, and exceptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.catalog.access import AccessPolicy, is_link_local
from ardcube.catalog.scene import Scene
from ardcube.catalog.search import find_scenes, open_catalog
from ardcube.catalog.source import ItemParser
from ardcube.config import CubeConfig
from ardcube.errors import InputError, SceneError, TransientError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.open import open_raster
from tests.rasters import pixels, write
from tests.servers.earth_search import EarthSearch
from tests.servers.faults import LoopbackServer, Reply
from tests.strategies import COLLECTION_ID, raster_band, stac_collection, stac_item

Publish = Callable[[list[Any], list[Any]], EarthSearch]
HERE = (15.0, 46.0, 15.2, 46.1)
API = "https://earth-search.example.org/v1"
FOLDER = "/data/catalogue"

# ---- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("169.254.169.254", True),
        ("2852039166", True),
        ("0xa9fea9fe", True),
        ("0251.0376.0251.0376", True),
        ("::ffff:a9fe:a9fe", True),
        ("fe80::1", True),
        ("fe80::1%25eth0", True),
        ("fd00:ec2::254", True),
        ("METADATA.google.internal.", True),
        ("sentinel.s3.amazonaws.com", False),
        ("10.0.0.5", False),
        ("127.0.0.1", False),
        ("::1", False),
    ],
)
def test_a_link_local_host_is_recognized_in_every_spelling(host: str, expected: bool) -> None:
    assert is_link_local(host) == expected
    spelled = f"[{host}]" if ":" in host else host
    for catalogue in (API, FOLDER):
        assert (AccessPolicy(catalogue).find_problem(f"http://{spelled}:8080/red.tif") is not None) == expected


FORBIDDEN = [
    "zip+https://host/a.zip!red.tif",
    "NETCDF:/etc/passwd:x",
    "ftp://host/red.tif",
    "FILE:///etc/passwd",
    " file:///etc/passwd",
    "http:/169.254.169.254/x",
    "http://",
    "http://[",
    "http://host:port/x",
    "http://good.org\\@169.254.169.254/x",
    "http://１６９.254.169.254/x",
    "http://169%2e254.169.254/x",
    "http://ho\nst/x",
]


@pytest.mark.parametrize("href", FORBIDDEN)
def test_other_schemes_and_ambiguous_urls_are_forbidden_even_below_an_allowed_root(href: str) -> None:
    assert AccessPolicy(API).find_problem(href)
    assert AccessPolicy(API, ("/", href)).find_problem(href)


@pytest.mark.parametrize(
    "href", [*FORBIDDEN, "/vsicurl/http://169.254.169.254/x", "/vsizip/a.zip", "file:///vsicurl/http://127.0.0.1/x"]
)
def test_readers_refuse_forbidden_addresses_that_were_edited_into_a_manifest(href: str) -> None:
    with pytest.raises(SceneError):
        open_raster(href, "", "unsigned")
    with pytest.raises(SceneError, match=r"."):
        GdalRaster.open(href, "unsigned")


@given(st.text())
def test_any_text_is_checked_without_an_exception(href: str) -> None:
    for policy in (AccessPolicy(API), AccessPolicy(FOLDER), AccessPolicy(API, (href,))):
        assert "\n" not in (policy.find_problem(href) or "")


@pytest.mark.parametrize("href", ["https://host.org/a b/red.tif", "s3://bucket/red.tif", "gs://bucket/red.tif"])
def test_servers_and_object_stores_are_allowed(href: str) -> None:
    assert AccessPolicy(API).find_problem(href) is None
    assert AccessPolicy(FOLDER).find_problem(href) is None


@pytest.mark.parametrize("href", ["/data/red.tif", "file:///data/red.tif", f"{FOLDER}/../red.tif"])
def test_local_files_are_allowed_in_local_catalogues_only(href: str) -> None:
    assert AccessPolicy(FOLDER).find_problem(href) is None
    assert AccessPolicy(f"file://{FOLDER}").find_problem(href) is None
    assert AccessPolicy(API).find_problem(href) == "a local file; to read it, add --allow-asset-roots /data"


@pytest.mark.parametrize(
    ("root", "href", "allowed"),
    [
        ("http://169.254.1.1", "http://169.254.1.1/a/red.tif", True),
        ("http://169.254.1.1/a", "http://169.254.1.1/a/red.tif", True),
        ("http://169.254.1.1/a", "http://169.254.1.1/ab/red.tif", False),
        ("http://169.254.1.1/a", "http://169.254.1.1/a/%2e%2e/b/red.tif", False),
        ("http://169.254.1.1", "http://169.254.1.1:8080/red.tif", False),
        ("http://169.254.1.1", "https://169.254.1.1/red.tif", False),
        ("/data", "http://169.254.1.1/data/red.tif", False),
        ("/data", "file:///data/red.tif", True),
        ("file:///data/", "/data/a/red.tif", True),
        ("/data", "/data/../etc/red.tif", False),
        ("/data", "/data2/red.tif", False),
    ],
)
def test_an_allowed_root_covers_only_addresses_below_it(root: str, href: str, allowed: bool) -> None:
    assert (AccessPolicy(API, (root,)).find_problem(href) is None) == allowed
    assert AccessPolicy(API).find_problem(href)


# ---- searches ------------------------------------------------------------------------------------


def item_at(href: str) -> dict[str, Any]:
    return stac_item("S2A", assets={"red": {"href": href, "raster:bands": raster_band()}})


def search(stac_url: str, *roots: str) -> list[Scene]:
    """Find the scenes of a period with the band red."""
    cube = CubeConfig(start_date="2023-08-01", end_date="2023-08-31", bbox=HERE, stac_url=stac_url, bands=("red",))
    period = Period(0, date(2023, 8, 1), date(2023, 9, 1))
    catalog = open_catalog(stac_url, COLLECTION_ID, roots)
    policy = AccessPolicy(cube.stac_url, roots)
    return find_scenes(catalog, ItemParser(cube.bands), Grid.from_bounds(HERE, 0.01), period, policy)


@pytest.mark.parametrize("href", ["../secret.tif", "{outside}/secret.tif", "file://{outside}/secret.tif"])
def test_a_folder_may_refer_to_files_anywhere(tmp_path: Path, href: str) -> None:
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "S2A.json").write_text(json.dumps(item_at(href.format(outside=tmp_path))))
    (scene,) = search(str(tmp_path / "catalogue"))
    assert scene.bands["red"].href == str(tmp_path / "secret.tif")


@pytest.mark.parametrize("href", ["file:///etc/passwd", "http://169.254.169.254/latest", "http://[fe80::1]/red.tif"])
def test_a_server_may_not_refer_to_local_files_or_link_local_hosts(earth_search: Publish, href: str) -> None:
    server = earth_search([stac_collection()], [item_at(href)])
    with pytest.raises(InputError) as caught:
        search(server.url)
    assert str(caught.value).startswith(f"stac-url {server.url}: band red of item S2A is at {href}, ")
    assert "--allow-asset-roots" in str(caught.value)
    assert len(search(server.url, "/etc", "http://169.254.169.254", "http://[fe80::1]")) == 1


def test_only_the_bands_of_the_cube_are_checked(earth_search: Publish) -> None:
    item = item_at("https://host.org/red.tif")
    item["assets"]["thumbnail"] = {"href": "file:///etc/passwd"}
    server = earth_search([stac_collection()], [item])
    assert len(search(server.url)) == 1


def test_a_path_in_an_item_of_a_server_is_a_path_on_that_server(earth_search: Publish) -> None:
    server = earth_search([stac_collection()], [item_at("/etc/passwd")])
    (scene,) = search(server.url)
    assert scene.bands["red"].href == f"{server.origin}/etc/passwd"


# ---- links and redirects -------------------------------------------------------------------------


class Misleading(EarthSearch):
    """Answer a search with a link or a redirect to another address."""

    def __init__(self, to: str, *, redirect: bool) -> None:
        super().__init__([stac_collection()], [item_at("http://127.0.0.1:1/red.tif")])
        self.to = to
        self.redirect = redirect

    def _search(self, body: dict[str, Any], method: str) -> Reply:
        if self.redirect:
            return Reply(302, b"", {"Location": self.to})
        reply = super()._search(body, method)
        page = json.loads(reply.body)
        page["links"] = [{"rel": "next", "href": self.to, "method": "GET"}]
        return replace(reply, body=json.dumps(page).encode())


@pytest.mark.parametrize("redirect", [False, True], ids=["next link", "redirect"])
def test_a_search_does_not_follow_a_server_to_a_link_local_host(redirect: bool) -> None:
    with Misleading("http://169.254.169.254/latest", redirect=redirect) as server:
        with pytest.raises(InputError, match=r"its answer leads to http://169\.254\.169\.254/latest, a link-local"):
            search(server.url)
        assert len([request for request in server.requests if request.path == "v1/search"]) == 1


class Redirecting(LoopbackServer):
    """Redirect every request to one address, or to the same path of another server."""

    def __init__(self, status: int, to: str) -> None:
        super().__init__()
        self.status = status
        self.to = to

    def answer(self, method: str, path: str, *_: Any) -> Reply:
        return Reply(self.status, b"", {"Location": self.to.format(path=path)})


def test_a_search_follows_a_redirect_to_an_allowed_server(earth_search: Publish) -> None:
    server = earth_search([stac_collection()], [item_at("http://127.0.0.1:1/red.tif")])
    with Redirecting(308, f"{server.origin}/{{path}}") as old:
        assert len(search(f"{old.origin}/v1")) == 1


@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_a_reader_does_not_follow_a_server_to_a_local_file(tmp_path: Path, reader: Any) -> None:
    file = write(tmp_path / "red.tif", pixels(20, 20), overviews=False)
    with (
        Redirecting(302, file.as_uri()) as server,
        pytest.raises((SceneError, TransientError), match=r"red\.tif"),
    ):
        open_raster(f"{server.origin}/red.tif", "", "unsigned", reader)
