"""Byte ranges are merged into requests: no needed byte is missing, and no wider gap is fetched."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ardcube.raster.ranges import merged


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), min_size=1, max_size=12), st.integers(0, 60))
def test_ranges_share_a_request_if_they_are_close(ranges: list[tuple[int, int]], gap: int) -> None:
    bytes_of_ranges = {byte for start, size in ranges for byte in range(start, start + size)}
    near = {
        byte
        for byte in range(min(bytes_of_ranges), max(bytes_of_ranges))
        if byte not in bytes_of_ranges and _hole(bytes_of_ranges, byte) <= gap
    }
    fetched = sorted(bytes_of_ranges | near)
    runs = 1 + sum(after - before > 1 for before, after in pairwise(fetched))
    found = merged(*zip(*ranges, strict=True), gap)
    assert [byte for start, end in found for byte in range(start, end)] == fetched
    assert len(found) == runs


def _hole(present: set[int], byte: int) -> int:
    """Return the number of missing bytes around a missing byte."""
    before = max(one for one in present if one < byte)
    after = min(one for one in present if one > byte)
    return after - before - 1
