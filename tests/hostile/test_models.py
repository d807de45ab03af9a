"""Mutated parameters of forms, deployments and scripts: a model, or a readable error."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig, RunConfig
from ardcube.errors import ArdcubeError, InputError
from ardcube.extent.period_file import cube_periods
from ardcube.pixels.masks import cloud_mask
from flows.options import build_model
from tests.hostile.mutation import VALUES, mutated, parsed
from tests.hostile.promise import clear_line, hostile

CUBE = {
    "start_date": "2023-05-01", "end_date": "2023-06-30", "bbox": [15.0, 46.0, 15.4, 46.2], "use_geometry_mask": False,
    "time_frequency_months": 1, "resolution": 0.01, "chunk_size": 1200, "shard": 1, "bands": ["red", "nir"],
    "varname": "rgb_median", "epsg": 4326, "cloud_mask": "scl", "cloud_mask_options": {"closing": 3, "opening": 5},
    "resampling": "bilinear", "stac_url": "https://127.0.0.1:1/v1", "collection": "sentinel-2-c1-l2a",
}  # fmt: skip
RUN = {
    "fsspec_uri": "s3://bucket/cube.zarr", "storage_options": {"endpoint_url": "http://127.0.0.1:1", "anon": True},
    "serverless_backend": "dask", "scheduler_address": "tcp://127.0.0.1:8786", "threads": 2, "limit": 3, "retries": 3,
    "retry_delay_seconds": 1.5, "batch_size": 6, "price_per_core_hour": 0.05, "coiled_worker_memory": "16 GiB",
    "price_per_gb": 0.09, "price_per_1000_requests": 0.0004,
    "look_back_months": 3, "overwrite": False, "initialize": True, "asset_access": "unsigned", "yes": False,
}  # fmt: skip
REFRESH = {"delay_days": 5, "as_of": "2023-05-05"}
MODELS: tuple[tuple[type[BaseModel], dict[str, Any]], ...] = (
    (CubeConfig, CUBE), (CubeConfig, CUBE | {"time_frequency_months": None, "period": "10D"}),
    (GrowingCubeConfig, CUBE), (RunConfig, RUN), (RefreshConfig, REFRESH),
)  # fmt: skip


@hostile(300)
def test_parameters_are_a_model_or_refused(random: Random) -> None:
    model, good = random.choice(MODELS)
    values = parsed(mutated(good, random))
    if not isinstance(values, dict):
        return
    if random.random() < 0.1:
        values = {**values, random.choice(("__class__", "model_config", "", "x y")): random.choice(VALUES)}
    try:
        made = model(**values)
    except ValidationError as error:
        check_messages(error)
        check_command_line(model, values)
        return
    assert model(**json.loads(made.model_dump_json())) == made
    if isinstance(made, CubeConfig):
        check_periods(made)
        try:
            cloud_mask(made.cloud_mask, made.cloud_mask_options)
        except ArdcubeError as error:
            clear_line(error)


def check_periods(cube: CubeConfig) -> None:
    """Check that a cube has periods, or is refused in one line."""
    try:
        assert cube_periods(cube, cube.end_date)
    except ArdcubeError as error:
        clear_line(error)
        assert cube.period is not None or cube.months is not None


def check_messages(error: ValidationError) -> None:
    """Check that each message is one line and does not quote the input, which may be a secret."""
    for problem in error.errors():
        assert "\n" not in problem["msg"]
        assert "Traceback" not in problem["msg"]
    assert "input_value" not in str(error)


def check_command_line(model: type[BaseModel], values: dict[str, Any]) -> None:
    """Check that the command line refuses the values in one line."""
    try:
        build_model(model, {name: value for name, value in values.items() if isinstance(name, str)})
    except ArdcubeError as error:
        clear_line(error)


def test_a_mask_cannot_be_named_by_module_or_path() -> None:
    for name in ("os:system", "hooks.cloud_masks:SCLCloudMaskHook", "hooks.cloud_masks", "/tmp/mask.py", "../mask", ""):
        with pytest.raises(InputError, match="is unknown"):
            cloud_mask(name)
