"""Generate items in the form of Earth Search; equal options give equal items."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np

from ardcube.catalog.malformed import Item
from ardcube.catalog.stac_api import PAGE_SIZE

BANDS = ("red", "green", "blue", "nir", "scl")
_FOLDER = "https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/sentinel-2-c1-l2a"


@dataclass(slots=True)
class MadeUp:
    """A catalogue of generated items, which measures the time of their generation."""

    items: int
    bounds: tuple[float, float, float, float]
    periods: int
    searches: int = 0
    wall: float = 0.0
    cpu: float = 0.0

    @property
    def collection(self) -> Item:
        """The collection, with the offset of reflectance."""
        return made_up_collection()

    def search(self, _bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterator[Item]:
        """Yield the items of a period, generated page by page."""
        period, self.searches = self.searches, self.searches + 1
        share = len(range(period, self.items, self.periods))
        made = made_up_items(share, self.bounds, start, end, seed=period)
        while True:
            wall, cpu = time.perf_counter(), time.process_time()
            page = list(islice(made, PAGE_SIZE))
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu
            if not page:
                return
            yield from page


def made_up_collection() -> Item:
    """Return the collection and its assets, with the offset of reflectance."""
    assets: dict[str, Any] = {band: {"raster:bands": [_raster(band)]} for band in BANDS}
    return {"type": "Collection", "id": "sentinel-2-c1-l2a", "item_assets": assets, "links": []}


def made_up_items(
    count: int, bounds: tuple[float, float, float, float], start: datetime, end: datetime, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield items in the form of Earth Search, with given bounds and times."""
    random = np.random.default_rng(seed)
    west, south, east, north = bounds
    lon, lat = random.uniform(west, east, count), random.uniform(south, north, count)
    seconds = random.integers(0, int((end - start).total_seconds()), count)
    cuts = random.uniform(0.05, 1.0, count)
    for number in range(count):
        moment = start + timedelta(seconds=int(seconds[number]))
        yield made_up_item(seed, number, moment, float(lon[number]), float(lat[number]), float(cuts[number]))


def made_up_item(seed: int, number: int, moment: datetime, lon: float, lat: float, cut: float) -> dict[str, Any]:
    """Return one item with its south-western corner, and the share of its sides that a swath edge leaves."""
    square = f"{number % 60 + 1:02d}T{chr(65 + number % 20)}{chr(65 + number // 20 % 20)}"
    name = f"S2A_T{square}_{moment:%Y%m%dT%H%M%S}_L2A_{seed}_{number}"
    height = 0.99
    width = min(2.0, height / math.cos(math.radians(lat)))
    ring = [
        [lon, lat],
        [lon + width, lat + 0.01],
        [lon + width + 0.01, lat + height * cut],
        [lon + width * cut, lat + height],
        [lon - 0.01, lat + height - 0.01],
        [lon, lat],
    ]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "sentinel-2-c1-l2a",
        "bbox": [lon - 0.01, lat, lon + width + 0.01, lat + height],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "links": [{"rel": rel, "href": f"https://127.0.0.1:1/{rel}/{name}"} for rel in ("self", "parent", "root")],
        "assets": {band: _asset(name, band) for band in BANDS},
        "properties": {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%S}.123000Z",
            "created": f"{moment:%Y-%m-%dT%H:%M:%S}.456Z",
            "updated": f"{moment:%Y-%m-%dT%H:%M:%S}.789Z",
            "platform": "sentinel-2a",
            "grid:code": f"MGRS-{square}",
            "proj:code": f"EPSG:{326 if lat >= 0 else 327}{int((lon + 180) % 360 // 6) + 1:02}",
            "eo:cloud_cover": 37.5,
            "s2:datatake_id": f"GS2A_{moment:%Y%m%dT%H%M%S}_0{number:05d}_N05.10",
            "s2:processing_baseline": "05.10",
            "s2:product_uri": f"S2A_MSIL2A_{moment:%Y%m%dT%H%M%S}_N0510_R022_T{square}_{moment:%Y%m%dT%H%M%S}.SAFE",
            "s2:generation_time": f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z",
        },
    }


def _asset(name: str, band: str) -> dict[str, Any]:
    pixel, side = (20, 5490) if band == "scl" else (10, 10980)
    return {
        "href": f"{_FOLDER}/{name}/{band}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "proj:shape": [side, side],
        "proj:transform": [pixel, 0, 300000, 0, -pixel, 5100000],
        "raster:bands": [_raster(band)],
        "file:size": 200_000_000,
        "file:checksum": f"1220{_hash_of(name + band)}",
    }


def _raster(band: str) -> dict[str, Any]:
    if band == "scl":
        return {"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}
    return {"nodata": 0, "data_type": "uint16", "spatial_resolution": 10, "scale": 0.0001, "offset": -0.1}


def _hash_of(text: str) -> str:
    """Return 32 hexadecimal digits in place of a checksum."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
