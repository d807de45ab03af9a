"""The whole job on real services: STAC APIs, files over HTTP, S3, Dask; and who else reads the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rustac
import xarray as xr
from click.testing import CliRunner
from rasterio.crs import CRS

from ardcube.config import CubeConfig
from ardcube.pixels.masks import cloud_mask
from ardcube.planning.plan import CubePlan
from ardcube.prepare.check import check_request
from ardcube.prepare.make_plan import make_plan, search_scenes
from benchmarks.prefect_side import Services, latest_flow_run, settled
from flows.build_cube import build_cube
from flows.cli import cli
from tests import gdal_zarr
from tests.flows import jobs
from tests.flows.jobs import environment_of, options, pixels, records, run_config, sample_cube
from tests.flows.remote import Remote
from tests.servers import processes
from tests.servers.earth_search import EarthSearch, read_catalogue
from tests.servers.processes import S3, DaskCluster, PrefectServer
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
Publish = Callable[[Iterable[Any], Iterable[Any]], EarthSearch]

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red", "nir")}


def plan_of(cube: CubeConfig, roots: tuple[str, ...] = ()) -> CubePlan:
    """Plan a cube without writing anything or reading a pixel."""
    run = run_config("memory://plan", allow_asset_roots=roots)
    request = check_request(cube, run, cloud_mask(cube.cloud_mask, cube.cloud_mask_options), build=False)
    return make_plan(request, search_scenes(request), build=False)


@pytest.mark.usefixtures("prefect_server")
def test_a_build_with_all_services_equals_a_local_build(
    sample_archive: Path,
    tmp_path: Path,
    range_server: Serve,
    rustac_api: Callable[..., str],
    moto_s3: S3,
) -> None:
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run_config(tmp_path / "local.zarr"))
    local = pixels(tmp_path / "local.zarr")

    files = range_server(sample_archive)
    catalogue = Remote.of(sample_archive, files).write(tmp_path / "catalogue")
    api = rustac_api(catalogue / "collection.json", catalogue / "items.json")
    uri, endpoint = moto_s3.uri("cubes/alps.zarr"), {"endpoint_url": moto_s3.endpoint_url}
    # Credentials are in the environment of the command and of the workers, and nowhere else.
    credentials = {name: value for name, value in moto_s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    with processes.dask_cluster(tmp_path, workers=1, env=credentials) as cluster:
        run = run_config(
            uri,
            storage_options=endpoint,
            serverless_backend="dask",
            scheduler_address=cluster.address,
            threads=None,
            batch_size=1,
        )
        done = jobs.run(["build", *options(sample_cube(api, **SIX_CHUNKS), run)], credentials)
    assert done.returncode == 0, done.stderr
    assert "6 written, 0 empty, 0 failed" in done.stdout
    assert {request.status for request in files.requests if request.method == "GET"} == {206}

    with environment_of(credentials):
        assert pixels(uri, endpoint) == local
        assert {record.status for record in records(uri, endpoint).values()} == {"written"}
        arguments = ["status", uri, "--storage-option", f"endpoint_url={moto_s3.endpoint_url}"]
        table = CliRunner().invoke(cli, arguments)
        assert table.exit_code == 0, table.output
        assert [line.split()[1:4] for line in table.output.splitlines() if "2023-" in line] == [
            [f"2023-0{month}", "│", "2"] for month in (5, 6, 7)
        ]
        printed = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
        assert [chunk["status"] for chunk in printed["chunks"]] == ["written"] * 6
        assert processes.S3_KEY not in json.dumps(printed["cube"])
        with xr.open_zarr(uri, storage_options=endpoint) as cube:
            assert dict(cube.sizes)["time"] == 3
            assert cube.rgb_median.isel(time=0).notnull().any()


@pytest.mark.usefixtures("prefect_server")
def test_earth_search_is_queried_once_per_period_and_with_smaller_pages_if_needed(
    sample_archive: Path, tmp_path: Path, range_server: Serve, earth_search: Publish
) -> None:
    remote = Remote.of(sample_archive, range_server(sample_archive))
    server = earth_search([remote.collection], remote.items)
    changes = {"end_date": "2023-06-30", "bands": ("red",)}
    summary = build_cube(sample_cube(server.url, **changes), run_config(tmp_path / "cube.zarr"))
    assert summary.chunks == 16
    assert [request.body["datetime"] for request in server.searches] == [
        "2023-05-01T00:00:00Z/2023-06-01T00:00:00Z",
        "2023-06-01T00:00:00Z/2023-07-01T00:00:00Z",
    ]
    assert {request.body["limit"] for request in server.searches} == {250}
    build_cube(sample_cube(sample_archive, **changes), run_config(tmp_path / "local.zarr"))
    assert pixels(tmp_path / "cube.zarr") == pixels(tmp_path / "local.zarr")

    server.reset()
    server.max_limit = 100
    june = sample_cube(server.url, **{**changes, "start_date": "2023-06-01"})
    plan = plan_of(june)
    asked = [request for request in server.requests if request.path == "v1/search"]
    assert [(request.body["limit"], request.status) for request in asked][:3] == [(250, 500), (125, 500), (62, 200)]
    assert len(server.searches) == 1
    local = plan_of(june.model_copy(update={"stac_url": str(sample_archive)}))
    assert [job.inputs for job in plan.jobs] == [job.inputs for job in local.jobs]


def recorded_l2a(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Collection and items of `sentinel-2-l2a` as Earth Search gave them."""
    documents = [json.loads(file.read_text()) for file in sorted((folder / "items_earth_search_v1_l2a").glob("*.json"))]
    return (
        next(document for document in documents if document["type"] == "Collection"),
        [document for document in documents if document["type"] == "Feature"],
    )


@pytest.mark.real
def test_recorded_items_are_planned_alike_from_earth_search_and_rustac(
    shared_real: Path, tmp_path: Path, earth_search: Publish, rustac_api: Callable[..., str]
) -> None:
    collection, items = recorded_l2a(shared_real / "stac_recorded")
    c1 = shared_real / "stac_recorded" / "items_earth_search_c1"
    c1_collection = json.loads((c1 / "collection_sentinel-2-c1-l2a.json").read_text())
    c1_items = json.loads((c1 / "item-collection_13TDE_10items.json").read_text())["features"]
    for name, documents in (("l2a", items), ("c1", c1_items)):
        for item in documents:  # as an API gives them: no relative links to a file's neighbours
            item["links"] = []
        (tmp_path / f"{name}.json").write_text(json.dumps({"type": "FeatureCollection", "features": documents}))
    (tmp_path / "l2a-collection.json").write_text(json.dumps({**collection, "links": []}))
    (tmp_path / "c1-collection.json").write_text(json.dumps({**c1_collection, "links": []}))
    server = earth_search([collection, c1_collection], [*items, *c1_items])
    rustac_url = rustac_api(*(tmp_path / f"{name}.json" for name in ("l2a-collection", "c1-collection", "l2a", "c1")))
    winter = {
        "bbox": (15.4, 47.0, 15.6, 47.1),
        "start_date": "2022-01-01",
        "end_date": "2022-02-28",
        "collection": "sentinel-2-l2a",
    }
    spring = {"bbox": (-105.2, 40.0, -105.0, 40.2), "start_date": "2024-03-01", "end_date": "2024-04-30",
              "collection": "sentinel-2-c1-l2a"}  # fmt: skip
    plans = {
        (name, url): plan_of(CubeConfig(stac_url=url, resolution=0.001, chunk_size=100, cloud_mask="scl", **area))
        for name, area in (("winter", winter), ("spring", spring))
        for url in (server.url, rustac_url)
    }
    for name in ("winter", "spring"):
        ours, theirs = plans[name, server.url], plans[name, rustac_url]
        assert [(job.key, job.inputs, job.scenes) for job in ours.jobs] == [
            (job.key, job.inputs, job.scenes) for job in theirs.jobs
        ]
        assert ours.spec.encoding.offset == theirs.spec.encoding.offset == {"winter": 0.0, "spring": -0.1}[name]
    # Of January 30th the items say -0.1 and that it was applied to the pixels; of February 26th that it was not.
    assert {
        scene.id: scene.bands["red"].offset
        for scenes in plans["winter", server.url].scenes.values()
        for scene in scenes
    } == {
        "S2A_33TWN_20220122_0_L2A": 0.0,
        "S2B_33TWN_20220130_0_L2A": 0.0,
        "S2B_33TWN_20220226_0_L2A": -0.1,
    }
    found = plans["spring", server.url].scenes
    assert {label: len(scenes) for label, scenes in found.items()} == {"2024-03": 1, "2024-04": 9}
    assert {scene.bands["nir"].offset for scenes in found.values() for scene in scenes} == {-0.1}
    assert {scene.bands["scl"].offset for scenes in found.values() for scene in scenes} == {0.0}
    assert all(scene.bands["red"].href.startswith("https://") for scenes in found.values() for scene in scenes)


def test_a_folder_a_file_and_a_geoparquet_give_the_same_plan(sample_archive: Path, tmp_path: Path) -> None:
    _, items = read_catalogue(sample_archive)
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    rustac.write_sync(str(tmp_path / "items.parquet"), items)
    folder, *files = (
        plan_of(sample_cube(place), (str(sample_archive),))
        for place in (sample_archive, tmp_path / "items.json", tmp_path / "items.parquet")
    )
    for other in files:
        assert [(job.key, job.inputs, job.scenes) for job in other.jobs] == [
            (job.key, job.inputs, job.scenes) for job in folder.jobs
        ]
        assert {scene.id: scene.bands for scenes in other.scenes.values() for scene in scenes} == {
            scene.id: scene.bands for scenes in folder.scenes.values() for scene in scenes
        }
        assert other.spec.encoding.offset == folder.spec.encoding.offset


@pytest.mark.usefixtures("prefect_server")
def test_gdal_opens_the_store_at_the_right_place(sample_archive: Path, tmp_path: Path) -> None:
    cube = sample_cube(sample_archive, end_date="2023-05-31")
    build_cube(cube, run_config(tmp_path / "cube.zarr"))
    built = pixels(tmp_path / "cube.zarr")
    composite = gdal_zarr.read(tmp_path / "cube.zarr", "rgb_median")
    count = gdal_zarr.read(tmp_path / "cube.zarr", "observation_count")
    for raster in (composite, count):
        assert CRS.from_wkt(raster.wkt).to_epsg() == 4326
        np.testing.assert_allclose(raster.geotransform, (11.96, 0.0005, 0, 46.89, 0, -0.0005), rtol=0, atol=1e-9)
    # GDAL's bands run over time and band here, over time there.
    np.testing.assert_array_equal(composite.pixels, built.values[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(count.pixels, built.count)
    assert composite.pixels.any()


def test_a_worker_that_served_another_prefect_server_reports_to_that_of_the_run(
    sample_archive: Path,
    tmp_path: Path,
    prefect_server: PrefectServer,
    prefect_home: Path,
    dask_cluster: DaskCluster,
) -> None:
    cube = sample_cube(sample_archive, **SIX_CHUNKS, end_date="2023-05-31", cloud_mask="none")
    where = {"serverless_backend": "dask", "scheduler_address": dask_cluster.address, "threads": None, "batch_size": 1}
    temporary = {
        "PREFECT_API_URL": "",
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    done = jobs.run(["build", *options(cube, run_config(tmp_path / "before", **where))], temporary)
    assert done.returncode == 0, done.stderr
    build_cube(cube, run_config(tmp_path / "now", **where))
    services = Services("sqlite", prefect_server)
    assert settled(services, latest_flow_run(services), 2) == ({"COMPLETED": 2}, 6)
