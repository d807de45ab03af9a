"""Pools of real HLS, Sentinel-2 and Landsat scenes equal the oracle in every value.

Real scenes of one place are of different years, so items get dates of one period. Landsat's file is moved to the place
of the others, and L30 has the files of S30, because no reflectance of L30 is at hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import zarr
from pyproj import CRS, Transformer

import ardcube
from ardcube.config import CubeConfig
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import Encoding, Item, OracleCube, oracle_cube, read_catalogue
from tests.oracle.masks import AnyMask, BitMask, SclMask

pytestmark = pytest.mark.real

LAEA = CRS.from_proj4("+proj=laea +lat_0=50.72 +lon_0=-3.51 +datum=WGS84 +units=m").to_wkt()
EXETER = (-3.553, 50.692, -3.467, 50.748)
STATED = {"s2": (0.0001, -0.1), "hls2-s30": (0.0001, 0.0), "hls2-l30": (0.0001, 0.0), "landsat": (2.75e-5, -0.2)}
"""Scale and offset of the files of each collection."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A cube of several collections."""

    collections: tuple[str, ...]
    encoding: Encoding
    """That the cube must have."""
    most: int
    """Most observations of a pixel: days of each sensor."""
    crs: str = "EPSG:32630"
    resolution: float = 30
    bands: tuple[str, ...] = ("red", "blue")
    options: Mapping[str, Any] = field(default_factory=dict)
    masks: tuple[AnyMask, ...] = ()


HLS = Encoding(0.0001, -0.9999, 1, 42766)
HLS_AND_SENTINEL = Encoding(0.0001, -0.9999)
"""Numbers of Sentinel-2 are moved by 8999. Its largest one, 65535, is the limit of the data type."""
LANDSAT_AND_SENTINEL = Encoding(0.0001, -0.2001)
"""A whole number of 0.0001 below the offset of Sentinel-2, and below the smallest reflectance of Landsat."""
AUTO: dict[str, Any] = {"cloud_mask": "auto"}
POOLS = {
    "L30 and S30": Pool(("hls2-l30", "hls2-s30"), HLS, 6),
    "L30 and S30, degrees": Pool(("hls2-l30", "hls2-s30"), HLS, 6, "EPSG:4326", 0.0004),
    "S30 and Sentinel-2": Pool(("hls2-s30", "s2"), HLS_AND_SENTINEL, 4, LAEA, 30),
    "S30 and Sentinel-2, masked": Pool(
        ("hls2-s30", "s2"), HLS_AND_SENTINEL, 4, options=AUTO,
        masks=(SclMask(band="SCL"), BitMask("Fmask", (1, 2, 3), 255)),
    ),
    "Landsat and Sentinel-2": Pool(("landsat", "s2"), LANDSAT_AND_SENTINEL, 4),
    "all": Pool(("hls2-l30", "hls2-s30", "landsat", "s2"), HLS_AND_SENTINEL, 7, "EPSG:4326", 0.0005, ("green", "blue")),
}  # fmt: skip


def write_items(real: Path, folder: Path) -> list[Item]:
    """Write the items of all collections, and return them with ids as in a cube."""
    sensors = real / "sensors"
    hls = sorted(read_catalogue(sensors / "hls-s30-exeter-stack/per-band")[0], key=lambda item: item["id"])
    s2 = sorted(read_catalogue(sensors / "s2-exeter-stack/per-band")[0], key=lambda item: item["id"])
    items = [
        dated(item, "s2", when, platform="Sentinel-2A")
        for item, when in zip(s2, ("2024-06-02T11:21:19Z", "2024-06-12T11:21:19Z", "2024-07-18T11:21:11Z"), strict=True)
    ]
    # Days of S30 and Sentinel-2, which have one sensor: 2, 12 and 25 June, 18 July. Either of them may be earlier.
    items += [
        dated(item, "hls2-s30", when, platform="sentinel-2b")
        for item, when in zip(
            hls, ("2024-06-02T11:27:08Z", "2024-06-25T11:27:08Z", "2024-07-18T11:17:09Z"), strict=True
        )
    ]
    # Days of L30 and Landsat, likewise: 2 June, 12 June, 3 July.
    for item, when in zip(hls, ("2024-06-02T11:10:00Z", "2024-06-12T11:21:19Z", "2024-07-03T11:10:00Z"), strict=True):
        landsat = dated(item, "hls2-l30", when, platform="landsat-9")
        landsat["assets"] = {"B05" if key == "B08" else key: asset for key, asset in landsat["assets"].items()}
        items.append(landsat)
    items.append(moved_landsat(sensors / "landsat-c2l2-30m-crops/LC08_204023_20200927_england", folder / "files"))
    (folder / "items").mkdir()
    for item in items:
        (folder / "items" / f"{item['collection']}-{item['id']}.json").write_text(json.dumps(item))
    return [item | {"id": f"{item['collection']}/{item['id']}"} for item in items]


def dated(item: Item, collection: str, when: str, **properties: Any) -> Item:
    copied: Item = json.loads(json.dumps(item))
    copied["properties"] |= {"datetime": when, **properties}
    return copied | {"collection": collection, "id": f"scene-{when[:10]}"}


def moved_landsat(scene: Path, folder: Path) -> Item:
    """Write bands of a scene of another place in England, and return an item in the form of Planetary Computer."""
    folder.mkdir()
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32630", always_xy=True)
    west, north = (round(number / 30) * 30 + 15 for number in to_utm.transform(EXETER[0], EXETER[3]))
    assets = {}
    for band, number in {"blue": 2, "green": 3, "red": 4, "nir08": 5}.items():
        (source,) = scene.glob(f"*SR_B{number}.TIF")
        with rasterio.open(source) as file:
            numbers = file.read(1)[:160, :170]
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "nodata": 0, "crs": "EPSG:32630"}
        transform = rasterio.Affine(30, 0, west, 0, -30, north)
        with rasterio.open(
            folder / f"{band}.tif", "w", height=160, width=170, tiled=True, blockxsize=64, blockysize=64,
            compress="deflate", transform=transform, **profile,
        ) as file:  # fmt: skip
            file.write(numbers, 1)
            box = shapely.box(*file.bounds)
        stated = {"common_name": band, "name": f"OLI_B{number}"}
        assets[band] = {"href": str(folder / f"{band}.tif"), "eo:bands": [stated]}
    assets |= {key: assets["red"] | {"eo:bands": [{"name": key}]} for key in ("swir16", "swir22", "qa_pixel")}
    outline = shapely.transform(
        shapely.segmentize(box, 500), lambda x, y: to_utm.transform(x, y, direction="INVERSE"), interleaved=False
    )
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": "scene-2024-06-12", "collection": "landsat", "links": [],
        "geometry": shapely.geometry.mapping(outline), "bbox": list(outline.bounds), "assets": assets,
        "properties": {
            "datetime": "2024-06-12T11:05:00Z", "platform": "landsat-8", "landsat:correction": "L2SP",
            "landsat:scene_id": "LC82040252024164LGN00", "proj:epsg": 32630,
        },
    }  # fmt: skip


def expected(items: list[Item], pool: Pool, nudge: float) -> OracleCube:
    return oracle_cube(
        [item for item in items if item["collection"] in pool.collections],
        None,
        bbox=EXETER,
        start="2024-06-01",
        end="2024-07-31",
        months=2,
        resolution=pool.resolution,
        crs=pool.crs,
        bands=pool.bands,
        cloud_mask="other" if pool.masks else "none",
        mask=pool.masks or SclMask(),
        nudge=nudge,
        encoding=pool.encoding,
        stated=lambda item, _band: STATED[item["collection"]],
    )


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_of_real_scenes_equals_the_oracle(shared_real: Path, tmp_path: Path, name: str) -> None:
    pool, items = POOLS[name], write_items(shared_real, tmp_path)
    cube = CubeConfig(
        stac_url=str(tmp_path / "items"),
        collection=pool.collections,
        bbox=EXETER,
        start_date="2024-06",
        end_date="2024-07",
        time_frequency_months=2,
        crs=pool.crs,
        resolution=pool.resolution,
        bands=pool.bands,
        chunk_size=96,
        **pool.options,
    )
    summary = ardcube.build(cube, tmp_path / "cube.zarr", threads=2)
    assert not summary.failed
    group = zarr.open_group(str(tmp_path / "cube.zarr"), mode="r")
    attributes = group["rgb_median"].attrs
    assert (attributes["scale_factor"], attributes["add_offset"]) == (pool.encoding.scale, pool.encoding.offset)
    values, count = group["rgb_median"][...], group["observation_count"][...]
    assert_equals_oracle(values, count, lambda nudge: expected(items, pool, nudge))
    assert np.unique(values).size > 500
    assert count.max() == pool.most


def test_the_origin_of_a_pool_names_its_products_and_sensors(shared_real: Path, tmp_path: Path) -> None:
    write_items(shared_real, tmp_path)
    cube = CubeConfig(
        stac_url=str(tmp_path / "items"), collection=("s2", "hls2-l30"), bbox=EXETER, start_date="2024-06",
        end_date="2024-07", time_frequency_months=2, crs="EPSG:32630", resolution=200, bands=("red",),
    )  # fmt: skip
    ardcube.build(cube, tmp_path / "cube.zarr", threads=2)
    found = dict(zarr.open_group(str(tmp_path / "cube.zarr"), mode="r").attrs)
    assert found["title"] == "HLS L30 and Sentinel-2 L2A surface reflectance, median composites"
    assert found["instrument"] == "Landsat OLI, Sentinel-2 MSI"
    assert "contains modified Copernicus Sentinel data 2024" in found["source"]
    assert "NASA" in found["source"]
    shown = repr(ardcube.plan(cube))
    assert "pooled  hls2-l30 (3 scenes), s2 (3 scenes)" in shown
    assert "sensor  Landsat OLI (3 scenes), Sentinel-2 MSI (3 scenes)" in shown
