"""A ledger that somebody edited, or a disk spoiled: it is used, or refused in one line, and nothing else is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from ardcube.errors import StoreError
from ardcube.lease.acquire import holding, standing_claim
from ardcube.lease.claim import Claim
from ardcube.lease.lease import Timing
from ardcube.ledger.last_plan import read_planned, write_planned
from ardcube.ledger.manifest import read_manifest
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.ledger.table import row, to_parquet
from ardcube.plan.jobs import ChunkKey
from ardcube.prepare.initialize import initialize, remove_cube
from ardcube.prepare.planning import make_plan, search_scenes
from ardcube.prepare.retry import check_retry, plan_retry
from ardcube.report.state_map import chunk_states
from flows.console import print_records
from tests.hostile.cubes import SpoiledCube, spoiled_cube
from tests.hostile.mutation import DEEP, damaged, mutated, text_of
from tests.hostile.promise import answer, clear_line, hostile


def spoil(file: Path, random: Random) -> None:
    """Somebody edits a file, or a disk does."""
    content = file.read_bytes()
    if file.suffix == ".json" and random.random() < 0.85:
        file.write_bytes(text_of(mutated(json.loads(content), random)))
    else:
        file.write_bytes(damaged(content, random))


def read_all(spoiled: SpoiledCube) -> None:
    """What shows a cube."""
    records = spoiled.ledger.records()
    print_records(Console(file=StringIO()), list(records.values()))
    cube = StoredCube.read(spoiled.ledger)
    assert cube is not None
    planned = read_planned(spoiled.ledger, cube.grid, cube.config.tile_size)
    assert planned is not None
    states = chunk_states([period.label for period in cube.periods], planned.tiles, records.values())
    assert states.shape[0] == len(cube.periods)
    for manifest in planned.manifests.values():
        list(read_manifest(spoiled.ledger.place.uri, manifest).scenes)


def build(spoiled: SpoiledCube) -> None:
    """What a build does before and after its chunks."""
    request = spoiled.request()
    plan = make_plan(request, search_scenes(request))
    write_planned(request.ledger, plan)
    initialize(request, plan)
    request.ledger.compact()


def retry(spoiled: SpoiledCube) -> None:
    """What a retry does before its chunks."""
    checked = check_retry(spoiled.run())
    records = checked.ledger.records()
    checked.count_missing(records.values())
    plan_retry(checked, missing=True)


def overwrite(spoiled: SpoiledCube) -> None:
    """What is removed is the cube's."""
    remove_cube(spoiled.request(overwrite=True))


USES: tuple[Callable[[SpoiledCube], None], ...] = (read_all, build, retry, overwrite)


@hostile(25)
def test_a_spoiled_file_of_the_ledger_is_read_or_refused(random: Random) -> None:
    with spoiled_cube() as spoiled:
        files = [file for file in spoiled.files() if ".ardcube" in str(file)]
        spoil(random.choice(files), random)
        use = random.choice(USES)
        answer(lambda: use(spoiled))


@hostile(20)
def test_an_edited_cube_json_is_used_or_refused(random: Random) -> None:
    with spoiled_cube() as spoiled:
        spoil(Path(f"{spoiled.store}.ardcube") / "cube.json", random)
        for use in USES:
            answer(lambda use=use: use(spoiled))


RECORD = {
    "key": {"period": "2023-05", "row": 1, "col": 0},
    "status": "written",
    "inputs": "0123456789abcdef",
    "attempts": [
        {"started": "2026-01-01T00:00:00+00:00", "host": "here", "seconds": 1.5, "error": None, "permanent": False}
    ],
    "scenes": ["S2A_T33TWM"],
    "statistics": {"days": 2, "mean_clear_days": 1.2, "observed_share": 0.5},
    "seconds": {"bands": 1.25},
    "byte_counts": {"read": 12, "written": 12},
}


@hostile(150)
def test_a_record_is_one_or_refused(random: Random) -> None:
    content = text_of(mutated(RECORD, random))
    if random.random() < 0.2:
        content = damaged(content, random)
    try:
        record = ChunkRecord.from_json(content)
    except StoreError as error:
        clear_line(error)
        return
    assert ChunkRecord.from_json(record.to_json()) == record
    assert re.fullmatch(r"chunks/[0-9]+-[0-9]{2}/y[0-9]+_x[0-9]+\.json", record.key.path)
    assert hash(record.key) == hash(replace(record.key))
    to_parquet([row(record, record.to_json().decode())])


@hostile(12)
def test_an_edited_lease_is_judged_or_refused(random: Random) -> None:
    with spoiled_cube() as spoiled:
        file = Path(f"{spoiled.store}.ardcube") / "lease.json"
        claim = Claim.of_this_process("run", "id", 0.2)
        document = json.loads(random.choice((claim, claim.release())).to_json())
        content = text_of(mutated(document, random))
        file.write_bytes(damaged(content, random) if random.random() < 0.2 else content)
        answer(lambda: standing_claim(spoiled.ledger.place))
        answer(lambda: hold(spoiled, break_lease=random.random() < 0.5))


def hold(spoiled: SpoiledCube, *, break_lease: bool) -> None:
    """Take the lease."""
    timing = Timing(expires_seconds=0.2, renew_seconds=0.1)
    with holding(spoiled.ledger.place, break_lease=break_lease, timing=timing, tell=lambda _: None) as lease:
        assert not lease.lost.is_set()


def test_a_record_names_no_file_outside_the_ledger() -> None:
    for period in ("../../x", "/etc", "2023-05/../..", "2023-5", "²023-05"):
        with pytest.raises(StoreError, match="not a chunk record"):
            ChunkRecord.from_json(json.dumps(RECORD | {"key": {"period": period, "row": 0, "col": 0}}))
    for row_number in (-1, 1.5, True, 2**40):
        with pytest.raises(StoreError, match="not a chunk record"):
            ChunkRecord.from_json(json.dumps(RECORD | {"key": {"period": "2023-05", "row": row_number, "col": 0}}))


@pytest.mark.parametrize("name", ["cube.json", "items/planned.json", "lease.json"])
def test_a_document_nested_without_end_is_refused(name: str) -> None:
    with spoiled_cube() as spoiled:
        (Path(f"{spoiled.store}.ardcube") / name).write_text("[" * DEEP)
        said = [answer(lambda use=use: use(spoiled)) for use in USES]
        said += [answer(lambda: hold(spoiled, break_lease=False))]
        assert any(isinstance(line, str) and name in line for line in said)


def test_a_plan_names_no_file_outside_the_ledger() -> None:
    with spoiled_cube() as spoiled:
        planned = Path(f"{spoiled.store}.ardcube") / "items" / "planned.json"
        for name in ("../mine.txt", "/etc/passwd", "items/../../mine.txt", "items/\0", 3):
            planned.write_text(json.dumps({"manifests": {"2023-05": name}, "tiles": [[0, 1]]}))
            with pytest.raises(StoreError, match="is damaged"):
                check_retry(spoiled.run())


def test_a_record_of_a_key_that_is_no_chunk_is_not_shown() -> None:
    with spoiled_cube() as spoiled:
        cube = StoredCube.read(spoiled.ledger)
        assert cube is not None
        planned = read_planned(spoiled.ledger, cube.grid, cube.config.tile_size)
        assert planned is not None
        far = ChunkRecord(ChunkKey("2023-05", 10**6, 0), "failed", "x", ())
        states = chunk_states(["2023-05"], planned.tiles, [far])
        assert states.max() == 4  # all missing
