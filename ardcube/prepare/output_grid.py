"""Make the grid of a cube from its area, CRS and resolution, or take that of a raster or of another cube."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ardcube.config import DEFAULT_RESOLUTION, UTM, CubeConfig
from ardcube.errors import InputError
from ardcube.extent.area import Area
from ardcube.extent.grid import Grid
from ardcube.extent.lattice import METRES_PER_DEGREE, Lattice, canonical_crs, crs_name, crs_of
from ardcube.extent.reproject import from_degrees

_COARSEST_DEGREES = 5.0
"""Largest pixel in degrees; a larger number is meant in metres."""
_FINEST_METRES = 0.1
"""Smallest pixel in metres; a smaller number is meant in degrees."""


def output_grid(cube: CubeConfig, area: Area, finest: Callable[[], float]) -> Grid:
    """Return the grid that covers an area, by the rules of `odc.stac.output_geobox`.

    Parameters
    ----------
    cube : CubeConfig
        CRS, resolution and alignment.
    area : Area
        In degrees.
    finest : callable
        Returns the pixel size of the finest requested band in metres; called if a resolution in metres is not given.

    Raises
    ------
    InputError
        If the CRS is unknown, the resolution is in another unit, or the area cannot be expressed in the CRS.
    """
    crs = _utm(area) if cube.crs == UTM else parsed_crs(cube.crs)
    unit = Lattice(crs, 0.0, 0.0, 1.0, -1.0)
    resolution = cube.resolution
    if resolution is None:
        resolution = DEFAULT_RESOLUTION if unit.is_geographic else finest() / unit.metres_per_unit
    _check_unit(resolution, unit)
    west, south, east, north = from_degrees(area.geometry, crs).bounds
    return Grid.from_bounds((west, south, east, north), resolution, crs, cube.align)


def parsed_crs(text: str) -> str:
    """Return the code of a CRS, or WKT if it has none.

    Raises
    ------
    InputError
        If the CRS is unknown, or has no two axes in degrees or in a unit of length.
    """
    from pyproj.exceptions import CRSError

    try:
        crs = crs_of(text)
    except CRSError:
        raise InputError(
            f"crs {text!r:.100}: unknown; give an EPSG code such as EPSG:32633, WKT, or utm for the zone of the area"
        ) from None
    if not (crs.is_projected or crs.is_geographic) or len(crs.axis_info) != 2:
        raise InputError(f"crs {text!r:.100}: has no plane of two axes; give a projected or a geographic CRS")
    return canonical_crs(text)


def grid_like(path: str) -> Grid:
    """Return the grid of a raster file or a Zarr cube.

    Raises
    ------
    InputError
        If the file cannot be read, has no CRS, or is not north up.
    """
    try:
        crs, transform, (height, width) = _zarr_grid(path) if Path(path).is_dir() else _raster_grid(path)
    except InputError:
        raise
    except Exception as error:  # a library may raise anything for a file that is none of its kind
        reason = " ".join(str(error).split())
        raise InputError(f"like {path}: cannot be read ({reason:.300}); give a raster file or a Zarr cube") from error
    a, b, c, d, e, f = transform
    if b or d or a <= 0 or e >= 0:
        raise InputError(f"like {path}: is not north up; warp it to a grid whose rows run east and columns south")
    lattice = Lattice.through(parsed_crs(crs), c, f, a, e)
    return Grid(lattice, round((f - lattice.y0) / e), round((c - lattice.x0) / a), height, width)


def _raster_grid(path: str) -> tuple[str, tuple[float, ...], tuple[int, int]]:
    import rasterio  # slow to import
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the refusal is the one line about it
        opened = rasterio.open(path)
    with opened as raster:
        if raster.crs is None:
            raise InputError(f"like {path}: has no CRS; assign one with `gdal_edit.py -a_srs EPSG:CODE FILE`")
        return raster.crs.to_wkt(), tuple(raster.transform)[:6], (raster.height, raster.width)


def _zarr_grid(path: str) -> tuple[str, tuple[float, ...], tuple[int, int]]:
    import odc.geo.xr  # noqa: F401  adds `.odc`
    import xarray as xr

    with xr.open_zarr(path, chunks=None) as root:
        # A pyramid of the convention `multiscales` has its pixels in a group, the finest ones first.
        levels = dict(root.attrs.get("multiscales") or {}).get("layout")
    group = f"{path}/{levels[0]['asset']}" if levels else path
    with xr.open_zarr(group, chunks=None, decode_coords="all") as cube:
        geobox = cube.odc.geobox
        if geobox is None or geobox.crs is None:
            raise InputError(f"like {path}: has no CRS; give a store with a CF grid mapping")
        shape = int(geobox.shape.y), int(geobox.shape.x)
        mapping: dict[str, Any] = next(
            (cube[name].attrs for name in cube.coords if "GeoTransform" in cube[name].attrs), {}
        )
        # The exact numbers of the store; a geobox has those of its rounded coordinates.
        stated = [float(number) for number in str(mapping.get("GeoTransform", "")).split()]
        transform = (
            (*stated[1:3], stated[0], *stated[4:6], stated[3]) if len(stated) == 6 else tuple(geobox.transform)[:6]
        )
        return str(mapping.get("crs_wkt") or geobox.crs), transform, shape


def _utm(area: Area) -> str:
    """Return the code of the UTM zone of an area's centre."""
    west, south, east, north = area.bounds
    longitude, latitude = ((west + east) / 2 + 180.0) % 360.0 - 180.0, (south + north) / 2
    if not -80.0 <= latitude <= 84.0:
        raise InputError(
            f"crs utm: ends at 80 degrees south and 84 degrees north, and the centre of the area is at {latitude:g}; "
            "choose a polar CRS such as EPSG:3413 or EPSG:3031"
        )
    zone = int((longitude + 180.0) // 6.0) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def _check_unit(resolution: float, unit: Lattice) -> None:
    """Raise InputError for a resolution that is probably meant in the other unit."""
    name = crs_name(unit.crs)
    if unit.is_geographic and resolution > _COARSEST_DEGREES:
        raise InputError(
            f"resolution {resolution:g}: is in degrees with {name}; for pixels of {resolution:g} m give "
            f"{resolution / METRES_PER_DEGREE:.2g}, or --crs utm"
        )
    metres = resolution * unit.metres_per_unit
    if not unit.is_geographic and metres < _FINEST_METRES:
        raise InputError(
            f"resolution {resolution:g}: is in {unit.unit} with {name}; for pixels of {resolution:g} degrees give "
            f"{resolution * METRES_PER_DEGREE / unit.metres_per_unit:.3g}, or leave out --crs"
        )
