"""The scheduled deployment, run by a worker: a new month, a scene that arrived late, and unchanged chunks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from ardcube.config import CubeConfig
from flows.build_cube import build_cube
from tests.deployments.deployed import Deployed
from tests.flows.jobs import copy_catalogue, pixels, records, run_config

# The first test also waits for the server, the worker and six commands of Prefect.
pytestmark = pytest.mark.timeout(900)

# The whole width of the sample, whose granules do not reach all of its eight tiles.
CUBE: dict[str, Any] = {
    "bbox": [11.92, 46.83, 12.08, 46.905],
    "start_date": "2023-05-01",
    "resolution": 0.001,
    "chunk_size": 40,
    "cloud_mask": "none",
}


def month_by_month(catalogue: Path, as_of: str) -> dict[str, Any]:
    """Return the parameters of a run on a day, with a look-back of one month."""
    return {
        "cube": {**CUBE, "stac_url": str(catalogue)},
        "run": {"fsspec_uri": "output/monthly.zarr", "threads": 2, "batch_size": 8, "look_back_months": 1},
        "refresh": {"as_of": as_of},
    }


def stored(uri: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file with pixels, which change if it is written again."""
    files = {str(path.relative_to(uri)): path.stat() for path in uri.glob("*/c/**/*") if path.is_file()}
    return {
        name: (stat.st_ino, stat.st_mtime_ns)
        for name, stat in files.items()
        if name.split("/")[0] in ("rgb_median", "observation_count")
    }


def smallest_of_its_day(scenes: dict[str, set[str]]) -> str:
    """Return the scene that intersects the fewest chunks, among scenes that are the only one of their day."""
    days = [scene.split("_")[2][:8] for scene in scenes]
    alone = [scene for scene, day in zip(scenes, days, strict=True) if days.count(day) == 1]
    return min(alone, key=lambda scene: (len(scenes[scene]), scene))


@pytest.mark.slow
def test_each_run_adds_the_month_that_has_ended_and_builds_only_what_late_scenes_change(
    deployed: Deployed, sample_archive: Path, tmp_path: Path
) -> None:
    # The catalogue after all scenes have arrived, and the chunks that use each scene.
    whole = CubeConfig(**CUBE, end_date="2023-07-31", stac_url=str(sample_archive))  # type: ignore[arg-type]
    build_cube(whole, run_config(tmp_path / "all.zarr"))
    complete = records(tmp_path / "all.zarr")
    tiles = len({(key.row, key.col) for key in complete})
    meets: dict[str, dict[str, set[str]]] = {"2023-05": {}, "2023-06": {}}
    for key, record in complete.items():
        for scene in record.scenes if key.period in meets else ():
            meets[key.period].setdefault(scene, set()).add(str(key))
    late = {period: smallest_of_its_day(scenes) for period, scenes in meets.items()}
    waiting = meets["2023-06"][late["2023-06"]]
    assert 0 < len(waiting) < tiles

    # The day on which the sixth month counts as ended, with two scenes still missing.
    catalogue = copy_catalogue(sample_archive, tmp_path / "catalogue", without=tuple(late.values()))
    state = deployed.run("monthly", month_by_month(catalogue, "2023-07-06"))
    assert state["type"] == "COMPLETED", state["message"]
    uri = deployed.folder / "output" / "monthly.zarr"
    first, files = records(uri), stored(uri)
    assert {key.period for key in first} == {"2023-05", "2023-06"}
    assert len(first) == 2 * tiles

    # A month later. Both scenes have arrived; May is before the look-back.
    for scene in late.values():
        shutil.copytree(sample_archive / scene, catalogue / scene, copy_function=os.link)
    state = deployed.run("monthly", month_by_month(catalogue, "2023-08-06"))
    assert state["type"] == "COMPLETED", state["message"]
    second = records(uri)
    assert {str(key) for key in first if second[key] != first[key]} == waiting
    assert {key.period for key in second.keys() - first.keys()} == {"2023-07"}
    assert len(second) == 3 * tiles

    touched = {name for name, file in files.items() if stored(uri).get(name) != file}
    places = {f"1/{int(key[9:13])}/{int(key[15:19])}" for key in waiting}  # of 2023-06_y0000_x0001
    assert touched
    assert {"/".join(name.split("/")[2:5]) for name in touched} <= places
    built, everything = pixels(uri), pixels(tmp_path / "all.zarr")
    assert (built.values[1:] == everything.values[1:]).all()
    assert (built.count[1:] == everything.count[1:]).all()
    assert (built.count[0] != everything.count[0]).any(), "the scene of May was to change something"
    with xr.open_zarr(uri) as cube:
        assert [str(month)[:7] for month in cube.time.values] == ["2023-05", "2023-06", "2023-07"]
