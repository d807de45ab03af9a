"""The validator of geozarr-toolkit accepts the conventions of a cube. It needs Python 3.12, on which the ring runs."""

from __future__ import annotations

import pytest

from ardcube.extent.grid import Grid
from ardcube.extent.levels import level_grids
from ardcube.store import conventions

toolkit = pytest.importorskip("geozarr_toolkit", reason="geozarr-toolkit needs Python 3.12 or newer")

GRIDS = {
    "metres": Grid.from_bounds((500_000, 5_000_000, 511_270, 5_005_150), 10.0, "EPSG:32633"),
    "degrees": Grid.from_bounds((179.9, 46.8, 180.3, 47.0), 0.0002, "EPSG:4326"),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_validator_accepts_each_level_and_its_arrays(name: str) -> None:
    grids = level_grids(GRIDS[name])
    found = toolkit.validate_attrs(conventions.of_pyramid(grids))
    assert found == {"spatial": [], "proj": [], "multiscales": [], "zarr_conventions": []}
    for grid in grids:
        assert toolkit.validate_attrs(conventions.of_group(grid)) == {"spatial": [], "proj": [], "zarr_conventions": []}
        assert toolkit.validate_attrs(conventions.of_array(grid)) == {"spatial": [], "zarr_conventions": []}


def test_the_validator_reports_a_level_without_a_group() -> None:
    attributes = conventions.of_pyramid(level_grids(GRIDS["metres"]))
    del attributes["multiscales"]["layout"][0]["asset"]
    assert toolkit.validate_attrs(attributes)["multiscales"]
