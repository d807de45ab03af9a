"""The least cloudy scenes of each granule: deterministic, independent of the area, equal to a choice by hand."""

from __future__ import annotations

import json
import random
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import zarr

import ardcube
from ardcube.catalog.least_cloudy import granule_bounds, least_cloudy
from ardcube.catalog.scene import Scene
from ardcube.config import CubeConfig
from ardcube.errors import InputError
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import OracleCube, oracle_cube, read_catalogue
from tests.oracle.items import Item, acquisition, moment, processing

AREA: dict[str, Any] = {"bbox": (11.94, 46.845, 12.0, 46.87), "resolution": 0.0005}
MONTH = "2023-05"
BANDS = ("red",)
MOST = 2


def scene(name: str, cover: float | None, day: int = 1, acquisition: str = "", **more: Any) -> Scene:
    made = Scene(
        id=name, datetime=datetime(2023, 6, day, tzinfo=UTC), footprint=shapely.box(11, 45, 12.3, 46), solar_hours=0,
        acquisition=acquisition, baseline=(5, 9), generated="", revision=name, bands={}, cloud_cover=cover,
        granule="MGRS-33TTL",
    )  # fmt: skip
    return replace(made, **more)


def test_unknown_cloud_cover_comes_last_and_ties_go_to_the_earlier_scene_then_the_lower_id() -> None:
    scenes = [
        scene("unknown", None, 1), scene("clear", 0.0, 9), scene("late", 5.0, 8), scene("early", 5.0, 3),
        scene("b", 7.0, 4), scene("a", 7.0, 4), scene("overcast", 100.0, 2),
    ]  # fmt: skip
    order = ["clear", "early", "late", "a", "b", "overcast", "unknown"]
    for most in range(1, 8):
        shuffled = random.Random(most).sample(scenes, len(scenes))
        assert least_cloudy(shuffled, most) == set(order[:most])


def test_granules_are_separate_and_processings_of_one_acquisition_count_once() -> None:
    old, new = scene("old", 1.0, 1, "x", baseline=(4, 0)), scene("new", 50.0, 1, "x")
    others = [scene("c", 20.0, 2), scene("d", 90.0, 3), scene("e", 99.0, 4, granule="MGRS-33TUL")]
    assert least_cloudy([old, new, *others], 1) == {"c", "e"}
    assert least_cloudy([old, new, *others], 2) == {"c", "old", "new", "e"}, "the newest processing states the cover"


def test_the_area_of_a_granule_contains_its_raster_wherever_the_swath_ends() -> None:
    """The footprint is the last tenth of a raster of 110 km."""
    strip = scene("strip", 0.0, footprint=shapely.box(12.2, 45.0, 12.34, 46.0))
    without = granule_bounds([strip])
    assert without[0] < 12.2 - 0.7
    assert without[2] > 12.34 + 0.7
    whole = granule_bounds([scene("whole", 0.0, footprint=shapely.box(11.0, 45.0, 12.4, 46.0))])
    assert 10.5 < whole[0] < 11.0
    assert 12.4 < whole[2] < 12.9


@pytest.fixture(scope="module")
def archive(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample archive with cloud cover that has ties, and is unknown for some items."""
    folder = tmp_path_factory.mktemp("archive")
    shutil.copytree(sample_archive, folder, dirs_exist_ok=True)
    for number, path in enumerate(features(folder)):
        item = json.loads(path.read_text())
        item["properties"]["eo:cloud_cover"] = [30.0, 12.5, None, 30.0, 80.25, 5.0][number % 6]
        path.write_text(json.dumps(item))
    return folder


def features(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if json.loads(path.read_text())["type"] == "Feature")


def chosen(items: Iterable[Item], most: int) -> list[Item]:
    """Return the items of the least cloudy acquisitions by hand."""
    granules: dict[str, dict[Any, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if f"{moment(item):%Y-%m}" == MONTH:
            granules[item["properties"]["grid:code"]][acquisition(item)].append(item)
    kept: list[Item] = []
    for of_granule in granules.values():
        ranked = []
        for same in of_granule.values():
            newest = max(same, key=processing)
            cover = newest["properties"].get("eo:cloud_cover")
            ranked.append(((cover is None, cover, moment(newest), newest["id"]), same))
        for _, same in sorted(ranked, key=lambda one: one[0])[:most]:
            kept += same
    return kept


def expected(archive: Path, nudge: float = 0.0) -> OracleCube:
    items, collection = read_catalogue(archive)
    return oracle_cube(
        chosen(items, MOST), collection, **AREA, start=MONTH, end=MONTH, bands=BANDS, cloud_mask="scl", nudge=nudge
    )


def config(archive: Path, **more: Any) -> CubeConfig:
    values: dict[str, Any] = {"chunk_size": 64, "cloud_mask": "scl", "max_scenes": MOST, **AREA, **more}
    return CubeConfig(stac_url=str(archive), start_date=MONTH, end_date=MONTH, bands=BANDS, **values)


def built(uri: Path) -> zarr.Group:
    return zarr.open_group(str(uri), mode="r")


def test_a_cube_equals_the_oracle_and_a_late_less_cloudy_scene_replaces_another(archive: Path, tmp_path: Path) -> None:
    uri, hidden = tmp_path / "cube.zarr", tmp_path / "hidden.json"
    items, _ = read_catalogue(archive)
    late = next(one for one in chosen(items, MOST) if one["properties"]["grid:code"] == "MGRS-32TQS")
    (path,) = [path for path in features(archive) if json.loads(path.read_text())["id"] == late["id"]]
    path.rename(hidden)
    first = ardcube.build(config(archive), uri, threads=2)
    assert_equals_oracle(
        np.asarray(built(uri)["rgb_median"][...]), np.asarray(built(uri)["observation_count"][...]),
        partial(expected, archive),
    )  # fmt: skip
    hidden.rename(path)
    again = ardcube.build(config(archive), uri, threads=2, allow_loss=1)
    assert 0 < again.written + again.empty <= first.written + first.empty
    assert_equals_oracle(
        np.asarray(built(uri)["rgb_median"][...]), np.asarray(built(uri)["observation_count"][...]),
        partial(expected, archive),
    )  # fmt: skip
    assert ardcube.build(config(archive), uri, threads=2).already_done == first.written + first.empty
    for other, shown in ((None, "not given"), (MOST + 1, "3")):
        with pytest.raises(InputError, match=rf"max_scenes is 2 there and {shown} here"):
            ardcube.build(config(archive, max_scenes=other), uri)


def test_chunks_and_area_change_no_pixel(archive: Path, tmp_path: Path) -> None:
    west, south, _, north = AREA["bbox"]
    ardcube.build(config(archive), tmp_path / "all.zarr", threads=2)
    ardcube.build(config(archive, chunk_size=20), tmp_path / "small.zarr", threads=1)
    corner = (west, south, west + 0.01, north)
    ardcube.build(config(archive, bbox=corner), tmp_path / "corner.zarr", threads=2)
    every, small, part = (np.asarray(built(tmp_path / f"{name}.zarr")["rgb_median"][...])
                          for name in ("all", "small", "corner"))  # fmt: skip
    np.testing.assert_array_equal(small, every)
    np.testing.assert_array_equal(part, every[:, : part.shape[1], : part.shape[2]])


def test_an_item_without_a_granule_is_refused(archive: Path, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue"
    items, collection = read_catalogue(archive)
    catalogue.mkdir()
    for item in items:
        names = ("grid:code", "mgrs:utm_zone", "mgrs:grid_square", "s2:product_uri", "s2:mgrs_tile")
        item["properties"] = {name: value for name, value in item["properties"].items() if name not in names}
    (catalogue / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    (catalogue / "collection.json").write_text(json.dumps(collection))
    with pytest.raises(InputError, match=r"max_scenes: item .* states no grid:code, no MGRS tile, and no path and"):
        ardcube.plan(config(catalogue))
