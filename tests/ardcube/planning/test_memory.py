"""Memory of a chunk: bounded, estimated beforehand, without influence on pixels."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pyproj import Transformer
from rasterio.transform import Affine

from ardcube.config import RunConfig
from ardcube.config.variables import QualityName
from ardcube.errors import InputError
from ardcube.extent.lattice import METRES_PER_DEGREE
from ardcube.pixels.composites.best_pixel import BestPixel, LeastCloudy
from ardcube.pixels.composites.choice import Last
from ardcube.pixels.composites.geomedian import Geomedian, MedianDeviations
from ardcube.pixels.composites.per_band import Median
from ardcube.pixels.masks import DefaultCloudMaskHook, SCLCloudMaskHook
from ardcube.pixels.quality.registry import quality_of
from ardcube.planning.memory import (
    STACK_BYTES,
    WORKER_BYTES,
    Workload,
    chunk_bytes,
    chunk_limit,
    least_bytes,
    observation_bytes,
    stack_size,
    subdivide,
)
from tests.servers.processes import ROOT, environment
from tests.strategies import raster_band, stac_collection, stac_item

SIDES = st.integers(1, 4096)
DAYS, BANDS = st.integers(0, 1000), st.integers(1, 12)
WORKLOADS = st.builds(
    Workload,
    height=st.integers(16, 4096),
    width=st.integers(16, 4096),
    bands=BANDS,
    days=DAYS,
    scenes=DAYS,
    halo=st.integers(0, 100),
    mask_bands=st.integers(0, 3),
    independent_days=st.booleans(),
    all_bands=st.booleans(),
    distances=st.booleans(),
    pixel_bytes=st.just(0) | st.integers(26, 100),
    class_step=st.just(0.0) | st.floats(0.1, 60.0),
    class_reach=st.floats(0.0, 1000.0),
)
USUAL = Workload.of(SCLCloudMaskHook(), (Median(),), 4, (1200, 1200), 12, 14, METRES_PER_DEGREE / 3600)


@given(days=DAYS, height=SIDES, width=SIDES, bands=BANDS, stack=st.integers(1, STACK_BYTES))
def test_a_stack_fits_its_limit_or_holds_one_band_of_few_rows(
    days: int, height: int, width: int, bands: int, stack: int
) -> None:
    at_once, rows = stack_size(days, (height, width), bands, stack)
    assert 1 <= at_once <= bands
    assert 1 <= rows <= height
    stacked = days * at_once * rows * width * 2
    assert stacked <= stack + days * width * 2  # rows are whole
    strips, groups = math.ceil(height / rows), math.ceil(bands / at_once)
    assert strips == 1 or at_once == 1
    assert strips * rows >= height
    assert groups * at_once >= bands


def test_the_usual_chunk_is_stacked_at_once() -> None:
    assert stack_size(12, (1200, 1200), 4) == (4, 1200)


@given(workload=WORKLOADS)
def test_memory_grows_with_the_workload_and_covers_stack_and_output(workload: Workload) -> None:
    memory = chunk_bytes(workload)
    pixels = workload.height * workload.width
    part = min(workload.height, 1200) * min(workload.width, 1200)
    # A stack that exceeds STACK_BYTES by little is cut into two strips, which take half of it each.
    assert memory >= min(2 * workload.days * part, STACK_BYTES // 2) + 2 * workload.bands * pixels
    assert chunk_bytes(replace(workload, scenes=workload.scenes + 8)) > memory
    assert chunk_bytes(replace(workload, height=2 * workload.height)) > memory or workload.days > 0


@given(workload=WORKLOADS, spare=st.integers(0, 2**31))
def test_every_workload_fits_into_any_limit_that_is_accepted(workload: Workload, spare: int) -> None:
    limit = least_bytes(workload) + spare
    one_row = 2 * workload.days * min(workload.width, subdivide(workload, limit).side)
    if workload.all_bands:
        one_row = observation_bytes(workload.days, workload.width, workload.bands)
    assert chunk_bytes(workload, limit) <= limit + one_row
    assert chunk_bytes(workload, limit) <= chunk_bytes(workload, None) + one_row
    assert chunk_limit(WORKER_BYTES + 3 * limit, 3, workload) == limit
    with pytest.raises(InputError, match=r"^memory-limit .* is too little for chunks of .* at once: .* allow more"):
        chunk_limit(WORKER_BYTES + 3 * least_bytes(workload) - 1, 3, workload)


def test_a_thousand_dates_need_no_more_than_ten() -> None:
    many = replace(USUAL, days=1000, scenes=2000)
    assert chunk_bytes(many, 400_000_000) <= 400_000_000
    assert chunk_bytes(replace(many, independent_days=False), 400_000_000) <= 400_000_000


def test_a_coarse_cube_holds_the_classification_of_whole_scenes() -> None:
    """Two scenes of 5490 x 5490 pixels, whatever the size of the chunk."""
    at = [Workload.of(SCLCloudMaskHook(), (Median(),), 4, (side, side), 30, 200, 1113.2) for side in (150, 600)]
    none = [Workload.of(DefaultCloudMaskHook(), (Median(),), 4, (side, side), 30, 200, 1113.2) for side in (150, 600)]
    more = [chunk_bytes(one) - chunk_bytes(other) for one, other in zip(at, none, strict=True)]
    assert all(50e6 < bytes_ < 100e6 for bytes_ in more)
    assert chunk_bytes(at[0], 100_000_000 + least_bytes(at[0])) < chunk_bytes(at[0])


def test_ten_times_the_dates_take_less_than_twice_the_memory() -> None:
    assert chunk_bytes(replace(USUAL, days=120, scenes=120)) < 2 * chunk_bytes(USUAL)


@pytest.mark.parametrize(
    ("given", "count"), [("2 GB", 2 * 10**9), ("1.5GiB", 3 * 2**29), (2_000_000_000, 2 * 10**9), (None, None)]
)
def test_a_limit_is_a_size_in_bytes(given: Any, count: int | None) -> None:
    assert RunConfig(fsspec_uri="cube", memory_limit=given).memory_bytes == count


@pytest.mark.parametrize("given", ["much", "", "-1 GB", "0", "1e999", "2 potatoes", 1.5])
def test_a_memory_limit_that_is_no_size_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="memory_limit"):
        RunConfig(fsspec_uri="cube", memory_limit=given)


# ---- measured ------------------------------------------------------------------------------------

DATES = 120
SIDE = 300
SCRIPT = """
import hashlib, json, sys
import numpy as np, zarr
import flows.build_cube, flows.map_chunks  # as in a worker
from ardcube.config import CubeConfig, RunConfig
from ardcube.planning.memory import WORKER_BYTES
from ardcube.planning.estimate import estimate, within_memory
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import open_cube
from hooks.cloud_masks import cloud_mask

catalogue, store, limit, side, *composites = sys.argv[1:]
cube = CubeConfig(
    start_date="2023-01-01", end_date="2023-04-30", time_frequency_months=4, chunk_size=int(side), resolution=0.00018,
    bbox=(15.01, 46.03 - int(side) * 0.00018, 15.01 + int(side) * 0.00018, 46.03), cloud_mask="scl", stac_url=catalogue,
    composites=composites,
)
run = RunConfig(fsspec_uri=store, memory_limit=limit or None, threads=1)
request = check_request(cube, run, cloud_mask("scl"))
plan = within_memory(make_plan(request, search_scenes(request)), run.memory_bytes, 1)
initialize(request, plan)
record = process_chunk(open_cube(plan.spec), plan.jobs[0])
with open("/proc/self/status") as status:
    peak = 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
group = zarr.open_group(store, mode="r")
pixels = [group[layer.name][...] for layer in plan.spec.variables]
print(json.dumps({
    "peak": peak, "estimate": WORKER_BYTES + estimate(plan).bytes_per_chunk, "days": record.statistics["days"],
    "observed": int(np.count_nonzero(pixels[0])),
    "pixels": hashlib.sha256(b"".join(one.tobytes() for one in pixels)).hexdigest(),
}))
"""


@pytest.fixture(scope="module")
def many_dates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of a scene that comes again every day, each time the same files."""
    folder = tmp_path_factory.mktemp("dates")
    random, metres = np.random.default_rng(7), 800 * 10
    for band in ("red", "green", "blue", "nir", "scl"):
        pixel = 20 if band == "scl" else 10
        shape = (metres // pixel, metres // pixel)
        values = random.integers(300, 4000, shape, np.uint16)
        if band == "scl":
            values = np.where(random.random((10, 10)) < 0.8, 4, 9).astype(np.uint8).repeat(40, 0).repeat(40, 1)
        profile = {"height": shape[0], "width": shape[1], "count": 1, "dtype": values.dtype, "crs": "EPSG:32633"}
        corner = Affine(pixel, 0, 500_000, 0, -pixel, 5_097_700)
        file = folder / f"{band}.tif"
        with rasterio.open(file, "w", "COG", transform=corner, nodata=0, compress="DEFLATE", **profile) as raster:
            raster.write(values, 1)
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
    corners = [to_degrees(500_000 + x, 5_097_700 - y) for x, y in ((0, 0), (metres, 0), (metres, metres), (0, metres))]
    assets = {
        band: {"href": str(folder / f"{band}.tif"), "raster:bands": raster_band() if band != "scl" else [{"nodata": 0}]}
        for band in ("red", "green", "blue", "nir", "scl")
    }
    days = [date(2023, 1, 1) + timedelta(days=number) for number in range(DATES)]
    items = [
        stac_item(
            f"S2A_T33TWM_{day:%Y%m%d}T100000_L2A",
            f"{day}T10:00:00Z",
            geometry=shapely.geometry.mapping(shapely.Polygon(corners)),
            assets=assets,
        )
        for day in days
    ]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    (folder / "collection.json").write_text(json.dumps(stac_collection()))
    return folder


def built(catalogue: Path, store: Path, limit: str, composites: tuple[str, ...]) -> dict[str, Any]:
    """Build the chunk in a new process; return its peak memory and its pixels."""
    arguments = [sys.executable, "-c", SCRIPT, str(catalogue), str(store), limit, str(SIDE), *composites]
    done = subprocess.run(
        arguments, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("megabytes", "composites"),
    [
        pytest.param(500, ("median",), id="median"),
        pytest.param(525, ("geomedian", "mads", "medoid", "max-ndvi"), id="four"),
        pytest.param(550, ("best-pixel", "least-cloudy"), marks=pytest.mark.deep, id="figures"),
    ],
)
def test_a_limit_holds_over_many_dates_and_changes_no_pixel(
    many_dates: Path, tmp_path: Path, megabytes: int, composites: tuple[str, ...]
) -> None:
    limits = ("", f"{megabytes} MB")
    built(many_dates, tmp_path / "first.zarr", "", composites)  # it may have to compile, which takes memory
    with ThreadPoolExecutor(2) as pool:
        stores = [tmp_path / f"{number}.zarr" for number in range(len(limits))]
        free, bound = pool.map(built, [many_dates] * len(limits), stores, limits, [composites] * len(limits))
    assert free["days"] == bound["days"] == DATES
    assert free["observed"] > 0
    assert bound["pixels"] == free["pixels"]
    print(f"peak {free['peak'] / 1e6:.0f} MB, estimate {free['estimate'] / 1e6:.0f}; with a limit of {megabytes} MB "
          f"{bound['peak'] / 1e6:.0f}, {bound['estimate'] / 1e6:.0f}")  # fmt: skip
    assert bound["peak"] <= megabytes * 1e6
    assert bound["peak"] <= 1.05 * bound["estimate"]
    assert free["peak"] <= 1.1 * free["estimate"]
    assert bound["peak"] < free["peak"]


def test_composites_of_whole_observations_stack_all_bands_in_fewer_rows() -> None:
    mask, shape = SCLCloudMaskHook(), (1200, 1200)
    median = Workload.of(mask, (Median(),), 10, shape, 60, 70, 31.0)
    geomedian = Workload.of(mask, (Geomedian(), MedianDeviations()), 10, shape, 60, 70, 31.0)
    assert (geomedian.all_bands, geomedian.pixel_bytes) == (True, 2 * 10 + 3 * 4 + 2)
    bands, rows = stack_size(60, shape, 10, all_bands=True)
    assert bands == 10
    assert 1 <= rows < 1200
    assert 0.7 < observation_bytes(60, rows * 1200, 10) / STACK_BYTES <= 0.8
    assert stack_size(60, shape, 10, 1, all_bands=True) == (10, 1)
    assert least_bytes(geomedian) > least_bytes(median)
    for limit in (least_bytes(geomedian), least_bytes(geomedian) + 10_000_000, 2 * least_bytes(geomedian)):
        assert chunk_bytes(geomedian, limit) <= limit + observation_bytes(60, 1200, 10)


def test_quality_layers_take_memory_of_pixels_and_of_masked_bits() -> None:
    mask, shape, median = SCLCloudMaskHook(), (1200, 1200), (Median(),)
    plain = Workload.of(mask, median, 4, shape, 60, 70, 31.0)
    names: tuple[QualityName, ...] = ("valid_count", "date", "spread", "clear_share")
    quality = quality_of(names, median, "rgb_median", mask, ())
    with_layers = Workload.of(mask, median, 4, shape, 60, 70, 31.0, quality)
    assert with_layers.pixel_bytes - plain.pixel_bytes == 2 + 4 + 4 * 2 + 4
    assert chunk_bytes(with_layers) - chunk_bytes(plain) > (4 + 8 + 6) * 1200**2 + (60 + 70) / 8 * 1200**2
    assert least_bytes(with_layers) > least_bytes(plain)


def test_distances_to_cloud_take_more_of_scenes_and_strips() -> None:
    mask, shape = SCLCloudMaskHook(), (1200, 1200)
    last, least, best = (
        Workload.of(mask, (one,), 4, shape, 60, 70, 10.0) for one in (Last(), LeastCloudy(), BestPixel())
    )
    assert chunk_bytes(least, least_bytes(least)) - chunk_bytes(last, least_bytes(last)) < 1_000_000
    assert best.class_reach == last.class_reach + 1500 / 20
    assert chunk_bytes(best) - chunk_bytes(least) >= 2 * 70 * 1200 * 1200
    for limit in (least_bytes(best), 2 * least_bytes(best)):
        assert chunk_bytes(best, limit) <= limit + observation_bytes(60, 1200, 5)
