"""The benchmark of a continued cube, at a size too small to measure speed."""

from pathlib import Path

import pytest

from ardcube.ledger.brief import is_plain
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from benchmarks import resume

FIRST = [
    ChunkRecord(ChunkKey(f"2023-{month:02d}", 0, 0), "empty", "0123456789abcdef", (Attempt("now", "here", 0.1),))
    for month in range(1, 11)
]


@pytest.mark.parametrize("compacted", [True, False])
def test_all_but_the_last_chunks_have_a_record(tmp_path: Path, *, compacted: bool) -> None:
    resume.fill_ledger(tmp_path, FIRST, 60, 3, compacted=compacted)
    ledger = Ledger.of_store(Place.at(str(tmp_path / "cube.zarr")))
    assert ledger.place.exists("ledger.parquet") == compacted
    records = ledger.records()
    assert len(records) == 57
    assert all(map(is_plain, records.values())), "as nearly all chunks of a real cube"
    assert {(key.row, key.col) for key in records} == {(row, col) for row in range(2) for col in range(3)}


@pytest.mark.deep
def test_a_run_builds_the_missing_chunks(tmp_path: Path) -> None:
    first = resume.create_cube(tmp_path, 20)
    resume.fill_ledger(tmp_path, first, 20, 4, compacted=True)
    found = resume.resume(tmp_path, 20, "table")
    assert 0 < found.first_cpu <= found.cpu
    assert 0 < found.first_wall <= found.wall
    assert 0 < found.first_mb <= found.peak_mb
    assert len(Ledger.of_store(Place.at(str(tmp_path / "cube.zarr"))).records()) == 20
