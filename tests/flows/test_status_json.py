"""The records of a large cube are printed with little memory."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

from ardcube.ledger.last_plan import Planned
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from flows.status_json import print_json
from tests.grids import degrees_grid

CHUNKS = 20_000
LARGEST = 40_000_000
"""Bytes: twice what 5,000 records take. All records at once take 120 MB."""


def test_memory_does_not_grow_with_the_number_of_chunks(tmp_path: Path) -> None:
    ledger = Ledger.of_store(Place.at(str(tmp_path / "cube.zarr")))
    stages = {f"stage {number}": 1.5 for number in range(20)}
    first = ChunkRecord(
        ChunkKey("2023-01", 0, 0), "written", "a1", (Attempt("2024-01-01T00:00:00+00:00", "here", 1.5),), ("S2A",),
        stages, stages,
    )  # fmt: skip
    for start in range(0, CHUNKS, 5_000):
        ledger.merge([replace(first, key=ChunkKey("2023-01", 0, col)) for col in range(start, start + 5_000)])
    planned = Planned({"2023-01": ""}, degrees_grid(0, 1, 0.001, 16, 16).tiles(16))
    file = tmp_path / "status.json"
    with file.open("w") as output:
        tracemalloc.start()
        try:
            print_json(output.write, ledger, planned)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < LARGEST
    printed = json.loads(file.read_text())
    assert len({chunk["key"] for chunk in printed["chunks"]}) == CHUNKS
