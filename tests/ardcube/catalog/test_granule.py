"""The granule of an item, as the catalogues of Sentinel-2, Landsat and HLS state it."""

from __future__ import annotations

from typing import Any

import pytest

from ardcube.catalog.granule import granule_of

WRS = {"landsat:wrs_path": "191", "landsat:wrs_row": "029"}


@pytest.mark.parametrize(
    ("name", "properties", "expected"),
    [
        ("a", {"grid:code": "MGRS-33TTL"}, "MGRS-33TTL"),
        ("a", {"grid:code": "MGRS-05QKB"}, "MGRS-5QKB"),
        ("a", {"s2:mgrs_tile": "T05QKB"}, "MGRS-5QKB"),
        ("a", {"mgrs:utm_zone": 5, "mgrs:latitude_band": "Q", "mgrs:grid_square": "KB"}, "MGRS-5QKB"),
        ("a", {"s2:product_uri": "S2A_MSIL2A_20230601T100031_N0509_R122_T33TTL_20230601T162301.SAFE"}, "MGRS-33TTL"),
        ("a", WRS, "WRS2-191029"),
        ("a", {"landsat:wrs_path": 191, "landsat:wrs_row": 29}, "WRS2-191029"),
        ("a", {**WRS, "landsat:wrs_type": "1"}, "WRS1-191029"),
        ("a", {"grid:code": "WRS2-191029"}, "WRS2-191029"),
        ("LC08_L2SP_191029_20230601_20230607_02_T1", {}, "WRS2-191029"),
        ("HLS.S30.T33TTL.2023152T100031.v2.0", {}, "MGRS-33TTL"),
        ("HLS.L30.T05QKB.2023152T100031.v2.0", {}, "MGRS-5QKB"),
        ("a", {}, ""),
        ("a", {"landsat:wrs_path": "x", "landsat:wrs_row": None}, ""),
    ],
)
def test_granules(name: str, properties: dict[str, Any], expected: str) -> None:
    assert granule_of({"id": name, "properties": properties}) == expected
