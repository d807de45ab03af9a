"""Define a cube without scenes, whose build costs only orchestration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

PERIODS = 10
CHUNK = 16
"""Pixels on a side of a chunk: the minimum of a cube."""
RESOLUTION = 0.001


def write_catalogue(folder: Path, bands: Sequence[str] = ("red",)) -> Path:
    """Write a catalogue whose only item is outside of the cube."""
    folder.mkdir(parents=True, exist_ok=True)
    collection = "sentinel-2-c1-l2a"
    asset = {
        "href": "https://127.0.0.1/B04.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "proj:shape": [10980, 10980],
        "proj:transform": [10, 0, 300000, 0, -10, 4900020],
        "raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}],
        "roles": ["data"],
    }
    assets = {band: asset | {"eo:bands": [{"name": band, "common_name": band}]} for band in bands}
    ring = [[-71.0, -41.0], [-70.0, -41.0], [-70.0, -40.0], [-71.0, -40.0], [-71.0, -41.0]]
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "elsewhere",
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [-71.0, -41.0, -70.0, -40.0],
        "properties": {"datetime": "2023-01-10T00:00:00Z", "platform": "sentinel-2a", "proj:epsg": 32719},
        "assets": assets,
        "links": [],
    }
    described = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": collection,
        "description": "Nothing here.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        "item_assets": {
            band: {key: asset[key] for key in ("type", "raster:bands", "eo:bands", "roles")}
            for band, asset in assets.items()
        },
    }
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    (folder / "collection.json").write_text(json.dumps(described))
    return folder


def options(catalogue: Path, store: Path, chunks: int, scheduler: str) -> list[str]:
    """Return the arguments of `ardcube build` for a cube of `chunks` chunks.

    The cube has ten periods if these divide `chunks`, else one.
    """
    periods = PERIODS if chunks % PERIODS == 0 else 1
    tiles = chunks // periods
    rows = next(rows for rows in range(int(tiles**0.5), 0, -1) if tiles % rows == 0)
    side = CHUNK * RESOLUTION
    inset = RESOLUTION / 2  # edges are snapped outward
    bbox = (10 + inset, 40 + inset, 10 + tiles // rows * side - inset, 40 + rows * side - inset)
    return [
        *("--start-date", "2023-01-01", "--end-date", f"2023-{periods:02d}-01", "--bbox", *map(str, bbox)),
        *("--resolution", str(RESOLUTION), "--chunk-size", str(CHUNK), "--bands", "red"),
        *("--stac-url", str(catalogue), "--fsspec-uri", str(store), "--yes"),
        *("--serverless-backend", "dask", "--scheduler-address", scheduler),
    ]
