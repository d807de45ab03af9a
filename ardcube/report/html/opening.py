"""Code that opens a cube in Python, GDAL, QGIS and on a web map (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from ardcube.config.store import SECRET_OPTION
from ardcube.extent.grid import Grid
from ardcube.ledger.stored_cube import StoredCube
from ardcube.redaction import without_secrets
from ardcube.report.html.pictures import Pictures
from ardcube.storage.place import Place

_VSI = {"s3": "/vsis3/", "gs": "/vsigs/", "gcs": "/vsigs/", "http": "/vsicurl/http://", "https": "/vsicurl/https://"}
"""Names of GDAL's virtual filesystems by protocol."""

_MAP_SIDE = 2048
"""Longest side of the picture on a web map, in pixels."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A way to open the cube."""

    title: str
    text: str
    """Explanation in one or two sentences."""
    code: str


def openings(place: Place, options: Mapping[str, Any], cube: StoredCube, pictures: Pictures | None) -> list[Opening]:
    """Return the ways to open a cube, with its address and names.

    Parameters
    ----------
    place, options : Place, mapping
        Location of the store, and options of its filesystem; secret ones are left out.
    cube : StoredCube
        The cube.
    pictures : Pictures or None
        Pictures of the page, whose variable and bands the code shows too.
    """
    address = without_secrets(place.path if place.is_local else place.uri)
    public = _public(options)
    given = f", storage_options={public!r}" if public and not place.is_local else ""
    variable = cube.config.varname if pictures is None else pictures.variable
    bands = list(cube.config.bands[:1] if pictures is None else pictures.bands)
    last = cube.periods[-1 if pictures is None else max(pictures.of)]
    array, group = variable, ""
    if cube.config.layout != "flat":
        array, group = f"0/{bands[0] if len(cube.config.composites) == 1 else f'{variable}_{bands[0]}'}", ', group="0"'
    layer = f'ZARR:"{_gdal_address(address)}":/{array}'
    newer = "3.13" if cube.config.shard > 1 else "3.12"
    shown = Opening(
        "Web map",
        f"Draws {last.label} on a map of OpenStreetMap, and writes it as a page. Needs folium, which "
        "ardcube[notebook] installs.",
        _web_map(address, given, f"cube[{variable!r}].sel(time={str(last.start)!r}){_thinned(cube.grid)}", bands),
    )
    lazy = "Reflectance as an xarray.Dataset; nothing is read before it is used."
    opened = f"import ardcube\n\ncube = ardcube.open({address!r}{given})"
    if cube.storage_backend == "icechunk":
        exported = f"ardcube export {quote(address)} --output exported"
        return [
            Opening("Python", f"{lazy} The newest published version; at='v1' opens an earlier one.", opened),
            Opening("QGIS and GDAL", "They do not read Icechunk. This command writes GeoTIFFs.", exported),
            shown,
        ]
    return [
        Opening(
            "Python",
            f"{lazy} Without ardcube, xarray opens the store too.",
            f"{opened}\n\n# without ardcube\nimport xarray\n\ncube = xarray.open_zarr({address!r}{group}{given})",
        ),
        Opening(
            "QGIS and GDAL",
            f"With GDAL {newer} or newer, add the first line as a raster layer in QGIS. The second line writes the "
            f"first band of {cube.periods[0].label} as GeoTIFF, for all other programs.",
            f"{layer}\n\ngdal_translate -b 1 -unscale -ot Float32 {quote(layer)} {variable}.tif",
        ),
        shown,
    ]


def _web_map(address: str, given: str, period: str, bands: list[str]) -> str:
    shown = tuple(bands if len(bands) == 3 else bands[:1] * 3)
    return f"""import ardcube, folium
import odc.geo.xr

cube = ardcube.open({address!r}{given})
picture = {period}.to_dataset("band").odc.to_rgba({shown}, vmin=0, vmax=0.3)
world = folium.Map()
picture.odc.add_to(world, max_size={_MAP_SIDE})
world.fit_bounds(picture.odc.map_bounds())
world.save("map.html")"""


def _thinned(grid: Grid) -> str:
    """Return the code that takes every n-th pixel of a large cube, because a whole period may exceed the memory."""
    step = -(-max(grid.height, grid.width) // _MAP_SIDE)
    if step == 1:
        return ""
    return f".isel({', '.join(f'{axis}=slice(None, None, {step})' for axis in grid.axes)})"


def _gdal_address(address: str) -> str:
    """Return an address in the form of GDAL's virtual filesystems."""
    scheme, separator, path = address.partition("://")
    return f"{_VSI[scheme]}{path}" if separator and scheme in _VSI else address


def _public(value: Any) -> Any:
    """Return options without those that are secret, at any depth."""
    if isinstance(value, Mapping):
        return {name: _public(inner) for name, inner in value.items() if not SECRET_OPTION.search(name)}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    return without_secrets(value) if isinstance(value, str) else value
