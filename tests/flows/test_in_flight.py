"""What is remembered of chunks that a process had in hand when it was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ardcube.extent.grid import Window
from ardcube.plan.jobs import ChunkJob, ChunkKey
from ardcube.storage.place import Place
from flows.in_flight import NAME, InHand


def job(col: int) -> ChunkJob:
    return ChunkJob(ChunkKey("2023-01", 0, col), 0, Window(0, 1, 0, 1), "items/a.parquet", "a1", 0)


@pytest.fixture
def ledger(tmp_path: Path) -> Place:
    return Place.at(str(tmp_path))


def test_what_was_taken_and_not_put_down_is_suspected_until_somebody_built_it(ledger: Place) -> None:
    assert InHand(ledger).suspects == frozenset()
    InHand(ledger).take([job(0), job(1)])
    second = InHand(ledger)
    assert second.suspects == {job(0).key, job(1).key}
    second.take([job(2)])
    assert InHand(ledger).suspects == {job(0).key, job(1).key, job(2).key}
    second.put_down()
    assert InHand(ledger).suspects == {job(0).key, job(1).key}
    second.suspect_only([job(1).key])
    assert InHand(ledger).suspects == {job(1).key}
    second.suspect_only([])
    assert ledger.read(NAME) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[["2023-01"]]', b'[["a", "b", "c"]]', b"null", b"\xff"])
def test_a_damaged_file_counts_as_none(ledger: Place, content: bytes) -> None:
    ledger.write(NAME, content)
    assert InHand(ledger).suspects == frozenset()
