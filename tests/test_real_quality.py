"""Quality layers of the real scenes equal the oracle in every value."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ardcube
from tests.oracle.cube import oracle_cube, read_catalogue
from tests.oracle.masks import DEMO, ODC
from tests.oracle.quality import quality_layers
from tests.test_real_cubes import ANTWERP, ZAGREB, Request

pytestmark = pytest.mark.real

LAYERS = ("valid_count", "date", "first_date", "last_date", "spread", "clear_share")


def built(archive: Path, uri: Path, request: Request, **more: Any) -> xr.Dataset:
    cube = ardcube.CubeConfig(
        stac_url=str(archive), collection="sentinel-2-l2a", bbox=request.bbox, start_date=request.start,
        end_date=request.end, resolution=request.resolution, bands=request.bands, chunk_size=96, **more,
    )  # fmt: skip
    ardcube.build(cube, uri, threads=2)
    return xr.open_zarr(uri, mask_and_scale=False).load()


@pytest.mark.parametrize(
    "request_",
    [Request(*ZAGREB, 0.0011, ("red", "nir"), DEMO), Request(*ANTWERP, 0.0001, ("red", "nir"), ODC)],
    ids=["zagreb", "antwerp"],
)
def test_layers_of_real_scenes_equal_the_oracle(shared_real: Path, tmp_path: Path, request_: Request) -> None:
    archive, mask = shared_real / "scenes" / request_.scenes, request_.mask
    assert mask is not None
    options = {name: value for name, value in asdict(mask).items() if name not in ("allowed", "band")}
    options["allowed_values"] = list(mask.allowed)
    masked = {"cloud_mask": "scl", "cloud_mask_options": options}
    cube = built(archive, tmp_path / "cube.zarr", request_, quality=LAYERS, **masked)
    items, collection = read_catalogue(archive)
    right = oracle_cube(
        items, collection, bbox=request_.bbox, start=request_.start, end=request_.end, resolution=request_.resolution,
        bands=request_.bands, cloud_mask="scl", mask=mask,
    )  # fmt: skip
    assert right.count.any()
    for number, (start, _) in enumerate(right.periods):
        expected = quality_layers(right.observations[number], start)
        for name in LAYERS:
            found = cube[name].values[number]
            np.testing.assert_array_equal(found, expected[name].astype(found.dtype), err_msg=f"{name} {start}")


def test_classification_and_bands_of_real_scenes_agree_on_validity(shared_real: Path, tmp_path: Path) -> None:
    archive, request = shared_real / "scenes" / ZAGREB[0], Request(*ZAGREB, 0.0011, ("red", "nir"))
    masked = built(archive, tmp_path / "masked.zarr", request, cloud_mask="scl", quality=("valid_count",))
    plain = built(archive, tmp_path / "plain.zarr", request)
    assert (masked["observation_count"].values < plain["observation_count"].values).mean() > 0.5
    np.testing.assert_array_equal(masked["valid_count"], plain["observation_count"])
