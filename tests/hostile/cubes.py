"""A small cube after a run, built once and copied for tests that damage it."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ardcube.config import CubeConfig, RunConfig
from ardcube.lease.claim import Claim
from ardcube.ledger.last_plan import write_planned
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.pixels.masks import cloud_mask
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.prepare.request import Request
from ardcube.store.writer import CubeStore
from tests.strategies import BANDS, stac_collection, stac_item

FOREIGN_FILE = "foreign.txt"


@dataclass(frozen=True, slots=True)
class BuiltCube:
    """A folder with a store, its ledger, and a foreign file."""

    folder: Path
    catalogue: Path

    @property
    def cube(self) -> CubeConfig:
        """Configuration of the cube."""
        return CubeConfig(
            start_date="2023-05-01", end_date="2023-06-30", bbox=(15.0, 46.0, 15.4, 46.2), resolution=0.01,
            chunk_size=16, cloud_mask="scl", stac_url=str(self.catalogue),
        )  # fmt: skip

    def run(self, **more: object) -> RunConfig:
        """Return the configuration of a run."""
        return RunConfig(fsspec_uri=str(self.store), **more)

    @property
    def store(self) -> Path:
        """Path of the store."""
        return self.folder / "cube.zarr"

    @property
    def ledger(self) -> Ledger:
        """Ledger of the cube."""
        return Ledger.at(f"{self.store}.ardcube")

    def request(self, **more: object) -> Request:
        """Return the checked request of a build."""
        return check_request(self.cube, self.run(**more), cloud_mask("scl"))

    def files(self) -> list[Path]:
        """Return the files of the store and the ledger, in order."""
        roots = (self.store, Path(f"{self.store}.ardcube"))
        return sorted(path for root in roots for path in root.rglob("*") if path.is_file())


@cache
def _good() -> BuiltCube:
    top = Path(tempfile.mkdtemp(prefix="ardcube-hostile-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    folder, catalogue = top / "work", top / "catalogue"
    folder.mkdir()
    catalogue.mkdir()
    (folder / FOREIGN_FILE).write_text("foreign")
    whole = BuiltCube(folder, catalogue)
    (catalogue / "collection.json").write_text(json.dumps(stac_collection()))
    for day in (10, 20):
        name = f"scene-{day}"
        item = stac_item(name, f"2023-05-{day}T10:00:00Z", (14.9, 45.9, 15.5, 46.3))
        (catalogue / f"{name}.json").write_text(json.dumps(item))
    request = whole.request()
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    write_planned(request.ledger, plan)
    records = []
    attempt = Attempt("2026-01-01T00:00:00+00:00", "here", 1.5, "SceneError: no", True)
    for number, job in enumerate(plan.jobs):
        values = np.full((*job.window.shape, len(BANDS)), number + 1, np.uint16)
        CubeStore.open(plan.spec).write_chunk(job.time_index, job.window, values, values[..., 0])
        status = ("written", "empty", "failed")[number % 3]
        records.append(
            ChunkRecord(
                job.key,
                status,
                job.inputs,
                (attempt,),
                ("scene-10",),
                {"mean_clear_days": 1},
                {"bands": 0.5},
                {"read": 3},
            )
        )
    request.ledger.merge(records[:4])
    for record in records[4:]:
        request.ledger.write(record)
    (Path(request.ledger.place.path) / "lease.json").write_bytes(
        Claim(run="run", run_id="id", expires_seconds=60.0).renew(released=True).to_json()
    )
    return whole


@contextmanager
def built_cube() -> Iterator[BuiltCube]:
    """Yield a copy of the cube; check at the end that foreign files are unchanged."""
    with tempfile.TemporaryDirectory(prefix="ardcube-hostile-") as name:
        folder = Path(name) / "work"
        shutil.copytree(_good().folder, folder)
        yield BuiltCube(folder, _good().catalogue)
        assert sorted(path.name for path in Path(name).iterdir()) == ["work"]
        assert {path.name for path in folder.iterdir()} <= {"cube.zarr", "cube.zarr.ardcube", FOREIGN_FILE}
        assert (folder / FOREIGN_FILE).read_text() == "foreign"
        assert len(list(_good().catalogue.iterdir())) == 3
