"""Measure writing and reading of a cube by codec and by layout.

Run it with `python -m benchmarks.writing`.

The pixels are real composites: a chunk of the benchmark archive, or existing cubes (`--cube`). Codecs are measured in
memory, layouts on disk, both through zarr.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import open_cube
from ardcube.config import CubeConfig, RunConfig
from ardcube.config.encoding import CubeEncoding
from ardcube.extent.grid import Grid
from ardcube.extent.lattice import DEGREES, Lattice
from ardcube.extent.periods import calendar_periods
from ardcube.extent.window import Window
from ardcube.pixels.masks import DefaultCloudMaskHook, SCLCloudMaskHook
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.schema import COUNT
from ardcube.store.writer import CubeStore
from benchmarks.archive import BANDS, CROP, FULL, TINY, Archive, Layout, ensure_archive

PERIODS = 6
"""Number of months of a cube whose layout is measured."""
AREA = 100
"""Rows and columns of the small area that is read, in pixels."""
SHUFFLES = ("shuffle", "bitshuffle", "noshuffle")


@dataclass(frozen=True, slots=True)
class Composite:
    """The pixels of one chunk."""

    name: str
    values: NDArray[np.uint16]
    """(y, x, band)"""
    count: NDArray[np.uint16]
    """(y, x)"""
    stages: dict[str, float]
    """Seconds by stage of its build; empty for an existing cube."""


@dataclass(frozen=True, slots=True)
class CodecCost:
    """The cost of one codec on one array: best of several times."""

    pixels: str
    array: str
    codec: str
    share: float
    """Compressed bytes per byte."""
    write_ms: float
    """CPU time of all threads."""
    write_mb_s: float
    """By wall time."""
    read_ms: float
    read_mb_s: float


@dataclass(frozen=True, slots=True)
class LayoutCost:
    """The cost of one layout of a cube of `PERIODS` months in chunks and shards."""

    pixels: str
    tile: int
    """Rows and columns that are built and written together."""
    chunk: int
    shard: int
    """Chunks on each side of a shard."""
    objects: int
    mb: float
    write_ms: float
    """Wall time per megapixel, both arrays."""
    month_ms: float
    """Wall time to read a whole month, per megapixel."""
    area_ms: float
    """Wall time to read `AREA` x `AREA` pixels of one month."""
    area_kb: float
    series_ms: float
    """Wall time to read one pixel of all months."""
    series_kb: float
    series_requests: int


def codecs() -> dict[str, dict[str, Any]]:
    """Return codec names and their arguments of `zarr.create_array`."""
    found: dict[str, dict[str, Any]] = {"none": {"compressors": None}, "zarr's default (zstd 0)": {}}
    found |= {f"zstd {level}": {"compressors": ZstdCodec(level=level)} for level in (1, 3)}
    found["gzip 1"] = {"compressors": GzipCodec(level=1)}
    for family, levels in (("zstd", (1, 3, 5)), ("lz4", (1, 5)), ("lz4hc", (5,)), ("zlib", (1,))):
        for level in levels:
            for shuffle in SHUFFLES:
                if shuffle != "noshuffle" or (family, level) == ("zstd", 1):
                    codec = BloscCodec(cname=family, clevel=level, shuffle=shuffle)
                    found[f"blosc {family} {level}, {shuffle}"] = {"compressors": codec}
    for level in (1, 3):
        for kib in (128, 256, 512, 1024):
            codec = BloscCodec(cname="zstd", clevel=level, shuffle="shuffle", blocksize=kib * 1024)
            found[f"blosc zstd {level}, shuffle, blocks of {kib} KiB"] = {"compressors": codec}
    bands_first = {"filters": [TransposeCodec(order=(0, 3, 1, 2))]}
    return found | {
        f"bands first, {name}": bands_first | found[name]
        for name in ("blosc zstd 1, shuffle", "blosc zstd 1, bitshuffle")
    }


def built_composite(archive: Archive, scratch: Path) -> Composite:
    """Build the first chunk of the archive."""
    catalog = scratch / f"catalog-{archive.layout.name}"
    catalog.mkdir()
    *items, collection = archive.documents(str(archive.folder.resolve()))
    (catalog / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    (catalog / "collection.json").write_text(json.dumps(collection))
    cube = CubeConfig(
        start_date="2023-06-01",
        end_date="2023-06-30",
        bbox=archive.layout.bbox,
        chunk_size=archive.layout.chunk,
        bands=tuple(list(BANDS)[:4]),
        cloud_mask="scl",
        stac_url=str(catalog),
    )
    uri = str(scratch / f"{archive.layout.name}.zarr")
    run = RunConfig(fsspec_uri=uri, allow_asset_roots=(str(archive.folder.resolve()),))
    request = check_request(cube, run, SCLCloudMaskHook())
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    record = process_chunk(open_cube(plan.spec), plan.jobs[0])
    (one,) = existing_composites(run.fsspec_uri, cube.varname, plan.jobs[0].window)
    return replace(one, name=f"archive, {archive.layout.name}", stages=dict(record.seconds))


def existing_composites(uri: str, varname: str = "rgb_median", window: Window | None = None) -> Iterator[Composite]:
    """Yield the first month of an existing cube: all of it, or a window."""
    group = zarr.open_group(uri, mode="r")
    values, count = group[varname], group[COUNT]
    rows, cols = window.slices if window else (slice(None), slice(None))
    yield Composite(Path(uri).stem, np.asarray(values[0, rows, cols, :]), np.asarray(count[0, rows, cols]), {})


def measure_codecs(composite: Composite, repeats: int) -> Iterator[CodecCost]:
    """Write and read both arrays as one chunk in memory, with each codec."""
    for array, data in (("composite", composite.values[None]), (COUNT, composite.count[None])):
        for name, how in codecs().items():
            if data.ndim == 3 and "filters" in how:
                continue
            memory = MemoryStore()
            target = zarr.create_array(memory, shape=data.shape, chunks=data.shape, dtype="uint16", fill_value=0, **how)

            def write(target: zarr.Array[Any] = target, data: NDArray[np.uint16] = data) -> None:
                target[...] = data

            def read(target: zarr.Array[Any] = target) -> Any:
                return target[...]

            (write_wall, write_cpu), (read_wall, read_cpu) = _best(write, repeats), _best(read, repeats)
            if not np.array_equal(read(), data):
                raise AssertionError(f"{name}: the pixels differ after a round trip")
            size = sum(len(content) for key, content in memory._store_dict.items() if "c/" in key)
            mb = data.nbytes / 1e6
            yield CodecCost(
                composite.name, array, name, size / data.nbytes,
                write_cpu * 1e3, mb / write_wall, read_cpu * 1e3, mb / read_wall,
            )  # fmt: skip


def measure_layouts(
    composite: Composite, layouts: Sequence[tuple[int, int]], scratch: Path, repeats: int
) -> Iterator[LayoutCost]:
    """Write a cube in each layout (chunk, shard), and read it in three ways.

    The cube has 2 x 2 copies of the composite and `PERIODS` months.
    """
    values, count = np.tile(composite.values, (2, 2, 1)), np.tile(composite.count, (2, 2))
    for number, (chunk, shard) in enumerate(layouts):
        place = Place.at(str(scratch / f"{composite.name.replace('/', '-')}-{number}.zarr"))
        spec = _spec(place, values)
        schema.create(place, spec, calendar_periods(date(2023, 1, 1), date(2023, PERIODS, 1), 1), chunk, shard)
        opened = CubeStore.open(spec)
        seconds = []
        tiles = list(spec.grid.tiles(chunk * shard))
        for month in range(PERIODS):
            for tile in tiles:
                where = tile.window.slices
                start = time.perf_counter()
                opened.write_chunk(month, tile.window, values[where], count[where])
                seconds.append(time.perf_counter() - start)
        array = zarr.open_group(_Counting(LocalStore(place.path)), mode="r", use_consolidated=False)[spec.varname]
        assert isinstance(array, zarr.Array)
        tally = array.store  # zarr replaced the store above by a read-only one
        assert isinstance(tally, _Counting)
        middle = slice(chunk // 3, chunk // 3 + AREA)
        month_s, _ = _best(lambda array=array: array[0], repeats)  # type: ignore[misc]
        area_s, _ = _best(lambda array=array, middle=middle: array[0, middle, middle, :], repeats)  # type: ignore[misc]
        tally.start()
        area = array[0, middle, middle, :]
        area_bytes = tally.bytes
        series_s, _ = _best(lambda array=array, chunk=chunk: array[:, chunk // 2, chunk // 2, :], repeats)  # type: ignore[misc]
        tally.start()
        series = array[:, chunk // 2, chunk // 2, :]
        if not (np.array_equal(area, values[middle, middle]) and (series == values[chunk // 2, chunk // 2]).all()):
            raise AssertionError(f"chunk {chunk}, shard {shard}: the pixels differ after a round trip")
        names = [name for name in place.list() if "/c/" in name and name.split("/")[0] in (spec.varname, COUNT)]
        yield LayoutCost(
            pixels=composite.name,
            tile=chunk * shard,
            chunk=chunk,
            shard=shard,
            objects=len(names),
            mb=sum(Path(place.file(name)).stat().st_size for name in names) / 1e6,
            write_ms=1e3 * sum(seconds) / PERIODS / (count.size / 1e6),
            month_ms=1e3 * month_s / (count.size / 1e6),
            area_ms=1e3 * area_s,
            area_kb=area_bytes / 1e3,
            series_ms=1e3 * series_s,
            series_kb=tally.bytes / 1e3,
            series_requests=tally.requests,
        )


class _Counting(WrapperStore[Store]):
    """Counts requests and bytes that are read."""

    requests = 0
    bytes = 0

    def start(self) -> None:
        """Reset the counters."""
        self.requests = self.bytes = 0

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        return self._counted(await self._store.get(key, *args, **kwargs))

    def get_sync(self, key: str, **kwargs: Any) -> Any:
        return self._counted(self._store.get_sync(key, **kwargs))  # type: ignore[attr-defined]

    def get_ranges(self, *args: Any, **kwargs: Any) -> Any:
        # Later versions of zarr call this. The base class calls `get`, but the wrapper would bypass it.
        return Store.get_ranges(self, *args, **kwargs)  # type: ignore[attr-defined]

    def _counted(self, content: Any) -> Any:
        self.requests += 1
        self.bytes += len(content) if content is not None else 0
        return content


def _spec(place: Place, values: NDArray[np.uint16]) -> CubeSpec:
    height, width, bands = values.shape
    return CubeSpec(
        fingerprint=place.uri,
        grid=Grid(Lattice(DEGREES, 0.0, 0.0, 1 / 3600, -1 / 3600), -47 * 3600, 15 * 3600, height, width),
        periods=PERIODS,
        bands=tuple(f"band{number}" for number in range(bands)),
        varname="rgb_median",
        resampling="bilinear",
        encoding=CubeEncoding(offset=-0.1),
        mask=DefaultCloudMaskHook(),
        store_uri=place.uri,
        ledger_uri=place.sibling(".ardcube").uri,
        storage_options={},
        asset_access="unsigned",
    )


def _best(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the shortest wall and CPU seconds of several times.

    Other load of the machine only adds time.
    """
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), _cpu()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(_cpu() - cpu)
    return min(walls), min(cpus)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _layouts(tile: int) -> list[tuple[int, int]]:
    """Return pairs of chunk and shard for the layouts of a tile.

    The layouts are one object per chunk, shards of one tile, and shards of 2 x 2 tiles.
    """
    parts = [part for part in (2, 4, 8) if tile % part == 0 and tile // part >= 16]
    return [
        (tile, 1),
        *((tile // part, 1) for part in parts),
        *((tile // part, part) for part in parts),
        (tile, 2),
        *((tile // part, 2 * part) for part in parts),
    ]


def _tables(costs: Sequence[CodecCost], layouts: Sequence[LayoutCost]) -> Iterator[Table]:
    for rows in (costs, layouts):
        if rows:
            table = Table(*asdict(rows[0]), title=type(rows[0]).__doc__)
            for row in rows:
                table.add_row(*(_shown(value) for value in asdict(row).values()))
            yield table


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _share_of_writing(composite: Composite) -> float:
    return composite.stages["write"] / sum(composite.stages.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a small archive and few repeats")
    parser.add_argument("--data", type=Path, default=Path("data/bench"), help="folder of the archives")
    parser.add_argument("--cube", action="append", default=[], help="also measure an existing cube; can be repeated")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("output/bench"), help="folder of writing.json")
    chosen = parser.parse_args()
    layout: Layout = CROP if chosen.short else FULL
    repeats = 2 if chosen.short else chosen.repeats
    warm, archive = (ensure_archive(chosen.data / one.name, one) for one in (TINY, layout))
    console = Console(width=180)
    with tempfile.TemporaryDirectory(prefix="ardcube-writing-") as folder:
        scratch = Path(folder)
        built_composite(warm, scratch)  # loads compiled kernels
        composite = built_composite(archive, scratch)
        share = _share_of_writing(composite)
        console.print(f"seconds by stage {composite.stages}: writing is {100 * share:.1f} % of them")
        composites = [composite, *(one for uri in chosen.cube for one in existing_composites(uri))]
        costs = [cost for one in composites for cost in measure_codecs(one, repeats)]
        layouts = list(measure_layouts(composite, _layouts(layout.chunk), scratch, repeats))
    for table in _tables(costs, layouts):
        console.print(table)
    chosen.output.mkdir(parents=True, exist_ok=True)
    result = {
        "load": os.getloadavg()[0],
        "zarr": zarr.__version__,
        "stages_s": composite.stages,
        "share_of_writing": share,
        "codecs": [asdict(cost) for cost in costs],
        "layouts": [asdict(cost) for cost in layouts],
    }
    (chosen.output / "writing.json").write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {chosen.output}/writing.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
