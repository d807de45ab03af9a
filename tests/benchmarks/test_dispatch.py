"""The benchmark of the dispatch, at a size too small to measure memory."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ardcube.chunk.batch import Batch
from ardcube.extent.periods import Period
from ardcube.extent.window import Window
from ardcube.ledger.brief import is_plain
from ardcube.ledger.ledger import Ledger
from ardcube.planning.jobs import ChunkJob, ChunkKey
from benchmarks import dispatch, no_work

PERIOD = Period(0, date(2023, 1, 1), date(2023, 2, 1))


def test_workers_write_and_return_a_plain_record_of_each_chunk(tmp_path: Path) -> None:
    spec: Any = SimpleNamespace(ledger_uri=str(tmp_path), storage_options={})
    jobs = tuple(
        ChunkJob(ChunkKey("2023-01", 0, col), 0, Window(0, 1, 0, 1), "a.parquet", f"{col:016x}", 1, PERIOD)
        for col in range(3)
    )
    built = no_work.return_records(Batch(spec, jobs), spec, again=False, last=True)
    assert [(record.key, record.inputs) for record in built.records] == [(job.key, job.inputs) for job in jobs]
    assert all(map(is_plain, built.records))
    assert len(Ledger.at(str(tmp_path)).records()) == len(jobs)
    assert all(len(record.scenes) == 12 for record in built.records)


@pytest.mark.deep
def test_a_flow_is_measured_until_its_end(tmp_path: Path) -> None:
    states = dispatch.dispatch(tmp_path, 20, 600)
    assert "20 written" in (tmp_path / "log").read_text()
    assert all(0 < one.mb <= one.peak_mb * 1.01 and one.cpu > 0 for one in states)
