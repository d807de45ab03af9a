"""Garbage is collected less often while a plan is made."""

from __future__ import annotations

import gc

import pytest

from ardcube.runtime.gc_pause import rare_garbage_collection, start_up


def test_the_threshold_is_restored_also_after_an_error() -> None:
    before = gc.get_threshold()

    @rare_garbage_collection()
    def fail() -> None:
        assert gc.get_threshold()[0] > 100 * before[0]
        raise ValueError("on purpose")

    for _ in range(2):
        with pytest.raises(ValueError, match="on purpose"):
            fail()
        assert gc.get_threshold() == before


def collections() -> int:
    """Return the number of collections of all generations; their order depends on earlier allocations."""
    return sum(generation["collections"] for generation in gc.get_stats())


def test_garbage_is_still_collected() -> None:
    with rare_garbage_collection():
        before = collections()
        kept = [[number] for number in range(1_200_000)]
        assert collections() > before
    assert len(kept) == 1_200_000


def test_objects_of_the_start_are_never_collected_again() -> None:
    before, threshold = gc.get_freeze_count(), gc.get_threshold()
    try:
        with start_up():
            assert gc.get_threshold()[0] > 100 * threshold[0]
            kept = [[number] for number in range(1_000)]
        assert gc.get_freeze_count() >= before + len(kept)
        assert gc.get_threshold() == threshold
    finally:
        gc.unfreeze()
