"""Cubes of the real scenes equal the oracle in every value, for both readers and several masks, grids and chunks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import pytest
import zarr

import ardcube
from ardcube.config import CubeConfig
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import OracleCube, oracle_cube, read_catalogue
from tests.oracle.masks import DEMO, ODC, SclMask

pytestmark = pytest.mark.real

Reader = Literal["auto", "gdal"]


@dataclass(frozen=True, slots=True)
class Request:
    """A cube of a folder of real scenes."""

    scenes: str
    bbox: tuple[float, float, float, float]
    start: str
    end: str
    resolution: float
    bands: tuple[str, ...] = ("red", "green", "blue", "nir")
    mask: SclMask | None = None


ZAGREB = ("zagreb-2023-08", (15.50, 45.92, 15.85, 46.10), "2023-08-01", "2023-08-31")
ANTWERP = ("antwerp-2023q4", (4.2608, 51.3086, 4.2675, 51.3134), "2023-10-01", "2023-12-31")
INN = ("inn-2021", (13.08, 48.28, 13.18, 48.32), "2021-06-01", "2021-09-30")
LAOS = ("laos-2020", (103.73, 17.92, 103.79, 17.96), "2020-02-01", "2020-02-29")

REQUESTS = [
    *(Request(*ZAGREB, resolution, mask=mask) for resolution in (0.0007, 0.0011, 0.004) for mask in (DEMO, ODC)),
    *(Request(*ANTWERP, resolution, mask=mask) for resolution in (0.00005, 0.0001, 0.00028) for mask in (DEMO, ODC)),
    *(Request(*INN, resolution) for resolution in (0.00011, 0.0002, 0.0011)),
    *(Request(*LAOS, resolution, ("red", "swir16")) for resolution in (0.00011, 0.0002, 0.0011)),
]
CHUNKS = (33, 96, 400)
READERS: tuple[Reader, ...] = ("auto", "gdal")


def named(request: Request) -> str:
    mask = "none" if request.mask is None else "odc" if request.mask == ODC else "demo"
    return f"{request.scenes}-{request.resolution}-{mask}"


@lru_cache(maxsize=1)
def expected(archive: Path, request: Request, nudge: float = 0.0) -> OracleCube:
    items, collection = read_catalogue(archive)
    return oracle_cube(
        items,
        collection,
        bbox=request.bbox,
        start=request.start,
        end=request.end,
        resolution=request.resolution,
        bands=request.bands,
        cloud_mask="none" if request.mask is None else "scl",
        mask=request.mask or DEMO,
        nudge=nudge,
    )


def assert_equal(archive: Path, store: Path, request: Request, chunk: int, reader: Reader) -> None:
    options: dict[str, Any] = {} if request.mask is None else asdict(request.mask)
    if request.mask is not None:
        options["allowed_values"] = list(options.pop("allowed"))
    cube = CubeConfig(
        stac_url=str(archive),
        collection="sentinel-2-l2a",
        bbox=request.bbox,
        start_date=request.start,
        end_date=request.end,
        resolution=request.resolution,
        bands=request.bands,
        chunk_size=chunk,
        cloud_mask="none" if request.mask is None else "scl",
        cloud_mask_options=options,
    )
    summary = ardcube.build(cube, store, threads=2, reader=reader)
    group = zarr.open_group(str(store), mode="r")
    assert_equals_oracle(group[cube.varname][...], group["observation_count"][...], partial(expected, archive, request))
    assert summary.written


@pytest.mark.parametrize("number", range(len(REQUESTS)), ids=[named(request) for request in REQUESTS])
def test_real_scenes_equal_the_oracle(shared_real: Path, tmp_path: Path, number: int) -> None:
    request, chunk, reader = REQUESTS[number], CHUNKS[number % len(CHUNKS)], READERS[number % len(READERS)]
    assert_equal(shared_real / "scenes" / request.scenes, tmp_path / "cube", request, chunk, reader)


@pytest.mark.deep
@pytest.mark.parametrize("request_", REQUESTS, ids=named)
def test_real_scenes_equal_the_oracle_in_all_chunks(shared_real: Path, tmp_path: Path, request_: Request) -> None:
    archive = shared_real / "scenes" / request_.scenes
    for chunk in CHUNKS:
        for reader in READERS:
            assert_equal(archive, tmp_path / f"{reader}-{chunk}", request_, chunk, reader)
