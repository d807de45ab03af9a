"""Batches: the values sent to a worker, and the chunks that a repeated batch skips."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from dask.base import tokenize
from prefect.utilities.collections import visit_collection

from ardcube.chunk.batch import Batch, process_batch
from ardcube.errors import PermanentError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkJob, ChunkKey
from tests.strategies import JANUARY, cube_spec

GRID = Grid.from_bounds((15.0, 46.0, 15.1, 46.1), 0.001)


def job(col: int) -> ChunkJob:
    return ChunkJob(ChunkKey("2023-01", 0, col), 0, Window(0, 1, 0, 1), "items/a.parquet", "a1", 0, JANUARY)


def test_a_batch_survives_pickling() -> None:
    batch = Batch(cube_spec(GRID), (job(0), job(1)))
    came = pickle.loads(pickle.dumps(batch))
    assert (came.spec, came.jobs, came.version) == (batch.spec, batch.jobs, batch.version)


def test_neither_prefect_nor_dask_searches_a_batch() -> None:
    batch = Batch(cube_spec(GRID), (job(0), job(1)))
    seen: list[object] = []
    visit_collection({"batch": batch}, seen.append, return_data=False)
    assert batch in seen
    assert not any(isinstance(one, (ChunkJob, ChunkKey)) for one in seen)
    assert tokenize(batch) != tokenize(batch), "two task runs of the same chunks are two pieces of work"


def test_a_repeated_batch_skips_done_chunks_and_permanent_errors(tmp_path: Path) -> None:
    ledger = Ledger.at(str(tmp_path / "ledger"))
    attempt = Attempt("2024-01-01T00:00:00+00:00", "here", 1.0)
    done = ChunkRecord(job(0).key, "written", "a1", (attempt,))
    hopeless = ChunkRecord(job(1).key, "failed", "a1", (Attempt("", "here", 1.0, "SceneError: 404", permanent=True),))
    for record in (done, hopeless):
        ledger.write(record)
    # There is neither a manifest nor a store: anything that was built would fail otherwise.
    spec = cube_spec(GRID, ledger_uri=str(tmp_path / "ledger"))
    assert process_batch(spec, [job(0)], again=True) == [done]
    with pytest.raises(PermanentError, match=r"^2023-01_y0000_x0001: SceneError: 404$"):
        process_batch(spec, [job(0), job(1)], again=True)
    assert ledger.records() == {done.key: done, hopeless.key: hopeless}


def test_an_error_of_very_many_chunks_names_some(tmp_path: Path) -> None:
    spec = cube_spec(GRID, ledger_uri=str(tmp_path / "ledger"))
    with pytest.raises(PermanentError, match=r"x0009: .*; and 15 more$") as failure:
        process_batch(spec, [job(col) for col in range(25)])
    assert "x0010" not in str(failure.value)
