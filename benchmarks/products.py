"""Products of sensors that the benchmark archive imitates: their encoding, asset keys and metadata (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scenery import OFFSET

MASK = "mask"
"""Name of the classification among the bands of a product."""
_SCL_CLASSES = 12
_SHADOW, _CLOUDS = 3, (7, 8, 9, 10)
"""Classes of the scenery that are not clear."""


@dataclass(frozen=True, slots=True)
class Product:
    """Files and items of a sensor."""

    name: str
    collection: str
    platform: str
    assets: Mapping[str, str]
    """Asset key by common name; that of the classification by `MASK`."""
    files: Mapping[str, str]
    """Name of the file without suffix, by asset key."""
    pixel: int
    """Side of a pixel of reflectance, in metres."""
    mask_pixel: int
    """Side of a pixel of the classification, in metres."""
    dtype: str
    nodata: int
    scale: float
    offset: float
    """Reflectance is the number * scale + offset."""
    mask_dtype: str
    mask_nodata: int
    classes: tuple[int, ...]
    """Number of each class of the scenery, which are those of Sentinel-2's scene classification."""
    cloud_mask: str
    """Name of the cloud mask of ardcube."""
    bad_bits: int = 0
    """Bits of the classification that are set where a pixel is not clear, for the baseline; 0 if it has classes."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Common names of the reflectance bands."""
        return tuple(name for name in self.assets if name != MASK)

    def numbers(self, values: NDArray[np.uint16]) -> NDArray[Any]:
        """Return digital numbers of the scenery, 0 outside of the swath, in the encoding of the product."""
        if self.name == "sentinel-2":
            return values
        reflectance = (values.astype(np.float32) - OFFSET) / 10_000
        numbers = np.rint((reflectance - np.float32(self.offset)) / np.float32(self.scale))
        return np.where(values == 0, self.nodata, numbers).astype(self.dtype)

    def categories(self, classes: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the classification of the scenery, at twice the pixel size of reflectance, as the product has it."""
        coded = np.array(self.classes, self.mask_dtype)[classes]
        repeats = 2 * self.pixel // self.mask_pixel
        return coded.repeat(repeats, axis=0).repeat(repeats, axis=1)

    def item_id(self, tile: str, day: date) -> str:
        """Return the id of an item."""
        if self.name == "hls":
            return f"HLS.S30.T{tile}.{day:%Y%j}T100539.v2.0"
        if self.name == "landsat":
            return f"LC08_L2SP_191{int(tile[:2]):03d}_{day:%Y%m%d}_02_T1"
        return f"S2A_T{tile}_{day:%Y%m%d}T100539_L2A"

    def properties(self, tile: str, day: date) -> dict[str, Any]:
        """Return the properties of an item that only this product has."""
        if self.name == "hls":
            return {}
        if self.name == "landsat":
            return {
                "landsat:correction": "L2SP",
                "landsat:scene_id": f"LC8191{int(tile[:2]):03d}{day:%Y%j}LGN00",
                "landsat:collection_number": "02",
            }
        return {
            "grid:code": f"MGRS-{tile}",
            "s2:processing_baseline": "05.09",
            "s2:datatake_id": f"GS2A_{day:%Y%m%d}T100539_041000_N05.09",
        }

    def asset(self, key: str) -> dict[str, Any]:
        """Return the description of an asset, without its file."""
        cog = "image/tiff; application=geotiff; profile=cloud-optimized"
        if key == self.assets[MASK]:
            raster = {"nodata": self.mask_nodata, "data_type": self.mask_dtype, "spatial_resolution": self.mask_pixel}
            return {"type": cog, "roles": ["data"], "raster:bands": [raster]}
        raster = {
            "nodata": self.nodata, "data_type": self.dtype, "spatial_resolution": self.pixel, "scale": self.scale,
            "offset": self.offset,
        }  # fmt: skip
        (common,) = (name for name, other in self.assets.items() if other == key)
        named = [{"name": self.files[key], "common_name": common}]
        return {"type": cog, "roles": ["data", "reflectance"], "eo:bands": named, "raster:bands": [raster]}


def _coded(nodata: int, clear: int, shadow: int, cloud: int) -> tuple[int, ...]:
    """Return the number of each class of the scenery."""
    kinds = {0: nodata, _SHADOW: shadow, **dict.fromkeys(_CLOUDS, cloud)}
    return tuple(kinds.get(number, clear) for number in range(_SCL_CLASSES))


SENTINEL_2 = Product(
    name="sentinel-2", collection="sentinel-2-c1-l2a", platform="sentinel-2a",
    assets={"red": "red", "green": "green", "blue": "blue", "nir": "nir", MASK: "scl"},
    files={"red": "B04", "green": "B03", "blue": "B02", "nir": "B08", "scl": "SCL"},
    pixel=10, mask_pixel=20, dtype="uint16", nodata=0, scale=0.0001, offset=-0.1,
    mask_dtype="uint8", mask_nodata=0, classes=tuple(range(_SCL_CLASSES)), cloud_mask="scl",
)  # fmt: skip
HLS = Product(
    name="hls", collection="hls2-s30", platform="sentinel-2a",
    assets={"red": "B04", "green": "B03", "blue": "B02", "nir08": "B8A", MASK: "Fmask"},
    files={key: key for key in ("B04", "B03", "B02", "B8A", "Fmask")},
    pixel=30, mask_pixel=30, dtype="int16", nodata=-9999, scale=0.0001, offset=0.0,
    mask_dtype="uint8", mask_nodata=255, classes=_coded(255, 64, 64 | 8, 64 | 2), cloud_mask="fmask",
    bad_bits=0b1110,
)  # fmt: skip
LANDSAT = Product(
    name="landsat", collection="landsat-c2-l2", platform="landsat-8",
    assets={"red": "red", "green": "green", "blue": "blue", "nir08": "nir08", MASK: "qa_pixel"},
    files={"red": "SR_B4", "green": "SR_B3", "blue": "SR_B2", "nir08": "SR_B5", "qa_pixel": "QA_PIXEL"},
    pixel=30, mask_pixel=30, dtype="uint16", nodata=0, scale=2.75e-5, offset=-0.2,
    mask_dtype="uint16", mask_nodata=1, classes=_coded(1, 21824, 23888, 22280), cloud_mask="qa_pixel",
    bad_bits=0b11110,
)  # fmt: skip
