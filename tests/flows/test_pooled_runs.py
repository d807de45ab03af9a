"""A cube of several collections from the command line, from flows, and from a schedule that lets it grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

import ardcube
from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig
from ardcube.storage.place import Place
from ardcube.store.schema import read_attributes
from flows.cli import cli
from flows.refresh_cube import refresh_cube
from flows.retry_cube import retry_cube
from tests.ardcube.chunk.test_clear import GRID
from tests.flows.jobs import options, pixels, run_config
from tests.test_pools import write_archive


def request(near: Path, collections: list[str]) -> dict[str, Any]:
    return {
        "stac_url": str(near), "collection": collections, "bbox": GRID.bounds, "start_date": "2023-08",
        "resolution": GRID.lattice.step_x, "chunk_size": 48, "bands": ("red",),
    }  # fmt: skip


def test_a_plan_prints_the_scenes_of_each_collection_and_sensor(tmp_path: Path) -> None:
    collections, _ = write_archive(tmp_path, 3)
    cube = CubeConfig(**request(tmp_path / "near", collections), end_date="2023-08")
    done = CliRunner().invoke(cli, ["plan", *options(cube, run_config(tmp_path / "cube.zarr"))])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "collections landsat (8 scenes), s2 (4 scenes), c1 (2 scenes)" in text
    assert "sensor Sentinel-2 MSI (6 scenes), Landsat OLI (4 scenes), unknown (2 scenes), Landsat ETM+" in text


@pytest.mark.usefixtures("prefect_server")
def test_a_scheduled_run_lets_a_pool_grow_and_a_retry_needs_no_search(tmp_path: Path) -> None:
    collections, _ = write_archive(tmp_path, 3)
    fields = request(tmp_path / "near", collections)
    store, whole = tmp_path / "cube.zarr", tmp_path / "whole.zarr"
    cube = GrowingCubeConfig(**fields)
    first = refresh_cube(cube, run_config(store, limit=1), RefreshConfig(as_of="2023-09-10"))
    assert (first.written, first.left) == (1, first.chunks - 1)
    (tmp_path / "near").rename(tmp_path / "away")
    rest = retry_cube(run_config(store), missing=True)
    assert rest.written == first.left
    (tmp_path / "away").rename(tmp_path / "near")
    before = read_attributes(Place.at(str(store)))
    grown = refresh_cube(cube, run_config(store), RefreshConfig(as_of="2023-10-10"))
    assert (grown.already_done, grown.empty) == (first.chunks, first.chunks)  # September has no scenes
    after = read_attributes(Place.at(str(store)))
    assert before["instrument"] == after["instrument"] == "Landsat ETM+, Landsat OLI, Sentinel-2 MSI"
    assert after["collection"] == "c1, landsat, s2"
    assert ardcube.build(CubeConfig(**fields, end_date="2023-09"), whole, threads=2).written == first.chunks
    assert pixels(store) == pixels(whole)
    assert np.unique(zarr.open_group(str(store), mode="r")["observation_count"][...]).max() > 4
