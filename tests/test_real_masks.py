"""Cubes with masks from real quality rasters of Landsat and HLS equal the oracle in every value.

Reflectance is made here: no real tile of a size for a test has both, and its values do not matter for a mask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import zarr
from rasterio.warp import transform_geom
from rasterio.windows import Window
from rasterio.windows import bounds as bounds_of

import ardcube
from ardcube.config import CubeConfig
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import Encoding, OracleCube, oracle_cube, read_catalogue
from tests.oracle.masks import AnyMask, BitMask, ProbabilityMask, SclMask

pytestmark = pytest.mark.real


def made_item(
    folder: Path, name: str, quality: Path, window: Window, *, when: str, keys: Mapping[str, str], quality_key: str,
    properties: Mapping[str, Any], stated: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write an item with a real quality raster and made reflectance in a window of its grid."""
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(quality) as source:
        transform, crs = source.window_transform(window), source.crs
        west, south, east, north = bounds_of(window, source.transform)
    rng = np.random.default_rng(sum(map(ord, name)))
    values = rng.integers(1, 9999, (int(window.height), int(window.width)), dtype=np.uint16)
    values[rng.random(values.shape) < 0.02] = 0
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "uint16", "count": 1, "width": values.shape[1], "height": values.shape[0],
        "crs": crs, "transform": transform, "nodata": 0, "compress": "deflate", "tiled": True, "blockxsize": 128,
        "blockysize": 128,
    }  # fmt: skip
    with rasterio.open(folder / f"{name}.tif", "w", **profile) as target:
        target.write(values, 1)
    encoding = {"scale": 0.0001, "offset": 0, "nodata": 0, "data_type": "uint16"}
    outline = transform_geom(crs, "EPSG:4326", shapely.geometry.mapping(shapely.box(west, south, east, north)))
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "made",
        "geometry": outline,
        "bbox": list(shapely.geometry.shape(outline).bounds),
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": {
            key: {"href": f"{name}.tif", "raster:bands": [encoding], "eo:bands": [{"name": key, "common_name": common}]}
            for key, common in keys.items()
        }
        | {quality_key: {"href": str(quality)} | ({} if stated is None else {"raster:bands": [dict(stated)]})},
    }
    (folder / f"{name}.json").write_text(json.dumps(item))
    # Otherwise the definition of the real collection would give the offset of the cube.
    described = {key: {name: item["assets"][key][name] for name in ("raster:bands", "eo:bands")} for key in keys}
    collection = {"type": "Collection", "stac_version": "1.0.0", "id": "made", "item_assets": described}
    (folder / "collection.json").write_text(json.dumps(collection))


@dataclass(frozen=True, slots=True)
class Request:
    """A cube of a folder of items."""

    bbox: tuple[float, float, float, float]
    crs: str
    resolution: float
    cloud_mask: str
    options: Mapping[str, Any]
    mask: AnyMask | Sequence[AnyMask]


def cube_of(archive: Path, request: Request) -> CubeConfig:
    return CubeConfig(
        stac_url=str(archive),
        collection="made",
        bbox=request.bbox,
        start_date="2024-10-01",
        end_date="2024-10-31",
        crs=request.crs,
        resolution=request.resolution,
        bands=("nir08",),
        chunk_size=96,
        cloud_mask=request.cloud_mask,
        cloud_mask_options=dict(request.options),
    )


def expected(archive: Path, request: Request, nudge: float) -> OracleCube:
    items, collection = read_catalogue(archive)
    return oracle_cube(
        items,
        collection,
        bbox=request.bbox,
        start="2024-10-01",
        end="2024-10-31",
        crs=request.crs,
        resolution=request.resolution,
        bands=["nir08"],
        cloud_mask="other",
        mask=request.mask,
        nudge=nudge,
    )


def assert_equal(archive: Path, store: Path, request: Request) -> None:
    ardcube.build(cube_of(archive, request), store, threads=2)
    group = zarr.open_group(str(store), mode="r")
    assert_equals_oracle(group["rgb_median"][...], group["observation_count"][...], partial(expected, archive, request))
    count = group["observation_count"][...]
    assert (count == 0).any()
    assert (count > 0).any()


def test_two_fmask_tiles_of_a_pass(shared_real: Path, tmp_path: Path) -> None:
    """The tiles overlap with equal values; the western one is mostly fill. There is water, and no cloud."""
    hls_tiles(shared_real, tmp_path / "items")
    area = (-91.69, 48.24, -91.53, 48.33)
    water = {"masked": ["water"]}
    requests = [
        Request(area, "EPSG:32615", 30.0, "fmask", water, BitMask("Fmask", (5,), 255)),
        Request(area, "EPSG:4326", 0.0005, "fmask", water, BitMask("Fmask", (5,), 255)),
        Request(area, "EPSG:32615", 130.0, "fmask", water | {"closing": 65, "opening": 95, "buffer": 250},
                BitMask("Fmask", (5,), 255, 65.0, 95.0, 250.0)),
    ]  # fmt: skip
    for number, request in enumerate(requests):
        assert_equal(tmp_path / "items", tmp_path / f"cube{number}", request)


def hls_tiles(real: Path, folder: Path) -> None:
    source = real / "sensors" / "hls-l30-fmask-two-tiles"
    for tile, window in {"T15UWP": Window(3200, 1500, 460, 400), "T15UXP": Window(0, 1500, 460, 400)}.items():
        name = f"HLS.L30.{tile}.2024283T165135.v2.0"
        hls_item(folder, name, source / f"{name}.Fmask.tif", window, "2024-10-09T16:51:35Z")


def hls_item(folder: Path, name: str, quality: Path, window: Window, when: str) -> None:
    made_item(
        folder, name, quality, window, when=when, keys={"B04": "red", "B05": "nir08"}, quality_key="Fmask",
        properties={"platform": "landsat-8"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "mask"),
    [
        ({}, BitMask("Fmask", (1, 2, 3), 255)),
        ({"masked": ["cloud", "snow"], "opening": 65}, BitMask("Fmask", (1, 4), 255, opening=65.0)),
        ({"masked": "[cloud, shadow]", "closing": 95, "opening": 65, "buffer": 120},
         BitMask("Fmask", (1, 3), 255, 95.0, 65.0, 120.0)),
    ],
    ids=["default", "snow", "cleaned"],
)  # fmt: skip
def test_fmask_with_clouds_and_snow(shared_real: Path, tmp_path: Path, options: dict[str, Any], mask: BitMask) -> None:
    name = "HLS.L30.T06WVS.2024120T211159.v2.0"
    quality = shared_real / "sensors" / "hls-fmask-cloud-snow" / f"{name}.Fmask.tif"
    hls_item(tmp_path / "items", name, quality, Window(2350, 3250, 400, 400), "2024-10-29T21:11:59Z")
    area = (-147.55, 63.965, -147.42, 64.02)
    for crs, resolution in (("EPSG:32606", 30.0), ("EPSG:4326", 0.0004), ("EPSG:3338", 150.0)):
        request = Request(area, crs, resolution, "fmask", options, mask)
        assert_equal(tmp_path / "items", tmp_path / f"cube{resolution}", request)


LANDSAT: dict[str, Any] = {
    "greenland": (
        {"LC08_L2SP_005009_20150710_T2_greenland_utm24": "landsat-8"}, (-42.0, 71.2, -36.0, 73.2), "EPSG:4326", 0.02,
    ),
    "antarctica": (
        {"LC08_L2SR_099120_20191129_T2_antarctica_epsg3031": "landsat-8"}, (65.0, -82.0, 80.0, -80.0), "EPSG:3031",
        1500.0,
    ),
    "australia": (
        {"LT05_L2SP_090084_19980308_T1_australia_utm55": "landsat-5",
         "LE07_L2SP_090084_20210331_T1_australia_utm55": "landsat-7"},
        (148.8, -35.4, 151.0, -33.8), "EPSG:3577", 3000.0,
    ),
}  # fmt: skip


def landsat_item(real: Path, folder: Path, scene: str, platform: str, when: str) -> None:
    """Write an item in the form of Planetary Computer; it states that nodata of the quality is 1."""
    (quality,) = (real / "sensors" / "landsat-c2l2-overview-scenes" / scene).glob("*_QA_PIXEL.TIF")
    with rasterio.open(quality) as source:
        whole = Window(0, 0, source.width, source.height)
    colours = {name: name for name in ("red", "green", "blue", "swir16", "swir22", "nir08")}
    made_item(
        folder, scene, quality, whole, when=when, keys=colours, quality_key="qa_pixel",
        properties={"platform": platform, "landsat:correction": "L2SP"}, stated={"nodata": 1, "data_type": "uint16"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("where", "options", "mask"),
    [
        ("greenland", {}, BitMask("qa_pixel", (0, 1, 2, 3, 4), 1)),
        ("australia", {}, BitMask("qa_pixel", (0, 1, 2, 3, 4), 1)),
        ("greenland", {"masked": ["snow", "cirrus"], "buffer": 2500}, BitMask("qa_pixel", (5, 2), 1, buffer=2500.0)),
        ("australia", {"masked": ["snow", "water"], "buffer": 4500}, BitMask("qa_pixel", (5, 7), 1, buffer=4500.0)),
        ("greenland", {"masked": ["cloud"], "closing": 1200, "opening": 600},
         BitMask("qa_pixel", (3,), 1, 1200.0, 600.0)),
        ("antarctica", {"masked": ["snow"], "buffer": 1500}, BitMask("qa_pixel", (5,), 1, buffer=1500.0)),
    ],
)  # fmt: skip
def test_qa_pixel_of_three_sensors(
    shared_real: Path, tmp_path: Path, where: str, options: dict[str, Any], mask: BitMask
) -> None:
    """TM and ETM+ have the same place on two days. OLI sets the bit `clear` together with snow and shadow."""
    scenes, *grid = LANDSAT[where]
    for number, (scene, platform) in enumerate(scenes.items()):
        landsat_item(shared_real, tmp_path / "items", scene, platform, f"2024-10-{10 + number}T12:00:00Z")
    assert_equal(tmp_path / "items", tmp_path / "cube", Request(*grid, "qa_pixel", options, mask))


def test_a_cloud_probability_is_no_nodata_where_it_is_0(shared_real: Path, tmp_path: Path) -> None:
    """The item says that 0 is nodata. The file is JPEG 2000, which declares none, and its levels are not read."""
    quality = shared_real / "sensors" / "s2-jp2" / "S2A_33TWL_20230818_0_L2A_MSK_CLDPRB_20m.jp2"
    made_item(
        tmp_path / "items", "S2A_33TWL", quality, Window(0, 0, 915, 915), when="2024-10-18T10:00:00Z",
        keys={"B04_10m": "red", "B8A_20m": "nir08"}, quality_key="CLD_20m",
        properties={"processing:version": "05.11"}, stated={"nodata": 0, "data_type": "uint8"},
    )  # fmt: skip
    area = (15.3, 45.4, 15.9, 45.7)
    for options, mask in (
        ({}, ProbabilityMask("CLD_20m", 40)),
        ({"threshold": 10, "opening": 130, "buffer": 300}, ProbabilityMask("CLD_20m", 10, 0.0, 130.0, 300.0)),
    ):
        for crs, resolution in (("EPSG:32633", 120.0), ("EPSG:4326", 0.005)):
            request = Request(area, crs, resolution, "cloud_probability", options, mask)
            assert_equal(tmp_path / "items", tmp_path / f"{len(options)}-{resolution}", request)


REAL_SCENES: dict[str, tuple[str, str, str, tuple[float, float, float, float], str, float]] = {
    "tm": (
        "LT05_L2SP_090084_19980308_T1_australia_utm55/*.pc-form.MADE.json", "1998-03", "nir08",
        (148.8, -35.4, 151.0, -33.8), "EPSG:32755", 4000.0,
    ),
    "etm": (
        "LE07_L2SP_090084_20210331_T1_australia_utm55/*.pc-form.MADE.json", "2021-03", "red",
        (148.8, -35.4, 151.0, -33.8), "EPSG:4326", 0.03,
    ),
    "oli": (
        "LC08_L2SP_005009_20150710_T2_greenland_utm24/*_SR_stac.json", "2015-07", "SR_B4.TIF",
        (-42.0, 71.2, -36.0, 73.2), "EPSG:3413", 1100.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL_SCENES)
def test_landsat_scenes_of_three_sensors(shared_real: Path, tmp_path: Path, name: str) -> None:
    """Real items, reflectance and quality. `auto` takes qa_pixel from the definition of each form of an item."""
    scene, month, band, area, crs, resolution = REAL_SCENES[name]
    (path,) = (shared_real / "sensors" / "landsat-c2l2-overview-scenes").glob(scene)
    item = json.loads(path.read_text())
    for asset in item["assets"].values():
        asset["href"] = str((path.parent / asset["href"]).resolve())
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "item.json").write_text(json.dumps(item))
    cube = CubeConfig(
        stac_url=str(tmp_path / "items"), collection=item.get("collection") or "landsat-c2l2-sr", bbox=area, crs=crs,
        start_date=f"{month}-01", end_date=f"{month}-28", resolution=resolution, bands=(band,), chunk_size=64,
        cloud_mask="auto", cloud_mask_options={"buffer": 4500},
    )  # fmt: skip
    assert ardcube.plan(cube).estimate.cloud_mask == "qa_pixel"
    ardcube.build(cube, tmp_path / "cube", threads=2)
    group = zarr.open_group(str(tmp_path / "cube"), mode="r")

    def as_numbers(nudge: float) -> OracleCube:
        """Return the oracle's cube of digital numbers: cube and scene have one encoding."""
        items, _ = read_catalogue(tmp_path / "items")
        quality = "qa_pixel" if "qa_pixel" in items[0]["assets"] else "QA_PIXEL.TIF"
        items[0]["assets"][band]["raster:bands"] = [{"offset": 0, "nodata": 0}]
        mask = BitMask(quality, (0, 1, 2, 3, 4), 1, buffer=4500.0)
        return oracle_cube(
            items, None, bbox=area, start=f"{month}-01", end=f"{month}-28", crs=crs, resolution=resolution,
            bands=[band], cloud_mask="other", mask=mask, nudge=nudge,
        )  # fmt: skip

    assert_equals_oracle(group["rgb_median"][...], group["observation_count"][...], as_numbers)
    assert group["rgb_median"].attrs["scale_factor"] == 2.75e-5
    assert group["rgb_median"].attrs["add_offset"] == -0.2


def test_one_cube_of_scenes_with_different_masks(shared_real: Path, tmp_path: Path) -> None:
    """`auto` gives each scene the mask of its definition. The Fmask was interpolated, so that it has many values."""
    sensors = shared_real / "sensors"
    scenes = sorted((sensors / "s2-exeter-stack" / "per-band").glob("exe_*/SCL.tif"))
    for number, quality in enumerate(scenes):
        with rasterio.open(quality) as source:
            whole = Window(0, 0, source.width, source.height)
        made_item(
            tmp_path / "items", f"S2A_{number}", quality, whole, when=f"2024-10-{11 + number}T12:00:00Z",
            keys={"B02": "blue", "B03": "green", "B04": "red", "B8A": "nir08"}, quality_key="SCL",
            properties={"s2:processing_baseline": "05.10", "s2:product_type": "S2MSI2A", "platform": "Sentinel-2A"},
            stated={"nodata": 0, "data_type": "uint8"},
        )  # fmt: skip
    for number, quality in enumerate(sorted((sensors / "hls-s30-exeter-stack" / "per-band").glob("*/Fmask.tif"))):
        with rasterio.open(quality) as source:
            whole = Window(0, 0, source.width, source.height)
        hls_item(tmp_path / "items", f"HLS.{number}", quality, whole, f"2024-10-{11 + number}T16:00:00Z")
    masks = (SclMask(buffer=65.0, band="SCL"), BitMask("Fmask", (1, 2, 3), 255, buffer=65.0))
    area = (-3.55, 50.70, -3.46, 50.745)
    for crs, resolution in (("EPSG:27700", 20.0), ("EPSG:4326", 0.0006)):
        request = Request(area, crs, resolution, "auto", {"buffer": 65}, masks)
        assert_equal(tmp_path / "items", tmp_path / f"cube{resolution}", request)
    store = tmp_path / "cube20.0"
    options = json.loads(str(zarr.open_group(str(store), mode="r").attrs["cloud_mask_options"]))
    assert options == {
        "fmask": {"masked": ["cloud", "dilated", "shadow"], "closing": 0, "opening": 0, "buffer": 65},
        "scl": {"allowed_values": [4, 5], "closing": 155, "opening": 155, "buffer": 65},
    }
    part = tmp_path / "part"
    ardcube.build(cube_of(tmp_path / "items", request), part, limit=1)
    assert ardcube.retry(part, missing=True).already_done == 1
    whole = zarr.open_group(str(tmp_path / "cube0.0006"), mode="r")["rgb_median"][...]
    np.testing.assert_array_equal(zarr.open_group(str(part), mode="r")["rgb_median"][...], whole)

    chunk = ardcube.status(store).index[0]
    numbers = ardcube.observations(store, chunk).compute()
    assert {"nir08", "scl", "fmask"} <= set(numbers.data_vars)
    of_hls = numbers.scene.str.startswith("HLS")
    assert of_hls.values.tolist().count(True) == 3
    assert (numbers.scl.where(of_hls, drop=True) == 0).all()
    assert (numbers.fmask.where(~of_hls, drop=True) == 0).all()
    assert set(np.unique(numbers.scl)) <= set(range(12))
    assert (numbers.fmask.where(of_hls, drop=True) >= 64).any()


def test_a_pool_of_sentinel_2_and_hls_with_a_mask_for_each(shared_real: Path, tmp_path: Path) -> None:
    """Real reflectance and quality of both. The days of HLS are moved into the summer of Sentinel-2."""
    sensors = shared_real / "sensors"
    for number, path in enumerate(sorted(sensors.glob("*-exeter-stack/per-band/*/*.json"))):
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            asset["href"] = str((path.parent / asset["href"]).resolve())
        item["properties"]["datetime"] = f"2024-07-{10 + number}T11:27:08Z"
        folder = tmp_path / item["collection"]
        folder.mkdir(exist_ok=True)
        (folder / path.name).write_text(json.dumps(item))
    area, store = (-3.55, 50.695, -3.47, 50.745), tmp_path / "cube"
    cube = CubeConfig(
        stac_url=str(tmp_path / "hls2-s30"), collection=["hls2-s30", f"{tmp_path / 'sentinel-2-l2a'}#sentinel-2-l2a"],
        bbox=area, start_date="2024-07", end_date="2024-07", crs="EPSG:32630", resolution=30, bands=("nir",),
        chunk_size=96, cloud_mask="auto", cloud_mask_options={"opening": 45, "closing": 0, "buffer": 60},
    )  # fmt: skip
    assert ardcube.plan(cube).estimate.cloud_mask == "fmask, scl"
    ardcube.build(cube, store, threads=2)
    group = zarr.open_group(str(store), mode="r")
    attributes = group["rgb_median"].attrs

    def compute(nudge: float) -> OracleCube:
        items = [item for folder in ("hls2-s30", "sentinel-2-l2a") for item in read_catalogue(tmp_path / folder)[0]]
        for item in items:
            item["assets"]["nir"] = item["assets"]["B08"]
        return oracle_cube(
            items, None, bbox=area, start="2024-07-01", end="2024-07-31", crs="EPSG:32630", resolution=30,
            bands=["nir"], cloud_mask="other", nudge=nudge,
            mask=(SclMask(closing=0, opening=45, buffer=60, band="SCL"), BitMask("Fmask", (1, 2, 3), 255, 0, 45, 60)),
            encoding=Encoding(float(attributes["scale_factor"]), float(attributes["add_offset"])),
            stated=lambda item, _band: (0.0001, 0.0 if "Fmask" in item["assets"] else -0.1),
        )  # fmt: skip

    assert_equals_oracle(group["rgb_median"][...], group["observation_count"][...], compute)
    assert group["observation_count"][...].max() >= 4
    again = cube.model_copy(update={"collection": cube.collection[::-1]})
    assert ardcube.build(again, store).already_done == ardcube.status(store).shape[0]
