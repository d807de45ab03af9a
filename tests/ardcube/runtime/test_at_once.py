"""Chunks that are built at once: scenes are decoded ahead only while a core has nothing else to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ardcube.chunk.read import decoded_ahead
from ardcube.runtime.at_once import building, keeps_cores_busy
from ardcube.runtime.cpus import cpu_count


def started(numbers: list[int]) -> Iterator[int]:
    for number in range(3):
        numbers.append(number)
        yield number


def test_a_chunk_for_each_core_keeps_the_cores_busy() -> None:
    with ExitStack() as stack:
        for _ in range(cpu_count()):
            assert not keeps_cores_busy()
            stack.enter_context(building())
        assert keeps_cores_busy()
    assert not keeps_cores_busy()


def test_a_chunk_that_fails_is_no_longer_counted() -> None:
    for _ in range(cpu_count()):
        with pytest.raises(ValueError, match="damaged"), building():
            raise ValueError("damaged")
    assert not keeps_cores_busy()


def test_a_scene_is_decoded_ahead_until_other_chunks_keep_the_cores_busy() -> None:
    numbers: list[int] = []
    scenes = decoded_ahead(started(numbers))
    assert next(scenes) == 0
    assert numbers == [0, 1]
    with ExitStack() as stack:
        for _ in range(cpu_count()):
            stack.enter_context(building())
        assert next(scenes) == 1
        assert numbers == [0, 1]
        assert next(scenes) == 2
    assert list(scenes) == []
