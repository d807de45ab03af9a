"""Cubes of real Sentinel-2, Landsat and HLS scenes equal the oracle in every value, in the encoding that suits them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
import shapely
import zarr
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

import ardcube
from ardcube.config import CubeConfig
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import Encoding, Item, OracleCube, oracle_cube, read_catalogue

pytestmark = pytest.mark.real

LAEA = CRS.from_proj4("+proj=laea +lat_0=50.72 +lon_0=-3.51 +datum=WGS84 +units=m").to_wkt()
EXETER = (-3.553, 50.692, -3.467, 50.748)
BRUMADINHO = (-44.2, -20.175, -44.08, -20.1)
LANDSAT = Encoding(2.75e-5, -0.2)
HLS = Encoding(0.0001, -0.9999)
"""Numbers of HLS are moved by 9999, so that -9998, the smallest, becomes 1."""


@dataclass(frozen=True, slots=True)
class Request:
    """A cube of real scenes, and the encodings of its files and of itself."""

    folder: str
    bbox: tuple[float, float, float, float]
    start: str
    end: str
    crs: str
    resolution: float
    bands: tuple[str, ...]
    encoding: Encoding
    """That the cube must have."""
    stated: tuple[float, float]
    """Scale and offset of all files, unless the test changes them."""
    align: Literal["edge", "center"] = "edge"
    chunk: int = 96
    options: dict[str, Any] = field(default_factory=dict)


def landsat(crs: str, resolution: float, **changes: Any) -> Request:
    values: dict[str, Any] = {"bands": ("red", "nir08"), "encoding": LANDSAT, "stated": (2.75e-5, -0.2)}
    return Request("landsat-c2l2-30m-crops", BRUMADINHO, "2019-01", "2019-01", crs, resolution, **values | changes)


def hls(crs: str, resolution: float, **changes: Any) -> Request:
    values: dict[str, Any] = {"bands": ("B02", "B08"), "encoding": HLS, "stated": (0.0001, 0.0)}
    return Request("hls-s30-exeter-stack/per-band", EXETER, "2021-06", "2021-07", crs, resolution, **values | changes)


def sentinel(crs: str, resolution: float, **changes: Any) -> Request:
    values: dict[str, Any] = {"bands": ("B04", "nir"), "encoding": Encoding(offset=-0.1), "stated": (0.0001, -0.1)}
    return Request("s2-exeter-stack/per-band", EXETER, "2024-06", "2024-08", crs, resolution, **values | changes)


def to_tenths(low: int = 1, high: int = 65535) -> dict[str, Any]:
    """A cube of the scale 0.0001 from files of Landsat."""
    return {"encoding": Encoding(0.0001, -0.2, low, high), "options": {"encoding": "scale=0.0001,offset=-0.2"}}


REQUESTS = {
    "landsat, own grid": landsat("EPSG:32623", 30, align="center"),
    "landsat, half a pixel off": landsat("EPSG:32623", 30),
    "landsat, southern zone": landsat("EPSG:32723", 45),
    "landsat, degrees": landsat("EPSG:4326", 0.0004, chunk=64),
    "landsat, overviews": landsat("EPSG:32623", 90),
    "landsat, another scale": landsat("EPSG:32623", 45, **to_tenths()),
    "landsat, clipped": landsat(
        "EPSG:32623",
        30,
        encoding=Encoding(0.0001, -0.2, 2200, 2400),
        options={"encoding": "scale=0.0001,offset=-0.2,min=0.02,max=0.04"},
    ),
    "landsat, nearest and another scale": landsat(
        "EPSG:32623", 40, **{**to_tenths(), "options": {**to_tenths()["options"], "resampling": "nearest"}}
    ),
    "landsat, cubic and another scale": landsat(
        "EPSG:32623", 40, **{**to_tenths(), "options": {**to_tenths()["options"], "resampling": "cubic"}}
    ),
    "hls, own grid": hls(LAEA, 30),
    "hls, utm": hls("EPSG:32630", 30),
    "hls, degrees": hls("EPSG:4326", 0.0003, chunk=64),
    "hls, another offset": hls(
        "EPSG:32630", 40, encoding=Encoding(0.0001, -1.5), options={"encoding": "scale=0.0001,offset=-1.5"}
    ),
    "hls, positive only": hls(
        "EPSG:32630",
        40,
        encoding=Encoding(0.0001, 0.0, 1, 10000),
        options={"encoding": "scale=0.0001,offset=0,min=0,max=1"},
    ),
    "sentinel-2, custom CRS": sentinel(LAEA, 20),
    "sentinel-2, utm": sentinel("EPSG:32630", 30, chunk=64),
    "sentinel-2, finer scale": sentinel(
        "EPSG:27700",
        20,
        encoding=Encoding(0.00003, -0.10000001, 4, 63333),
        options={"encoding": "scale=0.00003,offset=-0.10000001,min=-0.0999,max=1.8"},
    ),
}


def expected(catalogue: Path, request: Request, nudge: float, stated: Callable[..., tuple[float, float]]) -> OracleCube:
    items, collection = read_catalogue(catalogue)
    return oracle_cube(
        items,
        collection,
        bbox=request.bbox,
        start=f"{request.start}-01",
        end=f"{request.end}-28",
        resolution=request.resolution,
        crs=request.crs,
        anchor=request.align,
        bands=request.bands,
        resampling=request.options.get("resampling", "bilinear"),
        nudge=nudge,
        encoding=request.encoding,
        stated=stated,
    )


def build(catalogue: Path, store: Path, request: Request, reader: Literal["auto", "gdal"] = "auto") -> zarr.Group:
    items, _ = read_catalogue(catalogue)
    cube = CubeConfig(
        stac_url=str(catalogue),
        collection=items[0]["collection"],
        bbox=request.bbox,
        start_date=request.start,
        end_date=request.end,
        crs=request.crs,
        resolution=request.resolution,
        align=request.align,
        bands=request.bands,
        chunk_size=request.chunk,
        **request.options,
    )
    summary = ardcube.build(cube, store, threads=2, reader=reader)
    assert summary.written
    assert not summary.failed
    return zarr.open_group(str(store), mode="r")


def assert_equal(
    catalogue: Path,
    store: Path,
    request: Request,
    stated: Callable[[Item, str], tuple[float, float]] | None = None,
    reader: Literal["auto", "gdal"] = "auto",
) -> NDArray[np.uint16]:
    """Build a cube, compare it with the oracle, and return its numbers."""
    stated = stated or (lambda _item, _band: request.stated)
    group = build(catalogue, store, request, reader)
    values: NDArray[np.uint16] = group["rgb_median"][...]
    attributes = group["rgb_median"].attrs
    assert (attributes["scale_factor"], attributes["add_offset"]) == (request.encoding.scale, request.encoding.offset)
    compute = partial(expected, catalogue, request, stated=stated)
    assert_equals_oracle(values, group["observation_count"][...], lambda nudge: compute(nudge=nudge))
    seen = values[values != 0]
    assert request.encoding.low <= seen.min() <= seen.max() <= request.encoding.high
    return values


def items_in(folder: Path, wanted: Callable[[Item], bool] = lambda _: True) -> list[Item]:
    return [item for item in read_catalogue(folder)[0] if wanted(item)]


def write_items(folder: Path, items: list[Item]) -> Path:
    folder.mkdir()
    for item in items:
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    return folder


def item_of(name: str, when: str, assets: dict[str, Path], **properties: Any) -> Item:
    """An item of files that have none."""
    with rasterio.open(next(iter(assets.values()))) as file:
        degrees = Transformer.from_crs(file.crs, "EPSG:4326", always_xy=True)
        outline = shapely.transform(
            shapely.segmentize(shapely.box(*file.bounds), 10_000), degrees.transform, interleaved=False
        )
        projection = {"proj:code": f"EPSG:{file.crs.to_epsg()}", "proj:shape": list(file.shape)}
        projection["proj:transform"] = list(file.transform)[:6]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": "made",
        "geometry": shapely.geometry.mapping(outline),
        "bbox": list(outline.bounds),
        "links": [],
        "properties": {"datetime": when, **projection, **properties},
        "assets": {key: {"href": str(file)} for key, file in assets.items()},
    }


def inside(item: Item, share: float = 0.25) -> tuple[float, float, float, float]:
    """Return a box in the middle of an item."""
    west, south, east, north = shapely.geometry.shape(item["geometry"]).bounds
    x, y = (east - west) * share, (north - south) * share
    return west + x, south + y, east - x, north - y


@pytest.mark.parametrize("name", REQUESTS)
def test_cubes_of_every_sensor_equal_the_oracle(shared_real: Path, tmp_path: Path, name: str) -> None:
    request = REQUESTS[name]
    reader: Literal["auto", "gdal"] = "gdal" if list(REQUESTS).index(name) % 3 == 2 else "auto"
    folder = shared_real / "sensors" / request.folder
    if request.folder.startswith("landsat"):  # without the scene of another continent
        folder = write_items(tmp_path / "items", items_in(folder, lambda item: "218074" in item["id"]))
    assert_equal(folder, tmp_path / "cube.zarr", request, reader=reader)


def test_negative_reflectance_of_hls_survives(shared_real: Path, tmp_path: Path) -> None:
    """Of one scene on its own grid, every number of the file is the number of the cube less 9999."""
    (item,) = items_in(shared_real / "sensors" / "hls-s30-exeter-stack" / "per-band", lambda i: "06-08" in i["id"])
    request = replace(hls(LAEA, 30), end="2021-06")
    values = assert_equal(write_items(tmp_path / "one", [item]), tmp_path / "cube.zarr", request)
    with rasterio.open(item["assets"]["B02"]["href"]) as file:
        numbers, transform = file.read(1).astype(np.int64), file.transform
    group = zarr.open_group(str(tmp_path / "cube.zarr"), mode="r")
    row = round((group["y"][0] - transform.f) / transform.e - 0.5)
    column = round((group["x"][0] - transform.c) / transform.a - 0.5)
    native = numbers[row : row + values.shape[1], column : column + values.shape[2]]
    found = values[0, ..., 0].astype(np.int64)
    np.testing.assert_array_equal(found, np.where(native == -9999, 0, native + 9999))
    assert (native[native != -9999] < 0).sum() > 10
    reflectance = ardcube.open(tmp_path / "cube.zarr")["rgb_median"].isel(band=0, time=0).to_numpy()
    assert np.nanmin(reflectance) == pytest.approx(native[native != -9999].min() * 0.0001, abs=1e-6)


def test_the_observations_of_hls_are_reflectance(shared_real: Path, tmp_path: Path) -> None:
    (item,) = items_in(shared_real / "sensors" / "hls-s30-exeter-stack" / "per-band", lambda i: "06-08" in i["id"])
    request = replace(hls("EPSG:32630", 30, chunk=400), end="2021-06")
    group = build(write_items(tmp_path / "one", [item]), tmp_path / "cube.zarr", request)
    numbers = group["rgb_median"][0, ..., 0].astype(np.float64)
    seen = ardcube.observations(tmp_path / "cube.zarr", "2021-06_y0000_x0000")["B02"].isel(time=0).to_numpy()
    np.testing.assert_allclose(seen, np.where(numbers == 0, np.nan, numbers * 0.0001 - 0.9999), atol=1e-6)
    assert np.nanmin(seen) < 0


def test_the_offset_follows_the_baseline(shared_real: Path, tmp_path: Path) -> None:
    """One of three scenes gets an older baseline, whose numbers have no offset."""
    items = items_in(shared_real / "sensors" / "s2-exeter-stack" / "per-band")
    older = min(items, key=lambda item: item["id"])
    older["properties"]["s2:processing_baseline"] = "03.01"

    def stated(item: Item, _band: str) -> tuple[float, float]:
        return 0.0001, 0.0 if item["properties"]["s2:processing_baseline"] < "04.00" else -0.1

    catalogue = write_items(tmp_path / "items", items)
    assert_equal(catalogue, tmp_path / "cube.zarr", sentinel(LAEA, 25), stated)


def test_three_sensors_of_landsat_are_one_cube(shared_real: Path, tmp_path: Path) -> None:
    """TM, ETM+ and OLI: their scenes get one month, because the files are of three decades, and OLI one place."""
    folder = shared_real / "sensors" / "landsat-c2l2-overview-scenes"
    items = items_in(folder, lambda item: ".pc-form" in str(item) or "landsat:correction" in item["properties"])
    items = [item for item in items if "red" in item["assets"]]
    assert {item["properties"]["platform"] for item in items} == {"landsat-5", "landsat-7"}
    for day, item in enumerate(items, start=3):
        item["properties"]["datetime"] = f"2021-03-{day:02}T23:20:00Z"
    moved = {}
    with rasterio.open(items[0]["assets"]["red"]["href"]) as target:
        crs, transform = target.crs, target.transform @ Affine.translation(7.5, 3.25) @ Affine.scale(0.11)
    (scene,) = folder.glob("LC08_L2SP_005009*")
    for band, number in (("red", 4), ("nir08", 5)):
        (source,) = scene.glob(f"*_SR_B{number}.TIF")
        with rasterio.open(source) as file:
            numbers = file.read(1)
        moved[band] = tmp_path / f"{band}.tif"
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "nodata": 0, "crs": crs, "transform": transform}
        with rasterio.open(moved[band], "w", height=512, width=512, tiled=True, compress="deflate", **profile) as file:
            file.write(numbers, 1)
    properties = {"landsat:correction": "L2SP", "platform": "landsat-8", "landsat:scene_id": "LC80900842021071LGN00"}
    oli = item_of("oli", "2021-03-12T23:20:00Z", moved, **properties) | {"collection": items[0]["collection"]}
    oli["assets"] |= {band: {"href": str(moved["red"])} for band in ("green", "blue", "swir16", "swir22")}
    request = Request(
        "", inside(items[0], 0.1), "2021-03", "2021-03", "EPSG:32655", 4000, ("red", "nir08"), LANDSAT,
        (2.75e-5, -0.2), chunk=24,
    )  # fmt: skip
    assert_equal(write_items(tmp_path / "items", [*items, oli]), tmp_path / "cube.zarr", request)
    assert zarr.open_group(str(tmp_path / "cube.zarr"), mode="r")["observation_count"][...].max() == 3


@pytest.mark.parametrize("crs", ["EPSG:32624", "EPSG:3413"])
def test_whole_landsat_scenes_of_odd_pixels_equal_the_oracle(shared_real: Path, tmp_path: Path, crs: str) -> None:
    """Items of USGS name files by band and state no encoding, no projection and no time of day."""
    folder = shared_real / "sensors" / "landsat-c2l2-overview-scenes"
    (item,) = items_in(next(folder.glob("LC08_L2SP_005009*")))
    request = Request(
        "", inside(item), "2015-07", "2015-07", crs, 700, ("SR_B4.TIF", "SR_B5.TIF"), LANDSAT,
        (2.75e-5, -0.2),
    )  # fmt: skip
    assert_equal(write_items(tmp_path / "items", [item]), tmp_path / "cube.zarr", request)


@pytest.mark.parametrize("resolution", [60, 150])
def test_jpeg_2000_of_level_2a_equals_the_oracle(shared_real: Path, tmp_path: Path, resolution: float) -> None:
    (file,) = (shared_real / "sensors" / "s2-jp2").glob("*T32TLS*B01.jp2")
    properties = {"processing:version": "04.00", "platform": "sentinel-2b"}
    item = item_of("S2B_T32TLS", "2022-06-18T10:30:00Z", {"B01_60m": file}, **properties)
    request = Request(
        "", inside(item, 0.4), "2022-06", "2022-06", "EPSG:32632", resolution, ("B01_60m",), Encoding(offset=-0.1),
        (0.0001, -0.1), options={"definition": "cdse-sentinel-2-l2a"},
    )  # fmt: skip
    item["assets"]["B01_60m"]["nodata"] = 0  # so that no reduced level is read
    assert_equal(write_items(tmp_path / "items", [item]), tmp_path / "cube.zarr", request)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035"])
def test_jpeg_2000_of_several_sizes_equals_the_oracle(shared_real: Path, tmp_path: Path, crs: str) -> None:
    """Bands of 10, 20 and 60 m of one product, in an encoding that the items state."""
    folder = shared_real / "sensors" / "s2-jp2-l1c-13bands"
    files = {band: folder / f"T33UUU_20170216T102101_{band}.jp2" for band in ("B04", "B8A", "B01")}
    item = item_of("T33UUU", "2017-02-16T10:21:01Z", files)
    for band, asset in item["assets"].items():
        with rasterio.open(files[band]) as file:
            asset |= {"proj:shape": list(file.shape), "proj:transform": list(file.transform)[:6]}
        asset["raster:bands"] = [{"scale": 0.0001, "offset": 0.0, "data_type": "uint16"}]
    request = Request(
        "", inside(item, 0.1), "2017-02", "2017-02", crs, 40, tuple(files), Encoding(), (0.0001, 0.0)
    )  # fmt: skip
    assert_equal(write_items(tmp_path / "items", [item]), tmp_path / "cube.zarr", request)
