"""Where a catalogue may point to: its own folder or network, and what the user allowed."""

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

from ardcube.catalog.access import Reach, nearness
from ardcube.catalog.scene import Scene
from ardcube.catalog.search import find_scenes, open_catalog
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError, SceneError, TransientError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.pixels.masks import DefaultCloudMaskHook
from ardcube.prepare.check import check_request
from ardcube.prepare.planning import search_scenes
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.open import open_raster
from tests.rasters import pixels, write
from tests.servers.earth_search import EarthSearch
from tests.servers.faults import LoopbackServer, Reply
from tests.strategies import COLLECTION_ID, raster_band, stac_collection, stac_item

Publish = Callable[[list[Any], list[Any]], EarthSearch]
HERE = (15.0, 46.0, 15.2, 46.1)
PUBLIC, PRIVATE, LOOPBACK, LINK_LOCAL = range(4)
API = "https://earth-search.example.org/v1"


# ---- how near ------------------------------------------------------------------------------------

HOSTS = {
    "sentinel.s3.amazonaws.com": PUBLIC,
    "1e100.net": PUBLIC,
    "8.8.8.8": PUBLIC,
    "2001:4860:4860::8888": PUBLIC,
    "10.1.2.3": PRIVATE,
    "172.16.0.1": PRIVATE,
    "192.168.1.1": PRIVATE,
    "100.100.100.200": PRIVATE,
    "fd00:ec2::254": PRIVATE,
    "stac": PRIVATE,
    "files.internal": PRIVATE,
    "127.0.0.1": LOOPBACK,
    "127.8.9.10": LOOPBACK,
    "127.1": LOOPBACK,
    "0x7f.0.0.1": LOOPBACK,
    "0.0.0.0": LOOPBACK,
    "localhost": LOOPBACK,
    "LOCALHOST.": LOOPBACK,
    "a.localhost": LOOPBACK,
    "::1": LOOPBACK,
    "::ffff:127.0.0.1": LOOPBACK,
    "169.254.169.254": LINK_LOCAL,
    "2852039166": LINK_LOCAL,
    "0xa9fea9fe": LINK_LOCAL,
    "0251.0376.0251.0376": LINK_LOCAL,
    "169.254.43518": LINK_LOCAL,
    "::ffff:169.254.169.254": LINK_LOCAL,
    "::ffff:a9fe:a9fe": LINK_LOCAL,
    "::169.254.169.254": LINK_LOCAL,
    "64:ff9b::a9fe:a9fe": LINK_LOCAL,
    "2002:a9fe:a9fe::1": LINK_LOCAL,
    "fe80::1": LINK_LOCAL,
    "fe80::1%25eth0": LINK_LOCAL,
    "metadata.google.internal": LINK_LOCAL,
}


@pytest.mark.parametrize("host", HOSTS)
def test_how_near_a_host_is_is_known_however_it_is_spelled(host: str) -> None:
    assert nearness(host) == HOSTS[host]


@pytest.mark.parametrize(
    ("catalogue", "allowed"),
    [
        (API, {PUBLIC}),
        ("http://10.0.0.5/stac", {PUBLIC, PRIVATE}),
        ("http://stac:8080", {PUBLIC, PRIVATE}),
        ("http://127.0.0.1:8000/v1", {PUBLIC, PRIVATE, LOOPBACK}),
        ("/data/catalogue", {PUBLIC, PRIVATE, LOOPBACK}),
        ("http://169.254.1.1/stac", {PUBLIC, PRIVATE, LOOPBACK}),
    ],
)
def test_a_catalogue_may_point_to_what_is_as_near_as_itself_or_further_but_never_link_local(
    catalogue: str, allowed: set[int]
) -> None:
    reach = Reach(catalogue)
    for host, near in HOSTS.items():
        spelled = f"[{host}]" if ":" in host else host
        assert (reach.objection(f"http://{spelled}:8080/red.tif") is None) == (near in allowed), host


# ---- what a catalogue says -----------------------------------------------------------------------

NEVER = [
    "/vsicurl/http://169.254.169.254/latest",
    "zip+https://host/a.zip!red.tif",
    "NETCDF:/etc/passwd:x",
    "HDF5:/etc/passwd",
    "ftp://host/red.tif",
    "FILE:///etc/passwd",
    " file:///etc/passwd",
    "http:/169.254.169.254/x",
    "http://",
    "http://[",
    "http://[::1/x",
    "http://host:port/x",
    "http://good.org\\@169.254.169.254/x",
    "http://１６９.254.169.254/x",
    "http://169%2e254.169.254/x",
    "http://ho\nst/x",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("href", NEVER)
def test_what_is_no_plain_address_is_never_followed(href: str) -> None:
    assert Reach(API).objection(href)
    if not href.startswith("/"):
        assert Reach(API, ("/", href)).objection(href)


@pytest.mark.parametrize("href", [*NEVER, "/vsizip/a.zip", "/vsimem/x.tif", "file:///vsicurl/http://127.0.0.1/x"])
def test_no_reader_follows_it_either(href: str) -> None:
    """Should somebody have edited what was planned."""
    with pytest.raises(SceneError):
        open_raster(href, "", "unsigned")
    with pytest.raises(SceneError, match="is neither a file nor an address"):
        GdalRaster.open(href, "unsigned")


@given(st.text())
def test_any_text_is_judged(href: str) -> None:
    for reach in (Reach(API), Reach("/data/catalogue"), Reach(API, (href,))):
        assert reach.objection(href) is None or "\n" not in str(reach.objection("http://10.0.0.1/x"))


@pytest.mark.parametrize("href", ["https://host.org/a b/red.tif", "s3://bucket/red.tif", "gs://bucket/red.tif"])
def test_public_addresses_and_buckets_are_followed(href: str) -> None:
    assert Reach(API).objection(href) is None
    assert Reach("/data/catalogue").objection(href) is None


@pytest.mark.parametrize(
    ("root", "href", "allowed"),
    [
        ("http://10.0.0.5", "http://10.0.0.5/a/red.tif", True),
        ("http://10.0.0.5/", "http://10.0.0.5/a/red.tif", True),
        ("http://10.0.0.5/a", "http://10.0.0.5/a/red.tif", True),
        ("http://169.254.169.254", "http://169.254.169.254/red.tif", True),
        ("http://10.0.0.5/a", "http://10.0.0.5/ab/red.tif", False),
        ("http://10.0.0.5/a", "http://10.0.0.5/a/../b/red.tif", False),
        ("http://10.0.0.5/a", "http://10.0.0.5/a/%2e%2e/b/red.tif", False),
        ("http://10.0.0.5", "http://10.0.0.5:8080/red.tif", False),
        ("http://10.0.0.5", "http://10.0.0.50/red.tif", False),
        ("http://10.0.0.5", "http://10.0.0.5@10.0.0.6/red.tif", False),
        ("http://10.0.0.5", "https://10.0.0.5/red.tif", False),
        ("/data", "http://10.0.0.5/data/red.tif", False),
        ("/data", "file:///data/red.tif", True),
        ("/data/", "/data/a/red.tif", True),
        ("file:///data", "/data/red.tif", True),
        ("/data", "/data/../etc/red.tif", False),
        ("/data", "/data2/red.tif", False),
    ],
)
def test_what_the_user_allowed_is_followed_and_nothing_beside_it(root: str, href: str, allowed: bool) -> None:
    assert (Reach(API, (root,)).objection(href) is None) == allowed
    assert Reach(API).objection(href)


# ---- a folder ------------------------------------------------------------------------------------


def scene_at(href: str) -> dict[str, Any]:
    return stac_item("S2A", assets={"red": {"href": href, "raster:bands": raster_band()}})


def search(stac_url: str, *roots: str) -> list[Scene]:
    """The scenes that a request finds, asked for red alone."""
    cube = CubeConfig(
        start_date="2023-08-01", end_date="2023-08-31", bbox=HERE, stac_url=stac_url, bands=("red",), resolution=0.01
    )
    run = RunConfig(fsspec_uri="memory://addresses", allow_asset_roots=roots)
    request = check_request(cube, run, DefaultCloudMaskHook(), build=False)
    return list(search_scenes(request)["2023-08"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue's folder beside a file that is none of its."""
    write(tmp_path / "secret.tif", pixels(20, 20), overviews=False)
    catalogue = tmp_path / "catalogue"
    (catalogue / "S2A").mkdir(parents=True)
    write(catalogue / "S2A" / "red.tif", pixels(20, 20), overviews=False)
    (catalogue / "collection.json").write_text(json.dumps(stac_collection()))
    return catalogue


def publish(folder: Path, href: str) -> None:
    (folder / "S2A" / "S2A.json").write_text(json.dumps(scene_at(href)))


@pytest.mark.parametrize("href", ["./red.tif", "../S2A/red.tif", "{folder}/S2A/red.tif", "file://{folder}/S2A/red.tif"])
def test_a_folder_may_point_to_what_is_in_it(folder: Path, href: str) -> None:
    publish(folder, href.format(folder=folder))
    (scene,) = search(str(folder))
    assert scene.bands["red"].href == str(folder / "S2A" / "red.tif")


@pytest.mark.parametrize("href", ["../../secret.tif", "{outside}/secret.tif", "file://{outside}/secret.tif", "link.tif",
                                  "linked/secret.tif"])  # fmt: skip
def test_what_leaves_the_folder_of_a_catalogue_is_refused_unless_it_is_allowed(folder: Path, href: str) -> None:
    outside = folder.parent
    (folder / "S2A" / "link.tif").symlink_to(outside / "secret.tif")
    (folder / "S2A" / "linked").symlink_to(outside)
    publish(folder, href.format(outside=outside))
    with pytest.raises(InputError) as caught:
        search(str(folder))
    told = str(caught.value)
    assert told.startswith(f"stac-url {folder}: band red of item S2A is at ")
    assert f"outside of the catalogue's folder {folder}" in told
    assert told.endswith(f"allow it with --allow-asset-roots {outside}")
    assert "\n" not in told
    assert len(search(str(folder), str(outside))) == 1


def test_a_link_within_the_folder_and_a_folder_that_is_a_link_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "S2A" / "link.tif").symlink_to(folder / "S2A" / "red.tif")
    publish(folder, "link.tif")
    (tmp_path / "other name").symlink_to(folder)
    for place in (folder, tmp_path / "other name"):
        assert len(search(str(place))) == 1


def test_an_item_that_is_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    publish(folder, "red.tif")
    outside = folder.parent / "S2B.json"
    (folder / "S2A" / "S2A.json").rename(outside)
    (folder / "S2A" / "S2A.json").symlink_to(outside)
    with pytest.raises(InputError, match=rf"S2A\.json is outside of the catalogue's folder .*it leads to {outside}"):
        search(str(folder))
    assert len(search(str(folder), str(folder.parent))) == 1


def test_a_file_of_items_may_point_to_what_is_beside_it(folder: Path) -> None:
    items = folder / "items.json"
    for href, fine in (("S2A/red.tif", True), ("../secret.tif", False)):
        items.write_text(json.dumps({"type": "FeatureCollection", "features": [scene_at(href)]}))
        if fine:
            assert len(search(str(items))) == 1
        else:
            with pytest.raises(InputError, match="outside of the catalogue's folder"):
                search(str(items))


def test_only_bands_that_are_read_count(folder: Path) -> None:
    document = scene_at("red.tif")
    document["assets"]["thumbnail"] = {"href": "file:///etc/passwd"}
    (folder / "S2A" / "S2A.json").write_text(json.dumps(document))
    assert len(search(str(folder))) == 1


# ---- a server ------------------------------------------------------------------------------------


def test_scenes_of_the_same_host_are_followed(earth_search: Publish) -> None:
    server = earth_search([stac_collection()], [scene_at("http://127.0.0.1:1/red.tif")])
    assert len(search(server.url)) == 1


@pytest.mark.parametrize(
    "href", ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/red.tif"]
)
def test_a_server_that_points_to_this_machine_or_its_secrets_is_refused(earth_search: Publish, href: str) -> None:
    server = earth_search([stac_collection()], [scene_at(href)])
    with pytest.raises(InputError) as caught:
        search(server.url)
    assert str(caught.value).startswith(f"stac-url {server.url}: band red of item S2A is at {href}, ")
    assert "--allow-asset-roots" in str(caught.value)
    assert len(search(server.url, "/etc", "http://169.254.169.254", "http://[fe80::1]")) == 1


def test_paths_of_a_server_are_addresses_there_and_no_files_here(earth_search: Publish) -> None:
    server = earth_search([stac_collection()], [scene_at("/etc/passwd")])
    (scene,) = search(server.url)
    assert scene.bands["red"].href == f"{server.origin}/etc/passwd"


class Astray(EarthSearch):
    """Sends whoever searches somewhere else, by a link to the next page or by a redirect."""

    def __init__(self, to: str, *, redirect: bool) -> None:
        super().__init__([stac_collection()], [scene_at("http://127.0.0.1:1/red.tif")])
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
def test_a_search_is_not_led_to_link_local_addresses(redirect: bool) -> None:
    """The tests' guard would else tell that one was asked."""
    with Astray("http://169.254.169.254/latest", redirect=redirect) as server:
        with pytest.raises(InputError, match=r"its answer leads to http://169\.254\.169\.254/latest, an address that"):
            search(server.url)
        assert len([request for request in server.requests if request.path == "v1/search"]) == 1


def test_a_search_may_be_redirected_to_where_the_catalogue_may_point(earth_search: Publish) -> None:
    """As from an old address to a new one."""
    server = earth_search([stac_collection()], [scene_at("http://127.0.0.1:1/red.tif")])
    with Moved(server.origin) as old:
        catalog = open_catalog(f"{old.origin}/v1", COLLECTION_ID)
        cube = CubeConfig(
            start_date="2023-08-01", end_date="2023-08-31", bbox=HERE, stac_url=old.origin, bands=("red",)
        )
        period = Period(0, date(2023, 8, 1), date(2023, 9, 1))
        assert len(find_scenes(catalog, cube, (), Grid.from_bounds(HERE, 0.01), period)) == 1


class Moved(LoopbackServer):
    """Is elsewhere now."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to = to

    def answer(self, method: str, path: str, *_: Any) -> Reply:
        return Reply(308, b"", {"Location": f"{self.to}/{path}"})


@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_a_server_of_scenes_cannot_redirect_to_a_file(tmp_path: Path, reader: Any) -> None:
    """To other servers it can; docs/decisions/0019 says so."""
    file = write(tmp_path / "red.tif", pixels(20, 20), overviews=False)
    with (
        Elsewhere(file.as_uri()) as server,
        pytest.raises((SceneError, TransientError), match=r"red\.tif cannot be read"),
    ):
        open_raster(f"{server.origin}/red.tif", "", "unsigned", reader)


class Elsewhere(LoopbackServer):
    """Sends everybody to one place."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to = to

    def answer(self, *_: Any) -> Reply:
        return Reply(302, b"", {"Location": self.to})
