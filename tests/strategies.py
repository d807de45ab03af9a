"""Hypothesis strategies, and STAC documents for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import shapely
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import Scene
from ardcube.config.encoding import CubeEncoding
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.extent.window import Window
from ardcube.pixels.masks import DefaultCloudMaskHook
from ardcube.planning.plan import CubeSpec

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Settings for properties whose examples take milliseconds."""
MANY = settings(max_examples=80, deadline=None)
"""Settings for properties of plain values."""

JANUARY = Period(0, date(2023, 1, 1), date(2023, 2, 1))
RESOLUTIONS = (1 / 3600, 0.0011, 0.00025, 0.00009, 0.05)
"""Degrees: an arc second, 120 m, 28 m, native pixels, a coarse globe."""
RANDOM = st.integers(0, 2**32 - 1).map(np.random.default_rng)
EDGE_NUMBERS = (0, 0, 0, 1, 2, 3, 1000, 32767, 32768, 65534, 65535)
"""Digital numbers that expose integer overflow and ignored nodata values."""


def months(first: int = 1950, last: int = 2100) -> st.SearchStrategy[date]:
    """Generate days of any month."""
    return st.dates(date(first, 1, 1), date(last, 12, 31))


@st.composite
def grids(draw: st.DrawFn, most: int = 700) -> Grid:
    """Generate grids of at most `most` pixels per side anywhere on Earth, including across the antimeridian."""
    resolution = draw(st.sampled_from(RESOLUTIONS) | st.floats(1e-5, 0.2))
    width, height = (draw(st.integers(1, most)) * resolution for _ in range(2))
    west = draw(st.floats(-180, 179.9))
    south = draw(st.floats(-85, 85 - height)) if height < 170 else -85.0
    return Grid.from_bounds((west, south, west + width, south + height), resolution)


def grid_at(lon: float, lat: float, resolution: float, pixels: int = 90) -> Grid:
    """Return a square grid with its south-west corner at a position."""
    side = pixels * resolution
    return Grid.from_bounds((lon, lat, lon + side, lat + side), resolution)


@st.composite
def windows(draw: st.DrawFn, grid: Grid, beyond: int = 30) -> Window:
    """Generate windows in a grid, or beyond its edges."""
    y0, x0 = draw(st.integers(-beyond, grid.height)), draw(st.integers(-beyond, grid.width))
    return Window(
        y0,
        draw(st.integers(y0 + 1, grid.height + beyond + 1)),
        x0,
        draw(st.integers(x0 + 1, grid.width + beyond + 1)),
    )


def digital_numbers(
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]], dtype: type = np.uint16
) -> st.SearchStrategy[NDArray[Any]]:
    """Generate arrays with many zeros and extreme values."""
    most = int(np.iinfo(dtype).max)
    edges = st.sampled_from([min(number, most) for number in EDGE_NUMBERS])
    return hnp.arrays(dtype, shape, elements=edges | st.integers(0, most), fill=st.nothing())


def masks(most: int = 30) -> st.SearchStrategy[NDArray[np.bool_]]:
    """Generate masks (y, x) or (day, y, x), from sparse to dense."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=most)
    return st.builds(
        lambda shape, seed, share: np.random.default_rng(seed).random(shape) < share,
        shapes,
        st.integers(0, 2**32 - 1),
        st.sampled_from([0.0, 0.01, 0.05, 0.3, 0.7, 0.95, 0.99, 1.0]),
    )


# ---- STAC documents ------------------------------------------------------------------------------

BANDS = ("red", "green", "blue", "nir")
COLLECTION_ID = "sentinel-2-c1-l2a"


def raster_band(offset: float | None = -0.1, nodata: float | None = 0) -> list[dict[str, Any]]:
    """Return the `raster:bands` of a reflectance asset."""
    described = {"data_type": "uint16", "scale": 0.0001, "offset": offset, "nodata": nodata}
    return [{name: value for name, value in described.items() if value is not None}]


def stac_collection(offset: float | None = -0.1, **more: Any) -> dict[str, Any]:
    """Return a collection with reflectance bands and a scene classification."""
    assets: dict[str, Any] = {
        band: {"type": "image/tiff", "eo:bands": [{"name": band}], "raster:bands": raster_band(offset)}
        for band in BANDS
    }
    assets["scl"] = {"type": "image/tiff", "raster:bands": [{"data_type": "uint8", "nodata": 0}]}
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION_ID,
        "description": "made for a test",
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2015-01-01T00:00:00Z", None]]},
        },
        "links": [],
        "item_assets": assets,
        **more,
    }


def stac_item(
    name: str = "S2A_T33TWM_20230815T100601_L2A",
    when: str = "2023-08-15T10:06:01Z",
    box: tuple[float, float, float, float] = (15.0, 46.0, 15.2, 46.1),
    *,
    geometry: Mapping[str, Any] | None = None,
    assets: Mapping[str, Any] | None = None,
    offset: float | None = -0.1,
    **properties: Any,
) -> dict[str, Any]:
    """Return an item of `COLLECTION_ID`; its files do not exist."""
    if assets is None:
        assets = {
            band: {"href": f"https://127.0.0.1:1/{name}/{band}.tif", "raster:bands": raster_band(offset)}
            for band in BANDS
        } | {"scl": {"href": f"https://127.0.0.1:1/{name}/scl.tif", "raster:bands": [{"nodata": 0}]}}
    outline = shapely.box(*box)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": COLLECTION_ID,
        "bbox": list(box),
        "geometry": dict(geometry or shapely.geometry.mapping(outline)),
        "links": [],
        "properties": {"datetime": when, **properties},
        "assets": dict(assets),
    }


def scene(name: str = "a", when: str = "2023-08-15T10:06:01Z", *args: Any, **more: Any) -> Scene:
    """Return a scene with one band, for a cube at 15 degrees east."""
    return parse_scene(stac_item(name, when, *args, **more), None, ("red",))


# ---- cubes ---------------------------------------------------------------------------------------


def cube_spec(grid: Grid, store_uri: str = "cube.zarr", **more: Any) -> CubeSpec:
    """Return the CubeSpec of a cube with one period and without a cloud mask."""
    values: dict[str, Any] = {
        "fingerprint": "f",
        "periods": 1,
        "bands": ("red",),
        "varname": "median",
        "resampling": "bilinear",
        "encoding": CubeEncoding(),
        "mask": DefaultCloudMaskHook(),
        "ledger_uri": f"{store_uri}.ardcube",
        "storage_options": {},
        "asset_access": "unsigned",
    }
    return CubeSpec(grid=grid, store_uri=store_uri, **values | more)
