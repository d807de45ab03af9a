"""Python looks for garbage seldom while a plan is made, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from ardcube.runtime.gc_pause import rare_garbage_collection


def test_it_is_as_before_afterwards_also_after_an_error() -> None:
    before = gc.get_threshold()

    @rare_garbage_collection()
    def fail() -> None:
        assert gc.get_threshold()[0] > 100 * before[0]
        raise ValueError("on purpose")

    for _ in range(2):
        with pytest.raises(ValueError, match="on purpose"):
            fail()
        assert gc.get_threshold() == before


def searches() -> int:
    """Of any generation: which one is due depends on what came before."""
    return sum(generation["collections"] for generation in gc.get_stats())


def test_garbage_is_still_found_meanwhile() -> None:
    with rare_garbage_collection():
        before = searches()
        kept = [[number] for number in range(1_200_000)]
        assert searches() > before
    assert len(kept) == 1_200_000
