"""Cubes of the real scenes on grids of many CRS equal the oracle in every value, and a granule's own grid passes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
import shapely
import zarr
from pyproj import CRS, Transformer

import ardcube
from ardcube.config import CubeConfig
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import OracleCube, oracle_cube, read_catalogue
from tests.oracle.masks import DEMO

pytestmark = pytest.mark.real

LAEA = CRS.from_proj4("+proj=laea +lat_0=46 +lon_0=15.7 +datum=WGS84 +units=m").to_wkt()
"""A CRS without a code."""
ZAGREB = ("zagreb-2023-08", (15.60, 45.98, 15.75, 46.06), "2023-08")
ANTWERP = ("antwerp-2023q4", (4.2608, 51.3086, 4.2675, 51.3134), "2023-10")
INN = ("inn-2021", (13.08, 48.28, 13.18, 48.32), "2021-06")
LAOS = ("laos-2020", (103.73, 17.92, 103.79, 17.96), "2020-02")


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid over a folder of real scenes."""

    scenes: str
    bbox: tuple[float, float, float, float]
    month: str
    crs: str
    resolution: float
    align: Literal["edge", "center"] = "edge"
    bands: tuple[str, ...] = ("red", "nir")
    cloud_mask: Literal["none", "scl"] = "none"


GRIDS = {
    "own zone": Grid(*ZAGREB, "EPSG:32633", 100, cloud_mask="scl"),
    "next zone": Grid(*ZAGREB, "EPSG:32634", 100, align="center"),
    "southern zone": Grid(*ZAGREB, "EPSG:32733", 120),
    "LAEA of Europe": Grid(*ZAGREB, "EPSG:3035", 100, cloud_mask="scl"),
    "LAEA in WKT": Grid(*ZAGREB, LAEA, 90),
    "Web Mercator": Grid(*ANTWERP, "EPSG:3857", 20, cloud_mask="scl"),
    "British National Grid": Grid(*ANTWERP, "EPSG:27700", 10),
    "EASE": Grid(*ANTWERP, "EPSG:6933", 10, align="center"),
    "Albers of the USA": Grid(*INN, "EPSG:5070", 60),
    "north polar": Grid(*INN, "EPSG:3413", 60, align="center"),
    "south polar": Grid(*LAOS, "EPSG:3031", 200, bands=("red",)),
    "finer than the source": Grid(*INN, "EPSG:32633", 7),
}


def expected(archive: Path, grid: Grid, nudge: float) -> OracleCube:
    items, collection = read_catalogue(archive)
    return oracle_cube(
        items,
        collection,
        bbox=grid.bbox,
        start=f"{grid.month}-01",
        end=f"{grid.month}-28",
        resolution=grid.resolution,
        crs=grid.crs,
        anchor=grid.align,
        bands=grid.bands,
        cloud_mask=grid.cloud_mask,
        mask=DEMO,
        nudge=nudge,
    )


def build(archive: Path, store: Path, grid: Grid, **changes: Any) -> zarr.Group:
    cube = CubeConfig(
        stac_url=str(archive),
        collection="sentinel-2-l2a",
        start_date=grid.month,
        end_date=grid.month,
        chunk_size=96,
        bands=grid.bands,
        cloud_mask=grid.cloud_mask,
        **{"bbox": grid.bbox, "crs": grid.crs, "resolution": grid.resolution, "align": grid.align} | changes,
    )
    assert ardcube.build(cube, store, threads=2).written
    return zarr.open_group(str(store), mode="r")


@pytest.mark.parametrize("name", GRIDS)
def test_cubes_equal_the_oracle_in_every_crs(shared_real: Path, tmp_path: Path, name: str) -> None:
    grid = GRIDS[name]
    archive = shared_real / "scenes" / grid.scenes
    group = build(archive, tmp_path / "cube.zarr", grid)
    right = expected(archive, grid, 0.0)
    np.testing.assert_array_equal(group["x"][...], right.x)
    np.testing.assert_array_equal(group["y"][...], right.y)
    assert_equals_oracle(group["rgb_median"][...], group["observation_count"][...], partial(expected, archive, grid))


def move_to_the_antimeridian(archive: Path, folder: Path) -> None:
    """Copy an archive of zone 33, with its rasters and footprints moved to zone 1, across longitude 180."""
    metres_west, degrees = 288_000, Transformer.from_crs("EPSG:32601", "EPSG:4326", always_xy=True)
    for source in archive.glob("*/*_L2A.json"):
        item = json.loads(source.read_text())
        home = folder / item["id"]
        home.mkdir(parents=True)
        for key, asset in item["assets"].items():
            with rasterio.open(source.parent / asset["href"]) as raster:
                profile, pixels, bounds = raster.profile, raster.read(), raster.bounds
            profile["transform"] = rasterio.Affine.translation(-metres_west, 0) @ profile["transform"]
            with rasterio.open(home / asset["href"], "w", **profile | {"crs": "EPSG:32601"}) as raster:
                raster.write(pixels)
            moved = {"proj:epsg": 32601, "proj:code": "EPSG:32601", "proj:transform": list(profile["transform"])[:6]}
            kept = {name: value for name, value in asset.items() if name not in ("file:size", "file:checksum")}
            item["assets"][key] = kept | moved
        item["properties"] |= moved
        outline = shapely.segmentize(shapely.box(*bounds), 5_000)
        x, y = shapely.get_coordinates(outline).T
        lon, lat = degrees.transform(x - metres_west, y)
        whole = shapely.Polygon(np.column_stack([lon % 360, lat]))
        halves = [
            whole.intersection(shapely.box(0, -90, 180, 90)),
            shapely.transform(whole.intersection(shapely.box(180, -90, 360, 90)), lambda part: part - (360, 0)),
        ]
        item["geometry"] = shapely.geometry.mapping(shapely.MultiPolygon(halves))
        item["bbox"] = [halves[0].bounds[0], whole.bounds[1], halves[1].bounds[2], whole.bounds[3]]
        (home / f"{item['id']}.json").write_text(json.dumps(item))
    (folder / "collection.json").write_bytes((archive / "collection.json").read_bytes())


def test_degrees_across_the_antimeridian_equal_the_oracle(shared_real: Path, tmp_path: Path) -> None:
    """Half of the pixels are at either side of longitude 180; the scenes are of a zone of one side."""
    archive = tmp_path / "archive"
    move_to_the_antimeridian(shared_real / "scenes" / ZAGREB[0], archive)
    grid = Grid(ZAGREB[0], (179.95, 45.97, 180.05, 46.04), "2023-08", "EPSG:4326", 0.001, cloud_mask="scl")
    group = build(archive, tmp_path / "cube.zarr", grid)
    right = expected(archive, grid, 0.0)
    assert group["observation_count"].shape == right.count.shape
    for half in (right.count[..., :50], right.count[..., 50:]):
        assert half.any(axis=0).mean() > 0.5
    np.testing.assert_array_equal(group["longitude"][...], right.x)
    assert_equals_oracle(group["rgb_median"][...], group["observation_count"][...], partial(expected, archive, grid))


def test_digital_numbers_pass_unchanged_where_the_grid_is_the_granules(shared_real: Path, tmp_path: Path) -> None:
    """Each value of a cube of one scene is that of the file at the pixel."""
    archive = shared_real / "scenes" / "antwerp-2023q4"
    items, _ = read_catalogue(archive)
    one = min((item for item in items if item["properties"]["datetime"].startswith("2023-10")), key=lambda i: i["id"])
    with rasterio.open(one["assets"]["red"]["href"]) as file:
        numbers, transform, crs = file.read(1), file.transform, f"EPSG:{file.crs.to_epsg()}"
    west, north = transform.c, transform.f
    east, south = west + transform.a * numbers.shape[1], north + transform.e * numbers.shape[0]
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    box = to_degrees.transform_bounds(west + 100, south + 100, east - 100, north - 100)
    catalogue = tmp_path / "one"
    catalogue.mkdir()
    (catalogue / "item.json").write_text(json.dumps(one))
    (catalogue / "collection.json").write_bytes((archive / "collection.json").read_bytes())
    group = build(catalogue, tmp_path / "cube.zarr", Grid("", box, "2023-10", crs, 10, bands=("red",)))
    rows = np.round((group["y"][...] - north) / transform.e - 0.5).astype(int)
    columns = np.round((group["x"][...] - west) / transform.a - 0.5).astype(int)
    inside = np.ix_((rows >= 0) & (rows < numbers.shape[0]), (columns >= 0) & (columns < numbers.shape[1]))
    found = group["rgb_median"][0, :, :, 0][inside]
    native = numbers[np.ix_(rows[inside[0].ravel()], columns[inside[1].ravel()])]
    seen = found != 0
    assert seen.mean() > 0.5
    np.testing.assert_array_equal(found[seen], native[seen])
