"""A cube that ardcube 0.1.0 left unfinished is opened, continued and retried by this version."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from pyarrow import parquet

from ardcube.chunk.batch import process_batch
from ardcube.config import CubeConfig, RunConfig
from ardcube.fingerprint import digest
from ardcube.ledger.record import ChunkRecord
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.planning.jobs import ChunkKey
from ardcube.prepare.check import check_request
from ardcube.prepare.make_plan import search_scenes
from ardcube.prepare.pending import PendingBuild, initialize_store, plan_build
from ardcube.prepare.retry import check_retry, plan_retry
from tests.flows.jobs import Pixels, pixels, records, sample_cube

DATA = Path(__file__).parents[2] / "data" / "cube-0.1" / "cube.tar.gz"
"""Described in the README of its folder."""
FAILED = {ChunkKey("2023-05", 1, 2), ChunkKey("2023-05", 1, 3)}
MISSING = {ChunkKey("2023-06", 1, 3)}


@pytest.fixture
def uri(tmp_path: Path, sample_archive: Path) -> str:
    """The cube, its scenes at the address of this session's archive."""
    with tarfile.open(DATA) as archive:
        archive.extractall(tmp_path, filter="data")
    ledger = tmp_path / "cube.zarr.ardcube"
    described = json.loads((ledger / "cube.json").read_text())
    for part in ("identity", "config"):
        assert described[part]["stac_url"] == "/archive"
        described[part]["stac_url"] = str(sample_archive)
    described["fingerprint"] = digest(described["identity"])
    (ledger / "cube.json").write_text(json.dumps(described))
    for manifest in (ledger / "items").glob("*.parquet"):
        manifest.write_bytes(_at(sample_archive, manifest.read_bytes()))
    return str(tmp_path / "cube.zarr")


def _at(archive: Path, manifest: bytes) -> bytes:
    table = parquet.read_table(io.BytesIO(manifest))
    bands = [text.replace('"/archive/', f'"{archive}/') for text in table["bands"].to_pylist()]
    moved = io.BytesIO()
    position = table.schema.get_field_index("bands")
    parquet.write_table(table.set_column(position, "bands", pa.array(bands)), moved)
    return moved.getvalue()


def cube_until(archive: Path, end: str) -> CubeConfig:
    """The configuration that the cube was written with, to another last month."""
    return sample_cube(archive, resolution=0.001, chunk_size=20, bands=("red",), end_date=end)


def plan(cube: CubeConfig, uri: str) -> PendingBuild:
    """Plan a build as the flow does, and create or extend the store."""
    request = check_request(cube, RunConfig(fsspec_uri=uri), SCLCloudMaskHook())
    pending = plan_build(request, search_scenes(request))
    initialize_store(request, pending)
    return pending


def build(pending: PendingBuild) -> set[ChunkKey]:
    """Build the pending chunks and return their keys."""
    return {record.key for record in process_batch(pending.plan.spec, pending.jobs)}


def built(archive: Path, end: str, folder: Path) -> Pixels:
    """Build a cube from nothing with this version."""
    uri = str(folder / "new.zarr")
    build(plan(cube_until(archive, end), uri))
    return pixels(uri)


def retry(uri: str, *, missing: bool) -> set[ChunkKey]:
    """Retry the cube and return the keys of the chunks that were built."""
    pending = plan_retry(check_retry(RunConfig(fsspec_uri=uri)), missing=missing)
    assert pending is not None
    return build(pending)


def without(found: dict[ChunkKey, ChunkRecord], *keys: ChunkKey) -> dict[ChunkKey, ChunkRecord]:
    """Records of the other chunks."""
    return {key: record for key, record in found.items() if key not in keys}


def test_it_is_opened_with_its_records_and_pixels(uri: str, sample_archive: Path, tmp_path: Path) -> None:
    found = records(uri)
    assert {key for key, record in found.items() if record.status == "failed"} == FAILED
    assert len(found) == 15
    assert not MISSING & found.keys()
    complete = built(sample_archive, "2023-06-30", tmp_path)
    with xr.open_zarr(uri, mask_and_scale=False) as cube:
        assert cube["time"].dt.strftime("%Y-%m").values.tolist() == ["2023-05", "2023-06"]
        for record in without(found, *FAILED).values():
            key = record.key
            region = (int(key.period == "2023-06"), slice(20 * key.row, 20 * key.row + 20),
                      slice(20 * key.col, 20 * key.col + 20))  # fmt: skip
            assert cube["rgb_median"][region].values.any() or record.status == "empty"
            np.testing.assert_array_equal(cube["rgb_median"][region], complete.values[region])
            np.testing.assert_array_equal(cube["observation_count"][region], complete.count[region])


def test_it_is_retried_from_its_own_manifests(uri: str, sample_archive: Path, tmp_path: Path) -> None:
    before = records(uri)
    assert retry(uri, missing=False) == FAILED
    assert retry(uri, missing=True) == MISSING
    after = records(uri)
    assert {key: len(after[key].attempts) for key in FAILED | MISSING} == dict.fromkeys(FAILED, 2) | dict.fromkeys(
        MISSING, 1
    )
    assert without(after, *FAILED, *MISSING) == without(before, *FAILED)
    assert pixels(uri) == built(sample_archive, "2023-06-30", tmp_path)


def test_a_build_extends_it_by_a_month_and_builds_only_the_unfinished_chunks(
    uri: str, sample_archive: Path, tmp_path: Path
) -> None:
    before = records(uri)
    pending = plan(cube_until(sample_archive, "2023-07-31"), uri)
    july = {job.key for job in pending.plan.jobs if job.key.period == "2023-07"}
    assert len(july) == 8
    assert build(pending) == FAILED | MISSING | july
    compacted = pending.ledger.compact()
    assert {record.status for record in compacted.values()} <= {"written", "empty"}
    assert without(pending.ledger.records(), *FAILED, *MISSING, *july) == without(before, *FAILED)
    assert pixels(uri) == built(sample_archive, "2023-07-31", tmp_path)
