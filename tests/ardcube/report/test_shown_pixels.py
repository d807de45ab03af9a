"""Which pixels pictures read: all, a level of the pyramid, fewer periods, a part, or a sample; always few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ardcube.report.html.pictures
import ardcube.report.preview
import ardcube.report.quicklook
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.report.shown_pixels import Level, Limit, ShownPixels, choose_pixels, spread

LIMITS = (ardcube.report.quicklook.LIMIT, ardcube.report.preview.LIMIT, ardcube.report.html.pictures.LIMIT)
SMALL = Limit(pixels=10**9, tiles=50, pictures=10, periods="spread", rest="sample", sampled=9)


def level(rows: int, cols: int, *, periods: int = 4, tile: int = 16, number: int = 0) -> Level:
    tiles = np.ones((periods, rows, cols), bool)
    return Level(number, (rows * tile, cols * tile), tile, tiles, tiles)


def chosen(levels: list[Level], limit: Limit, wanted: int = 4, chunk: int = 16) -> ShownPixels:
    found = choose_pixels(levels, range(wanted), limit, chunk)
    assert found is not None
    return found


def test_all_pixels_of_a_small_cube_are_read() -> None:
    base = level(3, 4)
    assert chosen([base], SMALL) == ShownPixels(base, (0, 1, 2, 3), Window(0, 48, 0, 64))


def test_the_finest_level_that_is_small_enough_is_read_and_no_later_one_is_looked_at() -> None:
    def levels() -> Iterator[Level]:
        yield level(12, 12)
        yield level(6, 6, number=1)
        yield level(3, 3, number=2)
        raise AssertionError

    found = choose_pixels(levels(), range(4), SMALL, 16)
    assert found is not None
    assert (found.level.number, found.periods, found.step) == (2, (0, 1, 2, 3), 1)


def test_without_levels_a_sample_has_enough_chunks_for_each_picture() -> None:
    found = chosen([level(12, 24)], SMALL)
    assert (found.periods, found.step, found.is_part) == ((0, 1, 2, 3), 6, False)  # 5 would be 60 chunks
    few = chosen([level(12, 24, periods=100)], SMALL, wanted=100)
    assert (few.periods, few.step) == ((0, 25, 50, 74, 99), 6)


@pytest.mark.parametrize(("periods", "expected"), [("spread", (0, 3)), ("newest", (2, 3))])
def test_fewer_periods_are_shown_before_a_part(periods: str, expected: tuple[int, ...]) -> None:
    limit = replace(SMALL, rest="part", periods=periods)  # type: ignore[arg-type]
    assert chosen([level(4, 6)], limit).periods == expected
    part = chosen([level(20, 30)], limit)
    assert (part.periods, part.window.shape) == ((3,), (112, 112))


def test_a_part_of_a_level_is_a_part_of_the_cube() -> None:
    grid = Grid.from_bounds((0.0, 0.0, 1000.0, 1000.0), 1.0, "EPSG:32633")
    shown = ShownPixels(level(32, 32, number=1), (0,), Window(16, 496, 32, 512))
    assert shown.window_of_cube(grid) == Window(32, 992, 64, 1000)


def test_a_chunk_that_is_too_large_is_not_read() -> None:
    assert choose_pixels([level(2, 2)], [0], replace(SMALL, pixels=255), 16) is None
    assert choose_pixels([level(2, 2)], [], SMALL, 16) is None


@pytest.mark.parametrize(
    ("chunk", "shard", "block"), [(16, 1, 16), (1200, 1, 1200), (256, 4, 1024), (256, 6, 768), (800, 4, 800)]
)
def test_a_block_is_a_whole_shard_if_it_is_small_and_never_cuts_a_tile(chunk: int, shard: int, block: int) -> None:
    assert level(2, 2, tile=chunk * shard).block(chunk) == block


@given(
    limit=st.sampled_from(LIMITS),
    periods=st.sampled_from([1, 7, 60, 1000]),
    rows=st.sampled_from([1, 9, 100]),
    cols=st.sampled_from([1, 33, 100]),
    chunk=st.sampled_from([16, 256, 1200]),
    shard=st.sampled_from([1, 4]),
)
def test_no_command_reads_more_than_its_limit(
    limit: Limit, periods: int, rows: int, cols: int, chunk: int, shard: int
) -> None:
    base = level(rows, cols, periods=periods, tile=chunk * shard)
    found = chosen([base], limit, wanted=periods, chunk=chunk)
    assert 1 <= len(found.periods) <= limit.pictures
    assert list(found.periods) == sorted(set(found.periods))
    if found.step > 1:
        squares = -(-rows * shard // found.step) * -(-cols * shard // found.step) * len(found.periods)
        assert squares <= limit.tiles
        assert squares * chunk**2 <= limit.pixels
    else:
        tiles = -(-found.window.shape[0] // base.tile) * -(-found.window.shape[1] // base.tile) * len(found.periods)
        assert tiles <= limit.tiles
        assert found.window.pixels * len(found.periods) <= limit.pixels


@given(st.integers(1, 200), st.integers(1, 60))
def test_evenly_spread_elements_are_sorted_distinct_and_have_both_ends(length: int, most: int) -> None:
    sample = spread(range(length), most)
    assert sample == sorted(set(sample))
    assert len(sample) == min(length, most)
    assert sample[-1] == length - 1
    assert most == 1 or sample[0] == 0
