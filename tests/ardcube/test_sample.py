"""The sample archive: reproducible pixels, files that match their items, and all documented cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox, GeoboxTiles
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.geometry import Polygon, box, shape

from ardcube.errors import InputError
from ardcube.sample import SampleArchive, write_archive
from ardcube.sample import archive as sample
from ardcube.sample.scenes import NORTH, SOUTH, WEST, Flaw, Granule, Scene, scenes

MARGIN = 0.02
"""Margin of a footprint in degrees of latitude."""
NOISE = 25.0
"""Upper bound of the standard deviation of the difference between two noisy digital numbers."""

Pixels = Callable[[Scene, str], NDArray[Any]]


@pytest.fixture(scope="module")
def archive(sample_archive: Path) -> SampleArchive:
    return write_archive(sample_archive)


@pytest.fixture(scope="module")
def items(archive: SampleArchive) -> dict[str, dict[str, Any]]:
    paths = archive.folder.glob("*/*.json")
    return {document["id"]: document for document in (json.loads(path.read_text()) for path in paths)}


@pytest.fixture(scope="module")
def pixels(archive: SampleArchive) -> Pixels:
    @cache
    def read(scene: Scene, name: str) -> NDArray[Any]:
        with rasterio.open(archive.folder / scene.id / f"{name}.tif") as dataset:
            out: NDArray[Any] = dataset.read(1)
        return out

    return read


def scene(day: date, granule: Granule, flaw: Flaw = Flaw.NONE) -> Scene:
    (found,) = [s for s in scenes() if (s.day, s.granule, s.flaw) == (day, granule, flaw)]
    return found


def flawed(flaw: Flaw) -> Scene:
    (found,) = [s for s in scenes() if s.flaw is flaw]
    return found


@cache
def lonlat(granule: Granule, pixel: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = granule.shape(pixel)
    x = granule.left + pixel * (np.arange(columns) + 0.5)
    y = granule.top - pixel * (np.arange(rows) + 0.5)
    to_degrees = Transformer.from_crs(granule.epsg, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(x, y))
    return lon, lat


def in_metres(outline: Polygon, granule: Granule) -> Polygon:
    to_metres = Transformer.from_crs(4326, granule.epsg, always_xy=True)
    out: Polygon = shapely.transform(outline, lambda xy: np.column_stack(to_metres.transform(*xy.T)))
    return out


def test_pixels_depend_on_the_seed_only(archive: SampleArchive, tmp_path: Path, pixels: Pixels) -> None:
    first = scene(date(2023, 5, 3), WEST)
    for seed in (2023, 7):
        folder = tmp_path / str(seed)
        folder.mkdir()
        document = sample._write_scene(folder, first, sample._survey(WEST, seed), seed)
        same = []
        for name in ("B04", "B03", "B02", "B08", "SCL"):
            with rasterio.open(folder / first.id / f"{name}.tif") as dataset:
                same.append(np.array_equal(dataset.read(1), pixels(first, name)))
        assert same == [seed == 2023] * 5
        if seed == 2023:
            assert document == json.loads((archive.folder / first.id / f"{first.id}.json").read_text())


def test_an_existing_archive_is_kept(archive: SampleArchive) -> None:
    def stamps() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*")}

    before = stamps()
    assert write_archive(archive.folder) == archive
    assert stamps() == before


def test_the_description_of_the_archive_matches_its_files(
    archive: SampleArchive, items: dict[str, dict[str, Any]]
) -> None:
    files = [path for path in archive.folder.rglob("*") if path.is_file()]
    assert archive.bytes == sum(path.stat().st_size for path in files) < 60_000_000
    assert archive.items == len(items) == len(scenes())
    assert archive.scenes == archive.items - 1
    assert len(files) == 1 + 6 * archive.items  # no sidecar files, no temporary files


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"type": "Collection", "id": "mine"}'])
def test_a_folder_with_other_content_is_refused_and_unchanged(tmp_path: Path, content: str) -> None:
    (tmp_path / "collection.json").write_text(content)
    with pytest.raises(InputError, match="not a sample archive"):
        write_archive(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["collection.json"]
    assert (tmp_path / "collection.json").read_text() == content


def test_a_file_with_the_name_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        write_archive(tmp_path / "archive")


def test_an_archive_of_another_seed_or_with_a_missing_file_is_refused(archive: SampleArchive, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seed 2023"):
        write_archive(archive.folder, seed=1)
    (tmp_path / "collection.json").write_bytes((archive.folder / "collection.json").read_bytes())
    with pytest.raises(InputError, match="was changed after it was written"):
        write_archive(tmp_path)


def test_a_failed_write_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(sample, "_survey", full)
    with pytest.raises(OSError, match="no space left"):
        write_archive(tmp_path / "archive")
    assert list(tmp_path.iterdir()) == []


def test_every_file_matches_its_item(archive: SampleArchive, items: dict[str, dict[str, Any]]) -> None:
    for name, document in items.items():
        assert set(document["assets"]) == {"red", "green", "blue", "nir", "scl"}
        for key, asset in document["assets"].items():
            path = archive.folder / name / asset["href"]
            (declared,) = asset["raster:bands"]
            with rasterio.open(path) as dataset:
                assert [dataset.height, dataset.width] == asset["proj:shape"]
                assert dataset.transform == Affine(*asset["proj:transform"])
                assert dataset.crs.to_epsg() == asset["proj:epsg"] == document["properties"]["proj:epsg"]
                assert asset["proj:code"] == f"EPSG:{asset['proj:epsg']}"
                assert dataset.nodata == declared["nodata"] == 0
                assert dataset.dtypes == (declared["data_type"],)
                assert dataset.res == (declared["spatial_resolution"],) * 2
                assert dataset.block_shapes == [(256, 256)]
                assert dataset.compression.name == "deflate"
                assert len(dataset.overviews(1)) == 2
                layout = dataset.tags(ns="IMAGE_STRUCTURE")
            assert layout["LAYOUT"] == "COG"
            assert layout.get("PREDICTOR", "1") == ("1" if key == "scl" else "2")
            assert path.stat().st_size == asset["file:size"]


def test_some_overview_ratios_are_not_powers_of_two(archive: SampleArchive) -> None:
    for granule in (NORTH, SOUTH, WEST):
        first = next(s for s in scenes() if s.granule == granule)
        path = archive.folder / first.id / "B04.tif"
        for level, factor in ((0, 2), (1, 4)):
            with rasterio.open(path, overview_level=level) as dataset:
                ratio = granule.width / dataset.width
            assert ratio == pytest.approx(factor, rel=0.01)
            assert ratio != factor


def test_overviews_average_valid_reflectance_and_select_classes(archive: SampleArchive, pixels: Pixels) -> None:
    # A granule with a swath edge: averages with nodata would be smaller than all valid numbers.
    edge = scene(date(2023, 5, 28), SOUTH)
    full = pixels(edge, "B04")
    assert (full == 0).any()
    with rasterio.open(archive.folder / edge.id / "B04.tif", overview_level=1) as dataset:
        coarse = dataset.read(1)
    assert coarse[coarse > 0].min() >= full[full > 0].min()
    with rasterio.open(archive.folder / edge.id / "SCL.tif", overview_level=1) as dataset:
        assert set(np.unique(dataset.read(1))) <= set(np.unique(pixels(edge, "SCL")))


def test_collection_and_items_link_to_each_other(archive: SampleArchive, items: dict[str, dict[str, Any]]) -> None:
    collection = json.loads((archive.folder / "collection.json").read_text())
    linked = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert sorted(linked) == sorted(f"./{name}/{name}.json" for name in items)
    assert {document["collection"] for document in items.values()} == {collection["id"], archive.collection}
    for key, asset in collection["item_assets"].items():
        (band,) = asset["raster:bands"]
        assert band.get("offset") == (None if key == "scl" else -0.1)
        assert band.get("scale") == (None if key == "scl" else 0.0001)
    for document in items.values():
        extent = shape(document["geometry"]).bounds
        assert document["bbox"] == pytest.approx(extent)


def test_a_footprint_encloses_the_valid_pixels_tightly(items: dict[str, dict[str, Any]], pixels: Pixels) -> None:
    for each in scenes():
        outline = shape(items[each.id]["geometry"])
        assert outline.is_valid
        within = outline.buffer(MARGIN)
        shapely.prepare([outline, within])
        for name, size in (("B04", 10), ("SCL", 20)):
            valid = pixels(each, name) > 0
            lon, lat = (degrees[valid][::11] for degrees in lonlat(each.granule, size))
            assert shapely.contains_xy(within, lon, lat).all()
            # Nearly all valid pixels are inside the outline, and its area equals theirs.
            assert shapely.contains_xy(outline, lon, lat).mean() > 0.995
            area = in_metres(outline, each.granule).area
            assert valid.sum() * size**2 == pytest.approx(area, rel=0.01)


def test_each_month_has_six_dates_and_days_with_several_granules() -> None:
    days: dict[date, set[str]] = {}
    for each in scenes():
        days.setdefault(each.day, set()).add(each.granule.tile)
    for month in (5, 6, 7):
        assert sum(day.month == month for day in days) == 6
        assert any(len(tiles) > 1 for day, tiles in days.items() if day.month == month)
    assert any({"33TTN", "32TQS"} <= tiles for tiles in days.values())


def test_granules_overlap_and_extend_across_the_zone_border() -> None:
    north, south, west = (
        box(lon.min(), lat.min(), lon.max(), lat.max())
        for lon, lat in (lonlat(granule, 10) for granule in (NORTH, SOUTH, WEST))
    )
    assert north.intersection(south).area > 0.05 * north.area
    assert west.bounds[2] > 12 > north.bounds[0]
    assert {NORTH.epsg, SOUTH.epsg, WEST.epsg} == {32632, 32633}


def test_one_date_is_overcast_and_others_are_clear(pixels: Pixels, items: dict[str, dict[str, Any]]) -> None:
    overcast, clear = scene(date(2023, 5, 13), NORTH), scene(date(2023, 5, 28), NORTH)
    assert set(np.unique(pixels(overcast, "SCL"))) <= {0, 8, 9, 10}
    assert not {3, 8, 9, 10} & set(np.unique(pixels(clear, "SCL")))
    assert items[overcast.id]["properties"]["eo:cloud_cover"] == 100
    assert items[clear.id]["properties"]["eo:cloud_cover"] == 0


def test_the_classification_has_every_class(pixels: Pixels) -> None:
    everywhere = {int(code) for each in scenes() for code in np.unique(pixels(each, "SCL"))}
    assert everywhere == {0, 2, 3, 4, 5, 6, 7, 8, 9, 10}


@pytest.mark.parametrize("name", ["B04", "B03", "B02", "B08"])
def test_granules_of_one_pass_have_similar_common_pixels(pixels: Pixels, name: str) -> None:
    day = date(2023, 5, 28)
    rows = (NORTH.top - SOUTH.top) // 10
    high = min(NORTH.height - rows, SOUTH.height)
    wide = min(NORTH.width, SOUTH.width)
    assert NORTH.left == SOUTH.left
    upper = pixels(scene(day, NORTH), name)[rows : rows + high, :wide].astype(int)
    lower = pixels(scene(day, SOUTH), name)[:high, :wide].astype(int)
    assert np.array_equal(upper == 0, lower == 0)
    difference = (upper - lower)[upper > 0]
    assert 0 < difference.std() < NOISE
    assert abs(difference.mean()) < 1
    assert np.abs(difference).max() < 8 * NOISE


def test_granules_of_two_utm_zones_have_the_same_land(pixels: Pixels) -> None:
    day = date(2023, 5, 3)
    north = pixels(scene(day, NORTH), "B08")
    lon, lat = lonlat(WEST, 10)
    x, y = Transformer.from_crs(4326, NORTH.epsg, always_xy=True).transform(lon, lat)
    column = np.floor((x - NORTH.left) / 10).astype(int)
    row = np.floor((NORTH.top - y) / 10).astype(int)
    both = (column >= 0) & (column < NORTH.width) & (row >= 0) & (row < NORTH.height)
    here = pixels(scene(day, WEST), "B08")[both].astype(float)
    there = north[row[both], column[both]].astype(float)
    valid = (here > 0) & (there > 0)
    assert valid.sum() > 100_000
    # Centres differ by up to half a pixel, so edges of fields may differ, but most of the land does not.
    assert np.corrcoef(here[valid], there[valid])[0, 1] > 0.95
    assert np.median(np.abs(here[valid] - there[valid])) < 3 * NOISE


def test_an_older_processing_of_a_scene_has_other_pixels(items: dict[str, dict[str, Any]], pixels: Pixels) -> None:
    old = flawed(Flaw.SUPERSEDED)
    new = scene(old.day, old.granule)
    first, second = items[old.id]["properties"], items[new.id]["properties"]
    same = ("platform", "grid:code", "datetime")
    assert [first[key] for key in same] == [second[key] for key in same]
    take, newer_take = first["s2:datatake_id"], second["s2:datatake_id"]
    assert take.rsplit("_", 1)[0] == newer_take.rsplit("_", 1)[0]
    assert (first["s2:processing_baseline"], second["s2:processing_baseline"]) == ("04.00", "05.09")
    valid = pixels(new, "B04") > 0
    apart = pixels(old, "B04")[valid].astype(int) - pixels(new, "B04")[valid]
    assert np.median(apart) > 5 * NOISE


def test_an_item_before_baseline_4_has_no_offset(items: dict[str, dict[str, Any]], pixels: Pixels) -> None:
    old = flawed(Flaw.NO_OFFSET)
    document = items[old.id]
    assert document["properties"]["s2:processing_baseline"] == "03.01"
    assert document["assets"]["red"]["raster:bands"][0]["offset"] == 0
    # The reflectance of dark forest is below 0.1, so only numbers without offset are below 1000.
    assert np.percentile(pixels(old, "B04")[pixels(old, "B04") > 0], 5) < 1000


def test_an_item_whose_offset_was_applied_still_declares_it(items: dict[str, dict[str, Any]], pixels: Pixels) -> None:
    applied = flawed(Flaw.OFFSET_APPLIED)
    document = items[applied.id]
    assert document["properties"]["earthsearch:boa_offset_applied"] is True
    assert document["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
    neighbour = scene(applied.day, SOUTH)
    rows = (NORTH.top - SOUTH.top) // 10
    high, wide = NORTH.height - rows, min(NORTH.width, SOUTH.width)
    upper = pixels(applied, "B04")[rows : rows + high, :wide].astype(int)
    lower = pixels(neighbour, "B04")[:high, :wide].astype(int)
    assert np.median((lower - upper)[upper > 0]) == pytest.approx(1000, abs=NOISE)
    assert sum("earthsearch:boa_offset_applied" in entry["properties"] for entry in items.values()) == 1


def test_one_chunk_has_no_scene_and_another_has_scenes_without_pixels(
    archive: SampleArchive, items: dict[str, dict[str, Any]], pixels: Pixels
) -> None:
    area = GeoBox.from_bbox(archive.bbox, crs="EPSG:4326", resolution=archive.resolution)
    tiles = GeoboxTiles(area, (archive.chunk_size, archive.chunk_size))
    assert tiles.shape == (2, 4)

    def reaching(row: int, column: int, month: int) -> list[Scene]:
        halo = 20 * archive.resolution
        tile = box(*tiles[row, column].extent.boundingbox).buffer(halo, join_style="mitre")
        found = []
        for each in scenes():
            outline = shape(items[each.id]["geometry"])
            reach = outline.buffer(MARGIN / np.cos(np.radians(outline.centroid.y)))
            if each.day.month == month and reach.intersects(tile):
                found.append(each)
        return found

    assert reaching(1, 3, month=5) == []
    near = reaching(0, 3, month=5)
    assert near
    west, south, east, north = tiles[0, 3].extent.boundingbox
    for each in near:
        lon, lat = lonlat(each.granule, 10)
        inside = (lon > west) & (lon < east) & (lat > south) & (lat < north)
        assert not pixels(each, "B04")[inside].any()
    # Every other chunk has a scene, and the western granule does not reach the eastern tiles.
    for month in (5, 6, 7):
        for row in range(2):
            for column in range(4):
                assert reaching(row, column, month) or (row, column, month) == (1, 3, 5)
    assert not any(each.granule == WEST for month in (5, 6, 7) for each in reaching(1, 3, month))
