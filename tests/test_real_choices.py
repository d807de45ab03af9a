"""Cubes of real scenes that choose an observation by its scene equal the oracle in every value."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr

import ardcube
from ardcube.config import CubeConfig
from tests.oracle.choices import BestPixel, Choice, LeastCloudy
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import OracleCube, oracle_cube, read_catalogue
from tests.oracle.masks import LAND_WATER

pytestmark = pytest.mark.real

BBOX = (15.55, 45.95, 15.75, 46.07)
STEP = 0.0011
BANDS = ("red", "nir")
CHOICES: dict[str, Choice] = {"best-pixel": BestPixel(), "least-cloudy": LeastCloudy()}


def expected(archive: Path, choice: Choice, nudge: float) -> OracleCube:
    items, collection = read_catalogue(archive)
    return oracle_cube(
        items, collection, bbox=BBOX, start="2023-08", end="2023-08", resolution=STEP, bands=BANDS, cloud_mask="scl",
        mask=LAND_WATER, choice=choice, nudge=nudge,
    )  # fmt: skip


def test_real_scenes_equal_the_oracle(shared_real: Path, tmp_path: Path) -> None:
    archive = shared_real / "scenes" / "zagreb-2023-08"
    cube = CubeConfig(
        stac_url=str(archive), collection="sentinel-2-l2a", bbox=BBOX, start_date="2023-08", end_date="2023-08",
        resolution=STEP, bands=BANDS, chunk_size=70, cloud_mask="scl", cloud_mask_options={"preset": "land-water"},
        composites=tuple(CHOICES),
    )  # fmt: skip
    ardcube.build(cube, tmp_path / "cube", threads=2)
    group = zarr.open_group(str(tmp_path / "cube"), mode="r")
    count = np.asarray(group["observation_count"][...])
    for text, choice in CHOICES.items():
        values = np.asarray(group[text.replace("-", "_")][...])
        assert_equals_oracle(values, count, partial(expected, archive, choice))
