"""The scenes behind one chunk, loaded by odc-stac onto the chunk's pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from ardcube.api.existing import ExistingCube, Uri, find_cube
from ardcube.catalog.scene import Scene
from ardcube.chunk.solar_days import solar_days
from ardcube.errors import InputError
from ardcube.extent.window import Window
from ardcube.ledger.last_plan import read_planned
from ardcube.ledger.stored_cube import check_pixel_rules
from ardcube.planning.jobs import ChunkKey
from ardcube.raster.conversion import BIAS, dtype_as_read

if TYPE_CHECKING:
    import pystac
    import xarray as xr

_KEY = re.compile(r"(?P<period>\d{4}-\d{2}(-\d{2})?)_y(?P<row>\d{1,9})_x(?P<col>\d{1,9})", re.ASCII)
_EXTENSIONS = ["https://stac-extensions.github.io/raster/v1.1.0/schema.json"]
_TYPE = "image/tiff; application=geotiff"


def observations(uri: Uri, chunk: ChunkKey | str, *, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Load the scenes of one chunk lazily, as the last build planned them; no catalogue is searched.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
    chunk : ChunkKey or str
        Key of the chunk, such as ``2023-06_y0000_x0003``: an index value of `ardcube.status`.
    storage_options : mapping, optional
        Options of the store's filesystem.

    Returns
    -------
    xarray.Dataset
        One variable per band, (time, latitude, longitude), in Dask chunks of one scene. Reflectance is float32, NaN
        where the scene has no data and outside of its footprint. Bands that the cloud mask reads are digital
        numbers, 0 without data. In bits and probabilities 0 is a number too, such as clear land in Fmask: a pixel of 0
        may have no data, above all where reflectance is NaN and at the edge of a swath, where the cube has no clear
        observation. Pixels are those that the cube was made of, before masks. The coordinates `scene`, `solar_day` and
        `sensor` belong to each time. Scenes of one solar day and one sensor are one observation.

    Raises
    ------
    InputError
        If there is no cube at the URI, it was built with other pixel rules, or the chunk is not part of it.
    StoreError
        If the recorded scenes are missing or damaged.
    """
    found = find_cube(uri, storage_options)
    check_pixel_rules(found.place, found.cube.identity)
    key = _parsed(chunk)
    window, scenes = _scenes_of(found, key, storage_options)
    if not scenes:
        raise InputError(f"chunk {key}: no scene covers it; choose another chunk")
    return _load(found, window, scenes)


def _load(found: ExistingCube, window: Window, scenes: Sequence[Scene]) -> xr.Dataset:
    import xarray as xr

    from ardcube.pixels.footprint import PixelCentres

    grid, config = found.cube.grid, found.cube.config
    numbers = _numbers(found, window, scenes)
    numbers = numbers.assign_coords(
        scene=("time", [scene.id for scene in scenes]),
        solar_day=("time", np.array([scene.solar_day() for scene in scenes], "datetime64[ns]")),
        sensor=("time", [scene.sensor for scene in scenes]),
    )
    centres = PixelCentres.of(grid, window)
    inside = xr.DataArray(
        np.stack([centres.within(scene.reach()) for scene in scenes]), dims=("time", *grid.axes)
    ).chunk({"time": 1})
    numbers = numbers.where(inside, 0)
    for band in config.bands:
        assets = [scene.bands[band] for scene in scenes]
        bias, scales, offsets = (
            xr.DataArray(np.array(values, np.float32), dims="time")
            for values in (
                [BIAS.get(asset.dtype, 0) for asset in assets],
                [asset.scale for asset in assets],
                [asset.offset for asset in assets],
            )
        )
        valid = numbers[band] != 0
        reflectance = (numbers[band].astype(np.float32) - bias) * scales + offsets
        numbers[band] = reflectance.where(valid).assign_attrs(units="1", long_name=f"reflectance, {band}")
    return numbers


def _numbers(found: ExistingCube, window: Window, scenes: Sequence[Scene]) -> xr.Dataset:
    """Return digital numbers of all bands, 0 where a scene has no data or lacks a band that another mask reads."""
    import odc.stac
    import xarray as xr

    from ardcube.odc_driver import ExactDriver

    grid, config = found.cube.grid, found.cube.config
    alike: dict[tuple[str, ...], list[int]] = {}  # odc-stac loads items that have the same bands
    for position, scene in enumerate(scenes):
        alike.setdefault(tuple(scene.bands), []).append(position)
    loaded = [
        odc.stac.load(
            [_item(scenes[position], config.bands) for position in positions],
            bands=list(bands),
            groupby="id",  # two processings of an acquisition have one time
            geobox=grid.geobox[window.slices],
            chunks={"time": 1},
            resampling={band: config.resampling if band in config.bands else "nearest" for band in bands},
            nodata=0,
            preserve_original_order=True,
            driver=ExactDriver(with_bias=True),
        )
        for bands, positions in alike.items()
    ]
    if len(loaded) == 1:
        return loaded[0]
    every = {band: numbers[band].dtype for numbers in loaded for band in numbers.data_vars}
    whole = [
        numbers.assign(
            {
                band: xr.zeros_like(numbers[config.bands[0]], dtype=dtype)
                for band, dtype in every.items()
                if band not in numbers
            }
        )
        for numbers in loaded
    ]
    return xr.concat(whole, "time").isel(time=np.argsort(list(chain(*alike.values())), kind="stable"))


def _parsed(chunk: ChunkKey | str) -> ChunkKey:
    if isinstance(chunk, ChunkKey):
        return chunk
    match = _KEY.fullmatch(chunk) if isinstance(chunk, str) else None
    if match is None:
        raise InputError(f"chunk {chunk!r:.60}: not a chunk's key; give one such as 2023-06_y0000_x0003")
    return ChunkKey(match["period"], int(match["row"]), int(match["col"]))


def _scenes_of(
    found: ExistingCube, key: ChunkKey, storage_options: Mapping[str, Any] | None
) -> tuple[Window, list[Scene]]:
    """Return the window of a chunk and the scenes that meet it, in the order in which observations are fused."""
    from ardcube.ledger.manifest import read_manifest

    grid, config = found.cube.grid, found.cube.config
    planned = read_planned(found.ledger, grid, config.tile_size)
    if planned is None or key.period not in planned.manifests:
        known = ", ".join(sorted(planned.manifests)) if planned is not None else "none"
        raise InputError(f"chunk {key}: no scenes are recorded for this period; the cube has {known:.500}")
    positions = np.flatnonzero((planned.tiles.rows == key.row) & (planned.tiles.cols == key.col))
    if not len(positions):
        raise InputError(f"chunk {key}: the cube has no such tile; see the index of ardcube.status")
    window = planned.tiles[int(positions[0])].window
    index = read_manifest(found.ledger.place.uri, planned.manifests[key.period], storage_options)
    usable = [scene for scene in index.query(grid.window_outline(window)) if not scene.problem]
    return window, [scene for day in solar_days(usable) for scene in day.scenes]


def _item(scene: Scene, reflectance: Sequence[str]) -> pystac.Item:
    """Return the STAC item of a scene: what odc-stac needs to load it; numbers of signed files with their bias."""
    import pystac

    reach = scene.reach()
    item = pystac.Item(scene.id, shapely.geometry.mapping(reach), list(reach.bounds), scene.datetime, {})
    item.stac_extensions = list(_EXTENSIONS)
    for band, asset in scene.bands.items():
        dtype = asset.dtype or ("uint16" if band in reflectance or asset.classes else "uint8")
        nodata = None if asset.nodata is None else asset.nodata + BIAS.get(dtype, 0)
        described = {"raster:bands": [{"data_type": dtype_as_read(dtype), "nodata": nodata}]}
        item.add_asset(band, pystac.Asset(asset.href, media_type=_TYPE, roles=["data"], extra_fields=described))
    return item
