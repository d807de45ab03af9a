"""The benchmark archive: equal pixels each time, and items that match the files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer

from ardcube.collections.registry import load_definitions
from benchmarks.archive import (
    BANDS,
    CROP,
    FULL,
    HLS_TILES,
    LANDSAT_SCENES,
    RESOLUTION,
    TINY,
    Archive,
    ensure_archive,
    scenes,
    write_grid,
)
from benchmarks.products import HLS, LANDSAT, MASK


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return ensure_archive(tmp_path_factory.mktemp("bench") / "tiny", TINY, workers=1)


def test_the_archive_is_equal_each_time_and_an_existing_one_is_kept(tiny: Archive, tmp_path: Path) -> None:
    again = ensure_archive(tmp_path / "again", TINY, workers=1)
    files = sorted(path.relative_to(tiny.folder) for path in tiny.folder.rglob("*.*"))
    assert len(files) == len(scenes(TINY)) * (len(BANDS) + 1) + 1
    for file in files:
        assert (tiny.folder / file).read_bytes() == (again.folder / file).read_bytes(), file
    marker = tiny.folder / "collection.json"
    before = marker.stat().st_mtime_ns
    assert ensure_archive(tiny.folder, TINY) == tiny
    assert marker.stat().st_mtime_ns == before


def test_a_damaged_archive_is_written_again(tmp_path: Path) -> None:
    written = ensure_archive(tmp_path / "tiny", TINY, workers=1)
    victim = next(written.folder.rglob("B04.tif"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:100])
    ensure_archive(written.folder, TINY, workers=1)
    assert victim.read_bytes() == whole


def test_items_match_the_files(tiny: Archive) -> None:
    *items, collection = tiny.documents(str(tiny.folder))
    assert collection["type"] == "Collection"
    assert {item["properties"]["proj:epsg"] for item in items} == {32632, 32633}
    for item in items:
        for key, asset in item["assets"].items():
            path = Path(asset["href"])
            assert path.stat().st_size == asset["file:size"]
            with rasterio.open(path) as source:
                assert source.crs.to_epsg() == item["properties"]["proj:epsg"]
                assert list(source.shape) == asset["proj:shape"]
                assert list(source.transform)[:6] == asset["proj:transform"]
                assert source.nodata == asset["raster:bands"][0]["nodata"] == 0
                assert source.dtypes[0] == asset["raster:bands"][0]["data_type"]
                assert source.block_shapes == [(TINY.block, TINY.block)]
                assert source.overviews(1)[:3] == [2, 4, 8]
                assert len(source.overviews(1)) == 4
                assert source.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
                valid, transform = source.read(1) != 0, source.transform
            rows, columns = np.indices(valid.shape)
            back = Transformer.from_crs(item["properties"]["proj:epsg"], 4326, always_xy=True)
            lon, lat = back.transform(*(transform @ (columns + 0.5, rows + 0.5)))
            inside = shapely.contains_xy(shapely.geometry.shape(item["geometry"]), lon, lat)
            # A pixel on the edge of the swath may be on either side, above all a pixel of 20 m.
            assert (valid == inside).mean() > 0.99, (item["id"], key)


@pytest.mark.parametrize(("product", "definition"), [(HLS, "hls-s30"), (LANDSAT, "landsat-c2-l2")])
def test_files_of_other_sensors_are_those_of_their_definition(product, definition, tmp_path: Path) -> None:
    archive = ensure_archive(tmp_path / "tiny", replace(TINY, product=product), workers=1)
    item, *_ = archive.documents(str(archive.folder))
    found = load_definitions().of(item)
    assert found is not None
    assert found.name == definition
    for key, asset in item["assets"].items():
        stated = asset["raster:bands"][0]
        with rasterio.open(asset["href"]) as source:
            numbers = source.read(1)
            assert source.nodata == stated["nodata"] == found.nodata(key)
            assert source.dtypes[0] == stated["data_type"] == found.data_type(key)
        assert "scale" not in stated or found.reflectance_encoding(item, key) == (stated["scale"], stated["offset"])
        if key != product.assets[MASK]:
            reflectance = numbers[numbers != product.nodata] * product.scale + product.offset
            assert 0.01 < np.median(reflectance) < 0.6
        else:
            assert set(np.unique(numbers)) <= set(product.classes)
            assert 0 < ((numbers & product.bad_bits) != 0).mean() < 1


@pytest.mark.parametrize("layout", [HLS_TILES, LANDSAT_SCENES, FULL], ids=lambda layout: layout.name)
def test_the_chunk_in_utm_is_on_the_grid_of_the_granule_and_within_its_data(layout, tmp_path: Path) -> None:
    granule, pixel = layout.granules[0], layout.product.pixel
    with rasterio.open(write_grid(tmp_path / "grid.tif", layout)) as grid:
        assert grid.shape == (layout.chunk, layout.chunk)
        column, row = ~granule.transform(pixel) @ (grid.transform.c, grid.transform.f)
    assert (column % 1, row % 1) == (0, 0)
    y0, y1, x0, x1 = granule.data
    assert y0 + 25 <= row <= y1 - layout.chunk - 25
    assert x0 + 25 <= column <= x1 - layout.chunk - 25


@pytest.mark.parametrize("layout", [FULL, CROP, TINY], ids=lambda layout: layout.name)
def test_the_chunk_and_its_halo_are_within_the_data_of_the_first_granule(layout) -> None:
    west, south, east, north = layout.bbox
    margin = 25 * RESOLUTION
    granule = layout.granules[0]
    forward = Transformer.from_crs(4326, granule.epsg, always_xy=True)
    x, y = forward.transform(
        [west - margin, east + margin, west - margin, east + margin],
        [north + margin, north + margin, south - margin, south - margin],
    )
    y0, y1, x0, x1 = granule.data
    assert granule.left + 10 * x0 < min(x)
    assert max(x) < granule.left + 10 * x1
    assert granule.top - 10 * y1 < min(y)
    assert max(y) < granule.top - 10 * y0


def test_more_dates_reuse_the_files_under_other_urls(tiny: Archive) -> None:
    *items, _ = tiny.documents("http://host", 6)
    assert len(items) == 2 * len(scenes(TINY))
    assert len({item["properties"]["datetime"] for item in items}) == 6
    assert len({item["id"] for item in items}) == len(items)
    hrefs = {asset["href"] for item in items for asset in item["assets"].values()}
    assert len(hrefs) == len(items) * len(BANDS)
    assert all(href.startswith("http://host/again/") for href in hrefs)


def test_half_of_the_twelve_dates_are_cloudy() -> None:
    covers = [scene.cover for scene in scenes(FULL) if scene.granule is FULL.granules[0]]
    assert (len(covers), min(covers), max(covers)) == (12, 0.05, 0.95)
    assert 5 <= sum(cover > 0.4 for cover in covers) <= 7


def test_clouds_cover_the_share_that_the_item_states(tiny: Archive) -> None:
    for path in tiny.folder.glob("*_L2A/*.json"):
        cover = json.loads(path.read_text())["properties"]["ardcube:cloud_share"]
        with rasterio.open(path.parent / "SCL.tif") as source:
            classes = source.read(1)
        cloudy = np.isin(classes, (8, 9)).sum() / (classes != 0).sum()
        assert abs(cloudy - cover) < 0.15, path.name
