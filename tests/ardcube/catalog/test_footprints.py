"""A footprint is a hint: it is kept where it agrees with the raster, and replaced by the raster's extent elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from rasterio.transform import from_origin
from shapely import affinity
from shapely.geometry import mapping

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.footprints import FootprintCatalog, RasterExtent, stated_extent
from ardcube.catalog.items import parse_scene
from ardcube.catalog.malformed import Item
from ardcube.errors import SceneError
from ardcube.prepare.extents import extent_reader
from tests.strategies import FEW, stac_collection, stac_item

UTM32 = "EPSG:32632"
GRID = (60.0, 0.0, 600000.0, 0.0, -60.0, 5300040.0)
SHAPE = (1830, 1830)
EXTENT = RasterExtent(UTM32, GRID, SHAPE)
STATED = {"proj:code": UTM32, "proj:transform": list(GRID), "proj:shape": list(SHAPE)}


def in_degrees(x: float, y: float, crs: str = UTM32) -> tuple[float, float]:
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return lon, lat


UL, LL, LR, UR = (
    in_degrees(600000 + dx, 5300040 + dy) for dx, dy in ((0, 0), (0, -109800), (109800, -109800), (109800, 0))
)
CORNERS = shapely.Polygon([UL, LL, LR, UR])
OUTLINE = EXTENT.outline()
assert OUTLINE is not None

WRONG: dict[str, Any] = {
    "none": None,
    "crossed": {"type": "Polygon", "coordinates": [[UL, LL, UR, LR, UL]]},
    "swapped": mapping(shapely.transform(CORNERS, lambda xy: xy[:, ::-1])),
    "another tile": mapping(affinity.translate(CORNERS, 1.5)),
    "too far out": mapping(CORNERS | shapely.Polygon([LR, UR, (LR[0] + 0.1, LR[1])])),
    "wide": mapping(shapely.box(-170, 40, 170, 60)),
    "a point": {"type": "Point", "coordinates": list(UL)},
    "a line": {"type": "LineString", "coordinates": [UL, LR]},
    "without area": {"type": "Polygon", "coordinates": [[UL, LR, UL, UL]]},
    "empty": {"type": "Polygon", "coordinates": []},
    "metres": mapping(shapely.box(600000, 5190240, 709800, 5300040)),
    "beyond the pole": mapping(shapely.box(10, 80, 11, 95)),
    "not a number": {"type": "Polygon", "coordinates": [[UL, LL, [float("nan"), 47.0], UL]]},
    "overlapping parts": mapping(shapely.MultiPolygon([CORNERS, CORNERS.buffer(-0.1)])),
}
RIGHT: dict[str, Any] = {
    "corners": mapping(CORNERS),
    "heights": {"type": "Polygon", "coordinates": [[(*corner, 500.0) for corner in (UL, LL, LR, UR, UL)]]},
    "a swath": mapping(shapely.Polygon([UL, LL, LR])),
    "a hole": mapping(CORNERS - CORNERS.centroid.buffer(0.1)),
    "parts": mapping(CORNERS - shapely.box(10.9, 40, 11.0, 60)),
    "a collection": {"type": "GeometryCollection", "geometries": [mapping(CORNERS), mapping(shapely.Point(UL))]},
    "beyond 180": mapping(affinity.translate(CORNERS, 360)),
    "simplified": mapping(CORNERS.buffer(0.012, join_style="mitre")),
}


def corrected(item: Item, read: Callable[[str], RasterExtent | None] = lambda _: None, stac_url: str = "/c") -> Item:
    catalog = SimpleNamespace(collection=None, search=lambda *_: [item])
    wrapped = FootprintCatalog(catalog, "red", AccessPolicy(stac_url), read)
    (found,) = wrapped.search((0, 0, 1, 1), datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
    return found


def make(geometry: Any, href: str = "https://127.0.0.1:1/red.tif", **fields: Any) -> dict[str, Any]:
    item = stac_item(assets={"red": {"href": href}}, **fields)
    return {**item, "geometry": geometry}


def footprint(item: Item) -> shapely.Geometry:
    return parse_scene(item, stac_collection(), ("red",)).footprint


@pytest.mark.parametrize("geometry", WRONG.values(), ids=WRONG)
def test_a_wrong_footprint_is_replaced_by_the_extent_that_the_item_states(geometry: Any) -> None:
    assert footprint(corrected(make(geometry, **STATED))).equals(OUTLINE)


@pytest.mark.parametrize("geometry", RIGHT.values(), ids=RIGHT)
def test_a_footprint_that_agrees_with_the_extent_is_kept(geometry: Any) -> None:
    item = make(geometry, **STATED)
    assert corrected(item) is item
    assert CORNERS.buffer(0.02).covers(footprint(item))


@pytest.mark.parametrize(
    "fields",
    [
        STATED,
        {"proj:epsg": 32632, "proj:transform": [*GRID, 0, 0, 1], "proj:shape": SHAPE},
        {"proj:epsg": 32632, "proj:bbox": [600000, 5190240, 709800, 5300040]},
        {"proj:code": UTM32, "proj:bbox": [600000, 5190240, 0, 709800, 5300040, 9000]},
        {"proj:code": None, "proj:wkt2": CRS(UTM32).to_wkt(), "proj:transform": GRID, "proj:shape": SHAPE},
        {"proj:epsg": None, "proj:projjson": CRS(UTM32).to_json_dict(), "proj:transform": GRID, "proj:shape": SHAPE},
    ],
    ids=["code", "epsg", "box", "box with heights", "wkt2", "projjson"],
)
@pytest.mark.parametrize("place", ["item", "asset"])
def test_the_extent_is_read_from_all_notations_of_the_projection_extension(place: str, fields: dict[str, Any]) -> None:
    item = make(None, **(fields if place == "item" else {}))
    if place == "asset":
        item["assets"]["red"] |= fields
    assert shapely.symmetric_difference(footprint(corrected(item)), OUTLINE).area < 1e-6


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"proj:code": UTM32},
        {"proj:transform": GRID, "proj:shape": SHAPE},
        {"proj:code": "EPSG:0", "proj:transform": GRID, "proj:shape": SHAPE},
        {"proj:code": UTM32, "proj:transform": GRID, "proj:shape": [0, 0]},
        {"proj:code": UTM32, "proj:transform": [0, 0, 0, 0, 0, 0], "proj:shape": SHAPE},
        {"proj:code": UTM32, "proj:transform": [1, 2], "proj:shape": SHAPE},
        {"proj:code": UTM32, "proj:bbox": ["a", "b", "c", "d"]},
        {"proj:code": UTM32, "proj:transform": [1e300, 0, 0, 0, 1e300, 0], "proj:shape": SHAPE},
    ],
)
def test_without_an_extent_a_usable_footprint_is_kept_and_another_makes_a_bad_scene(fields: dict[str, Any]) -> None:
    good = make(RIGHT["corners"], **fields)
    assert footprint(corrected(good)).equals(CORNERS)
    for name in ("none", "crossed", "a point", "without area", "empty", "metres", "not a number"):
        with pytest.raises(SceneError):
            footprint(corrected(make(WRONG[name], **fields)))


# ---- headers ---------------------------------------------------------------------------------------


def write(path: Path, crs: str = UTM32, transform: Any = None, shape: tuple[int, int] = (183, 183)) -> Path:
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": shape[0], "width": shape[1], "nodata": 0}
    transform = transform or from_origin(600000, 5300040, 600, 600)
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as file:
        file.write(np.ones((1, *shape), np.uint16))
    return path


@pytest.mark.parametrize("geometry", WRONG.values(), ids=WRONG)
def test_without_projection_fields_the_header_of_a_local_file_is_read(geometry: Any, tmp_path: Path) -> None:
    item = make(geometry, str(write(tmp_path / "red.tif")))
    found = footprint(corrected(item, extent_reader("unsigned", "auto")))
    assert shapely.symmetric_difference(found, OUTLINE).area < 1e-6


def test_a_header_that_cannot_be_read_leaves_the_footprint_as_it_is(tmp_path: Path) -> None:
    read = extent_reader("unsigned", "auto")
    (tmp_path / "text.tif").write_text("no raster")
    for name in ("missing.tif", "text.tif"):
        item = make(RIGHT["corners"], str(tmp_path / name))
        assert corrected(item, read) is item


def test_headers_of_remote_files_are_read_only_for_footprints_that_cannot_be_used() -> None:
    asked = []

    def read(href: str) -> RasterExtent:
        asked.append(href)
        return EXTENT

    assert footprint(corrected(make(WRONG["swapped"]), read)).bounds == pytest.approx(
        shapely.geometry.shape(WRONG["swapped"]).bounds
    )
    assert not asked
    for geometry in (None, WRONG["crossed"], WRONG["wide"]):
        assert footprint(corrected(make(geometry), read)).equals(OUTLINE)
    assert len(asked) == 3
    corrected(make(None, "/etc/passwd"), read, "https://catalogue")  # an address that is not allowed
    corrected(make(None, **STATED), read)
    assert len(asked) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"proj:code": "EPSG:32633", "proj:transform": GRID, "proj:shape": SHAPE},
        {"proj:code": UTM32, "proj:bbox": [10.3, 46.8, 11.8, 47.9]},
        {"proj:code": UTM32, "proj:transform": [0.001, 0, 3.0, 0, -0.001, 48.0], "proj:shape": SHAPE},
    ],
    ids=["another zone", "a box in degrees", "a transform in degrees"],
)
def test_a_header_decides_if_footprint_and_stated_extent_are_apart(fields: dict[str, Any]) -> None:
    """A wrong extent would hide the scene."""
    asked = []

    def read(href: str) -> RasterExtent:
        asked.append(href)
        return EXTENT

    assert footprint(corrected(make(RIGHT["a swath"], **fields), read)).equals(footprint(make(RIGHT["a swath"])))
    assert footprint(corrected(make(WRONG["another tile"], **STATED), read)).equals(OUTLINE)
    assert len(asked) == 2
    assert footprint(corrected(make(WRONG["another tile"], **STATED))).equals(OUTLINE), "a header that cannot be read"
    for geometry in (*RIGHT.values(), WRONG["too far out"], WRONG["crossed"], None):
        corrected(make(geometry, **STATED), read)
    assert len(asked) == 2


@pytest.mark.parametrize("geometry", [
    shapely.Polygon([(179.6, -17), (-179.7, -17), (-179.7, -16.5), (179.6, -16.5)]),
    shapely.MultiPolygon([shapely.box(179.6, -17, 180, -16.5), shapely.box(-180, -17, -179.7, -16.5)]),
    shapely.box(179.6, -17, 180.3, -16.5),
    shapely.box(-180.4, -17, -179.7, -16.5),
], ids=["not cut", "cut", "above 180", "below -180"])  # fmt: skip
def test_a_footprint_across_the_antimeridian_is_compared_in_all_notations(geometry: shapely.Geometry) -> None:
    fields = {"proj:code": "EPSG:32701", "proj:bbox": [130_000, 8_100_000, 250_000, 8_220_000]}
    item = make(mapping(geometry), **fields)
    assert corrected(item) is item
    found = parse_scene(item, stac_collection(), ("red",)).at_longitudes(179, 181).footprint
    assert found.equals(shapely.box(179.6, -17, 180.3, -16.5))
    far = make(mapping(affinity.translate(geometry, 0, 5)), **fields)
    assert corrected(far) is not far


def test_a_footprint_wider_than_180_degrees_is_the_extent_of_a_raster_of_the_world() -> None:
    fields = {"proj:code": "EPSG:4326", "proj:transform": [1, 0, -180, 0, -1, 90], "proj:shape": [180, 360]}
    found = footprint(corrected(make(mapping(shapely.box(-170, -60, 170, 60)), **fields)))
    assert found.equals(shapely.box(-180, -90, 180, 90))


# ---- extents ---------------------------------------------------------------------------------------


@FEW
@given(
    lon=st.floats(-180, 180), lat=st.floats(-79, 79), dx=st.floats(0.01, 0.99), dy=st.floats(0.01, 0.99),
    size=st.floats(100, 200_000),
)  # fmt: skip
def test_points_of_a_raster_are_in_its_outline(lon: float, lat: float, dx: float, dy: float, size: float) -> None:
    zone = int((lon + 180) // 6) % 60 + 1
    crs = f"EPSG:{32600 + zone}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    extent = RasterExtent(crs, (size / 100, 0.0, x - size / 2, 0.0, -size / 100, y + size / 2), (100, 100))
    outline = extent.outline()
    assert outline is not None
    point_lon, point_lat = in_degrees(x - size / 2 + dx * size, y + size / 2 - dy * size, crs)
    west = outline.bounds[0]
    assert outline.covers(shapely.Point((point_lon - west) % 360 + west, point_lat))
    assert outline.bounds[2] - west < 40


@pytest.mark.parametrize(
    ("crs", "transform", "covered", "outside"),
    [
        ("EPSG:3031", (1e4, 0, -2e6, 0, -1e4, 2e6), [(0, -90), (170, -80), (-179, -75)], [(0, -60), (0, 90)]),
        ("EPSG:3413", (1e4, 0, -2e6, 0, -1e4, 2e6), [(0, 90), (170, 80), (-179, 80)], [(0, 60), (0, -90)]),
        ("EPSG:4326", (0.9, 0, -180, 0, -0.45, 90), [(0, 0), (179, 80), (-179, -80)], []),
        ("EPSG:4326", (0.9, 0, 0, 0, -0.45, 90), [(0, 0), (179, 80), (-179, -80)], []),
        ("EPSG:4326", (0.1, 0, 170, 0, -0.1, 10), [(171, 0), (-161, 0)], [(169, 0), (-159, 0)]),
        ("EPSG:3857", (1e5, 0, -2e7, 0, -1e5, 2e7), [(0, 0), (179, 80), (-179, -80)], [(0, 86)]),
    ],
    ids=["south pole", "north pole", "world", "world from 0 to 360", "across 180", "web mercator"],
)
def test_extents_around_poles_and_across_the_antimeridian(
    crs: str, transform: tuple[float, ...], covered: list[tuple[float, float]], outside: list[tuple[float, float]]
) -> None:
    size = (300, 300) if transform[0] == 0.1 else (400, 400)
    fields = {"proj:code": crs, "proj:transform": list(transform), "proj:shape": list(size)}
    scene = parse_scene(corrected(make(None, **fields)), stac_collection(), ("red",))
    everywhere = scene.at_longitudes(-180, 180).footprint
    assert all(everywhere.covers(shapely.Point(point)) for point in covered)
    assert not any(everywhere.intersects(shapely.Point(point)) for point in outside)
    assert -12 <= scene.solar_hours <= 12


def test_an_asset_states_its_extent_before_its_item() -> None:
    item = make(None, **{**STATED, "proj:transform": [10.0, 0, 0, 0, -10.0, 0]})
    item["assets"]["red"] |= {"proj:transform": list(GRID), "proj:shape": list(SHAPE)}
    assert stated_extent(item, item["assets"]["red"]) == EXTENT
