"""Tests of the servers that other tests use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from http.client import IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any

import numpy as np
import pystac_client
import pytest
import rasterio
import s3fs
from rasterio.transform import from_origin

from tests.conftest import ForeignAddressError
from tests.servers import processes
from tests.servers.earth_search import EarthSearch, read_catalogue
from tests.servers.processes import S3, DaskCluster, PrefectServer, has_ended
from tests.servers.range_server import RangeServer
from tests.wait_for import until

Serve = Callable[[Path], RangeServer]
Publish = Callable[[Iterable[Any], Iterable[Any]], EarthSearch]

COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "id": "sentinel-2-c1-l2a",
    "stac_version": "1.0.0",
    "description": "Scenes for the tests of the servers.",
    "license": "proprietary",
    "extent": {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [["2023-01-01T00:00:00Z", None]]},
    },
    "links": [],
}


def scene(number: int, *, west: float = 4.0) -> dict[str, Any]:
    """Return an item of one square degree; number 0 is of 2023-01-01, and each next one a day later."""
    box = [west, 50.0, west + 1, 51.0]
    ring = [[box[0], 50.0], [box[2], 50.0], [box[2], 51.0], [box[0], 51.0], [box[0], 50.0]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": f"scene-{number:03d}",
        "collection": COLLECTION["id"],
        "bbox": box,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": f"2023-01-{1 + number % 31:02d}T10:{number // 31:02d}:00Z",
            "eo:cloud_cover": float(number),
        },
        "links": [],
        "assets": {"red": {"href": "http://127.0.0.1/red.tif"}},
    }


def post(url: str, body: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(processes.answers(url, body=body) or b"{}")
    return document


def status_of(url: str, body: Any = None, headers: dict[str, str] | None = None) -> int:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.fixture
def cog(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(1, 10_000, (1, 1024, 1024), dtype="uint16")
    file = tmp_path / "scenes" / "red.tif"
    file.parent.mkdir()
    profile = {"width": 1024, "height": 1024, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(
        file, "w", driver="COG", blocksize=256, transform=from_origin(5e5, 5e6, 10, 10), **profile
    ) as cog:
        cog.write(pixels)
    return file


# Files over HTTP


@pytest.mark.parametrize(
    ("requested", "status", "first", "length"),
    [
        (None, 200, 0, 100),
        ("bytes=0-9", 206, 0, 10),
        ("bytes=90-", 206, 90, 10),
        ("bytes=90-400", 206, 90, 10),
        ("bytes=-7", 206, 93, 7),
        ("bytes=0-1,5-6", 200, 0, 100),
        ("bytes=100-", 416, 0, 0),
    ],
)
def test_ranges_are_answered_by_rfc_9110(
    tmp_path: Path, range_server: Serve, requested: str | None, status: int, first: int, length: int
) -> None:
    content = bytes(range(100))
    (tmp_path / "file.bin").write_bytes(content)
    server = range_server(tmp_path)
    request = urllib.request.Request(f"{server.url}/file.bin", headers={"Range": requested} if requested else {})
    try:
        response = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        assert response.status == status
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["ETag"]
        if status == 206:
            assert response.headers["Content-Range"] == f"bytes {first}-{first + length - 1}/100"
        if status == 416:
            assert response.headers["Content-Range"] == "bytes */100"
        assert response.read() == content[first : first + length]
    (logged,) = server.requests
    assert (logged.method, logged.path, logged.range, logged.status, logged.sent) == (
        *("GET", "file.bin", requested, status),
        length,
    )


def test_files_outside_the_folder_are_not_served(tmp_path: Path, range_server: Serve) -> None:
    (tmp_path / "secret").write_text("no")
    (tmp_path / "folder").mkdir()
    server = range_server(tmp_path / "folder")
    assert status_of(f"{server.url}/../secret") == 404
    assert status_of(f"{server.url}/%2e%2e/secret") == 404
    assert status_of(server.url) == 404


def test_gdal_reads_a_cog_in_ranges(cog: Path, range_server: Serve) -> None:
    server = range_server(cog.parent)
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open(f"{server.url}/red.tif") as remote,
    ):
        assert remote.overviews(1) == [2, 4]
        window = rasterio.windows.Window(512, 512, 256, 256)
        with rasterio.open(cog) as local:
            np.testing.assert_array_equal(remote.read(1, window=window), local.read(1, window=window))
    gets = [request for request in server.requests if request.method == "GET"]
    assert gets
    assert {request.status for request in gets} == {206}
    assert sum(request.sent for request in gets) < cog.stat().st_size / 2


def test_gdal_may_request_sidecar_files(cog: Path, range_server: Serve) -> None:
    server = range_server(cog.parent)
    with rasterio.open(f"{server.url}/red.tif") as remote:
        assert remote.shape == (1024, 1024)
    assert 404 in {request.status for request in server.requests}


def test_gdal_retries_after_errors_and_resets_which_are_counted(cog: Path, range_server: Serve) -> None:
    server = range_server(cog.parent)
    busy = server.fail("red.tif", times=2, status=503, method="GET")
    reset = server.fail("red.tif", times=1, kind="reset", method="GET", skip=1)
    options = {
        "GDAL_HTTP_MAX_RETRY": "5",
        "GDAL_HTTP_RETRY_DELAY": "0.01",
        "GDAL_HTTP_RETRY_CODES": "ALL",
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    }
    with (
        rasterio.Env(**options),
        rasterio.open(f"{server.url}/red.tif") as remote,
        rasterio.open(cog) as local,
    ):
        np.testing.assert_array_equal(remote.read(1), local.read(1))
    assert (busy.fired, reset.fired) == (2, 1)
    assert [request.fault for request in server.requests].count("reset") == 1


def test_each_kind_of_fault_has_its_effect(tmp_path: Path, range_server: Serve) -> None:
    (tmp_path / "file.bin").write_bytes(bytes(100))
    server = range_server(tmp_path)
    url = f"{server.url}/file.bin"

    always = server.fail("*.bin", times=None, status=403)
    assert [status_of(url) for _ in range(3)] == [403] * 3
    assert always.fired == 3
    server.heal()
    assert status_of(url) == 200

    server.fail("file.*", kind="reset")
    with pytest.raises((ConnectionResetError, RemoteDisconnected, urllib.error.URLError)):
        status_of(url)
    assert server.requests[-1].status is None

    server.fail("file.*", kind="truncate")
    with urllib.request.urlopen(url, timeout=10) as response, pytest.raises(IncompleteRead) as cut:
        response.read()
    assert len(cut.value.partial) == 50

    server.fail("file.*", status=429, retry_after=7)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    assert (refused.value.code, refused.value.headers["Retry-After"]) == (429, "7")
    refused.value.close()

    server.fail("file.*", kind="delay", seconds=0.3)
    start = time.monotonic()
    assert status_of(url) == 200
    assert time.monotonic() - start >= 0.3

    server.reset()
    assert server.requests == []
    assert status_of(url) == 200


def test_a_server_stops_while_a_response_is_delayed(tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(bytes(10))
    start = time.monotonic()
    with RangeServer(tmp_path) as server:
        server.fail(kind="delay", seconds=60)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{server.url}/file.bin", timeout=0.2)
    assert time.monotonic() - start < 30


# Earth Search


def test_a_search_returns_all_pages_and_is_counted_once(earth_search: Publish) -> None:
    server = earth_search([COLLECTION], [scene(number) for number in range(10)])
    client = pystac_client.Client.open(server.url)
    search = client.search(
        collections=["sentinel-2-c1-l2a"], datetime="2023-01-01/2023-01-31", bbox=[4, 50, 5, 51], limit=3
    )
    found = list(search.items())
    assert [item.id for item in found] == [f"scene-{number:03d}" for number in reversed(range(10))]
    assert search.matched() == 10
    pages = [request for request in server.requests if request.path == "v1/search" and "next" in request.body]
    assert len(pages) == 4, "three pages after the first, and an empty one"
    begun = [request for request in server.searches if request.body["limit"] == 3]
    assert len(begun) == 1
    assert all(page.body["collections"] == ["sentinel-2-c1-l2a"] for page in pages)


def test_pages_by_get_return_the_same_items(earth_search: Publish) -> None:
    server = earth_search([COLLECTION], [scene(number) for number in range(7)])
    client = pystac_client.Client.open(server.url)
    search = client.search(method="GET", bbox=[4, 50, 5, 51], limit=3, sortby="+properties.datetime")
    assert [item.id for item in search.items()] == [f"scene-{number:03d}" for number in range(7)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"bbox": [0, 0, 4.5, 60]}, [0, 1]),
        ({"bbox": [170, 0, -170, 60]}, [2]),
        ({"intersects": {"type": "Point", "coordinates": [4.5, 50.5]}}, [0, 1]),
        ({"intersects": {"type": "Point", "coordinates": [5.5, 50.5]}}, []),
        ({"datetime": "2023-01-02T10:00:00Z/2023-01-03T10:00:00Z"}, [1, 2]),
        ({"datetime": "../2023-01-02T09:59:59Z"}, [0]),
        ({"datetime": "2023-01-02T10:00:00Z"}, [1]),
        ({"ids": ["scene-000", "scene-002"]}, [0, 2]),
        ({"collections": ["landsat"]}, []),
        ({"query": {"eo:cloud_cover": {"lt": 1.5}}}, [0, 1]),
        ({"filter": {"op": "=", "args": [{"property": "id"}, "x"]}, "filter-lang": "cql2-json"}, [0, 1, 2]),
    ],
)
def test_a_search_returns_matching_items(earth_search: Publish, query: dict[str, Any], expected: list[int]) -> None:
    server = earth_search([COLLECTION], [scene(0), scene(1), scene(2, west=179.0)])
    page = post(f"{server.url}/search", query)
    assert sorted(item["id"] for item in page["features"]) == [f"scene-{number:03d}" for number in expected]
    assert page["numberMatched"] == page["context"]["matched"] == len(expected)


@pytest.mark.parametrize(
    "query",
    [
        {"bbox": [4, 51, 5, 50]},
        {"bbox": [179, 50, 181, 51]},
        {"bbox": [1, 2, 3]},
        {"datetime": "yesterday"},
        {"bbox": [4, 50, 5, 51], "intersects": {"type": "Point", "coordinates": [4, 50]}},
    ],
)
def test_an_invalid_query_is_refused(earth_search: Publish, query: dict[str, Any]) -> None:
    assert status_of(f"{earth_search([COLLECTION], []).url}/search", query) == 400


def test_pages_larger_than_the_limit_fail(earth_search: Publish) -> None:
    server = earth_search([COLLECTION], [scene(0)])
    assert status_of(f"{server.url}/search", {"limit": 250}) == 200
    assert status_of(f"{server.url}/search", {"limit": 251}) == 500
    server.max_limit = 60
    assert [status_of(f"{server.url}/search", {"limit": limit}) for limit in (250, 125, 62, 31)] == [
        500,
        500,
        500,
        200,
    ]


def test_a_busy_catalogue_sends_retry_after(earth_search: Publish) -> None:
    server = earth_search([COLLECTION], [scene(0)])
    busy = server.fail("v1/search", times=2, status=429, retry_after=1)
    assert [status_of(f"{server.url}/search", {}) for _ in range(3)] == [429, 429, 200]
    assert busy.fired == 2
    assert len(server.searches) == 1


def test_an_added_scene_is_found(earth_search: Publish) -> None:
    server = earth_search([COLLECTION], [scene(0)])
    server.add(scene(5))
    assert [item["id"] for item in post(f"{server.url}/search", {})["features"]] == ["scene-005", "scene-000"]


def _recorded(shared_real: Path) -> dict[str, dict[str, Any]]:
    folder = shared_real / "stac_recorded" / "earth_search_v1"
    return {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}


def _links(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return links without the origin and the token of the server."""
    return [
        (
            *(link["rel"], link.get("type"), link.get("method"), link.get("merge"), link.get("title")),
            link["href"].partition("/v1")[2],
            {**link["body"], "next": "..."} if "body" in link else None,
        )
        for link in document["links"]
    ]


@pytest.mark.real
def test_responses_have_the_structure_of_recorded_responses(shared_real: Path, earth_search: Publish) -> None:
    recorded = _recorded(shared_real)
    collections = recorded["GET_collections"]["response"]["body"]["collections"]
    items = {
        (item["collection"], item["id"]): item
        for exchange in recorded.values()
        for item in exchange["response"]["body"].get("features", ())
        if "geometry" in item and "assets" in item
    }
    c1 = shared_real / "stac_recorded" / "items_earth_search_c1" / "item-collection_13TDE_10items.json"
    items |= {(item["collection"], item["id"]): item for item in json.loads(c1.read_text())["features"]}
    server = earth_search(collections, items.values())

    searches = {name: exchange for name, exchange in recorded.items() if name.startswith("POST_search")}
    assert len(searches) > 10
    for name, exchange in searches.items():
        real = exchange["response"]["body"]
        ours = post(f"{server.url}/search", exchange["request"]["body"])
        assert list(ours) == list(real), name
        assert list(ours["context"]) == list(real["context"]), name
        assert ours["context"]["limit"] == real["context"]["limit"], name
        assert bool(ours["features"]) == bool(real["features"]), name
        assert _links(ours) == _links(real), name
        if ours["features"]:
            assert set(ours["features"][0]) == set(real["features"][0]), name

    first, second = (recorded[f"POST_search_multi_collections_p{page}"] for page in (1, 2))
    ours = post(f"{server.url}/search", first["request"]["body"])
    real = first["response"]["body"]
    assert [item["id"] for item in ours["features"]] == [item["id"] for item in real["features"]]
    assert ours["links"][0]["body"] == second["request"]["body"]
    empty = post(f"{server.url}/search", ours["links"][0]["body"])
    for key in ("features", "context", "numberMatched", "numberReturned"):
        assert empty[key] == second["response"]["body"][key]

    landing, real = json.loads(processes.answers(server.url) or b""), recorded["GET_root"]["response"]["body"]
    assert list(landing) == list(real)
    assert landing["conformsTo"] == real["conformsTo"]
    here = [link for link in _links(landing) if link[0] != "server"]
    assert here == [link for link in _links(real) if link[0] != "server"]
    every, real = (
        json.loads(processes.answers(f"{server.url}/collections") or b""),
        recorded["GET_collections"],
    )
    assert list(every) == list(real["response"]["body"])
    assert every["context"] == real["response"]["body"]["context"]
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"{server.url}/collections/foo", timeout=10)
    with missing.value as answer:
        assert answer.code == 404
        assert json.loads(answer.read()) == recorded["GET_collections_foo"]["response"]["body"]


@pytest.mark.real
def test_real_scenes_are_found_and_read_over_http(
    shared_real: Path, range_server: Serve, earth_search: Publish
) -> None:
    folder = shared_real / "scenes" / "antwerp-2023q4"
    files = range_server(folder)
    collection, items = read_catalogue(folder, files.url)
    client = pystac_client.Client.open(earth_search([collection], items).url)
    found = list(client.search(collections=[collection["id"]], datetime="2023-10", limit=4).items())
    assert len(found) == 6
    with rasterio.open(found[0].assets["red"].href) as band:
        assert band.shape == (52, 46)
        assert band.read(1).any()


# Processes


def test_a_process_that_ends_early_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with (
        processes.running(command, log) as process,
        pytest.raises(RuntimeError, match=r"(?s)it ended with 1.*no such thing"),
    ):
        processes.wait_until(lambda: False, "it", seconds=30, process=process, log=log)


def test_a_process_and_its_children_end_with_the_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = "import time; print('up', flush=True); time.sleep(600)"
    parent = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
        "print(child.pid, flush=True); child.wait()"
    )
    with processes.running([sys.executable, "-c", parent], log) as process:
        processes.wait_until(lambda: "up" in log.read_text(), "child", seconds=30, process=process, log=log)
        pid = int(log.read_text().split()[0])
        assert not has_ended(pid)
    assert process.poll() is not None
    until(lambda: has_ended(pid), "the child ends")


def test_rustac_serves_items_as_an_api(tmp_path: Path, rustac_api: Callable[..., str]) -> None:
    collection, items = tmp_path / "collection.json", tmp_path / "items.json"
    collection.write_text(json.dumps(COLLECTION))
    items.write_text(json.dumps({"type": "FeatureCollection", "features": [scene(number) for number in range(5)]}))
    client = pystac_client.Client.open(rustac_api(collection, items))
    found = list(client.search(collections=[COLLECTION["id"]], bbox=[4, 50, 5, 51], limit=2).items())
    assert sorted(item.id for item in found) == [f"scene-{number:03d}" for number in range(5)]


def test_s3_returns_written_objects(moto_s3: S3) -> None:
    files = s3fs.S3FileSystem(**moto_s3.storage_options, skip_instance_cache=True)
    files.pipe(moto_s3.uri("folder/object"), b"pixels")
    assert files.cat(moto_s3.uri("folder/object")) == b"pixels"
    assert files.ls(moto_s3.uri("folder")) == [f"{moto_s3.bucket}/folder/object"]


def test_each_test_has_a_separate_bucket(moto_s3: S3) -> None:
    files = s3fs.S3FileSystem(**moto_s3.storage_options, skip_instance_cache=True)
    assert files.find(f"s3://{moto_s3.bucket}") == []


def test_dask_workers_are_processes_that_import_the_repository(dask_cluster: DaskCluster) -> None:
    from distributed import Client

    with Client(dask_cluster.address) as client:
        assert set(client.run(os.getpid).values()) == set(dask_cluster.worker_pids)
        assert client.submit(_where_ardcube_is).result(timeout=30) == str(processes.ROOT / "ardcube")
        assert set(client.run(os.environ.get, "PREFECT_API_URL").values()) == {os.environ["PREFECT_API_URL"]}


def _where_ardcube_is() -> str:
    import ardcube

    return str(Path(ardcube.__file__).parent)


@pytest.mark.slow
def test_flows_in_two_processes_use_the_same_prefect_server(prefect_server: PrefectServer, tmp_path: Path) -> None:
    from prefect import flow

    @flow(name="in-this-process")
    def here() -> int:
        return 1

    assert here() == 1
    file = tmp_path / "elsewhere.py"
    file.write_text(
        "from prefect import flow\n\n@flow(name='in-another')\ndef there(): return 2\n\nassert there() == 2\n"
    )
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    # Other tests share the server, so only the runs of these two flows are requested.
    names = ["in-this-process", "in-another"]
    body = {"flows": {"name": {"any_": names}}}
    runs = prefect_server.ask("flow_runs/filter", body)
    assert [run["state"]["type"] for run in runs] == ["COMPLETED"] * len(names)


@pytest.mark.slow
def test_a_prefect_worker_is_online_until_the_block_ends(prefect_server: PrefectServer, tmp_path: Path) -> None:
    with processes.prefect_worker(prefect_server, tmp_path, pool="servers") as worker:
        assert not has_ended(worker.pid)
        pool = prefect_server.ask("work_pools/servers")
        assert (pool["type"], pool["status"]) == ("process", "READY")
    assert has_ended(worker.pid)


# No outbound connections


def test_no_connection_leaves_this_machine() -> None:
    with socket.socket() as outgoing, pytest.raises(ForeignAddressError, match=r"203\.0\.113\.1"):
        outgoing.connect(("203.0.113.1", 80))
    with pytest.raises(ForeignAddressError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)
    child = "import urllib.request; urllib.request.urlopen('http://203.0.113.1/', timeout=20)"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, timeout=60, check=False)
    assert "Connection refused" in done.stderr
    assert time.monotonic() - start < 10
