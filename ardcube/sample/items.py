"""Describe the sample archive as STAC: a collection and its items, in the structure of Earth Search (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer
from shapely.geometry import Polygon, box, mapping, shape

from ardcube.sample.scenes import COLLECTION, Flaw, Granule, Scene

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_SCHEMAS = "https://stac-extensions.github.io"
_FAR = 1.0
"""Degrees by which a swath extends beyond the area on its open side."""


@dataclass(frozen=True, slots=True)
class Band:
    """A band of every scene, and its file."""

    key: str
    """Asset key, and common name of a reflectance band."""
    name: str
    """Name of the band at Sentinel-2, and of the file."""
    title: str
    pixel: int
    """Pixel size, in m."""
    data_type: str
    wavelength: tuple[float, float] | None = None
    """Centre and width, in micrometres; None for a classification."""


BANDS = (
    Band("red", "B04", "Red - 10m", 10, "uint16", (0.665, 0.038)),
    Band("green", "B03", "Green - 10m", 10, "uint16", (0.56, 0.045)),
    Band("blue", "B02", "Blue - 10m", 10, "uint16", (0.49, 0.098)),
    Band("nir", "B08", "NIR 1 - 10m", 10, "uint16", (0.842, 0.145)),
    Band("scl", "SCL", "Scene classification map (SCL)", 20, "uint8"),
)


def footprint(scene: Scene) -> Polygon:
    """Return the outline of a scene's valid pixels, in longitude and latitude."""
    grid = scene.granule
    outline = box(grid.left, grid.top - 10 * grid.height, grid.left + 10 * grid.width, grid.top)
    # Straight sides in the raster's CRS are curved in degrees.
    outline = outline.segmentize(2_000)
    to_degrees = Transformer.from_crs(grid.epsg, 4326, always_xy=True)
    start, slant = scene.edge
    south, north = 46.0, 48.0
    far = -_FAR if scene.orbit == 22 else _FAR
    ends = [(start + slant * lat, lat) for lat in (south, north)]
    swath = Polygon([*ends, (ends[1][0] + far, north), (ends[0][0] + far, south)])
    in_degrees = shapely.transform(outline, lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    valid = in_degrees.intersection(swath)
    if not isinstance(valid, Polygon):
        raise TypeError(f"the footprint of {scene.id} is not one polygon")
    return valid


def item(scene: Scene, *, sizes: Mapping[str, int], classes: Mapping[int, float]) -> dict[str, Any]:
    """Describe a scene as a STAC item whose hrefs are relative to its folder.

    Parameters
    ----------
    scene : Scene
        Scene to describe.
    sizes : mapping of str to int
        Size of each asset's file in bytes, by asset key.
    classes : mapping of int to float
        Fraction of the granule in each scene class, 0 to 1; class 0 is nodata.
    """
    grid = scene.granule
    geometry = _rounded(mapping(footprint(scene)))
    covered = 1 - classes.get(0, 0.0)

    def percent(*codes: int) -> float:
        return round(100 * sum(classes.get(code, 0.0) for code in codes) / covered, 6)

    satellite, take = f"S2{scene.satellite}", f"{scene.take:%Y%m%dT%H%M%S}"
    processed, compact = f"{scene.generated:%Y%m%dT%H%M%S}", scene.baseline.replace(".", "")
    published = _time(scene.generated + timedelta(hours=2, minutes=34))
    properties = {
        "created": published,
        "platform": f"sentinel-2{scene.satellite.lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": percent(8, 9, 10),
        **_projection(grid, 10),
        "mgrs:utm_zone": int(grid.tile[:2]),
        "mgrs:latitude_band": grid.tile[2],
        "mgrs:grid_square": grid.tile[3:],
        "grid:code": f"MGRS-{grid.tile}",
        "s2:nodata_pixel_percentage": round(100 * (1 - covered), 6),
        "s2:dark_features_percentage": percent(2),
        "s2:cloud_shadow_percentage": percent(3),
        "s2:vegetation_percentage": percent(4),
        "s2:not_vegetated_percentage": percent(5),
        "s2:water_percentage": percent(6),
        "s2:unclassified_percentage": percent(7),
        "s2:medium_proba_clouds_percentage": percent(8),
        "s2:high_proba_clouds_percentage": percent(9),
        "s2:thin_cirrus_percentage": percent(10),
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": scene.baseline,
        "s2:product_uri": (f"{satellite}_MSIL2A_{take}_N{compact}_R{scene.orbit:03d}_T{grid.tile}_{processed}.SAFE"),
        "s2:generation_time": _time(scene.generated),
        "s2:datatake_id": f"G{satellite}_{take}_{scene.absolute_orbit:06d}_N{scene.baseline}",
        "s2:datatake_type": "INS-NOBS",
        "datetime": _time(scene.sensed),
        "updated": published,
    }
    if scene.flaw is Flaw.OFFSET_APPLIED:
        properties["earthsearch:boa_offset_applied"] = True
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            f"{_SCHEMAS}/eo/v1.1.0/schema.json",
            f"{_SCHEMAS}/file/v2.1.0/schema.json",
            f"{_SCHEMAS}/grid/v1.1.0/schema.json",
            f"{_SCHEMAS}/mgrs/v1.0.0/schema.json",
            f"{_SCHEMAS}/projection/v1.1.0/schema.json",
            f"{_SCHEMAS}/raster/v1.1.0/schema.json",
        ],
        "id": scene.id,
        "collection": COLLECTION,
        "geometry": geometry,
        "bbox": [round(value, 6) for value in shape(geometry).bounds],
        "properties": properties,
        "links": [
            {"rel": relation, "href": "../collection.json", "type": "application/json"}
            for relation in ("collection", "parent", "root")
        ],
        "assets": {
            band.key: {
                "href": f"./{band.name}.tif",
                **_asset(band, scene.declared_offset),
                **_projection(grid, band.pixel),
                "file:size": sizes[band.key],
            }
            for band in BANDS
        },
    }


def collection(items: Sequence[Mapping[str, Any]], *, marker: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the archive as a STAC collection that links to its items and carries `marker` as a field."""
    boxes = [entry["bbox"] for entry in items]
    times = sorted(entry["properties"]["datetime"] for entry in items)
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "stac_extensions": [
            f"{_SCHEMAS}/item-assets/v1.0.0/schema.json",
            f"{_SCHEMAS}/raster/v1.1.0/schema.json",
            f"{_SCHEMAS}/eo/v1.1.0/schema.json",
        ],
        "id": COLLECTION,
        "title": "Synthetic Sentinel-2 Level-2A",
        "description": (
            "A small archive in the form of Sentinel-2 Collection 1 Level-2A, for trying ardcube offline. "
            "Land, weather and pixels are invented; nothing here was measured."
        ),
        "license": "CC0-1.0",
        "extent": {
            "spatial": {
                "bbox": [[min(b[0] for b in boxes), min(b[1] for b in boxes),
                          max(b[2] for b in boxes), max(b[3] for b in boxes)]]
            },
            "temporal": {"interval": [[times[0], times[-1]]]},
        },
        "item_assets": {band.key: _asset(band, -0.1) for band in BANDS},
        "summaries": {
            "platform": ["sentinel-2a", "sentinel-2b"],
            "constellation": ["sentinel-2"],
            "instruments": ["msi"],
            "gsd": [10, 20],
        },
        "ardcube:sample": dict(marker),
        "links": [
            {"rel": "root", "href": "./collection.json", "type": "application/json"},
            *(
                {"rel": "item", "href": f"./{entry['id']}/{entry['id']}.json", "type": "application/geo+json"}
                for entry in items
            ),
        ],
    }  # fmt: skip


def _asset(band: Band, offset: float) -> dict[str, Any]:
    """Return the fields of an asset that the collection's `item_assets` and the items share."""
    raster: dict[str, Any] = {"nodata": 0, "data_type": band.data_type, "spatial_resolution": band.pixel}
    out: dict[str, Any] = {"type": _COG, "title": band.title, "gsd": band.pixel, "roles": ["data"]}
    if band.wavelength is not None:
        raster |= {"scale": 0.0001, "offset": offset}
        out["roles"] = ["data", "reflectance"]
        out["eo:bands"] = [
            {
                "name": band.name,
                "common_name": band.key,
                "center_wavelength": band.wavelength[0],
                "full_width_half_max": band.wavelength[1],
            }
        ]
    return out | {"raster:bands": [raster]}


def _projection(grid: Granule, pixel: int) -> dict[str, Any]:
    """Return the projection fields, with both notations of the CRS: proj:epsg of 2023, and proj:code."""
    return {
        "proj:code": f"EPSG:{grid.epsg}",
        "proj:epsg": grid.epsg,
        "proj:shape": list(grid.shape(pixel)),
        "proj:transform": list(grid.transform(pixel)),
    }


def _rounded(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Round a polygon to six decimals, about 10 cm."""
    rings = [[[round(x, 6), round(y, 6)] for x, y in ring] for ring in geometry["coordinates"]]
    return {"type": geometry["type"], "coordinates": rings}


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"
