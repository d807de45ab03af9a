"""Cubes of `best-pixel` and `least-cloudy` equal the oracle in every value, however they are built."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import zarr
from numpy.typing import NDArray

import ardcube
from ardcube.config.variables import variable_name
from ardcube.errors import InputError
from ardcube.ledger.ledger import Ledger
from ardcube.planning import memory
from ardcube.sample import write_archive
from ardcube.storage.place import Place
from tests.oracle.choices import BestPixel, Choice, LeastCloudy
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import OracleCube, oracle_cube, read_catalogue

AREA: dict[str, Any] = {"bbox": (11.94, 46.845, 11.97, 46.865), "resolution": 0.00025}
DATES = ("2023-05", "2023-06")
BANDS = ("red", "nir")
CHOICES: dict[str, Choice] = {
    "best-pixel": BestPixel(),
    "best-pixel:day=170,sigma=5,metres=400,cloud=2,coverage=0.5": BestPixel(170, 5.0, 400, 1.0, 2.0, 0.5),
    "best-pixel:metres=5000,date=0,coverage=0": BestPixel(metres=5000, date=0.0, coverage=0.0),
    "best-pixel:cloud=0": BestPixel(cloud=0.0),
    "least-cloudy": LeastCloudy(),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample archive, in which some items do not state their cloud cover."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder)
    items = sorted(path for path in folder.rglob("*.json") if json.loads(path.read_text())["type"] == "Feature")
    for number, path in enumerate(items):
        item = json.loads(path.read_text())
        item["properties"]["eo:cloud_cover"] = [30.0, 12.5, 30.0, None, -1, 80.25, 5.0][number % 7]
        if item["properties"]["eo:cloud_cover"] in (None, -1) and number % 2:
            del item["properties"]["eo:cloud_cover"]
        path.write_text(json.dumps(item))
    return folder


@pytest.fixture(scope="module")
def built(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> zarr.Group:
    return cube_of(archive, tmp_path_factory.mktemp("cube") / "cube.zarr")


def cube_of(archive: Path, uri: Path, *composites: str, threads: int = 2, **more: Any) -> zarr.Group:
    values = {"chunk_size": 128, "cloud_mask": "scl", "composites": composites or tuple(CHOICES)} | more
    config = ardcube.CubeConfig(
        stac_url=str(archive), start_date=DATES[0], end_date=DATES[1], bands=BANDS, **AREA | values
    )
    assert ardcube.build(config, uri, threads=threads).failed == 0
    return zarr.open_group(str(uri), mode="r")


def numbers(group: zarr.Group, text: str) -> NDArray[Any]:
    return np.asarray(group[variable_name(text)][...])


def expected(archive: Path, choice: Choice, nudge: float) -> OracleCube:
    items, collection = read_catalogue(archive)
    for item in items:
        if item["properties"].get("eo:cloud_cover") == -1:
            del item["properties"]["eo:cloud_cover"]
    return oracle_cube(
        items, collection, **AREA, start=DATES[0], end=DATES[1], bands=BANDS, cloud_mask="scl", choice=choice,
        nudge=nudge,
    )  # fmt: skip


@pytest.mark.parametrize("text", CHOICES)
def test_a_cube_equals_the_oracle(archive: Path, built: zarr.Group, text: str) -> None:
    assert_equals_oracle(
        numbers(built, text), np.asarray(built["observation_count"][...]), partial(expected, archive, CHOICES[text])
    )
    assert (numbers(built, text) != numbers(built, "best-pixel")).any() == (text != "best-pixel")


def test_strips_parts_chunks_threads_and_other_composites_change_no_pixel(
    archive: Path, built: zarr.Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "STACK_BYTES", 20_000)
    monkeypatch.setattr(memory, "PART_SIDE", 28)
    other = cube_of(archive, tmp_path / "other.zarr", "median", *reversed(CHOICES), threads=1, chunk_size=20, shard=2)
    for text in CHOICES:
        np.testing.assert_array_equal(numbers(other, text), numbers(built, text), err_msg=text)
    alone = cube_of(archive, tmp_path / "alone.zarr", "best-pixel", chunk_size=64)
    np.testing.assert_array_equal(numbers(alone, "best-pixel"), numbers(built, "best-pixel"))


def test_a_clip_changes_no_distance(archive: Path, built: zarr.Group, tmp_path: Path) -> None:
    west, south, east, north = AREA["bbox"]
    x, y = (west + east) / 2, (south + north) / 2
    diamond = shapely.Polygon([(west, y), (x, south), (east, y), (x, north)])
    file = tmp_path / "diamond.geojson"
    file.write_text(shapely.to_geojson(diamond))
    clip = {"bbox": None, "geometry_file": str(file), "clip": True}
    found = numbers(cube_of(archive, tmp_path / "cube.zarr", "best-pixel", **clip), "best-pixel")
    whole = numbers(built, "best-pixel")
    assert 0.3 < found.any(axis=-1).sum() / whole.any(axis=-1).sum() < 0.7
    np.testing.assert_array_equal(found, np.where(found.any(axis=-1, keepdims=True), whole, 0))


def test_the_date_alone_needs_no_mask(archive: Path, tmp_path: Path) -> None:
    group = cube_of(archive, tmp_path / "cube.zarr", "best-pixel:cloud=0,coverage=0", "last", cloud_mask="none")
    assert numbers(group, "best-pixel:cloud=0,coverage=0").any()


def test_a_mask_without_scenes_gives_no_distance_to_cloud(archive: Path, tmp_path: Path) -> None:
    message = (
        "^composite best-pixel:day=170: cloud_mask none gives no distance to cloud; choose a mask of scenes, such as "
        "scl; or leave the term out with best-pixel:cloud=0$"
    )
    with pytest.raises(InputError, match=message):
        cube_of(archive, tmp_path / "cube.zarr", "best-pixel:day=170", cloud_mask="none")
    assert not list(tmp_path.iterdir())


def test_a_corrected_cloud_cover_builds_only_cubes_that_use_it_again(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records of other cubes stay valid."""
    uses, other = ("least-cloudy", "best-pixel:date=0"), ("median", "best-pixel:coverage=0")
    before = [_inputs(cube_of(archive, tmp_path / str(number), *texts)) for number, texts in enumerate((uses, other))]
    assert re.search(r"[1-9]\d* of \d+ scenes state no eo:cloud_cover", caplog.text)
    changed = [path for path in archive.rglob("*.json") if '"eo:cloud_cover": 12.5' in path.read_text()]
    assert changed
    try:
        for path in changed:
            path.write_text(path.read_text().replace('"eo:cloud_cover": 12.5', '"eo:cloud_cover": 95.0'))
        after = [
            _inputs(cube_of(archive, tmp_path / str(number), *texts)) for number, texts in enumerate((uses, other))
        ]
    finally:
        for path in changed:
            path.write_text(path.read_text().replace('"eo:cloud_cover": 95.0', '"eo:cloud_cover": 12.5'))
    assert after[1] == before[1]
    assert after[0] != before[0]


def _inputs(group: zarr.Group) -> dict[str, str]:
    ledger = Ledger.of_store(Place.at(str(group.store_path).removeprefix("file://")))
    found = {str(key): record.inputs for key, record in ledger.records().items()}
    assert found
    return found
