"""The check of a file against its item; properties that the item omits are not compared."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely
from pyarrow import parquet

from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import BandAsset, Scene
from ardcube.errors import SceneError
from ardcube.extent.periods import Period
from ardcube.ledger.manifest import read_manifest, write_manifest
from ardcube.raster.check_item import check_footprint, check_stated
from ardcube.raster.header import Header, Level
from ardcube.storage.place import Place
from tests.rasters import ORIGIN
from tests.strategies import raster_band, stac_collection, stac_item

HEADER = Header("EPSG:32633", "uint16", 0, (Level(0, 601, 399, ORIGIN, (128, 128)),))
AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))


def asset_of(asset: dict[str, Any], **properties: Any) -> BandAsset:
    """Return the parsed asset of a band."""
    return scene_of(asset, **properties).bands["red"]


def scene_of(asset: dict[str, Any], **properties: Any) -> Scene:
    item = stac_item(assets={"red": {"href": "https://host/red.tif", **asset}}, **properties)
    return parse_scene(item, stac_collection(), ["red"])


@pytest.mark.parametrize(
    ("asset", "properties"),
    [
        ({}, {}),
        ({"proj:shape": [601, 399], "proj:code": "EPSG:32633", "raster:bands": raster_band()}, {}),
        ({"proj:epsg": 32633, "data_type": "uint16"}, {}),
        ({"bands": [{"data_type": "uint16"}]}, {"proj:code": "EPSG:32633"}),
        ({"proj:code": "EPSG:25833"}, {}),  # ETRS89: equal to a centimetre
        ({"proj:code": "EPSG:999999"}, {}),
        ({"proj:code": "NOBODY:knows this"}, {}),
        ({"proj:code": None}, {"proj:epsg": None}),
        ({}, {"proj:shape": [10980, 10980]}),  # of the item's default grid; a 20 m band has another one
        ({"proj:shape": ["many", None]}, {}),
    ],
)
def test_a_file_that_agrees_with_its_item_is_accepted(asset: dict[str, Any], properties: dict[str, Any]) -> None:
    check_stated("S2A", "red", asset_of(asset, **properties), HEADER)


# HEADER covers 14.99974 to 15.05133 degrees east and 46.00053 to 46.05469 degrees north.
HREF = "https://host/red.tif"


def with_footprint(footprint: shapely.Geometry, *range_of_cube: float) -> Scene:
    item = stac_item(
        "S2A",
        assets={"red": {"href": HREF, "raster:bands": raster_band()}},
        geometry=shapely.geometry.mapping(footprint),
    )
    scene = parse_scene(item, None, ["red"])
    return scene.at_longitudes(*range_of_cube) if range_of_cube else scene


@pytest.mark.parametrize(
    "footprint",
    [
        shapely.box(15.0, 46.0, 15.05, 46.055),
        shapely.box(15.02, 46.02, 15.03, 46.03),
        shapely.box(14.98, 45.98, 15.07, 46.07),
        shapely.box(14.0, 45.0, 16.0, 47.0),
        shapely.box(15.02, 45.8, 15.06, 46.08),
    ],
    ids=["that of the file", "a part", "within the margin", "too large", "too large on three sides"],
)
def test_a_footprint_that_hides_no_pixel_is_accepted(footprint: shapely.Geometry) -> None:
    check_footprint(with_footprint(footprint), HREF, HEADER)
    check_footprint(with_footprint(footprint, 370.0, 380.0), HREF, HEADER)


@pytest.mark.parametrize(
    "footprint",
    [
        shapely.box(15.1, 46.0, 15.15, 46.055),
        shapely.box(15.03, 46.0, 15.08, 46.055),
        shapely.box(46.0, 15.0, 46.055, 15.05),
        shapely.box(12.0, 45.0, 16.0, 47.0),
    ],
    ids=["next to the file", "half a file away", "swapped", "on another solar day"],
)
def test_a_footprint_that_hides_pixels_of_a_file_is_a_bad_scene(footprint: shapely.Geometry) -> None:
    with pytest.raises(SceneError, match=r"^item S2A: its footprint is not that of https://host/red\.tif; correct its"):
        check_footprint(with_footprint(footprint), HREF, HEADER)


@pytest.mark.parametrize(
    ("asset", "properties", "message"),
    [
        ({"proj:shape": [399, 601]}, {}, "is 601 x 399 pixels, and its item says 399 x 601"),
        ({"proj:code": "EPSG:32632"}, {}, "is in EPSG:32633, and its item says EPSG:32632"),
        ({}, {"proj:epsg": 4326}, "is in EPSG:32633, and its item says EPSG:4326"),
        ({"raster:bands": [{"data_type": "uint8"}]}, {}, "holds uint16, and its item says uint8"),
        ({"data_type": "uint8"}, {}, "holds uint16, and its item says uint8"),
        ({"proj:shape": [1, 2], "data_type": "uint8"}, {}, "1 x 2; it holds uint16, and its item says uint8"),
    ],
)
def test_a_file_that_differs_from_its_item_raises_an_error_with_both_values(
    asset: dict[str, Any], properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(SceneError) as caught:
        check_stated("S2A", "red", asset_of(asset, **properties), HEADER)
    assert str(caught.value).startswith("band red of item S2A, https://host/red.tif, ")
    assert message in str(caught.value)


def test_a_corrected_item_gets_a_new_manifest(tmp_path: Path) -> None:
    """Although the item's revision is unchanged: chunks that failed because of the item are built again."""
    ledger = Place.at(str(tmp_path))
    wrong, right = (scene_of({"proj:shape": shape}) for shape in ([1, 2], [601, 399]))
    assert wrong.revision == right.revision
    names = [write_manifest(ledger, AUGUST, [scene]) for scene in (wrong, right)]
    assert [read_manifest(ledger.uri, name).scenes[0] for name in names] == [wrong, right]


def test_a_manifest_of_an_older_version_gives_no_properties_to_compare(tmp_path: Path) -> None:
    ledger = Place.at(str(tmp_path))
    name = write_manifest(ledger, AUGUST, [scene_of({"proj:shape": [1, 2], "data_type": "uint8"})])
    table = parquet.read_table(ledger.file(name))
    bands = json.loads(table["bands"][0].as_py())
    for field in ("height", "width", "crs", "dtype"):
        del bands["red"][field]
    older = table.set_column(table.schema.get_field_index("bands"), "bands", pa.array([json.dumps(bands)]))
    parquet.write_table(older, tmp_path / "items" / "older.parquet")
    check_stated("S2A", "red", read_manifest(ledger.uri, "items/older.parquet").scenes[0].bands["red"], HEADER)


def test_a_signed_file_is_refused_unless_it_was_known_before() -> None:
    """The encoding of the cube is chosen before files are opened, and negative numbers may not fit."""
    signed = replace(HEADER, dtype="int16", nodata=-9999)
    with pytest.raises(SceneError, match="holds int16, and neither its item nor a definition states this data type"):
        check_stated("a", "red", asset_of({}), signed)
    check_stated("a", "red", asset_of({"raster:bands": [{"data_type": "int16"}]}), signed)
    with pytest.raises(SceneError, match="holds uint16, and its item says int16"):
        check_stated("a", "red", asset_of({"raster:bands": [{"data_type": "int16"}]}), HEADER)


def test_a_file_of_several_bands_is_refused() -> None:
    """Nothing says which of them is the band."""
    with pytest.raises(SceneError, match="holds 5 bands, and an asset of one band is needed"):
        check_stated("a", "red", asset_of({}), replace(HEADER, samples=5))
