"""Areas: files of any CRS become bounds in degrees; an unusable file is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.antimeridian import gather
from ardcube.extent.area import Area, load_area
from ardcube.extent.reproject import area_in_crs, area_on_ellipsoid, to_degrees
from tests.strategies import FEW, MANY

FORMATS = {".gpkg": "GPKG", ".shp": "ESRI Shapefile", ".geojson": "GeoJSON"}
ISLAND = shapely.box(9.0, 45.0, 9.2, 45.1)


def area_of(file: Path, *, mask: bool = False, layer: str | None = None) -> Area:
    dates = {"start_date": "2023-01-01", "end_date": "2023-01-31"}
    return load_area(CubeConfig(**dates, geometry_file=str(file), use_geometry_mask=mask, geometry_layer=layer))


def write(file: Path, *shapes: BaseGeometry | None, crs: str | None = "EPSG:4326") -> Path:
    frame = geopandas.GeoDataFrame({"name": [str(i) for i in range(len(shapes))]}, geometry=list(shapes), crs=crs)
    frame.to_file(file, driver=FORMATS[file.suffix])
    return file


def refusal(file: Path, layer: str | None = None) -> str:
    """Return the message that a file is refused with."""
    with pytest.raises(InputError) as caught:
        area_of(file, layer=layer)
    message = str(caught.value)
    assert "\n" not in message
    assert str(file) in message
    return message


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_every_format_gives_the_bounds_of_all_its_geometries(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"area{suffix}", ISLAND, shapely.box(10, 46, 10.5, 46.5))
    assert area_of(file).bounds == pytest.approx((9.0, 45.0, 10.5, 46.5), abs=1e-9)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3857", "EPSG:3035"])
def test_other_crs_are_reprojected_to_degrees(tmp_path: Path, crs: str, suffix: str) -> None:
    corners = [(9.0, 45.0), (9.2, 45.0), (9.2, 45.1), (9.0, 45.1)]
    forward = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    file = write(tmp_path / f"area{suffix}", shapely.Polygon([forward.transform(*c) for c in corners]), crs=crs)
    # Straight edges of the other CRS bend between the corners: by 20 m at most here.
    assert area_of(file).bounds == pytest.approx((9.0, 45.0, 9.2, 45.1), abs=2e-4)


def test_an_edge_that_bends_when_reprojected_is_inside_the_bounds(tmp_path: Path) -> None:
    square = shapely.box(200_000, 6_500_000, 800_000, 6_700_000)
    file = write(tmp_path / "wide.gpkg", square, crs="EPSG:32632")
    west, south, east, north = area_of(file).bounds

    back = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    lon, lat = back.transform(*shapely.get_coordinates(shapely.segmentize(square, 1000)).T)
    # The northern edge is highest in its middle, 300 km from the nearest corner.
    assert north == pytest.approx(lat.max(), abs=1e-4)
    assert north > back.transform(200_000, 6_700_000)[1] + 0.05
    assert (west, south, east) == pytest.approx((lon.min(), lat.min(), lon.max()), abs=1e-3)


def test_a_bounding_box_is_used_unchanged() -> None:
    cube = CubeConfig(start_date="2023-01-01", end_date="2023-01-31", bbox=(179, -17, 181, -16))
    assert load_area(cube) == Area(shapely.box(179.0, -17.0, 181.0, -16.0))


def test_the_geometry_is_a_mask_only_if_requested(tmp_path: Path) -> None:
    file = write(tmp_path / "two.gpkg", ISLAND, shapely.box(10, 46, 10.5, 46.5))
    assert area_of(file).mask is None
    mask = area_of(file, mask=True).mask
    assert mask is not None
    assert mask.area == pytest.approx(0.02 + 0.25)
    assert not mask.intersects(shapely.Point(9.6, 45.6))


@pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
def test_a_file_without_crs_is_refused_with_a_way_to_add_one(tmp_path: Path, suffix: str) -> None:
    with pytest.warns(UserWarning, match="crs"):
        file = write(tmp_path / f"nowhere{suffix}", ISLAND, crs=None)
    message = refusal(file)
    assert "has no CRS" in message
    assert ".prj" in message
    assert "ogr2ogr -a_srs" in message


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_a_file_without_features_is_refused(tmp_path: Path, suffix: str) -> None:
    empty = geopandas.GeoDataFrame({"name": np.array([], str)}, geometry=[], crs="EPSG:4326")
    empty.to_file(tmp_path / f"empty{suffix}", driver=FORMATS[suffix])
    refusal(tmp_path / f"empty{suffix}")


def test_features_without_geometry_are_ignored_unless_there_are_no_others(tmp_path: Path) -> None:
    assert area_of(write(tmp_path / "some.gpkg", None, shapely.Polygon(), ISLAND)).bounds == ISLAND.bounds
    assert "is empty" in refusal(write(tmp_path / "none.gpkg", None, shapely.Polygon()))


def test_an_invalid_geometry_is_refused_with_its_feature_and_the_reason(tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(9, 45), (9.2, 45.2), (9.2, 45), (9, 45.2)])
    message = refusal(write(tmp_path / "bow.gpkg", ISLAND, bow_tie))
    assert "feature 1" in message
    assert "Self-intersection" in message
    assert "makevalid" in message


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(9, 45),
        shapely.MultiPoint([(9, 45), (10, 46)]),
        shapely.LineString([(9, 45), (10, 45)]),
        shapely.LineString([(9, 45), (10, 46)]),
    ],
)
def test_points_and_lines_are_refused(tmp_path: Path, shape: BaseGeometry) -> None:
    assert "covers no area" in refusal(write(tmp_path / "thin.gpkg", shape))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nothing.gpkg")


def test_a_file_with_another_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "area.kmz").write_bytes(b"")
    assert ".shp, .gpkg or .geojson" in refusal(tmp_path / "area.kmz")


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_a_file_with_content_of_another_format_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"area{suffix}").write_bytes(b"not a geometry")
    refusal(tmp_path / f"area{suffix}")


def test_a_shapefile_without_its_companions_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "area.shp", ISLAND)
    file.with_suffix(".shx").unlink()
    file.with_suffix(".dbf").unlink()
    file.write_bytes(file.read_bytes()[:60])
    refusal(file)


def test_a_table_without_geometry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "area.geojson").write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [{"type": "Feature", "geometry": None, "properties": {"a": 1}}],
            }
        )
    )
    refusal(tmp_path / "area.geojson")


def test_metres_declared_as_degrees_are_refused(tmp_path: Path) -> None:
    metres = shapely.box(500_000, 5_000_000, 501_000, 5_001_000)
    assert "are not degrees on Earth" in refusal(write(tmp_path / "metres.gpkg", metres, crs="EPSG:4326"))


def test_coordinates_outside_their_crs_are_refused(tmp_path: Path) -> None:
    refusal(write(tmp_path / "far.gpkg", shapely.box(1e12, 1e12, 2e12, 2e12), crs="EPSG:32632"))


def test_a_geometry_cut_at_the_antimeridian_is_joined(tmp_path: Path) -> None:
    # RFC 7946, 3.1.9: a geometry that crosses the antimeridian is cut there.
    cut = shapely.MultiPolygon([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)])
    area = area_of(write(tmp_path / "fiji.geojson", cut), mask=True)
    assert area.bounds == (179.0, -17.0, 181.0, -16.0)
    assert area.mask is not None
    assert area.mask.equals(shapely.box(179, -17, 181, -16))


def test_features_on_both_sides_of_the_antimeridian_are_joined(tmp_path: Path) -> None:
    file = write(tmp_path / "fiji.gpkg", shapely.box(177, -18, 180, -16), shapely.box(-180, -17, -178, -16.5))
    assert area_of(file).bounds == (177.0, -18.0, 182.0, -16.0)


def test_a_projected_polygon_across_the_antimeridian_keeps_its_width(tmp_path: Path) -> None:
    """UTM zone 1 South begins at 180 degrees; Fiji is on both sides of it."""
    file = write(tmp_path / "taveuni.gpkg", shapely.box(150_000, 8_130_000, 200_000, 8_150_000), crs="EPSG:32701")
    west, _, east, _ = area_of(file).bounds
    assert east - west < 1
    assert west < 180 < east


def test_a_polygon_of_all_longitudes_is_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "world.gpkg", shapely.box(-180, -60, 180, 60))
    assert area_of(file).bounds == (-180.0, -60.0, 180.0, 60.0)


# ---- around the Earth --------------------------------------------------------------------------------


@pytest.mark.parametrize(("crs", "sign"), [("EPSG:3031", -1), ("EPSG:3413", 1), ("EPSG:3995", 1)])
@pytest.mark.parametrize("hole", [False, True])
def test_an_area_around_a_pole_reaches_the_pole(tmp_path: Path, crs: str, sign: int, hole: bool) -> None:
    disc = shapely.Point(0, 0).buffer(2e6)
    area = area_of(
        write(tmp_path / "pole.gpkg", disc - shapely.Point(0, 0).buffer(1e6) if hole else disc, crs=crs), mask=True
    )
    west, south, east, north = area.bounds
    assert (west, east) == (-180.0, 180.0)
    nearest, farthest = (81.0, 71.7) if hole else (90.0, 71.7)
    assert sorted([sign * south, sign * north]) == pytest.approx([farthest, nearest], abs=0.3)
    assert area.mask is not None
    assert area.mask.covers(shapely.Point(123.0, sign * 80.0))
    assert area.mask.covers(shapely.Point(45.0, sign * 89.9)) is not hole


def test_an_area_next_to_a_pole_does_not_contain_it(tmp_path: Path) -> None:
    square = shapely.box(100_000, 100_000, 600_000, 600_000)
    west, south, east, north = area_of(write(tmp_path / "near.gpkg", square, crs="EPSG:3031")).bounds
    assert (west, south, east, north) == pytest.approx((9.5, -88.7, 80.5, -82.2), abs=0.1)


def test_a_tile_with_a_corner_at_the_pole_is_a_quarter_of_the_longitudes(tmp_path: Path) -> None:
    area = area_of(write(tmp_path / "tile.gpkg", shapely.box(0, 0, 1e6, 1e6), crs="EPSG:3031"))
    assert area.bounds == pytest.approx((0.0, -90.0, 90.0, -77.1), abs=0.3)


@pytest.mark.parametrize(
    ("shapes", "bounds"),
    [
        ([shapely.box(179, -17, 179.9, -16), shapely.box(-179.9, -17, -179, -16)], (179, -17, 181, -16)),
        ([shapely.MultiPolygon([shapely.box(-179.9, 1, -179, 2), shapely.box(179, 1, 179.9, 2)])], (179, 1, 181, 2)),
        ([shapely.box(179, 1, 181, 2)], (179, 1, 181, 2)),
        ([shapely.box(200, 1, 210, 2)], (-160, 1, -150, 2)),
        ([shapely.box(-181, 1, -179, 2)], (179, 1, 181, 2)),
        ([shapely.box(350, 1, 355, 2), shapely.box(5, 1, 10, 2)], (-10, 1, 10, 2)),
        ([shapely.box(-150, 1, -140, 2), shapely.box(150, 1, 160, 2)], (150, 1, 220, 2)),
        ([shapely.box(-100, 1, -90, 2), shapely.box(60, 1, 70, 2)], (-100, 1, 70, 2)),
        ([shapely.box(-170, 1, -10, 2), shapely.box(-10, 1, 170, 2)], (-170, 1, 170, 2)),
        ([shapely.box(-180, -90, 180, -60)], (-180, -90, 180, -60)),
        ([shapely.box(0, -90, 360, 90)], (-180, -90, 180, 90)),
        ([shapely.box(10, 85, 20, 90)], (10, 85, 20, 90)),
        ([shapely.segmentize(shapely.box(-170, 1, 170, 2), 90)], (-170, 1, 170, 2)),
    ],
)
def test_an_area_spans_as_few_longitudes_as_possible(
    tmp_path: Path, shapes: list[BaseGeometry], bounds: tuple[float, ...]
) -> None:
    area = area_of(write(tmp_path / "area.gpkg", *shapes), mask=True)
    assert area.bounds == pytest.approx(bounds, abs=1e-9)
    assert area.mask is not None
    assert area.mask.area == pytest.approx(sum(shape.area for shape in shapes))


@MANY
@given(
    spans=st.lists(st.tuples(st.floats(-180, 180), st.floats(0.1, 90)), min_size=1, max_size=6),
    turns=st.lists(st.integers(-1, 1), min_size=6, max_size=6),
)
def test_gathered_parts_cover_the_same_and_leave_out_the_largest_gap(
    spans: list[tuple[float, float]], turns: list[int]
) -> None:
    parts = [shapely.box(west + 360 * turn, 0, west + 360 * turn + width, 1)
             for (west, width), turn in zip(spans, turns, strict=False)]  # fmt: skip
    found = gather(parts)
    west, _, east, _ = found.bounds
    assert -180 - 1e-6 <= west <= 180
    # At a tenth of a degree: the longitudes that are covered, and the longest range that is not.
    at = np.arange(3600) / 10 + 0.05 + np.pi / 1e4  # on no edge

    def covered(geometry: BaseGeometry) -> NDArray[np.bool_]:
        return np.any([shapely.intersects_xy(geometry, at + 360 * turn, 0.5) for turn in range(-3, 4)], axis=0)

    wanted = np.any([covered(part) for part in parts], axis=0)
    np.testing.assert_array_equal(covered(found), wanted)
    if not wanted.all():
        twice = "".join("x" if value else " " for value in np.tile(wanted, 2))
        assert east - west == pytest.approx(360 - max(map(len, twice.split("x"))) / 10, abs=0.25)


@pytest.mark.parametrize(
    "ring",
    [
        [(179, -17), (-179, -17), (-179, -16), (179, -16)],
        [(-170, 1), (170, 1), (170, 2), (-170, 2)],
        [(-30, 0), (175, 0), (175, 60), (-30, 60)],
    ],
    ids=["across 180 without a cut", "wider than 180", "half of the world and more"],
)
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_an_edge_that_may_run_either_way_round_is_refused(
    tmp_path: Path, ring: list[tuple[float, float]], suffix: str
) -> None:
    message = refusal(write(tmp_path / f"wide{suffix}", ISLAND, shapely.Polygon(ring)))
    assert "feature 1 has an edge from longitude" in message
    assert "-segmentize 90" in message
    assert "-wrapdateline" in message


def test_a_projected_area_of_the_whole_world_is_kept(tmp_path: Path) -> None:
    edge = 20037508.342789244
    file = write(tmp_path / "world.gpkg", shapely.box(-edge, -1e7, edge, 1e7), crs="EPSG:3857")
    assert area_of(file).bounds == pytest.approx((-180, -66.4, 180, 66.4), abs=0.1)


@pytest.mark.parametrize("centre", [-20037508.342789244, 20037508.342789244])
def test_a_web_mercator_area_across_180_keeps_its_width(tmp_path: Path, centre: float) -> None:
    file = write(tmp_path / "fiji.gpkg", shapely.box(centre - 1e5, -2e6, centre + 1e5, -1.8e6), crs="EPSG:3857")
    west, _, east, _ = area_of(file).bounds
    assert (west, east) == pytest.approx((179.1, 180.9), abs=0.01)


@FEW
@given(lon=st.floats(-180, 180), lat=st.floats(-85, 85), radius=st.floats(1e3, 8e5))
def test_a_disc_anywhere_has_the_same_area_in_degrees(lon: float, lat: float, radius: float) -> None:
    crs = f"+proj=laea +lat_0={lat} +lon_0={lon} +ellps=WGS84"
    disc = shapely.Point(0, 0).buffer(radius, quad_segs=64)
    moved = to_degrees(disc, crs)
    assert moved.is_valid
    assert area_on_ellipsoid(moved) == pytest.approx(disc.area, rel=2e-3)
    assert area_in_crs(disc, crs, near=disc.area) == pytest.approx(disc.area, rel=2e-3)


# ---- layers ------------------------------------------------------------------------------------------


def layers(file: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        frame = geopandas.GeoDataFrame(geometry=[shapely.box(10 * number, 40, 10 * number + 1, 41)], crs=4326)
        frame.to_file(file, layer=name, driver="GPKG")
    return file


def test_a_file_of_several_layers_is_refused_with_their_names(tmp_path: Path) -> None:
    file = layers(tmp_path / "area.gpkg", "first", "second")
    message = refusal(file)
    assert "has 2 layers ('first', 'second'); choose one with --geometry-layer NAME" in message


def test_a_layer_is_chosen_by_its_name(tmp_path: Path) -> None:
    file = layers(tmp_path / "area.gpkg", "first", "second")
    assert area_of(file, layer="first").bounds == (0, 40, 1, 41)
    assert area_of(file, layer="second").bounds == (10, 40, 11, 41)
    assert "geometry layer 'third': not in" in refusal(file, "third")
    assert "choose from 'first', 'second'" in refusal(file, "third")


def test_the_only_layer_with_geometries_needs_no_name(tmp_path: Path) -> None:
    file = layers(tmp_path / "area.gpkg", "fields")
    pyogrio.write_dataframe(pandas.DataFrame({"style": ["red"]}), file, layer="layer_styles", append=True)
    assert len(pyogrio.list_layers(file)) == 2
    assert area_of(file).bounds == (0, 40, 1, 41)
    assert area_of(file, layer="fields").bounds == (0, 40, 1, 41)
    assert "choose from 'fields'" in refusal(file, "layer_styles")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("ok-test.gpkg", (-180, -90, 180, 90)),
        ("vancouver-test.gpkg", (-125, 48, -121, 51)),
        ("sen2r_barbellino.geojson", (9.9, 45.9, 10.3, 46.3)),
        ("eolearn_small_test_aoi.shp", (15.0, 45.8, 16.42, 46.2)),
    ],
)
def test_real_files_give_areas_in_the_expected_region(
    shared_real: Path, name: str, inside: tuple[float, float, float, float]
) -> None:
    area = area_of(shared_real / "aoi" / name, mask=True)
    assert shapely.box(*inside).contains(shapely.box(*area.bounds))
    assert area.mask is not None
    assert area.mask.is_valid
    assert area.mask.bounds == area.bounds
