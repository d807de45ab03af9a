"""Processings of one acquisition: an older one counts only where the newer one has no valid pixel, clear or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.config.cube import Resampling
from ardcube.pixels.masks import CloudMaskHook, DefaultCloudMaskHook, SCLCloudMaskHook
from ardcube.planning import memory
from ardcube.raster.cog import Cog
from ardcube.raster.decode import FetchedBand
from ardcube.raster.header import Blocks
from tests.ardcube.chunk.test_clear import CLEAR, CLOUD, GRID, PLAIN, SIDE, Archive, blobs, composite
from tests.ardcube.chunk.test_clear import nearest_class_pixel as class_pixel
from tests.oracle.cube import oracle_cube
from tests.oracle.masks import SclMask

TAKE = {"platform": "sentinel-2a", "grid:code": "MGRS-33TVM", "s2:datatake_id": "GS2A_20230810T100031_042000_N05.09"}
PASS = {"platform": "sentinel-2b"}
OLD, NEW, NEWEST = ({**TAKE, "s2:processing_baseline": number} for number in ("05.09", "05.10", "05.11"))
ROWS = 100
"""Rows and columns of a band; each is three of the classification."""


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def rows_of_classes() -> NDArray[np.int64]:
    """Return the row of the classification at each pixel of the cube."""
    return class_pixel(GRID, CLEAR.shape)[0]


def test_an_older_processing_is_used_only_where_the_newer_one_has_no_valid_pixel(archive: Archive) -> None:
    """From north to south the newer one is cloudy, then without a class, then clear without red, then clear."""
    newer, red = CLEAR.copy(), np.full((ROWS, ROWS), 300)
    newer[:60], newer[60:120], red[40:60] = 9, 0, 0
    row = rows_of_classes()
    scenes = [
        archive.scene("old", CLEAR, {"red": 200}, 9, **OLD),
        archive.scene("new", newer, {"red": red}, 10, **NEW),
    ]
    expected = np.select([row < 120, row < 180], [0, 200], 300)
    for given in (scenes, scenes[::-1]):
        found = composite(given)
        np.testing.assert_array_equal(found.values[..., 0], expected)
        np.testing.assert_array_equal(found.count, expected != 0)


def test_each_band_decides_by_itself_where_the_newer_one_is_cloudy_and_without_data(archive: Archive) -> None:
    red = np.full((ROWS, ROWS), 300)
    red[:30] = 0
    scenes = [
        archive.scene("old", CLEAR, {"red": 200, "nir": 210}, **OLD),
        archive.scene("new", CLOUD, {"red": red, "nir": 310}, **NEW),
    ]
    found = composite(scenes)
    expected = np.where(rows_of_classes() < 90, 200, 0)
    np.testing.assert_array_equal(found.values[..., 0], expected)
    assert not found.values[..., 1].any()
    np.testing.assert_array_equal(found.count, expected != 0)


@pytest.mark.parametrize("mask", [DefaultCloudMaskHook(), PLAIN], ids=["none", "scl"])
def test_half_a_tile_may_have_been_processed_again(archive: Archive, mask: CloudMaskHook) -> None:
    """One datatake and tile in two halves, of which the northern one comes again."""
    north = np.arange(ROWS)[:, None] < ROWS // 2
    classes = np.where(np.arange(SIDE)[:, None] < SIDE // 2, CLEAR, 0).astype(np.uint8)
    scenes = [
        archive.scene("s0", classes, {"red": np.where(north, 1000, 0)}, **OLD),
        archive.scene("s1", np.where(classes, 0, CLEAR), {"red": np.where(north, 0, 2000)}, **OLD),
        archive.scene("s2", classes, {"red": np.where(north, 3000, 0)}, **NEW),
    ]
    found = composite(scenes, mask)
    np.testing.assert_array_equal(found.values[..., 0], np.where(rows_of_classes() < SIDE // 2, 3000, 2000))


def test_another_pass_is_used_where_a_newer_processing_is_cloudy(archive: Archive) -> None:
    scenes = [
        archive.scene("old", CLEAR, {"red": 200}, 9, **OLD),
        archive.scene("new", CLOUD, {"red": 300}, 9, **NEW),
        archive.scene("other", CLEAR, {"red": 400}, 11),
    ]
    assert (composite(scenes).values == 400).all()
    assert (composite(scenes, SCLCloudMaskHook(0, 0, 0, (4, 9))).values == 300).all()


HOURS = [(9, 10, 11, 10, 9), (9, 11, 10, 10, 10), (10, 9, 11, 10, 9), (11, 10, 9, 10, 11)]
"""Of three processings, the oldest first, and of two other passes, some of them between the processings."""


def scenes_with_gaps(archive: Archive, order: int) -> list[Scene]:
    """Write three processings of an acquisition and two other passes, all with clouds and gaps."""
    rng = np.random.default_rng(order)

    def bands(number: int) -> dict[str, Any]:
        valid = rng.random((2, 10, 10)).repeat(10, axis=1).repeat(10, axis=2) < 0.6
        return {"red": np.where(valid[0], number, 0), "nir": np.where(valid[1], number + 1, 0)}

    return [
        archive.scene(f"s{k}", blobs(5 * order + k), bands(100 * (k + 1)), hour, **take)
        for k, (take, hour) in enumerate(zip((OLD, NEW, NEWEST, PASS, PASS), HOURS[order], strict=True))
    ]


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("order", range(len(HOURS)))
def test_pixels_equal_the_oracle_in_any_order_of_times(archive: Archive, order: int, resampling: Resampling) -> None:
    scenes = scenes_with_gaps(archive, order)
    masked: CloudMaskHook = SCLCloudMaskHook(closing=0, opening=40)
    for mask, name in ((masked, "scl"), (DefaultCloudMaskHook(), "none")):
        found = composite(scenes, mask, resampling=resampling)
        expected = oracle_cube(
            archive.items, None, bbox=GRID.bounds, start="2023-08", end="2023-08", resolution=GRID.lattice.step_x,
            bands=["red", "nir"], cloud_mask=name, mask=SclMask(closing=0, opening=40), resampling=resampling,
        )  # fmt: skip
        assert len(np.unique(expected.values)) > 6
        np.testing.assert_array_equal(found.values, expected.values[0])
        np.testing.assert_array_equal(found.count, expected.count[0])


def test_many_parts_strips_and_stacks_have_the_pixels_of_one(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = scenes_with_gaps(archive, 1)
    whole = composite(scenes, SCLCloudMaskHook(closing=60, opening=60))
    assert len(np.unique(whole.values)) > 6
    for side, stack_bytes in ((23, memory.STACK_BYTES), (memory.PART_SIDE, 3000)):
        monkeypatch.setattr(memory, "PART_SIDE", side)
        monkeypatch.setattr(memory, "STACK_BYTES", stack_bytes)
        parts = composite(scenes, SCLCloudMaskHook(closing=60, opening=60))
        np.testing.assert_array_equal(parts.values, whole.values)
        np.testing.assert_array_equal(parts.count, whole.count)


def test_clouds_of_a_scene_are_read_only_if_an_older_processing_is_clear_there(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, files = Cog.fetch, list[str]()

    def fetch(self: Cog, blocks: Blocks) -> FetchedBand:
        files.append(Path(self.href).stem)
        return read(self, blocks)

    monkeypatch.setattr(Cog, "fetch", fetch)
    old, new = archive.scene("old", CLEAR, {"red": 200}, **OLD), archive.scene("new", CLOUD, {"red": 300}, **NEW)
    cloudy, other = archive.scene("cloudy", CLOUD, {"red": 200}, **OLD), archive.scene("other", CLEAR, {"red": 400})
    composite([other, new])
    composite([cloudy, new])
    assert "new-red" not in files
    assert not composite([old, new]).values.any()
    assert files.count("new-red") == 1
    assert "old-red" not in files
