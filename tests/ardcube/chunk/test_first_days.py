"""The first clear days of a pixel equal the oracle, whatever the chunks, threads and order; fewer bytes are read."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

import ardcube
from ardcube.errors import InputError
from ardcube.ledger.ledger import Ledger
from ardcube.planning import memory
from ardcube.storage.place import Place
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import OracleCube, oracle_cube, read_catalogue

AREA: dict[str, Any] = {"bbox": (11.95, 46.85, 11.97, 46.865), "resolution": 0.00025}
MONTH = "2023-05"
BANDS = ("red", "nir")


@pytest.fixture(scope="module")
def archive(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample archive with cloud cover that has ties, and is unknown for some items."""
    folder = tmp_path_factory.mktemp("archive")
    shutil.copytree(sample_archive, folder, dirs_exist_ok=True)
    items = sorted(path for path in folder.rglob("*.json") if json.loads(path.read_text())["type"] == "Feature")
    for number, path in enumerate(items):
        item = json.loads(path.read_text())
        item["properties"]["eo:cloud_cover"] = [30.0, 12.5, 30.0, None, 80.25, 5.0][number * 5 % 6]
        path.write_text(json.dumps(item))
    return folder


def config(archive: Path, enough: int | None, **more: Any) -> ardcube.CubeConfig:
    values: dict[str, Any] = {"chunk_size": 128, "cloud_mask": "scl", "enough": enough} | AREA | more
    return ardcube.CubeConfig(
        stac_url=str(archive), start_date=MONTH, end_date=MONTH, bands=BANDS, **values
    )  # fmt: skip


def build(archive: Path, uri: Path, enough: int | None, threads: int = 2, **more: Any) -> zarr.Group:
    assert ardcube.build(config(archive, enough, **more), uri, threads=threads).failed == 0
    return zarr.open_group(str(uri), mode="r")


def arrays(group: zarr.Group) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.asarray(group["rgb_median"][...]), np.asarray(group["observation_count"][...])


def expected(archive: Path, enough: int, nudge: float) -> OracleCube:
    items, collection = read_catalogue(archive)
    return oracle_cube(
        items, collection, **AREA, start=MONTH, end=MONTH, bands=BANDS, cloud_mask="scl", enough=enough, nudge=nudge,
    )  # fmt: skip


@pytest.mark.parametrize("enough", [1, 2])
def test_a_cube_equals_the_oracle(archive: Path, enough: int, tmp_path: Path) -> None:
    values, count = arrays(build(archive, tmp_path / "cube.zarr", enough))
    assert_equals_oracle(values, count, partial(expected, archive, enough))
    assert count.max() == enough


def test_chunks_strips_threads_and_the_order_of_the_catalogue_change_no_pixel(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, count = arrays(build(archive, tmp_path / "cube.zarr", 2))
    every, all_days = arrays(build(archive, tmp_path / "every.zarr", 100))
    whole, counted = arrays(build(archive, tmp_path / "whole.zarr", None))
    np.testing.assert_array_equal(every, whole)
    np.testing.assert_array_equal(all_days, counted)
    assert (values != whole).any()
    items, collection = read_catalogue(archive)
    (tmp_path / "reversed").mkdir()
    document = {"type": "FeatureCollection", "features": items[::-1]}
    (tmp_path / "reversed" / "items.json").write_text(json.dumps(document))
    (tmp_path / "reversed" / "collection.json").write_text(json.dumps(collection))
    monkeypatch.setattr(memory, "STACK_BYTES", 20_000)
    monkeypatch.setattr(memory, "PART_SIDE", 28)
    other = build(tmp_path / "reversed", tmp_path / "other.zarr", 2, threads=1, chunk_size=20, shard=2)
    for found, known in zip(arrays(other), (values, count), strict=True):
        np.testing.assert_array_equal(found, known)


def test_fewer_bytes_are_read(archive: Path, tmp_path: Path) -> None:
    read = []
    for number, enough in enumerate((1, None)):
        uri = tmp_path / f"{number}.zarr"
        build(archive, uri, enough)
        records = Ledger.of_store(Place.at(str(uri))).records().values()
        read.append(sum(record.byte_counts["read"] for record in records))
    assert read[0] < read[1]


def test_another_number_is_another_cube_and_combinations_without_meaning_are_refused(
    archive: Path, tmp_path: Path
) -> None:
    build(archive, tmp_path / "cube.zarr", 2)
    with pytest.raises(InputError, match="enough is 2 there and 3 here"):
        ardcube.build(config(archive, 3), tmp_path / "cube.zarr")
    with pytest.raises(InputError, match=r"enough: .*cloud.mask none gives no clear pixels of scenes; choose a mask"):
        ardcube.plan(config(archive, 3, cloud_mask="none"))
    with pytest.raises(InputError, match="enough: valid_count and clear_share count all observations"):
        ardcube.plan(config(archive, 3, quality=("valid_count",)))
