"""Small items in the form of each catalogue, made for tests, with the facts about each."""

from __future__ import annotations

from typing import Any

from tests.ardcube.collections.expected import HLS, LANDSAT, S2_OFFSET, S2_SCALE, Expected

L2A = {"s2:product_type": "S2MSI2A", "platform": "Sentinel-2B"}
S2 = L2A | {"datetime": "2024-08-25T17:39:09Z"}
ACQUISITION = "sentinel-2b 20240825T173909 13TDE"
_LANDSAT_SCENE = {
    "datetime": "2023-06-07T23:55:41Z", "platform": "LANDSAT_9", "landsat:correction": "L2SP",
    "landsat:scene_id": "LC90920682023158LGN00", "landsat:collection_number": "02",
}  # fmt: skip


def item(name: str, assets: dict[str, Any] | str, **properties: Any) -> dict[str, Any]:
    """Return an item; `assets` may be asset keys, separated by spaces."""
    if isinstance(assets, str):
        assets = {key: {} for key in assets.split()}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [], "properties": properties,
        "bbox": [0, 50, 1, 51],
        "geometry": {"type": "Polygon", "coordinates": [[[0, 50], [1, 50], [1, 51], [0, 51], [0, 50]]]},
        "assets": {key: {"href": f"https://127.0.0.1:1/{key}.tif", **asset} for key, asset in assets.items()},
    }  # fmt: skip


def stating(keys: str, scale: float, offset: float) -> dict[str, Any]:
    """Return assets that state an encoding by the raster extension, version 1."""
    return {key: {"raster:bands": [{"scale": scale, "offset": offset}]} for key in keys.split()} | {"scl": {}}


def _sentinel_2(
    definition: str, red: str, nir: str, offset: float, version: tuple[int, ...], generated: str
) -> Expected:
    return Expected("", definition, red, nir, S2_SCALE, offset, 0, ACQUISITION, version, generated)


_NEW = {"s2:processing_baseline": "05.11", "s2:generation_time": "2024-08-25T21:57:47Z"}
_TILE = {"s2:datatake_id": "GS2B_20240825T173909_039020_N05.11", "s2:mgrs_tile": "13TDE", "grid:code": "MGRS-13TDE"}
_APPLIED = "earthsearch:boa_offset_applied"
_GENERATED = "2024-08-25T21:57:47"
MADE: dict[str, tuple[dict[str, Any], Expected]] = {
    "planetary computer sentinel-2, 04.00 and newer": (
        item("pc-new", "B04 B08 SCL", **S2, **_NEW, **_TILE),
        _sentinel_2("planetary-computer-sentinel-2-l2a", "B04", "B08", S2_OFFSET, (5, 11), _GENERATED),
    ),
    "planetary computer sentinel-2, 04.00": (
        item("pc-400", "B04 B08 SCL", **S2, **_TILE, **{"s2:processing_baseline": "04.00"}),
        _sentinel_2("planetary-computer-sentinel-2-l2a", "B04", "B08", S2_OFFSET, (4, 0), ""),
    ),
    "planetary computer sentinel-2, older": (
        item("pc-old", "B04 B08 SCL", **S2, **_TILE, **{"s2:processing_baseline": "02.12"}),
        _sentinel_2("planetary-computer-sentinel-2-l2a", "B04", "B08", 0.0, (2, 12), ""),
    ),
    "earth search sentinel-2, shifted": (
        item("es", stating("red nir", 0.0001, -0.1), **S2, **_NEW, **_TILE, **{_APPLIED: True}),
        _sentinel_2("earth-search-sentinel-2-l2a", "red", "nir", 0.0, (5, 11), _GENERATED),
    ),
    "earth search sentinel-2, not shifted": (
        item("es", stating("red nir", 0.0001, -0.1), **S2, **_NEW, **_TILE, **{_APPLIED: False}),
        _sentinel_2("earth-search-sentinel-2-l2a", "red", "nir", S2_OFFSET, (5, 11), _GENERATED),
    ),
    "earth search sentinel-2 collection 1": (
        item("c1", "red nir scl cloud", **S2, **_NEW, **_TILE),
        _sentinel_2("sentinel-2-c1-l2a", "red", "nir", S2_OFFSET, (5, 11), _GENERATED),
    ),
    "cdse sentinel-2": (
        item(
            "cdse", "B04_20m B04_10m B08_10m SCL_60m SCL_20m", platform="sentinel-2b", datetime="2024-08-25T17:39:09Z",
            **{"eopf:datatake_id": _TILE["s2:datatake_id"], "grid:code": "MGRS-13TDE", "processing:version": "05.11"},
        ),
        _sentinel_2("cdse-sentinel-2-l2a", "B04_10m", "B08_10m", S2_OFFSET, (5, 11), ""),
    ),
    "cdse sentinel-2, older": (
        item(
            "cdse", "B04_10m B08_10m", platform="sentinel-2b", datetime="2024-08-25T17:39:09Z",
            **{"eopf:datatake_id": _TILE["s2:datatake_id"], "grid:code": "MGRS-13TDE", "processing:version": "02.14"},
        ),
        _sentinel_2("cdse-sentinel-2-l2a", "B04_10m", "B08_10m", 0.0, (2, 14), ""),
    ),
    "de africa s2_l2a, shifted": (
        item(
            "dea", "B04 B08 SCL", platform="sentinel-2b", datetime="2024-08-25T17:39:09Z",
            **{
                "sentinel:product_id": "S2B_MSIL2A_20240825T173909_N0511_R098_T13TDE_20240825T215747",
                "sentinel:processing_baseline": "05.11", "sentinel:boa_offset_applied": True,
            },
        ),
        _sentinel_2("deafrica-sentinel-2-l2a", "B04", "B08", 0.0, (5, 11), ""),
    ),
    "usgs landsat": (
        item("LC09_L2SP_092068_20230607_20230609_02_T1_SR", "coastal red nir08 qa_pixel", **_LANDSAT_SCENE),
        Expected(
            "", "landsat-c2-l2", "red", "nir08", **LANDSAT,
            acquisition="LC90920682023158", version=(2,), generated="2023-06-09", sensor="Landsat OLI",
        ),
    ),
    "landsat 5 by file names": (
        item("LT05_L2SP_090084_19980308_20200909_02_T1", "SR_B3 SR_B4 SR_B5 SR_B7 QA_PIXEL", **{
            "platform": "landsat-5", "landsat:scene_id": "LT50900841998067ASA00", "landsat:collection_number": "02",
        }),
        Expected(
            "", "landsat-tm-c2-l2-by-file", "SR_B3", "SR_B4", **LANDSAT,
            acquisition="LT50900841998067", version=(2,), generated="2020-09-09", sensor="Landsat TM",
        ),
    ),
    "landsat 8 by file names": (
        item("LC08_L2SP_090084_20200308_20200909_02_T1", "SR_B4.TIF SR_B5.TIF SR_B6.TIF SR_B7.TIF", **{
            "landsat:scene_id": "LC80900842020067ASA00", "landsat:collection_number": "02",
        }),
        Expected(
            "", "landsat-oli-c2-l2-by-file", "SR_B4.TIF", "SR_B5.TIF", **LANDSAT,
            acquisition="LC80900842020067", version=(2,), generated="2020-09-09", sensor="Landsat OLI",
        ),
    ),
    "lp cloud hls l30": (
        item("HLS.L30.T13TGF.2021133T172406.v2.0", "B04 B05 B10 B11 Fmask"),
        Expected(
            "", "hls-l30", "B04", "B05", **HLS,
            acquisition="L30.T13TGF.2021133T172406", version=(2, 0), sensor="Landsat OLI",
        ),
    ),
    "lp cloud hls s30": (
        item("HLS.S30.T15MXV.2015333T161622.v2.0", "B04 B05 B08 B8A B10 B11 B12 Fmask"),
        Expected("", "hls-s30", "B04", "B08", **HLS, acquisition="S30.T15MXV.2015333T161622", version=(2, 0)),
    ),
    "reflectance at the sensor": (
        item("l1c", "red nir", **S2 | {"s2:product_type": "S2MSI1C"}, **_NEW, **_TILE), Expected("", None)
    ),
    "one band without properties": (item("local", "red scl"), Expected("", None)),
}  # fmt: skip
