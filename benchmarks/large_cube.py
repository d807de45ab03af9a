"""Make a cube of very many chunks without a build: a real plan and ledger, and pixels that are links to few objects.

The objects of a chunk are hard links to those of the first chunk with the same pixels. So 100,000 chunks of 4 MB take a
minute and some megabytes of disk, and each is read and decoded as any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.chunk.open_cube import OpenCube
from ardcube.config import CubeConfig, RunConfig
from ardcube.extent.periods import Period
from ardcube.extent.window import Window
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.ledger.table import row, tables_of, to_parquet
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.check import check_request
from ardcube.prepare.levels import level_jobs
from ardcube.prepare.make_plan import search_scenes
from ardcube.prepare.pending import initialize_store, plan_build
from ardcube.store.layouts import group_of, levels_of
from benchmarks.empty_cube import write_catalogue

BANDS = ("red", "green", "blue", "nir")
_RESOLUTION = 0.0001
_KINDS = 8
"""Kinds of land on each axis: tiles of one kind have equal pixels."""
_MONTHS = 3
"""Periods with different pixels; later ones repeat them."""
_SCENES = 12
"""Scenes of a chunk."""


@dataclass(frozen=True, slots=True)
class LargeCube:
    """Size and layout of a cube."""

    periods: int
    rows: int
    """Rows of tiles."""
    cols: int
    chunk_size: int = 256
    shard: int = 1
    layout: str = "flat"

    @property
    def chunks(self) -> int:
        """Number of tiles of all periods."""
        return self.periods * self.rows * self.cols

    def config(self, catalogue: Path) -> CubeConfig:
        """Return the configuration of the cube, whose tiles are complete."""
        side, inset = self.chunk_size * self.shard * _RESOLUTION, _RESOLUTION / 2  # edges are snapped outward
        last = self.periods - 1
        values: dict[str, Any] = {
            "bbox": (10 + inset, 40 + inset, 10 + self.cols * side - inset, 40 + self.rows * side - inset),
            "start_date": "2020-01",
            "end_date": f"{2020 + last // 12}-{last % 12 + 1:02d}",
            "resolution": _RESOLUTION,
            "chunk_size": self.chunk_size,
            "shard": self.shard,
            "layout": self.layout,
            "bands": BANDS,
            "stac_url": str(catalogue),
        }
        return CubeConfig(**values)


def make_cube(folder: Path, size: LargeCube) -> Path:
    """Write a cube and its ledger, with its levels if it has any, and return the store.

    An ellipse of tiles is written, a lake in it and the tiles around it are empty, and a few tiles are missing.
    """
    config = size.config(write_catalogue(folder / "catalogue", BANDS))
    uri = folder / "cube.zarr"
    request = check_request(config, RunConfig(fsspec_uri=str(uri), yes=True))
    pending = plan_build(request, search_scenes(request))
    initialize_store(request, pending)
    ledger, periods = Ledger.of_store(request.place), {period.label: period for period in request.periods}
    below: Mapping[ChunkKey, ChunkRecord] = {}
    for spec in levels_of(pending.plan.spec):
        if spec.level == 0:
            records = {record.key: record for record in _records(pending.jobs, size)}
        else:
            jobs = level_jobs(below, spec.grid, config.tile_size, periods)
            under = {ChunkKey(key.period, key.row // 2, key.col // 2) for key in _written(below)}
            records = {job.key: _record(job.key, job.inputs, is_written=job.key in under) for job in jobs}
        own = ledger.of_level(spec.level)
        table = to_parquet(tables_of(row(record, record.to_json().decode()) for record in records.values()))
        own.place.write("ledger.parquet", table)
        shares = (size.rows / 2**spec.level, size.cols / 2**spec.level)
        _link(OpenCube(spec), Path(group_of(request.place, spec).path), _written(records), periods, shares)
        below = records
    return uri


def _records(jobs: Iterable[ChunkJob], size: LargeCube) -> Iterable[ChunkRecord]:
    for job in jobs:
        y, x = (job.key.row + 0.5) / size.rows * 2 - 1, (job.key.col + 0.5) / size.cols * 2 - 1
        if (job.key.row * 31 + job.key.col * 17 + job.time_index) % 997:
            is_lake = (x - 0.3) ** 2 + (y + 0.2) ** 2 < 0.02
            yield _record(job.key, job.inputs, is_written=x**2 + y**2 < 1 and not is_lake)


def _record(key: ChunkKey, inputs: str, *, is_written: bool) -> ChunkRecord:
    return ChunkRecord(
        key,
        "written" if is_written else "empty",
        inputs,
        (Attempt("2024-02-01T00:00:00+00:00", "worker-1", 3.5),),
        scenes=tuple(f"S2A_T32TPT_{key.period}_{number:02d}_L2A" for number in range(_SCENES)) if is_written else (),
        statistics={"days": 9, "mean_clear_days": 4.5, "observed_share": 0.97, "cpu_seconds": 3.1, "requests": 120},
        seconds={"mask": 0.9, "bands": 1.9, "composite": 0.6, "write": 0.1},
        byte_counts={"read": 9_000_000, "written": 4_000_000},
    )


def _written(records: Mapping[ChunkKey, ChunkRecord]) -> list[ChunkKey]:
    return [key for key, record in records.items() if record.status == "written"]


def _link(
    cube: OpenCube, folder: Path, keys: Iterable[ChunkKey], periods: Mapping[str, Period], tiles: tuple[float, float]
) -> None:
    """Write the objects of the first chunk of each kind, and links to them for all other chunks."""
    first: dict[tuple[int, ...], list[Path]] = {}
    made = set[Path]()
    for key in keys:
        index = periods[key.period].index
        kind: tuple[int, ...] = tuple(
            min(_KINDS - 1, int(position / count * _KINDS))
            for position, count in zip((key.row, key.col), tiles, strict=True)
        )
        kind = (*kind, index % _MONTHS)
        if kind not in first:
            _write(cube, key, index, kind)
            first[kind] = _objects(cube.spec, folder, key, index)
            continue
        for source, target in zip(first[kind], _objects(cube.spec, folder, key, index), strict=True):
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            os.link(source, target)


def _write(cube: OpenCube, key: ChunkKey, index: int, kind: tuple[int, ...]) -> None:
    spec = cube.spec
    _, height, width = cube.store.arrays[0].shape[:3]
    side = (cube.store.arrays[0].shards or cube.store.arrays[0].chunks)[1]
    y0, x0 = key.row * side, key.col * side
    window = Window(y0, min(y0 + side, height), x0, min(x0 + side, width))
    values = [_reflectance(window.shape, band, kind) for band in range(len(BANDS))]
    counts = np.full(window.shape, 3 + kind[2], np.uint16)
    cube.store.write_chunk(index, window, *([np.stack(values, -1)] if spec.layout == "flat" else values), counts)


def _reflectance(shape: tuple[int, int], band: int, kind: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return digital numbers that compress as reflectance does: brighter to the south and east, by period."""
    rng = np.random.default_rng(band)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    bright = 1400 + 140 * kind[0] * (band != 2) + 140 * kind[1] * (band != 0) + 120 * kind[2] * (band == 1)
    smooth = bright + 120 * np.sin(rows / 30) * np.cos(cols / 25)
    return (smooth + rng.normal(0, 60, shape)).clip(1, 65535).astype(np.uint16)


def _objects(spec: CubeSpec, folder: Path, key: ChunkKey, index: int) -> list[Path]:
    return [
        folder / array.name / "c" / str(index) / str(key.row) / str(key.col) / ("0" if array.has_bands else "")
        for array in spec.arrays
    ]
