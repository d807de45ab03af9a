"""The benchmark of pyramids: both writers that need no other interpreter make equal levels."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pyramid import differing_pixels, spec_of, with_ardcube, with_xarray, write_base


def test_xarray_makes_the_levels_of_ardcube(tmp_path: Path) -> None:
    write_base(spec_of(tmp_path, 1300))
    with_ardcube(tmp_path, 1300)
    with_xarray(tmp_path, 1300)
    assert differing_pixels(tmp_path, 1300, "xarray") == 0
