"""The benchmark of pictures of large cubes, with a cube of few chunks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.large_cube import LargeCube, make_cube
from benchmarks.large_pictures import COMMANDS, measured


@pytest.mark.parametrize("layout", ["flat", "geozarr"])
def test_commands_that_draw_read_pixels_and_the_others_none(layout: str, tmp_path: Path) -> None:
    make_cube(tmp_path, LargeCube(2, 3, 3, 64, layout=layout))
    found = {name: measured(name, str(tmp_path / "cube.zarr"), tmp_path) for name in COMMANDS}
    assert {name for name, figures in found.items() if figures["requests"]} == {"quicklook", "report", "preview"}
    for name in ("quicklook", "report", "preview"):
        assert 18 <= found[name]["objects"] <= found[name]["requests"]
    assert all(figures["peak"] > 0 for figures in found.values())
    assert len(list(tmp_path.glob("quicklook/*.png"))) == 2
