"""The file that lists the chunks in flight: it names the suspects after the process was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ardcube.extent.window import Window
from ardcube.ledger.in_flight import NAME, InFlightFile
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.storage.place import Place
from tests.strategies import JANUARY


def job(col: int) -> ChunkJob:
    return ChunkJob(ChunkKey("2023-01", 0, col), 0, Window(0, 1, 0, 1), "items/a.parquet", "a1", 0, JANUARY)


@pytest.fixture
def ledger(tmp_path: Path) -> Place:
    return Place.at(str(tmp_path))


def test_chunks_in_flight_of_a_killed_process_are_suspects_until_they_are_built(ledger: Place) -> None:
    assert InFlightFile(ledger).suspects == frozenset()
    InFlightFile(ledger).write([job(0).key, job(1).key])
    second = InFlightFile(ledger)
    assert second.suspects == {job(0).key, job(1).key}
    second.write([job(2).key])
    assert InFlightFile(ledger).suspects == {job(0).key, job(1).key, job(2).key}
    second.clear()
    assert InFlightFile(ledger).suspects == {job(0).key, job(1).key}
    second.suspect_only([job(1).key])
    assert InFlightFile(ledger).suspects == {job(1).key}
    second.suspect_only([])
    assert ledger.read(NAME) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[["2023-01"]]', b'[["a", "b", "c"]]', b"null", b"\xff"])
def test_a_damaged_file_counts_as_none(ledger: Place, content: bytes) -> None:
    ledger.write(NAME, content)
    assert InFlightFile(ledger).suspects == frozenset()
