"""Many chunks are mapped in few task runs, their records are merged during the run, and pixels are equal."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.storage.place import Place
from benchmarks.prefect_side import Services, ask
from flows.build_cube import build_cube
from tests.flows.jobs import pixels, records, run_config, sample_cube
from tests.servers.processes import PrefectServer
from tests.wait_for import until

CHEAP = {"bands": ("red",), "cloud_mask": "none", "end_date": "2023-09-30"}


def test_a_large_cube_takes_few_task_runs_and_few_files_and_has_the_pixels_of_a_small_one(
    sample_archive: Path,
    prefect_server: PrefectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    merged: list[int] = []
    merge = Ledger.merge

    def counted(ledger: Ledger, ended: Collection[ChunkRecord]) -> None:
        merged.append(len(ended))
        merge(ledger, ended)
        assert len(ledger.records()) >= sum(merged)

    monkeypatch.setattr(Ledger, "merge", counted)
    monkeypatch.setattr("ardcube.prepare.finished.RECORDS_PER_FILE", 60)
    many = build_cube(
        sample_cube(sample_archive, **CHEAP, chunk_size=16), run_config(tmp_path / "many", batch_size=None)
    )
    assert many.written + many.empty == many.chunks > 200
    assert sum(merged) > many.chunks - 60
    assert all(size >= 60 for size in merged)
    assert len(records(tmp_path / "many")) == many.chunks
    assert Place.at(f"{tmp_path / 'many'}.ardcube").list("chunks") == []

    services = Services("sqlite", prefect_server)
    (run,) = (found["id"] for found in ask(services, "flow_runs/filter", {"flow_runs": {"name": {"like_": "many "}}}))
    said = re.search(rf"{many.chunks} chunks went to workers in (\d+) task runs", caplog.text)
    assert said is not None
    assert 3 <= int(said[1]) <= many.chunks / 2

    def task_runs() -> int:
        return int(ask(services, "task_runs/count", {"flow_runs": {"id": {"any_": [run]}}}))

    # The server counts task runs by their events, which it may process after the run has ended.
    until(lambda: task_runs() >= int(said[1]), "every task run at the server", 60)
    assert task_runs() == int(said[1])

    few = build_cube(sample_cube(sample_archive, **CHEAP, chunk_size=400), run_config(tmp_path / "few"))
    assert few.chunks == 5
    np.testing.assert_array_equal(pixels(tmp_path / "many").values, pixels(tmp_path / "few").values)
