"""Locations for a cube, and an empty cube."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from ardcube.storage.place import Place
from tests.ardcube.small_cube import create


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """On disk and in memory."""
    if request.param == "local":
        return Place.at(str(tmp_path / "cube.zarr"))
    return Place.at(f"memory://{uuid.uuid4().hex}/cube.zarr")


@pytest.fixture
def local(tmp_path: Path) -> Place:
    """On disk."""
    return Place.at(str(tmp_path / "cube.zarr"))


@pytest.fixture
def raw(local: Place) -> Iterator[xr.Dataset]:
    """Return a cube without pixels, as stored."""
    create(local)
    with xr.open_zarr(local.uri, mask_and_scale=False, decode_times=False) as cube:
        yield cube
