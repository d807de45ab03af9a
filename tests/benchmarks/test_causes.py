"""Bytes of requests are attributed to their causes, each byte once."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from ardcube.extent.lattice import Lattice
from ardcube.extent.window import Window
from ardcube.pixels.bitmask import packed
from ardcube.pixels.nodes import SourceAxes
from ardcube.pixels.projection import project
from ardcube.raster.header import Level
from benchmarks.causes import AGAIN, BORDER, GAP, HEADER, UNUSED, USED, Block, Range, Sums, attribute, table
from benchmarks.reading import shares

BLOCKS = [Block(1000, 100, 1.0, 0.5), Block(1300, 200, 0.25, 0.01)]


def test_each_byte_has_one_cause() -> None:
    headers, pixels = attribute([Range(0, 500), Range(1000, 500)], 600, BLOCKS)
    assert (headers.requests, dict(headers.bytes)) == (1, {HEADER: 500})
    assert dict(pixels.bytes) == {USED: 50 + 2, UNUSED: 50 + 48, BORDER: 150, GAP: 200}
    assert pixels.in_poor_blocks == 200
    assert pixels.total == 500


def test_a_block_that_is_read_again_is_no_use() -> None:
    _, pixels = attribute([Range(1000, 100), Range(1000, 100)], 600, BLOCKS)
    assert pixels.bytes[AGAIN] == 100
    assert pixels.bytes[USED] == 50


def test_bytes_that_were_not_fetched_reduce_the_border_first() -> None:
    _, pixels = attribute([Range(1300, 60)], 600, BLOCKS)
    assert pixels.bytes[BORDER] == 60 - 2 - 48


def test_the_table_adds_up() -> None:
    headers, pixels = attribute([Range(0, 500_000), Range(1_000_000, 1_500_000)], 600, [])
    last = table("x", {"headers": headers, "bands": pixels, "mask": Sums()}).splitlines()[-1]
    assert last == "| all | 2 | 2.0 | 0.5 | 0.0 | 0.0 | 0.0 | 1.5 | 0.0 | 0.0 |"


def test_shares_of_blocks_are_areas() -> None:
    """A window of 8 x 8 pixels of 20 m covers a quarter of the first of four blocks of 32 x 32 pixels of 10 m."""
    lattice = Lattice("EPSG:32633", 0.0, 0.0, 20.0, -20.0)
    level = Level(0, 64, 64, Affine(10, 0, 0, 0, -10, 0), (32, 32))
    projection = project(lattice, Window(0, 8, 0, 8), SourceAxes("EPSG:32633", 32))
    wanted = np.zeros((8, 8), bool)
    wanted[:4] = True
    inside, used = shares(projection, packed(wanted), level)
    assert inside.ravel().tolist() == pytest.approx([0.25, 0, 0, 0])
    assert used.ravel().tolist() == pytest.approx([0.125, 0, 0, 0])
