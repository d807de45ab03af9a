"""Make the workers of a Dask cluster return a record for each chunk without building it: a preload module of Dask."""

from __future__ import annotations

from typing import Any

from ardcube.chunk import forked
from ardcube.chunk.batch import Batch, Built
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place

SCENES = tuple(f"S2A_T32TPT_2023{month:02d}10T101234_L2A" for month in range(1, 13))


def return_records(batch: Batch, spec: CubeSpec, *_: Any, **__: Any) -> Built:
    """Write and return records as large as those of chunks with scenes."""
    stages = dict.fromkeys(("mask_bands", "mask", "bands", "composite", "write"), 1.2345)
    attempt = Attempt("2026-01-01T00:00:00+00:00", "worker", 0.001)
    records = [
        ChunkRecord(job.key, "written", job.inputs, (attempt,), SCENES, {"observed_share": 0.5}, stages)
        for job in batch.jobs
    ]
    ledger = Ledger(Place.at(spec.ledger_uri, spec.storage_options))
    for record in records:
        ledger.write(record)
    return Built(records)


def dask_setup(_worker: Any) -> None:
    """Replace the function that builds a batch, before the worker imports the task."""
    forked.build_batch = return_records
