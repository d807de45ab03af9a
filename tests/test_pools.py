"""Cubes of several collections equal the oracle in every value: sensors, processings, equal ids, equal times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr

import ardcube
from ardcube.config import CubeConfig
from tests.ardcube.chunk.test_clear import GRID, Archive, blobs
from tests.oracle.cube import oracle_cube
from tests.oracle.masks import SclMask

COLLECTIONS = ("c1", "landsat", "s2")
TILE = {"grid:code": "MGRS-33TVM"}


def write_archive(folder: Path, seed: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Write scenes of three sensors on two days into two catalogues.

    Returns
    -------
    list of str
        Addresses of the collections.
    list of dict
        The items, with ids as in the cube.
    """
    archive, rng = Archive(folder), np.random.default_rng(seed)
    placed = []
    for day in (10, 12):
        take = {"s2:datatake_id": f"GS2A_202308{day}T100031_042000_N05.09", "platform": "sentinel-2a", **TILE}
        for collection, hour, properties in (
            ("s2", 10, {**take, "s2:processing_baseline": "05.09"}),
            ("c1", int(rng.integers(9, 12)), {**take, "s2:processing_baseline": "05.10"}),
            ("s2", 10, {"platform": "sentinel-2b"}),
            ("landsat", 10, {"platform": "landsat-8"}),
            ("landsat", int(rng.integers(9, 12)), {"platform": "landsat-9"}),
            ("landsat", 10, {"platform": "LANDSAT_7"}),
            ("landsat", 11, {}),
        ):
            number = len(archive.items)
            valid = rng.random((2, 10, 10)).repeat(10, axis=1).repeat(10, axis=2) < 0.6
            noise = rng.integers(100 * number + 1, 100 * number + 90, (2, 100, 100))
            bands = dict(zip(("red", "nir"), np.where(valid, noise, 0), strict=True))
            archive.scene(f"f{number}", blobs(31 * seed + number), bands, hour, **properties)
            item = archive.items[-1]
            item["properties"]["datetime"] = f"2023-08-{day}T{hour:02}:00:00Z"
            # Ids are unique in a collection only.
            earlier = sum(other["collection"] == collection for other in placed)
            item |= {"id": f"scene-{earlier}", "collection": collection}
            placed.append(item)
    for item in placed:
        catalogue = folder / ("near" if item["collection"] == "s2" else "far")
        catalogue.mkdir(exist_ok=True)
        (catalogue / f"{item['collection']}-{item['id']}.json").write_text(json.dumps(item))
    addresses = [f"{folder / 'far'}#c1", f"{folder / 'far'}#landsat", "s2"]
    return addresses, [item | {"id": f"{item['collection']}/{item['id']}"} for item in placed]


@pytest.mark.parametrize(("seed", "resampling"), [(0, "nearest"), (1, "bilinear"), (2, "bilinear")])
def test_a_cube_of_three_collections_equals_the_oracle(
    tmp_path: Path, seed: int, resampling: Literal["nearest", "bilinear"]
) -> None:
    collections, items = write_archive(tmp_path, seed)
    cube = CubeConfig(
        stac_url=str(tmp_path / "near"),
        collection=collections if seed % 2 else collections[::-1],
        bbox=GRID.bounds,
        start_date="2023-08",
        end_date="2023-08",
        resolution=GRID.lattice.step_x,
        chunk_size=32,
        bands=("red", "nir"),
        cloud_mask="scl",
        cloud_mask_options={"closing": 0, "opening": 40},
        resampling=resampling,
    )
    summary = ardcube.build(cube, tmp_path / "cube.zarr", threads=2)
    assert summary.scenes == len(items)
    expected = oracle_cube(
        items, None, bbox=GRID.bounds, start="2023-08", end="2023-08", resolution=GRID.lattice.step_x,
        bands=["red", "nir"], cloud_mask="scl", mask=SclMask(closing=0, opening=40), resampling=resampling,
    )  # fmt: skip
    group = zarr.open_group(str(tmp_path / "cube.zarr"), mode="r")
    np.testing.assert_array_equal(group["observation_count"][...], expected.count)
    np.testing.assert_array_equal(group["rgb_median"][...], expected.values)
    assert expected.count.max() > 4  # more than days: sensors of a day count for themselves
    scenes = ardcube.observations(tmp_path / "cube.zarr", "2023-08_y0000_x0000")
    pairs = set(zip(scenes["solar_day"].values, scenes["sensor"].values, strict=True))
    assert {sensor for _, sensor in pairs} == {"", "Landsat ETM+", "Landsat OLI", "Sentinel-2 MSI"}
    assert len(pairs) == 8
    assert set(scenes["scene"].values) == {item["id"] for item in items}


def test_an_interrupted_pool_is_continued_and_retried_to_the_same_pixels(tmp_path: Path) -> None:
    collections, items = write_archive(tmp_path, 7)
    common: dict[str, Any] = {
        "stac_url": str(tmp_path / "near"), "bbox": GRID.bounds, "start_date": "2023-08", "end_date": "2023-08",
        "resolution": GRID.lattice.step_x, "chunk_size": 32, "bands": ("red",),
    }  # fmt: skip
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    ardcube.build(CubeConfig(**common, collection=collections), whole, threads=2)
    begun = ardcube.build(CubeConfig(**common, collection=collections), parts, threads=1, limit=2)
    assert begun.left > 2
    continued = ardcube.build(CubeConfig(**common, collection=collections[::-1]), parts, threads=1, limit=2)
    assert continued.already_done == 2
    assert ardcube.retry(parts, missing=True, threads=2).left == 0
    for name in ("rgb_median", "observation_count"):
        one, other = (zarr.open_group(str(store), mode="r")[name][...] for store in (whole, parts))
        assert one.any()
        np.testing.assert_array_equal(one, other)
    table = ardcube.status(parts)
    assert set(table["status"]) == {"written"}
    assert len(items) == 14
