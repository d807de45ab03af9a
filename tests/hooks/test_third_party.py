"""Cloud masks of another package are installed, found by name, and used in a composite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.servers.processes import ROOT, environment
from tests.strategies import raster_band, stac_collection, stac_item

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "every-other-column"
version = "1.0"

[project.entry-points."ardcube.cloud_masks"]
every-other-column = "every_other_column:EveryOtherColumn"
no-mask-at-all = "every_other_column:NoMaskAtAll"
good-quality = "every_other_column:GoodQuality"
two-bands = "every_other_column:TwoBands"
gone = "every_other_column:ThisClassWasRemoved"
scl = "every_other_column:NoMaskAtAll"
"""

MODULE = '''
"""Masks for the test. Of the first only every n-th column, counted from the chunk and its halo, is clear."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ardcube import CleanUp


@dataclass(frozen=True)
class GoodQuality:
    name: ClassVar[str] = "good-quality"
    bands: ClassVar[tuple[str, ...]] = ("quality",)
    halo: ClassVar[int] = 0
    least: int = 1
    metres: float = 0.0

    @property
    def clean_up(self):
        return CleanUp(buffer=self.metres)

    def is_clear(self, numbers):
        return numbers >= self.least


@dataclass(frozen=True)
class TwoBands(GoodQuality):
    name: ClassVar[str] = "two-bands"
    bands: ClassVar[tuple[str, ...]] = ("quality", "red")


@dataclass(frozen=True)
class EveryOtherColumn:
    name: ClassVar[str] = "every-other-column"
    step: int = 2

    @property
    def bands(self):
        return ("quality",)

    @property
    def halo(self):
        return 4

    def clear(self, observations):
        quality = observations.to_xarray()["quality"].to_numpy()
        column = np.arange(quality.shape[-1]) - self.halo
        return (quality > 0) & (column % self.step == 0)


@dataclass(frozen=True)
class NoMaskAtAll:
    name: ClassVar[str] = "no-mask-at-all"
'''

SCRIPT = """
import json, sys
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError
from ardcube.prepare.check import check_request
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.chunk.composite import composite_chunk
from hooks.cloud_masks import cloud_mask, cloud_mask_names

def refused(name, **options):
    try:
        cloud_mask(name, options)
    except InputError as error:
        return str(error)
    except Exception as error:
        return f"not an InputError: {error!r}"

catalogue, uri = sys.argv[1:]

def built(mask):
    cube = CubeConfig(
        start_date="2023-08-01", end_date="2023-08-31", bbox=(15.001, 46.044, 15.006, 46.049), resolution=0.0002,
        chunk_size=16, bands=("red",), stac_url=catalogue, cloud_mask=mask,
    )
    request = check_request(cube, RunConfig(fsspec_uri=uri), cloud_mask(cube.cloud_mask, cube.cloud_mask_options))
    plan = make_plan(request, search_scenes(request))
    job = plan.jobs[0]
    return cube, request, composite_chunk(plan.spec, job.window, list(plan.scenes["2023-08"]))

cube, request, chunk = built(cloud_mask("every-other-column", {"step": 3}))
good, _, all_clear = built(cloud_mask("good-quality"))
_, _, part_clear = built(cloud_mask("good-quality", {"least": 2, "metres": 30.0}))
print(json.dumps({
    "names": cloud_mask_names(),
    "cube": [cube.cloud_mask, cube.cloud_mask_options],
    "identity": [request.identity["cloud_mask"], request.identity["cloud_mask_options"]],
    "count": chunk.count.tolist(),
    "values": chunk.values[..., 0].tolist(),
    "good": [good.cloud_mask, good.cloud_mask_options],
    "clear": [all_clear.count.tolist(), part_clear.count.tolist()],
    "two bands": refused("two-bands"),
    "scl": type(cloud_mask("scl")).__module__,
    "no option": refused("every-other-column", stride=3),
    "no mask": refused("no-mask-at-all"),
    "gone": refused("gone"),
    "unknown": refused("another"),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package into a folder outside the environment of the tests."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "every_other_column.py").write_text(MODULE)
    # Hatchling is there already: nothing is fetched.
    command = [
        sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps",
        "--no-build-isolation", "--python", sys.executable, "--target", str(target), str(source),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one scene: red is 1234 everywhere, the quality band is good in two thirds, and best in one third."""
    folder = tmp_path_factory.mktemp("catalogue")
    quality = np.ones((100, 100), np.uint8)
    quality[:, 20:] = 2
    quality[:, 55:] = 0
    for name, values in {"red": np.full((100, 100), 1234, np.uint16), "quality": quality}.items():
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=1, dtype=values.dtype, height=100, width=100,
            crs="EPSG:32633", transform=rasterio.Affine(10, 0, 499_980, 0, -10, 5_100_000), nodata=0,
        ) as target:  # fmt: skip
            target.write(values, 1)
    assets = {
        "red": {"href": "./red.tif", "raster:bands": raster_band()},
        "quality": {"href": "./quality.tif", "raster:bands": [{"data_type": "uint8"}]},
    }
    item = stac_item("one", "2023-08-10T10:00:00Z", (14.99, 46.03, 15.02, 46.06), assets=assets)
    (folder / "one.json").write_text(json.dumps(item))
    collection = stac_collection()
    collection["item_assets"]["quality"] = {"raster:bands": [{"data_type": "uint8"}]}
    (folder / "collection.json").write_text(json.dumps(collection))
    return folder


@pytest.fixture(scope="module")
def answer(installed: Path, catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run a process with the package on its path; return its answers."""
    uri = tmp_path_factory.mktemp("cube") / "cube.zarr"
    path = os.pathsep.join([str(installed), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(catalogue), str(uri)],
        capture_output=True,
        text=True,
        env=environment({"PYTHONPATH": path}),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_the_mask_of_an_installed_package_is_listed_by_name(answer: dict[str, Any]) -> None:
    assert {"every-other-column", "none", "scl"} <= set(answer["names"])
    names = [
        "auto", "cloud_probability", "every-other-column", "fmask", "gone", "good-quality", "no-mask-at-all", "none",
        "qa_pixel", "scl", "two-bands",
    ]  # fmt: skip
    assert answer["names"] == names
    assert f"choose one of {', '.join(names)}" in answer["unknown"]


def test_its_name_and_options_are_part_of_the_cube(answer: dict[str, Any]) -> None:
    assert answer["cube"] == ["every-other-column", {"step": 3}]
    assert answer["identity"] == ["every-other-column", {"step": 3}]


def test_its_mask_decides_which_pixels_count(answer: dict[str, Any]) -> None:
    count, values = np.array(answer["count"]), np.array(answer["values"])
    assert count.shape == (16, 16)
    assert set(np.flatnonzero(count.any(axis=0))) == {0, 3, 6, 9, 12, 15}
    assert (count[:, ::3] == 1).all()
    np.testing.assert_array_equal(values, np.where(count == 1, 1234, 0))


def test_a_package_cannot_take_over_the_name_of_a_built_in_mask(answer: dict[str, Any]) -> None:
    assert answer["scl"] == "ardcube.pixels.class_masks"


def test_its_options_are_checked_like_those_of_built_in_masks(answer: dict[str, Any]) -> None:
    assert answer["no option"] == ("cloud mask every-other-column does not accept {'stride': 3}; its options are step")


def test_an_object_that_is_no_mask_is_refused(answer: dict[str, Any]) -> None:
    assert answer["no mask"] == (
        "cloud mask no-mask-at-all is neither a SceneMaskHook nor a DayMaskHook; it must define name, bands, halo, and "
        "clean_up and is_clear, or clear"
    )


def test_a_mask_of_scenes_needs_no_grid_and_no_halo(answer: dict[str, Any]) -> None:
    """The buffer of 30 m takes three columns of 10 m of the best ones; 15.5 m are a column of the cube."""
    assert answer["good"] == ["good-quality", {"least": 1, "metres": 0.0}]
    all_clear, part_clear = (np.array(count).astype(bool) for count in answer["clear"])
    edges = [np.flatnonzero(~(count == count[0]).all(axis=1)) for count in (all_clear, part_clear)]
    assert [len(rows) for rows in edges] == [0, 0]
    assert all_clear[0].all()
    assert not part_clear[0, :8].any()
    assert part_clear[0, 10:].all()


def test_a_mask_of_scenes_that_needs_two_bands_is_refused(answer: dict[str, Any]) -> None:
    assert answer["two bands"] == (
        "cloud mask two-bands is a SceneMaskHook; it must have exactly one band, and a halo of 0"
    )


def test_a_name_without_installed_code_is_refused(answer: dict[str, Any]) -> None:
    assert answer["gone"].startswith("cloud mask gone ")
