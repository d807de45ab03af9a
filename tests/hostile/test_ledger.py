"""Edited and damaged ledgers: they are used, or refused in one line, and foreign files are unchanged."""

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
from ardcube.lease.acquire import holding
from ardcube.lease.claim import Claim
from ardcube.ledger.last_plan import read_planned, write_planned
from ardcube.ledger.manifest import read_manifest
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.ledger.table import row, tables_of, to_parquet
from ardcube.planning.jobs import ChunkKey
from ardcube.prepare.initialize import initialize, remove_cube
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.prepare.retry import check_retry, plan_retry
from ardcube.report.state_map import chunk_states
from flows.console import print_records
from tests.hostile.cubes import BuiltCube, built_cube
from tests.hostile.mutation import DEEP, damaged, mutated, text_of
from tests.hostile.promise import answer, clear_line, hostile


def damage(file: Path, random: Random) -> None:
    """Mutate the JSON of a file, or damage its bytes."""
    content = file.read_bytes()
    if file.suffix == ".json" and random.random() < 0.85:
        file.write_bytes(text_of(mutated(json.loads(content), random)))
    else:
        file.write_bytes(damaged(content, random))


def read_all(built: BuiltCube) -> None:
    """Read everything that reports read."""
    records = built.ledger.records()
    cube = StoredCube.read(built.ledger)
    assert cube is not None
    tiles = cube.grid.tiles(cube.config.tile_size)
    print_records(Console(file=StringIO()), list(records.values()), tiles)
    planned = read_planned(built.ledger, cube.grid, cube.config.tile_size)
    assert planned is not None
    states = chunk_states([period.label for period in cube.periods], planned.tiles, records.values())
    assert states.shape[0] == len(cube.periods)
    for manifest in planned.manifests.values():
        list(read_manifest(built.ledger.place.uri, manifest).scenes)


def build(built: BuiltCube) -> None:
    """Do what a build does before and after its chunks."""
    request = built.request()
    plan = make_plan(request, search_scenes(request))
    write_planned(request.ledger, plan)
    initialize(request, plan)
    request.ledger.compact()


def retry(built: BuiltCube) -> None:
    """Do what a retry does before its chunks."""
    checked = check_retry(built.run())
    records = checked.ledger.records()
    checked.count_missing(records.values())
    plan_retry(checked, missing=True)


def overwrite(built: BuiltCube) -> None:
    """Remove the cube as `--overwrite` does."""
    remove_cube(built.request(overwrite=True))


USES: tuple[Callable[[BuiltCube], None], ...] = (read_all, build, retry, overwrite)


@hostile(25)
def test_a_damaged_file_of_the_ledger_is_read_or_refused(random: Random) -> None:
    with built_cube() as built:
        files = [file for file in built.files() if ".ardcube" in str(file)]
        damage(random.choice(files), random)
        use = random.choice(USES)
        answer(lambda: use(built))


@hostile(20)
def test_an_edited_cube_json_is_used_or_refused(random: Random) -> None:
    with built_cube() as built:
        damage(Path(f"{built.store}.ardcube") / "cube.json", random)
        for use in USES:
            answer(lambda use=use: use(built))


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
def test_a_record_is_parsed_or_refused(random: Random) -> None:
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
    to_parquet(tables_of([row(record, record.to_json().decode())]))


@hostile(12)
def test_an_edited_lease_is_read_or_refused(random: Random) -> None:
    with built_cube() as built:
        file = Path(f"{built.store}.ardcube") / "lease.json"
        claim = Claim(run="run", run_id="id", expires_seconds=0.2)
        document = json.loads(random.choice((claim, claim.renew(released=True))).to_json())
        content = text_of(mutated(document, random))
        file.write_bytes(damaged(content, random) if random.random() < 0.2 else content)
        answer(lambda: hold(built, break_lease=random.random() < 0.5))


def hold(built: BuiltCube, *, break_lease: bool) -> None:
    """Take the lease."""
    with holding(built.ledger.place, break_lease=break_lease, expires_seconds=0.2, warn=lambda _: None) as lease:
        lease.check()


def test_a_record_names_no_file_outside_the_ledger() -> None:
    for period in ("../../x", "/etc", "2023-05/../..", "2023-5", "²023-05"):
        with pytest.raises(StoreError, match="not a chunk record"):
            ChunkRecord.from_json(json.dumps(RECORD | {"key": {"period": period, "row": 0, "col": 0}}))
    for row_number in (-1, 1.5, True, 2**40):
        with pytest.raises(StoreError, match="not a chunk record"):
            ChunkRecord.from_json(json.dumps(RECORD | {"key": {"period": "2023-05", "row": row_number, "col": 0}}))


@pytest.mark.parametrize("name", ["cube.json", "items/planned.json", "lease.json"])
def test_a_deeply_nested_document_is_refused(name: str) -> None:
    with built_cube() as built:
        (Path(f"{built.store}.ardcube") / name).write_text("[" * DEEP)
        lines = [answer(lambda use=use: use(built)) for use in USES]
        lines += [answer(lambda: hold(built, break_lease=False))]
        assert any(isinstance(line, str) and name in line for line in lines)


def test_a_plan_names_no_file_outside_the_ledger() -> None:
    with built_cube() as built:
        planned = Path(f"{built.store}.ardcube") / "items" / "planned.json"
        for name in ("../foreign.txt", "/etc/passwd", "items/../../foreign.txt", "items/\0", 3):
            planned.write_text(json.dumps({"manifests": {"2023-05": name}, "tiles": [[0, 1]]}))
            with pytest.raises(StoreError, match="is damaged"):
                check_retry(built.run())


def test_a_record_with_a_key_outside_the_grid_is_ignored() -> None:
    with built_cube() as built:
        cube = StoredCube.read(built.ledger)
        assert cube is not None
        planned = read_planned(built.ledger, cube.grid, cube.config.tile_size)
        assert planned is not None
        far = ChunkRecord(ChunkKey("2023-05", 10**6, 0), "failed", "x", ())
        states = chunk_states(["2023-05"], planned.tiles, [far])
        assert states.max() == 4  # all missing
