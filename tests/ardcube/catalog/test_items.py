"""STAC items as scenes: offsets, bands, footprints, solar days, duplicates, revisions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import Scene, add_margin
from ardcube.errors import SceneError
from ardcube.extent.grid import Grid
from tests.oracle import items as oracle
from tests.oracle.footprints import reach
from tests.strategies import BANDS, FEW, raster_band, scene, stac_collection, stac_item

Change = Callable[[dict[str, Any]], None]


def parse(item: dict[str, Any], band: str = "red") -> Scene:
    return parse_scene(item, stac_collection(), (band,))


def recorded(folder: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Recorded items of a folder, each with its collection."""
    documents = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    (collection,) = [document for document in documents if document["type"] == "Collection"]
    items = [document for document in documents if document["type"] == "Feature"]
    items += [item for document in documents for item in document.get("features", [])]
    return [(item, collection) for item in items]


@pytest.mark.parametrize("field", ["datetime", "geometry"])
def test_an_item_without_datetime_or_geometry_is_refused(field: str) -> None:
    item = stac_item("some")
    (item["properties"] if field == "datetime" else item)[field] = None
    with pytest.raises(SceneError, match=f"item some: it has no {field}"):
        parse(item)


def test_nodata_size_and_pixels_come_from_the_asset() -> None:
    described = {
        "href": "https://host/red.tif",
        "raster:bands": raster_band(nodata=65535),
        "file:size": 123,
        "proj:shape": [20, 30],
        "proj:transform": [20, 0, 0, 0, -20, 0],
    }
    band = parse(stac_item(assets={"red": described})).bands["red"]
    assert (band.nodata, band.size, band.pixels, band.pixel_size) == (65535, 123, 600, 20.0)
    bare = parse(stac_item(assets={"red": {"href": "/a"}})).bands["red"]
    assert (bare.nodata, bare.size, bare.pixels, bare.pixel_size) == (0, 0, 0, 10.0)
    nan = parse(stac_item(assets={"red": {"href": "/a", "raster:bands": [{"nodata": "nan"}]}})).bands["red"]
    assert nan.nodata is None


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("65535", 65535),
        ("0", 0),
        (65535.0, 65535),
        ("nan", None),
        ("-inf", None),
        (-9999, None),
        ("-9999", None),
        (0.5, None),
    ],
)
def test_nodata_may_be_stated_as_text(stated: Any, expected: int | None) -> None:
    item = stac_item(assets={"red": {"href": "/a", "raster:bands": raster_band(nodata=stated)}})
    assert parse(item).bands["red"].nodata == expected


@pytest.mark.parametrize("stated", ["none", "", True, [0]], ids=repr)
def test_a_nodata_value_that_is_no_number_makes_a_bad_scene(stated: Any) -> None:
    item = stac_item(assets={"red": {"href": "/a", "raster:bands": raster_band(nodata=stated)}})
    with pytest.raises(SceneError, match=r"the nodata of band red is no number \(.*\); correct the item"):
        parse(item)


def test_nodata_comes_from_the_collection_if_the_item_states_none() -> None:
    collection = {"id": "c", "item_assets": {"red": {"raster:bands": raster_band(nodata=65535)}}}
    item = stac_item(assets={"red": {"href": "/a"}})
    assert parse_scene(item, collection, ["red"]).bands["red"].nodata == 65535
    item["assets"]["red"]["raster:bands"] = [{"nodata": 0}]
    assert parse_scene(item, collection, ["red"]).bands["red"].nodata == 0


@pytest.mark.parametrize(
    ("href", "remote"),
    [
        ("s3://bucket/a.tif", True),
        ("https://host/a.tif", True),
        ("/data/a.tif", False),
        ("./a.tif", False),
        ("file:///data/a.tif", False),
        (r"C:\data\a.tif", False),
    ],
)
def test_urls_are_remote_and_paths_are_not(href: str, remote: bool) -> None:
    assert is_remote(href) is remote


# ---- footprints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [180.0, -180.0, 540.0])
@pytest.mark.parametrize(
    "footprint",
    [
        shapely.MultiPolygon([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)]),
        shapely.Polygon([(179, -17), (-179, -17), (-179, -16), (179, -16)]),
        shapely.box(179, -17, 181, -16),
    ],
    ids=["cut at 180 degrees", "not cut", "longitudes above 180"],
)
def test_a_footprint_across_the_antimeridian_is_one_polygon(footprint: shapely.Geometry, centre: float) -> None:
    item = stac_item(geometry=shapely.geometry.mapping(footprint))
    found = parse(item)
    assert found.at_longitudes(centre - 2, centre + 2).footprint.equals(shapely.box(centre - 1, -17, centre + 1, -16))
    assert found.solar_hours == -12  # its centroid is at -180


def test_a_footprint_is_at_both_ends_of_a_cube_of_the_whole_world() -> None:
    found = parse(stac_item(box=(179, -17, 181, -16))).at_longitudes(-180, 180).footprint
    assert found.equals(shapely.union(shapely.box(-181, -17, -179, -16), shapely.box(179, -17, 181, -16)))


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [[[14, 46], [15.5, 46], [15.5, 47], [14, 46]]]},
        {"type": "Polygon", "coordinates": [[[14, 46], [15.5, 46], [15.5, 47]]]},  # not closed
        {"type": "Polygon", "coordinates": [[[14, 46, 9], [15.5, 46, 9], [15.5, 47, 9], [14, 46, 9]]]},
        shapely.geometry.mapping(shapely.box(14, 46, 15, 47) - shapely.box(14.3, 46.3, 14.6, 46.6)),
        shapely.geometry.mapping(shapely.box(14, 46, 15, 47) | shapely.box(15.3, 46, 15.6, 47)),
    ],
    ids=["ring", "open ring", "heights", "hole", "parts"],
)
def test_the_footprint_is_the_geometry_of_the_item(geometry: dict[str, Any]) -> None:
    footprint = parse(stac_item(geometry=geometry)).footprint
    assert footprint.equals(shapely.geometry.shape(geometry))


def test_the_margin_has_the_same_width_on_the_ground_in_all_directions() -> None:
    box = shapely.box(15.0, 59.9, 15.4, 60.1)
    (grown,) = add_margin(np.array([box]))
    west, south, _, north = grown.bounds
    # At 60 degrees of latitude a degree of longitude is half as long, so the margin has twice as many degrees.
    assert 15.0 - west == pytest.approx(0.04, rel=1e-2)
    assert (59.9 - south, north - 60.1) == pytest.approx((0.02, 0.02))
    assert grown.symmetric_difference(reach(box, box.centroid.x)).area < 1e-9


# ---- solar days ----------------------------------------------------------------------------------

WHEN = st.datetimes(datetime(2016, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def solar_day_of_odc_stac(item: dict[str, Any]) -> date:
    """Return the solar day that odc-stac computes from an item alone."""
    parsed = odc.stac.parse_item(pystac.Item.from_dict(copy.deepcopy(item) | {"stac_extensions": []}))
    return parsed.solar_date.date()


@FEW
@given(
    lon=st.floats(-179.9, 179.9) | st.sampled_from([-179.5, 179.5, -15.1, -15.0, -0.1, 0.1, 14.9, 15.0, 15.1]),
    lat=st.floats(-80, 80),
    when=WHEN,
)
@example(lon=15.0, lat=4.0, when=datetime(2016, 1, 1, 23, tzinfo=UTC))  # its centroid is at 14.999999999999998
def test_the_solar_day_of_a_scene_is_the_one_that_odc_stac_computes_from_its_item(
    lon: float, lat: float, when: datetime
) -> None:
    """`ParsedItem.solar_date` takes the centroid of the item's geometry, without a longitude from this test."""
    item = stac_item(when=when.isoformat(), box=(lon - 0.05, lat, lon + 0.05, lat + 0.1))
    found = parse(item).solar_day()
    assert found == solar_day_of_odc_stac(item)
    assert found == oracle.solar_day(item, shapely.geometry.shape(item["geometry"]))


@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")  # odc-geo 0.5.3
def test_odc_stac_load_has_one_solar_day_where_the_footprints_of_its_items_have_two() -> None:
    """`odc.stac.load` takes the longitude of its output's centre for all items, a cube that of each footprint."""
    items = [
        stac_item(name, "2023-08-15T15:45:00Z", box=(lon, 10, lon + 0.1, 10.1)) | {"stac_extensions": []}
        for name, lon in (("22:45 in solar time", 118.0), ("00:45 on the next day", 136.0))
    ]
    days = [parse(item).solar_day() for item in items]
    assert days == [date(2023, 8, 15), date(2023, 8, 16)]
    assert days == [solar_day_of_odc_stac(item) for item in items]
    loaded = odc.stac.load(
        map(pystac.Item.from_dict, items),
        bands=["red"],
        groupby="solar_day",
        geobox=Grid.from_bounds((117.0, 9.0, 137.0, 11.0), 1.0).geobox,
        chunks={},
        dtype="uint16",
        nodata=0,
    )
    assert loaded.sizes["time"] == 1


def test_the_solar_day_of_an_item_does_not_depend_on_the_longitudes_of_the_cube() -> None:
    when = "2023-08-15T22:20:00Z"
    west, east = stac_item("a", when, (-179.0, -17, -178.0, -16)), stac_item("b", when, (178.0, -17, 179.0, -16))
    beyond = stac_item("c", when, (181.0, -17, 182.0, -16))
    days = [date(2023, 8, 15), date(2023, 8, 16), date(2023, 8, 15)]
    assert [solar_day_of_odc_stac(item) for item in (west, east)] == days[:2]
    for bounds in ((-181, -170), (170, 181), (0, 360)):
        assert [parse(item).at_longitudes(*bounds).solar_day() for item in (west, east, beyond)] == days


# ---- duplicates ----------------------------------------------------------------------------------


def processing(name: str, baseline: str, tile: str = "33TWM", take: str = "20230815T100031") -> Scene:
    number = baseline.replace(".", "")
    return scene(
        name,
        platform="sentinel-2a",
        **{
            "s2:datatake_id": f"GS2A_{take}_042544_N{baseline}",
            "s2:processing_baseline": baseline,
            "s2:product_uri": f"S2A_MSIL2A_{take}_N{number}_R122_T{tile}_20230816T000000.SAFE",
            "grid:code": f"MGRS-{tile}",
        },
    )


def test_processings_of_an_acquisition_and_tile_are_ordered_by_baseline() -> None:
    old, new, parts = processing("old", "05.9"), processing("new", "05.10"), processing("new in parts", "05.10")
    assert old.acquisition == new.acquisition == parts.acquisition != ""
    assert max(old, new, key=lambda scene: scene.processing) is new
    others = [processing("a", "02.14", tile="33TWL"), processing("b", "02.14", take="20230820T100031")]
    assert len({scene.acquisition for scene in (*others, new)}) == 3


@pytest.mark.parametrize("notation", ["05.09", "N05.09", "N0509", "0509", "5.9"])
def test_notations_of_a_baseline_are_equal(notation: str) -> None:
    assert scene("a", **{"s2:processing_baseline": notation}).baseline == (5, 9)


@pytest.mark.parametrize("notation", ["sentinel-2a", "Sentinel-2A", "SENTINEL 2A", "S2A", "sentinel2a"])
def test_notations_of_a_platform_are_one_acquisition(notation: str) -> None:
    found = scene("a", platform=notation, **{"grid:code": "MGRS-33TWM"}).acquisition
    assert found == scene("b", platform="sentinel-2a", **{"grid:code": "MGRS-33TWM"}).acquisition
    assert found.startswith("sentinel-2a ")


def test_items_without_a_tile_have_no_acquisition() -> None:
    assert scene("a").acquisition == ""


PRODUCT = "S2A_MSIL2A_20230815T100031_N0509_R122_T33TWM_20230815T162000"


@pytest.mark.parametrize(
    "properties",
    [
        {"grid:code": "MGRS-33TWM"},
        {"s2:mgrs_tile": "33TWM"},
        {"mgrs:utm_zone": 33, "mgrs:latitude_band": "T", "mgrs:grid_square": "WM"},
        {"sentinel:utm_zone": 33, "sentinel:latitude_band": "T", "sentinel:grid_square": "WM"},
        {"sentinel:product_id": PRODUCT},
        {"grid:code": "MGRS-33TWM", "eopf:datatake_id": "GS2A_20230815T100031_042544_N05.09"},
    ],
)
def test_the_tile_is_read_from_any_property_that_states_it(properties: dict[str, Any]) -> None:
    take = {"s2:datatake_id": "GS2A_20230815T100031_042544_N05.10"}
    found = scene(platform="Sentinel-2A", **(take if not {*properties} & {"eopf:datatake_id"} else {}), **properties)
    assert found.acquisition == "sentinel-2a 20230815T100031 33TWM"


@pytest.mark.parametrize("properties", [{"grid:code": "MGRS-05QKB"}, {"s2:mgrs_tile": "T05QKB"}])
def test_a_tile_is_the_same_in_every_notation_of_its_zone(properties: dict[str, Any]) -> None:
    assert scene(**properties).acquisition == scene(**{"grid:code": "MGRS-5QKB"}).acquisition


@pytest.mark.parametrize(
    "properties",
    [
        {"s2:processing_baseline": "05.09"},
        {"processing:version": "05.09"},
        {"sentinel:processing_baseline": "05.09"},
        {"eopf:processing_baseline": "05.09"},
        {"s2:product_uri": f"{PRODUCT}.SAFE"},
        {"sentinel:product_id": PRODUCT},
    ],
)
def test_the_baseline_is_read_from_any_property_that_states_it(properties: dict[str, Any]) -> None:
    assert scene(**properties).baseline == (5, 9)
    assert scene().baseline == ()


def test_the_newer_processing_has_the_newer_baseline_then_generation_time_then_id() -> None:
    def made(name: str, baseline: str, generated: str | None) -> Scene:
        return scene(name, **{"s2:processing_baseline": baseline, "s2:generation_time": generated})

    ascending = [
        made("z", "05.09", "2024-06-01T00:00:00Z"),
        made("y", "05.10", None),
        made("x", "05.10", "2024-01-01T00:00:00Z"),
        made("w", "05.10", "2024-01-01T01:30:00.5+01:00"),
        made("v", "05.10", "2024-01-01T00:30:00.600Z"),
        made("w2", "05.10", "2024-01-01T00:30:00.600Z"),
    ]
    processings = [made.processing for made in ascending]
    assert processings == sorted(processings)
    assert len(set(processings)) == len(ascending)
    assert scene(**{"processing:datetime": "2024-01-01T00:00:00Z"}).generated == "2024-01-01T00:00:00+00:00"


@pytest.mark.real
def test_recorded_items_of_one_tile_are_all_different_acquisitions(shared_real: Path) -> None:
    items = recorded(shared_real / "stac_recorded" / "items_earth_search_c1")
    scenes = [parse_scene(item, collection, BANDS) for item, collection in items]
    assert len({found.acquisition for found in scenes}) == 10


# ---- revisions -----------------------------------------------------------------------------------


def _set(*path: str, to: Any) -> Change:
    def change(item: dict[str, Any]) -> None:
        for name in path[:-1]:
            item = item[name]
        item[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("properties", "datetime", to="2023-08-15T10:06:02Z"),
        _set("properties", "s2:processing_baseline", to="05.11"),
        _set("properties", "earthsearch:boa_offset_applied", to=True),
        _set("geometry", to=shapely.geometry.mapping(shapely.box(15, 46, 15.3, 46.1))),
        _set("assets", "red", "raster:bands", to=raster_band(0)),
        _set("assets", "red", "raster:bands", to=raster_band(nodata=1)),
        _set("assets", "red", "file:checksum", to="1220abcd"),
        _set("id", to="another"),
    ],
)
def test_fields_that_can_change_a_pixel_change_the_revision(change: Change) -> None:
    item = stac_item(updated="2023-08-16T00:00:00Z")
    before = parse(item).revision
    change(item)
    assert parse(item).revision != before


@pytest.mark.parametrize(
    "change",
    [
        _set("assets", "red", "href", to="s3://mirror/red.tif"),
        _set("assets", "red", "title", to="Red"),
        _set("assets", "green", "file:checksum", to="1220abcd"),
        _set("assets", "thumbnail", to={"href": "/a.jpg"}),
        _set("properties", "eo:cloud_cover", to=12.5),
        _set("properties", "earthsearch:boa_offset_applied", to=False),
        _set("links", to=[{"rel": "self", "href": "https://host/item"}]),
        _set("stac_version", to="1.1.0"),
    ],
)
def test_fields_that_cannot_change_a_pixel_keep_the_revision(change: Change) -> None:
    item = stac_item(updated="2023-08-16T00:00:00Z")
    before = parse(item).revision
    change(item)
    assert parse(item).revision == before


@pytest.mark.parametrize(
    ("stated", "expected"),
    [(12, 12.0), (0, 0.0), (100.0, 100.0), (-1, None), (100.5, None), (None, None), ("7", None), (True, None),
     (float("nan"), None), (10**400, None)],
)  # fmt: skip
def test_a_cloud_cover_is_a_share_in_percent_or_unknown(stated: Any, expected: float | None) -> None:
    item = stac_item()
    item["properties"]["eo:cloud_cover"] = stated
    assert parse(item).cloud_cover == expected


def test_the_cloud_cover_is_part_of_the_revision_of_cubes_that_use_it() -> None:
    scenes = []
    for cover in (12.5, 13.0, None):
        item = stac_item()
        item["properties"]["eo:cloud_cover"] = cover
        scenes.append(parse(item))
    assert len({scene.revision for scene in scenes}) == 1
    assert len({scene.with_cloud_cover().revision for scene in scenes}) == 3


@pytest.mark.parametrize(
    "stated",
    [
        _set("properties", "s2:processing_baseline", to="05.10"),
        _set("properties", "s2:generation_time", to="2023-08-16T00:00:00Z"),
        _set("assets", "red", "file:checksum", to="1220abcd"),
    ],
    ids=["baseline", "generation time", "checksum"],
)
def test_a_changed_update_time_changes_the_revision_only_if_nothing_else_is_stated(stated: Change) -> None:
    item = stac_item(updated="2023-08-16T00:00:00Z")
    revisions = []
    for updated in ("2023-08-16T00:00:00Z", "2024-01-01T00:00:00Z"):
        item["properties"]["updated"] = updated
        revisions.append(parse(item).revision)
    assert revisions[0] != revisions[1]
    stated(item)
    after = parse(item).revision
    item["properties"]["updated"] = "2024-02-01T00:00:00Z"
    assert parse(item).revision == after


def test_the_revision_does_not_depend_on_the_order_of_properties() -> None:
    item = stac_item(updated="2023-08-16T00:00:00Z", platform="sentinel-2a")
    reordered = item | {"properties": dict(reversed(item["properties"].items()))}
    assert parse(reordered).revision == parse(item).revision
