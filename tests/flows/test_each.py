"""One cube for each feature in one flow run: one summary, one exit code, and the same cubes as one by one."""

from __future__ import annotations

import shutil
import sys
from datetime import date
from pathlib import Path

import geopandas
import pytest
import shapely

import ardcube
from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig
from ardcube.report.each import cubes_page
from ardcube.report.summary import ChunksFailedError
from flows.build_cube import build_cube
from flows.command import main
from flows.refresh_cube import refresh_cube
from tests.flows.jobs import SAMPLE, options, pixels, records, run_config, sample_cube
from tests.servers.processes import DaskCluster, PrefectServer

AREAS = {"north": shapely.box(11.97, 46.87, 12.01, 46.89), "south": shapely.box(11.98, 46.85, 12.04, 46.86)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    frame = geopandas.GeoDataFrame({"name": list(AREAS)}, geometry=list(AREAS.values()), crs="EPSG:4326")
    frame.to_file(tmp_path / "areas.gpkg")
    return tmp_path / "areas.gpkg"


def scenes_of(uri: Path) -> list[str]:
    return [scene for record in records(uri).values() for scene in record.scenes]


def cube_of(archive: Path, file: Path) -> ardcube.CubeConfig:
    return sample_cube(archive, bbox=None, geometry_file=str(file), clip=True, end_date="2023-05-31")


def test_one_flow_run_builds_all_cubes_and_names_the_failed_ones(
    prefect_server: PrefectServer, sample_archive: Path, file: Path, tmp_path: Path
) -> None:
    archive = Path(shutil.copytree(sample_archive, tmp_path / "archive"))
    cube, run = cube_of(archive, file), run_config(tmp_path / "regions", each="name")
    summary = build_cube(cube, run)
    assert [one.name for one in summary.cubes] == list(AREAS)
    assert summary.written == summary.chunks > 2
    ids = [set(scenes_of(tmp_path / "regions" / f"{name}.zarr")) for name in AREAS]
    assert summary.scenes == len(set.union(*ids)) < sum(map(len, ids))  # a scene of both cubes counts once
    ardcube.build(cube, tmp_path / "threads", each="name")
    for name in AREAS:
        assert pixels(tmp_path / "regions" / f"{name}.zarr") == pixels(tmp_path / "threads" / f"{name}.zarr")

    shutil.rmtree(tmp_path / "regions" / "south.zarr")
    shutil.rmtree(tmp_path / "regions" / "south.zarr.ardcube")
    for band in archive.rglob("B04.tif"):
        band.unlink()
    with pytest.raises(ChunksFailedError, match=r"1 of 2 cubes failed: south .*; run again to build only the missing"):
        build_cube(cube, run)
    pages = prefect_server.ask("artifacts/filter", {"artifacts": {"key": {"any_": ["regions-summary"]}}})
    complete, failed = sorted((page["data"] for page in pages), key=lambda text: "B04.tif" in text)
    assert "| south | 3 | 3 | 0 | 0 | 0 | 0 | 0.0 |  |  |" in complete
    assert "| south | 3 | 0 | 0 | 0 | 3 | 0 | 0.0 |  | 3 of 3 chunks failed" in failed
    names = {run["name"] for run in prefect_server.ask("flow_runs/filter", {})}
    assert f"regions each name 2023-05..2023-05 [{file.name}]" in names


@pytest.mark.usefixtures("prefect_server")
def test_cubes_of_all_features_grow_on_a_cluster(
    dask_cluster: DaskCluster, sample_archive: Path, file: Path, tmp_path: Path
) -> None:
    fields = SAMPLE | {"stac_url": str(sample_archive), "bbox": None, "geometry_file": str(file), "clip": True}
    cube = GrowingCubeConfig(**{name: value for name, value in fields.items() if name != "end_date"})
    on_dask = {"serverless_backend": "dask", "scheduler_address": dask_cluster.address}
    run = run_config(tmp_path / "regions", each="name", report=True, **on_dask)
    first = refresh_cube(cube, run, RefreshConfig(as_of=date(2023, 6, 10)))
    grown = refresh_cube(cube, run, RefreshConfig(as_of=date(2023, 7, 10)))
    assert (grown.chunks, grown.already_done, grown.failed) == (2 * first.chunks, first.written, 0)
    ardcube.build(CubeConfig(**fields | {"end_date": "2023-06-30"}), tmp_path / "threads", each="name")
    for name, one in zip(AREAS, grown.cubes, strict=True):
        assert pixels(tmp_path / "regions" / f"{name}.zarr") == pixels(tmp_path / "threads" / f"{name}.zarr")
        assert one.summary is not None
        assert Path(str(one.summary.report)).is_file()
        assert f"| {one.summary.report} |  |" in cubes_page(grown)


@pytest.mark.usefixtures("prefect_server")
def test_the_command_prints_the_plans_and_the_summaries_of_all_cubes(
    sample_archive: Path,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = options(cube_of(sample_archive, file), run_config(tmp_path / "cubes", each="name", report=True))
    printed = []
    for verb in ("plan", "build", "build"):
        monkeypatch.setattr(sys, "argv", ["ardcube", verb, *words])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 0
        printed.append(capsys.readouterr().out)
        assert (tmp_path / "cubes").exists() == (verb == "build")
    plan, build, again = printed
    assert "2 cubes" in plan
    assert "cube south (2 of 2)" in plan
    assert "north: 2 chunks: 2 written" in build
    assert "south: 3 chunks: 3 written" in build
    assert "south: 3 chunks: 3 done before" in again
    assert f"\n                {tmp_path}/cubes/south.zarr.ardcube/report.html\n" in build
    for verb in (["status"], ["stac"], ["report", "--output", str(tmp_path / "page.html")], ["retry"]):
        monkeypatch.setattr(sys, "argv", ["ardcube", verb[0], str(tmp_path / "cubes"), *verb[1:]])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr().err
        assert caught.value.code == 2
        folder = f"{tmp_path}/cubes"
        assert f"{folder}: a folder of cubes (north.zarr, south.zarr); give one of them, such as {folder}/north" in said
