"""Observations as arrays and as a labelled dataset."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ardcube.pixels.observations import Observations

TIME = np.array(["2023-06-01", "2023-06-04"], "datetime64[ns]")
SCL = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
SEEN = Observations({"scl": SCL}, TIME, np.array([46.9, 46.8]), np.array([12.0, 12.1, 12.2]))


def test_a_band_is_an_array_by_day_row_and_column() -> None:
    assert SEEN["scl"] is SCL
    assert SEEN.shape == (2, 2, 3)


def test_the_labelled_dataset_has_the_same_values_and_shares_the_memory() -> None:
    dataset = SEEN.to_xarray()
    coords = {"time": TIME, "y": SEEN.y, "x": SEEN.x}
    xr.testing.assert_identical(dataset, xr.Dataset({"scl": (("time", "y", "x"), SCL)}, coords=coords))
    assert np.shares_memory(dataset["scl"].to_numpy(), SCL)
