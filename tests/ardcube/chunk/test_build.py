"""One chunk: its pixels in the store, its record in the ledger."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube.chunk.batch import process_batch
from ardcube.chunk.build import process_chunk
from ardcube.chunk.composite import composite_chunk
from ardcube.chunk.open_cube import open_cube
from ardcube.config import CubeConfig, Reader, RunConfig
from ardcube.config.encoding import CubeEncoding
from ardcube.errors import PermanentError, SceneError, TransientError
from ardcube.ledger.ledger import Ledger
from ardcube.pixels.masks import CloudMaskHook, DefaultCloudMaskHook, SCLCloudMaskHook
from ardcube.pixels.observations import Observations
from ardcube.planning import memory
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubePlan
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.raster.bad_files import forget_bad_files
from ardcube.raster.cog import Cog
from ardcube.raster.decode import FetchedBand
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.header import Blocks
from ardcube.raster.open import Raster
from ardcube.sample import write_archive
from ardcube.store import schema
from tests.oracle.cube import Encoding as OracleEncoding
from tests.oracle.cube import oracle_cube
from tests.oracle.items import read_catalogue
from tests.servers.range_server import RangeServer
from tests.strategies import raster_band, stac_collection, stac_item

LEFT, TOP, SIDE = 499_980, 5_100_000, 120  # 1.2 km of UTM 33 North, about 15.0 E, 46.05 N
REQUEST: dict[str, Any] = {
    "bbox": (15.001, 46.041, 15.0138, 46.0506),
    "start_date": "2023-08-01",
    "end_date": "2023-08-31",
    "resolution": 0.0002,
    "bands": ("red", "nir"),
    "chunk_size": 32,
}


def write_raster(file: Path, values: NDArray[Any], pixel: int) -> None:
    with rasterio.open(
        file, "w", driver="GTiff", count=1, dtype=values.dtype, height=values.shape[0], width=values.shape[1],
        crs="EPSG:32633", transform=rasterio.Affine(pixel, 0, LEFT, 0, -pixel, TOP), nodata=0,
        tiled=True, blockxsize=16, blockysize=16, compress="deflate",
    ) as target:  # fmt: skip
        target.write(values, 1)


def write_scene(folder: Path, name: str, when: str, offset: float = -0.1) -> None:
    """A scene with noise for land, holes, and large blocks of cloud."""
    rng = np.random.default_rng(list(name.encode()))
    home = folder / name
    home.mkdir(parents=True)
    assets: dict[str, Any] = {}
    for band in ("red", "nir"):
        values = rng.integers(1, 10_000, (SIDE, SIDE)).astype(np.uint16)
        values[rng.random(values.shape) < 0.05] = 0
        write_raster(home / f"{band}.tif", values, 10)
        assets[band] = {"href": f"./{band}.tif", "raster:bands": raster_band(offset)}
    classes = np.kron(rng.choice([4, 5, 9], (4, 4)), np.ones((SIDE // 8, SIDE // 8))).astype(np.uint8)
    write_raster(home / "scl.tif", classes, 20)
    assets["scl"] = {"href": "./scl.tif", "raster:bands": [{"data_type": "uint8", "nodata": 0}]}
    right, bottom = LEFT + 10 * SIDE, TOP - 10 * SIDE
    ring = [(LEFT, TOP), (right, TOP), (right, bottom), (LEFT, bottom), (LEFT, TOP)]
    back = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    outline = shapely.Polygon([back.transform(*corner) for corner in ring])
    item = stac_item(name, when, geometry=shapely.geometry.mapping(outline), assets=assets)
    (home / f"{name}.json").write_text(json.dumps(item))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three solar days, of which one has two scenes, and one scene has another offset."""
    folder = tmp_path_factory.mktemp("archive")
    write_scene(folder, "a", "2023-08-10T10:00:00Z")
    write_scene(folder, "b", "2023-08-10T10:00:14Z")
    write_scene(folder, "c", "2023-08-15T10:00:00Z", offset=0.0)
    write_scene(folder, "d", "2023-08-20T10:00:00Z")
    (folder / "collection.json").write_text(json.dumps(stac_collection()))
    return folder


def prepare(catalogue: Path | str, uri: Path | str, mask: CloudMaskHook | None = None, **changes: Any) -> CubePlan:
    """Plan a cube and create its store."""
    hook = mask or DefaultCloudMaskHook()
    run = {name: changes.pop(name) for name in [*changes] if name in RunConfig.model_fields}
    cube = CubeConfig(**REQUEST | {"stac_url": str(catalogue), "cloud_mask": hook.name} | changes)
    request = check_request(cube, RunConfig(fsspec_uri=str(uri), **run), hook)
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    return plan


def ledger_of(plan: CubePlan) -> Ledger:
    return Ledger.at(plan.spec.ledger_uri)


# ---- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [16, 27, 64])
@pytest.mark.parametrize("mask", [DefaultCloudMaskHook(), SCLCloudMaskHook()], ids=lambda mask: mask.name)
def test_chunks_in_any_order_equal_the_oracle(
    archive: Path, tmp_path: Path, mask: CloudMaskHook, chunk_size: int
) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr", mask, chunk_size=chunk_size)
    jobs = list(plan.jobs)
    random.Random(chunk_size).shuffle(jobs)
    for job in jobs:
        process_chunk(open_cube(plan.spec), job)
    items, collection = read_catalogue(archive)
    expected = oracle_cube(
        items,
        collection,
        bbox=REQUEST["bbox"],
        start="2023-08-01",
        end="2023-08-31",
        resolution=REQUEST["resolution"],
        bands=REQUEST["bands"],
        cloud_mask=mask.name,  # type: ignore[arg-type]
    )
    assert (expected.values != 0).mean() > 0.3
    with xr.open_zarr(plan.spec.store_uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["observation_count"], expected.count)
        difference = np.abs(cube["rgb_median"].values.astype(int) - expected.values)
    # Coordinates are interpolated, right to a millionth of a metre: only a tie could fall to the other side.
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 2


def test_offsets_half_a_digital_number_apart_are_converted_exactly(tmp_path: Path) -> None:
    """Half to even: a shift rounded in advance would be wrong at half of the pixels."""
    write_scene(tmp_path, "a", "2023-08-10T10:00:00Z", offset=-0.09995)
    (tmp_path / "collection.json").write_text(json.dumps(stac_collection()))
    plan = prepare(tmp_path, tmp_path / "cube.zarr")
    for job in plan.jobs:
        process_chunk(open_cube(plan.spec), job)
    when = {"start": "2023-08-01", "end": "2023-08-31", "resolution": REQUEST["resolution"]}
    expected = oracle_cube(*read_catalogue(tmp_path), bbox=REQUEST["bbox"], bands=REQUEST["bands"], **when)
    assert (expected.offset, bool(expected.values.any())) == (-0.1, True)
    with xr.open_zarr(plan.spec.store_uri, mask_and_scale=False) as cube:
        difference = np.abs(cube["rgb_median"].values.astype(int) - expected.values)
    # A tie of coordinates, as above.
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 2


def test_scenes_of_several_data_types_and_scales_are_one_cube(tmp_path: Path) -> None:
    """Of uint8, uint16 and int16, with nodata in the file, in the item and in neither, in the scale of none of them."""
    rng, files = np.random.default_rng(7), {}
    described: dict[str, tuple[type, tuple[int, int], float | None, dict[str, Any]]] = {
        "bytes": (np.uint8, (1, 255), 255, {"scale": 0.004, "offset": 0.0, "data_type": "uint8"}),
        "landsat": (np.uint16, (1, 60_000), 0, {"scale": 2.75e-5, "offset": -0.2, "data_type": "uint16", "nodata": 0}),
        "sentinel": (np.uint16, (1, 9000), 0, {"scale": 0.0001, "offset": -0.1, "data_type": "uint16"}),
        "signed": (np.int16, (-900, 9000), -9999, {"scale": 0.0001, "offset": 0.0, "data_type": "int16"}),
        "stated": (np.int16, (-900, 9000), None, {"scale": 0.0002, "offset": 0, "data_type": "int16", "nodata": -9999}),
    }  # fmt: skip
    right, bottom = LEFT + 10 * SIDE, TOP - 10 * SIDE
    back = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    ring = [(LEFT, TOP), (right, TOP), (right, bottom), (LEFT, bottom), (LEFT, TOP)]
    outline = shapely.geometry.mapping(shapely.Polygon([back.transform(*corner) for corner in ring]))
    for day, (name, (dtype, (low, high), nodata, encoding)) in enumerate(described.items(), start=10):
        values = rng.integers(low, high, (SIDE, SIDE)).astype(dtype)
        values[rng.random(values.shape) < 0.1] = encoding.get("nodata", nodata)
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", count=1, dtype=dtype, height=SIDE, width=SIDE,
            crs="EPSG:32633", transform=rasterio.Affine(10, 0, LEFT, 0, -10, TOP), nodata=nodata,
            tiled=True, blockxsize=32, blockysize=32, compress="deflate", predictor=2,
        ) as target:  # fmt: skip
            target.write(values, 1)
        assets = {"red": {"href": f"./{name}.tif", "raster:bands": [encoding]}}
        item = stac_item(name, f"2023-08-{day}T10:00:00Z", geometry=outline, assets=assets)
        (tmp_path / f"{name}.json").write_text(json.dumps(item))
        files[name] = values
    (tmp_path / "collection.json").write_text(json.dumps(stac_collection() | {"item_assets": {}}))
    option = "scale=0.0003,offset=-0.5,min=-0.08,max=2"
    expected = None
    for reader in ("auto", "gdal"):
        plan = prepare(tmp_path, tmp_path / f"{reader}.zarr", bands=("red",), encoding=option, reader=reader)
        assert plan.spec.encoding == CubeEncoding(0.0003, -0.5, 1400, 8333)
        for job in plan.jobs:
            process_chunk(open_cube(plan.spec), job)
        expected = expected or oracle_cube(
            *read_catalogue(tmp_path), bbox=REQUEST["bbox"], start="2023-08-01", end="2023-08-31",
            resolution=REQUEST["resolution"], bands=("red",), encoding=OracleEncoding(0.0003, -0.5, 1400, 8333),
        )  # fmt: skip
        with xr.open_zarr(plan.spec.store_uri, mask_and_scale=False) as cube:
            np.testing.assert_array_equal(cube["observation_count"], expected.count)
            difference = np.abs(cube["rgb_median"].values.astype(int) - expected.values)
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 2  # ties of coordinates, as above
    assert expected is not None
    assert 1 < expected.count.mean() < len(files)


def test_a_shard_built_in_parts_has_the_pixels_of_its_chunks(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = SCLCloudMaskHook()
    chunks = prepare(archive, tmp_path / "chunks.zarr", mask, chunk_size=16)
    shards = prepare(archive, tmp_path / "shards.zarr", mask, chunk_size=16, shard=3)
    for job in chunks.jobs:
        process_chunk(open_cube(chunks.spec), job)
    monkeypatch.setattr(memory, "PART_SIDE", 20)  # parts that end within chunks
    ledger = ledger_of(shards)
    for job in shards.jobs:
        record = process_chunk(open_cube(shards.spec), job)
        assert record == ledger.read(job.key)
        assert record.statistics["days"] == 3
        assert record.byte_counts["read"] > 0
    assert (len(chunks.jobs), len(shards.jobs)) == (12, 2)
    with (
        xr.open_zarr(chunks.spec.store_uri, mask_and_scale=False) as one,
        xr.open_zarr(shards.spec.store_uri, mask_and_scale=False) as other,
    ):
        assert one["rgb_median"].any()
        for name in ("rgb_median", "observation_count"):
            np.testing.assert_array_equal(one[name], other[name])


def test_a_chunk_of_the_sample_archive_equals_the_oracle(sample_archive: Path, tmp_path: Path) -> None:
    sample = write_archive(sample_archive)
    west, south, _, _ = sample.bbox
    bbox = (west + 0.06, south + 0.03, west + 0.06 + 30 * sample.resolution, south + 0.03 + 30 * sample.resolution)
    request = {"bbox": bbox, "resolution": sample.resolution, "bands": ("red",)}
    plan = prepare(
        sample_archive,
        tmp_path / "cube.zarr",
        SCLCloudMaskHook(),
        **request,
        start_date="2023-06-01",
        end_date="2023-06-30",
    )
    (job,) = plan.jobs
    record = process_chunk(open_cube(plan.spec), job)
    items, collection = read_catalogue(sample_archive)
    june = [item for item in items if item["properties"]["datetime"].startswith("2023-06")]
    expected = oracle_cube(june, collection, start="2023-06-01", end="2023-06-30", cloud_mask="scl", **request)
    assert record.status == "written"
    with xr.open_zarr(plan.spec.store_uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["observation_count"], expected.count)
        assert np.abs(cube["rgb_median"].values.astype(int) - expected.values).max() <= 1


# ---- records -------------------------------------------------------------------------------------


def test_the_record_names_the_scenes_of_the_chunk(archive: Path, tmp_path: Path) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr")
    job = plan.jobs[0]
    record = process_chunk(open_cube(plan.spec), job)
    assert ledger_of(plan).read(job.key) == record
    assert record.status == "written"
    assert record.is_done(job)
    assert record.scenes == ("a", "b", "c", "d")
    assert [attempt.error for attempt in record.attempts] == [None]
    assert record.statistics["days"] == 3
    assert 2.5 < record.statistics["mean_clear_days"] <= 3
    assert record.statistics["observed_share"] == 1.0
    assert record.byte_counts["written"] == job.pixels * 2 * 3
    assert record.byte_counts["read"] > 0
    assert {"bands", "composite", "write"} <= set(record.seconds)


def test_a_chunk_without_scenes_is_empty_and_has_no_object(archive: Path, tmp_path: Path) -> None:
    far = {"bbox": (15.5, 46.3, 15.505, 46.305)}
    plan = prepare(archive, tmp_path / "cube.zarr", SCLCloudMaskHook(), **far)
    record = process_chunk(open_cube(plan.spec), plan.jobs[0])
    assert (record.status, record.scenes, record.statistics["observed_share"]) == ("empty", (), 0.0)
    assert record.is_done(plan.jobs[0])
    assert not list((tmp_path / "cube.zarr" / "rgb_median").rglob("c/*"))


def test_a_chunk_that_is_done_is_not_read_again(
    archive: Path,
    tmp_path: Path,
    range_server: Callable[[Path], RangeServer],
) -> None:
    server = range_server(archive)
    remote = tmp_path / "catalogue"
    remote.mkdir()
    for item in read_catalogue(archive)[0]:
        for asset in item["assets"].values():
            asset["href"] = f"{server.url}/{Path(asset['href']).relative_to(archive)}"
        (remote / f"{item['id']}.json").write_text(json.dumps(item))
    (remote / "collection.json").write_text(json.dumps(stac_collection()))
    plan = prepare(remote, tmp_path / "cube.zarr", bands=("red",))
    job = plan.jobs[0]
    first = process_chunk(open_cube(plan.spec), job)
    assert {request.path for request in server.requests} == {f"{name}/red.tif" for name in "abcd"}
    assert first.statistics["requests"] == len(server.requests)
    assert first.byte_counts["received"] == sum(request.sent for request in server.requests)
    arrays = [tmp_path / "cube.zarr" / name for name in ("rgb_median", "observation_count")]
    objects = [file for array in arrays for file in array.glob("c/**/*") if file.is_file()]
    assert first.statistics["objects"] == len(objects)
    assert first.byte_counts["stored"] == sum(file.stat().st_size for file in objects)
    assert first.statistics["cpu_seconds"] > 0

    server.reset()
    assert process_chunk(open_cube(plan.spec), job) == first
    assert server.requests == []
    # What it was built from has changed: now it is built again.
    again = process_chunk(open_cube(plan.spec), replace(job, inputs="another"))
    assert server.requests != []
    assert len(again.attempts) == 2
    assert again.inputs == "another"


# ---- failures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OddMask:
    """A mask that returns a result or raises an error, as its parameter says."""

    name: ClassVar[str] = "odd"
    kind: str = "right"

    @property
    def bands(self) -> tuple[str, ...]:
        return ()

    @property
    def halo(self) -> int:
        return 1

    def clear(self, observations: Observations) -> Any:
        shape = observations.shape
        match self.kind:
            case "wrong shape":
                return np.ones(shape[1:], bool)
            case "no halo":
                return np.ones((shape[0], shape[1] - 2, shape[2] - 2), bool)
            case "wrong type":
                return np.ones(shape, np.uint8)
            case "raises":
                raise KeyError("no such band")
            case "loses its connection":
                raise ConnectionResetError("by peer")
        return np.ones(shape, bool)


@pytest.mark.parametrize(
    ("kind", "error", "expected"),
    [
        ("wrong shape", PermanentError, r"cloud mask odd returned bool \(34, 34\); it must be bool \(3, 34, 34\)"),
        ("no halo", PermanentError, r"returned bool \(3, 32, 32\)"),
        ("wrong type", PermanentError, r"returned uint8 \(3, 34, 34\)"),
        ("raises", PermanentError, "KeyError: 'no such band'"),
        ("loses its connection", TransientError, "ConnectionResetError: by peer"),
    ],
)
def test_a_mask_that_fails_is_recorded_with_every_attempt(
    archive: Path, tmp_path: Path, kind: str, error: type[Exception], expected: str
) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr", OddMask(kind))
    job = plan.jobs[0]
    for attempts in (1, 2):
        with pytest.raises(error, match=expected):
            process_chunk(open_cube(plan.spec), job)
        record = ledger_of(plan).read(job.key)
        assert record is not None
        assert record.status == "failed"
        assert not record.is_done(job)
        assert len(record.attempts) == attempts
        assert record.error is not None
        assert record.error.startswith(error.__name__)
    # The next attempt may go well, and the ones before are not forgotten.
    done = process_chunk(open_cube(replace(plan.spec, mask=OddMask())), job)
    assert done.status == "written"
    assert [bool(attempt.error) for attempt in done.attempts] == [True, True, False]


def test_a_scene_that_was_bad_at_planning_is_left_out_and_recorded(archive: Path, tmp_path: Path) -> None:
    catalogue = tmp_path / "archive"
    shutil.copytree(archive, catalogue)
    file = catalogue / "c" / "c.json"
    item = json.loads(file.read_text())
    del item["assets"]["nir"]
    file.write_text(json.dumps(item))
    plan = prepare(catalogue, tmp_path / "cube.zarr", skip_bad_scenes=1, chunk_size=64)
    (job,) = plan.jobs
    record = process_chunk(open_cube(plan.spec), job)
    assert record.scenes == ("a", "b", "d")
    (reason,) = record.skipped.values()
    assert reason.startswith("item c: no asset for band nir, only red, scl")
    file.unlink()
    without = prepare(catalogue, tmp_path / "without.zarr", chunk_size=64)
    process_chunk(open_cube(without.spec), without.jobs[0])
    with xr.open_zarr(plan.spec.store_uri) as cube, xr.open_zarr(without.spec.store_uri) as expected:
        np.testing.assert_array_equal(cube["rgb_median"], expected["rgb_median"])
    with pytest.raises(SceneError, match="item c: no asset for band nir") as caught:
        process_chunk(open_cube(replace(plan.spec, skip_bad_scenes=0)), job)
    assert caught.value.scene == "c"


def test_a_scene_whose_file_is_missing_fails_the_chunk_and_names_the_file(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    write_scene(folder, "a", "2023-08-10T10:00:00Z")
    (folder / "collection.json").write_text(json.dumps(stac_collection()))
    file = folder / "a" / "nir.tif"
    content = file.read_bytes()
    file.unlink()
    plan = prepare(folder, tmp_path / "cube.zarr")
    with pytest.raises(SceneError, match=f"{file} cannot be read"):
        process_chunk(open_cube(plan.spec), plan.jobs[0])
    assert not list((tmp_path / "cube.zarr" / "rgb_median").rglob("c/*"))
    file.write_bytes(content)
    forget_bad_files()  # as another run does
    record = process_chunk(open_cube(plan.spec), plan.jobs[0])
    assert (record.status, len(record.attempts)) == ("written", 2)


def test_pixels_are_written_before_the_record(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a chunk that the ledger calls done is always there."""
    plan = prepare(archive, tmp_path / "cube.zarr")
    job = plan.jobs[0]
    write = Ledger.write

    def check_and_write(self: Ledger, record: Any) -> None:
        with xr.open_zarr(plan.spec.store_uri, mask_and_scale=False) as cube:
            assert cube["rgb_median"][0, :32, :32].values.any()
        write(self, record)

    monkeypatch.setattr(Ledger, "write", check_and_write)
    process_chunk(open_cube(plan.spec), job)


def test_a_store_that_was_replaced_by_another_shape_is_not_written_to(archive: Path, tmp_path: Path) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr")
    with pytest.raises(PermanentError, match="run again to make a new plan"):
        process_chunk(open_cube(replace(plan.spec, periods=5)), plan.jobs[0])


def test_a_batch_continues_after_a_failed_chunk(archive: Path, tmp_path: Path) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr")
    good, bad, also_good = plan.jobs[:3]
    lost = replace(bad, manifest="items/lost.parquet")
    with pytest.raises(PermanentError, match=rf"^{bad.key}: .*items/lost\.parquet: the planned scenes are missing"):
        process_batch(plan.spec, [good, lost, also_good])
    records = ledger_of(plan).records()
    assert {str(key): record.status for key, record in records.items()} == {
        str(good.key): "written",
        str(bad.key): "failed",
        str(also_good.key): "written",
    }
    assert [record.status for record in process_batch(plan.spec, [good, bad, also_good])] == ["written"] * 3


def test_a_batch_is_transient_if_one_of_its_chunks_is(archive: Path, tmp_path: Path) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr", OddMask("loses its connection"))
    lost = replace(plan.jobs[0], manifest="items/lost.parquet")
    with pytest.raises(TransientError, match=f"{plan.jobs[1].key}.*{lost.key}"):
        process_batch(plan.spec, [lost, plan.jobs[1]])


def test_computing_a_chunk_writes_nothing(archive: Path, tmp_path: Path) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr")
    before = sorted(tmp_path.rglob("*"))
    job: ChunkJob = plan.jobs[0]
    chunk = composite_chunk(plan.spec, job.window, list(plan.scenes["2023-08"]))
    assert chunk.values.shape == (32, 32, 2)
    assert chunk.days == 3
    assert sorted(tmp_path.rglob("*")) == before
    assert schema.exists(Ledger.at(plan.spec.store_uri).place)


@pytest.mark.parametrize(("reader", "pool"), [("auto", "ardcube-request"), ("gdal", "ardcube-read")])
def test_a_reader_that_decodes_while_it_reads_uses_the_reading_threads(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader, pool: str
) -> None:
    plan = prepare(archive, tmp_path / "cube.zarr")
    kind = {"auto": Cog, "gdal": GdalRaster}[reader]
    read, seen = kind.fetch, set()

    def fetch(self: Raster, blocks: Blocks) -> FetchedBand:
        seen.add(threading.current_thread().name.rsplit("_", 1)[0])
        return read(self, blocks)

    monkeypatch.setattr(kind, "fetch", fetch)
    composite_chunk(replace(plan.spec, reader=reader), plan.jobs[0].window, list(plan.scenes["2023-08"]))
    assert seen == {pool}
