"""The blocks and requests that an estimate expects are those of the reader."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import box

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.bitmask import packed
from ardcube.pixels.nodes import axes_of
from ardcube.pixels.projection import project
from ardcube.pixels.resample import needed_blocks
from ardcube.planning.cost.files import File, SampledScene
from ardcube.planning.cost.reading import FileReads, Reading, Target
from ardcube.raster.cog import Cog
from ardcube.raster.first_rows import needed_ranges
from tests.rasters import pixels, write_cog
from tests.strategies import scene

GRID = Grid.from_bounds((15.0, 45.98, 15.1, 46.06), 0.0002)
FOOTPRINT = box(14.99974, 45.98072, 15.10325, 46.05308)
"""Of the raster, whose upper left corner is at 499,980 and 5,100,000 m."""


@pytest.fixture(scope="module")
def cog(tmp_path_factory: pytest.TempPathFactory) -> Cog:
    file = tmp_path_factory.mktemp("reading") / "red.tif"
    return Cog.open(str(write_cog(file, pixels(800, 800))))


def reads_of(cog: Cog, *, scenes: int = 1) -> tuple[FileReads, Scene]:
    """Return the reads of a scene whose header was read."""
    asset = BandAsset(cog.href, 0.0001, 0.0, None, cog.version.size, 0, 10.0)
    one = replace(scene("a"), footprint=FOOTPRINT, bands={"red": asset})
    sizes = tuple(float(level.sizes.sum()) for level in cog.layout)
    sample = SampledScene(one, {"red": File(cog.header, sizes, cog.version.size)})
    return FileReads(GRID.lattice, ("red",), (sample,) * scenes, 1024), one


def expected(cog: Cog, window: Window, area: object = None) -> Target | None:
    reads, one = reads_of(cog)
    outline = GRID.window_outline(window)
    return reads.target(one, "red", outline.intersection(FOOTPRINT), around=20.0)


def read(cog: Cog, window: Window) -> Reading:
    """Return what the reader requests for all pixels of a window."""
    projection = project(GRID.lattice, GRID.to_global(window), axes_of(GRID.lattice, cog.header))
    wanted = packed(np.ones(window.shape, bool))
    blocks = needed_blocks(projection, wanted, cog.header.levels[0], "bilinear")
    if blocks is None:
        return Reading()
    ranges = needed_ranges(blocks, cog.layout[0].offsets, cog.layout[0].sizes)
    return Reading(sum(end - start for start, end in ranges), len(ranges))


@pytest.mark.parametrize(
    "window",
    [
        Window(40, 140, 40, 140), Window(200, 300, 200, 300), Window(0, 400, 0, 500), Window(330, 400, 100, 200),
        Window(60, 62, 60, 62), Window(300, 400, 450, 500),
    ],
)  # fmt: skip
def test_the_blocks_of_a_header_that_was_read_are_those_of_the_reader(cog: Cog, window: Window) -> None:
    target = expected(cog, window)
    assert target is not None
    found, counted = target.reading(1.0, 1), read(cog, window)
    assert found.requests == counted.requests > 0
    assert found.received == pytest.approx(counted.received, rel=0.1)


def test_an_area_beyond_the_raster_has_no_blocks(cog: Cog) -> None:
    reads, one = reads_of(cog)
    assert reads.target(one, "red", box(15.2, 46.0, 15.3, 46.1), around=20.0) is None


def test_blocks_of_which_no_pixel_is_clear_are_not_read(cog: Cog) -> None:
    target = expected(cog, Window(0, 400, 0, 500))
    assert target is not None
    none, some, every = (target.reading(share, 8) for share in (0.0, 0.3, 1.0))
    assert none == Reading()
    assert 0 < some.received < every.received
    assert target.reading(0.3, 8) == some, "equal plans have equal estimates"


def test_bands_of_a_scene_need_the_same_blocks(cog: Cog) -> None:
    one, two = (expected(cog, Window(0, 400, 0, 500)) for _ in range(2))
    assert one is not None
    assert two is not None
    assert one.reading(0.5, 3) == two.reading(0.5, 3)
