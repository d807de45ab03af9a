"""Malformed and hostile geometry files: an area on Earth, or one line of error."""

from __future__ import annotations

import json
import math
import os
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import geopandas
import pytest
import shapely

from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.area import Area, load_area
from ardcube.extent.grid import Grid
from tests.hostile.mutation import DEEP, damaged, mutated, text_of
from tests.hostile.promise import answer, hostile

ISLAND = shapely.Polygon([(9.0, 45.0), (9.2, 45.0), (9.2, 45.1), (9.1, 45.2), (9.0, 45.1)])
GEOJSON: dict[str, Any] = {
    "type": "FeatureCollection",
    "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
    "features": [
        {"type": "Feature", "properties": {"name": "a"}, "geometry": shapely.geometry.mapping(ISLAND)},
        {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [9.3, 45.0]}},
    ],
}


def area_of(file: Path) -> Area:
    dates = {"start_date": "2023-01-01", "end_date": "2023-01-31"}
    area = load_area(CubeConfig(**dates, geometry_file=str(file), use_geometry_mask=True))
    west, south, east, north = area.bounds
    assert all(map(math.isfinite, area.bounds))
    assert west < east
    assert south < north
    assert area.mask is not None
    Grid.from_bounds(area.bounds, 0.01)
    return area


@cache
def good(suffix: str) -> dict[str, bytes]:
    """Return the files of a format by suffix; a shapefile has several."""
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=[ISLAND, shapely.box(10, 46, 10.5, 46.5)], crs=4326)
    with tempfile.TemporaryDirectory() as name:
        frame.to_file(Path(name) / f"area{suffix}")
        return {file.suffix: file.read_bytes() for file in sorted(Path(name).iterdir())}


@hostile(60)
def test_a_document_is_an_area_or_refused(random: Random) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "area.geojson"
        content = text_of(mutated(GEOJSON, random))
        file.write_bytes(damaged(content, random) if random.random() < 0.2 else content)
        answer(lambda: area_of(file))


@hostile(40)
def test_a_damaged_file_is_an_area_or_refused(random: Random) -> None:
    with tempfile.TemporaryDirectory() as name:
        suffix = random.choice((".shp", ".gpkg", ".geojson"))
        files = dict(good(suffix))
        suffix_to_damage = random.choice([*files])
        files[suffix_to_damage] = damaged(files[suffix_to_damage], random)
        for part, content in files.items():
            (Path(name) / f"area{part}").write_bytes(content)
        answer(lambda: area_of(Path(name) / f"area{suffix}"))


def refusal(file: Path) -> str:
    line = answer(lambda: area_of(file))
    assert isinstance(line, str)
    assert str(file) in line
    return line


def test_pipes_folders_and_cyclic_links_are_refused_at_once(tmp_path: Path) -> None:
    """Reading a pipe without a writer would block."""
    os.mkfifo(tmp_path / "pipe.geojson")
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "loop.geojson").symlink_to("loop.geojson")
    for name in ("pipe.geojson", "folder.gpkg"):
        assert "is not a regular file" in refusal(tmp_path / name)
    assert "does not exist" in refusal(tmp_path / "loop.geojson")


@pytest.mark.parametrize("name", ["area\0.geojson", "x" * 5000 + ".geojson", "http://127.0.0.1:1/a.geojson",
                                  "/vsicurl/http://127.0.0.1:1/a.geojson", "zip://a.zip!a.shp"])  # fmt: skip
def test_an_invalid_path_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"does not exist|cannot be"):
        area_of(Path(name))


def test_a_deeply_nested_document_is_refused(tmp_path: Path) -> None:
    for number, text in enumerate(("[" * DEEP, json.dumps(GEOJSON).replace("9.0", "[" * DEEP + "]" * DEEP, 1))):
        file = tmp_path / f"deep{number}.geojson"
        file.write_text(text)
        assert "cannot be read" in refusal(file)
