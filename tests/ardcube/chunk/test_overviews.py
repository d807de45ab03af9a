"""Overviews of a classification whose file does not state how they were made, by the definition of the collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.enums import Resampling

from tests.ardcube.chunk.test_overlap import composite
from tests.strategies import COLLECTION_ID, stac_collection, stac_item

SIDE = 1024
DEFINITION = """
name = "some"
title = "Some archive"
sensors = {{ "Sentinel-2 MSI" = ["sentinel-2a"] }}
recognize = [{{ assets = ["B4", "classes"] }}]
encoding = {{ scale = 0.0001, offset = 0, data_type = "uint16", nodata = 0, valid_range = [1, 65535] }}

[bands]
red = {{ assets = ["B4"], size = 10 }}

[bands.scl]
assets = ["classes"]
size = 20
kind = "classes"
overviews = "{overviews}"
classes = {{ vegetation = 4, cloud = 9 }}
"""


def write(folder: Path, overviews: str) -> dict[str, Any]:
    """Write an archive of random classes, of which overviews of nearest pixels hold a known part."""
    classes = np.random.default_rng(1).choice(np.array([4, 9], np.uint8), (SIDE, SIDE))
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": 1, "height": SIDE, "width": SIDE, "nodata": 0, "crs": "EPSG:4326", "tiled": True,
        "compress": "deflate", "blockxsize": 128, "blockysize": 128,
        "transform": Affine(0.001, 0, 15, 0, -0.001, 1.024),
    }  # fmt: skip
    for name, values in (("B4", np.full((SIDE, SIDE), 1500, np.uint16)), ("classes", classes)):
        with rasterio.open(folder / f"{name}.tif", "w", dtype=values.dtype, **profile) as file:
            file.write(values, 1)
            file.build_overviews([2, 4, 8], Resampling.nearest)
    content = (folder / "classes.tif").read_bytes()
    (folder / "classes.tif").write_bytes(content.replace(b'"RESAMPLING"', b'"SOMETHING!"'))  # as older programs
    assets = {name: {"href": f"{name}.tif"} for name in ("B4", "classes")}
    outline = shapely.geometry.mapping(shapely.box(15, 0, 16.024, 1.024))
    (folder / "item.json").write_text(json.dumps(stac_item(assets=assets, geometry=outline)))
    (folder / "collection.json").write_text(json.dumps(stac_collection() | {"item_assets": {}}))
    (folder / "some.toml").write_text(DEFINITION.format(overviews=overviews))
    return {
        "start_date": "2023-08", "end_date": "2023-08", "resolution": 0.008, "bands": ("red",), "stac_url": str(folder),
        "collection": COLLECTION_ID, "collection_file": str(folder / "some.toml"), "cloud_mask": "scl",
        "cloud_mask_options": {"closing": 0, "opening": 0},
    }  # fmt: skip


@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_a_coarse_cube_reads_overviews_that_the_definition_names(tmp_path: Path, reader: str) -> None:
    bounds, counts, read = (15.0, 0.0, 16.024, 1.024), {}, {}
    for overviews in ("unknown", "nearest", "mode"):
        request = write(tmp_path, overviews)
        _, pixels = composite(tmp_path, bounds, reader, **request)
        counts[overviews], read[overviews] = pixels.count, pixels.bytes_read
        assert 0.4 < counts[overviews].mean() < 0.6
    with rasterio.open(tmp_path / "classes.tif", OVERVIEW_LEVEL=2) as overview:
        np.testing.assert_array_equal(counts["nearest"], overview.read(1) == 4)
    np.testing.assert_array_equal(counts["mode"], counts["nearest"])
    assert read["nearest"] == read["mode"] < read["unknown"] / 4
