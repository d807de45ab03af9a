"""Expected encoding, acquisition and processing of each recorded item, from the documentation of its catalogue.

Every value is written from the product guides, the notes next to the recorded items and their names, not from a result
of this package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

S2_SCALE = 0.0001
"""Sentinel-2 products: QUANTIFICATION_VALUE 10000."""
S2_OFFSET = -0.1
"""Sentinel-2 products from baseline 04.00 on: BOA_ADD_OFFSET -1000."""
LANDSAT = {"scale": 2.75e-5, "offset": -0.2, "nodata": 0}
"""Landsat Collection 2 Level-2 product guide, surface reflectance."""
HLS = {"scale": 0.0001, "offset": 0.0, "nodata": -9999}
"""HLS user guide 2.0."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Facts about an item."""

    file: str
    """Path in the folder of real data."""
    definition: str | None
    """Name of the definition that recognizes it, or None."""
    red: str = ""
    """Asset key of the red band."""
    nir: str = ""
    """Asset key of the near infrared band."""
    scale: float = 0.0
    offset: float = 0.0
    nodata: int = 0
    acquisition: str = ""
    version: tuple[int, ...] = ()
    generated: str = ""
    """Beginning of the time of the processing."""
    sensor: str = "Sentinel-2 MSI"


def _sensed(product: str) -> str:
    """Return the acquisition of a Sentinel-2 product, from its name: platform, sensing time, tile."""
    platform, sensed, tile = re.fullmatch(
        r"S2(.)_MSIL2A_(\d{8}T\d{6})_(?:N\d{4}_)?R\d{3}_T(\w{5})_\d{8}T\d{6}", product
    ).groups()  # type: ignore[union-attr]
    return f"sentinel-2{platform.lower()} {sensed} {tile.lstrip('0')}"


def _planetary_computer(product: str, baseline: str, generated: str, end: str = "") -> Expected:
    return Expected(
        f"sensors/stac-items/pc-sentinel-2-l2a/items/{product}{end}.json",
        "planetary-computer-sentinel-2-l2a", "B04", "B08",
        S2_SCALE, S2_OFFSET if baseline >= "04.00" else 0.0, 0,
        _sensed(product), tuple(map(int, baseline.split("."))), generated,
    )  # fmt: skip


def _cdse(product: str) -> Expected:
    """Return the facts about a product of CDSE, whose name has the baseline and the time of the processing."""
    baseline, generated = re.search(r"_N(\d{4})_.*_(\d{8}T\d{6})$", product).groups()  # type: ignore[union-attr]
    return Expected(
        f"sensors/stac-items/cdse-sentinel-2-l2a/items/{product}.json",
        "cdse-sentinel-2-l2a", "B04_10m", "B08_10m",
        S2_SCALE, S2_OFFSET, 0,
        _sensed(product), (int(baseline[:2]), int(baseline[2:])),
        f"{generated[:4]}-{generated[4:6]}-{generated[6:11]}:{generated[11:13]}:{generated[13:]}",
    )  # fmt: skip


def _landsat(folder: str, item: str, scene: str, generated: str = "", definition: str = "landsat-c2-l2") -> Expected:
    """Return the facts about a Landsat item. The identifier of the scene has sensor, path, row and day."""
    red, nir = "red", "nir08"
    if "by-file" in definition:
        end = ".TIF" if folder.startswith("usgs") else ""
        red, nir = f"SR_B4{end}", f"SR_B5{end}"
    sensor = {"4": "TM", "5": "TM", "7": "ETM+", "8": "OLI", "9": "OLI"}[scene[2]]
    return Expected(
        f"sensors/stac-items/{folder}/{item}.json", definition, red, nir, **LANDSAT,
        acquisition=scene[:16], version=(2,), generated=generated, sensor=f"Landsat {sensor}",
    )  # fmt: skip


def _hls(file: str, acquisition: str) -> Expected:
    is_landsat = acquisition.startswith("L30")
    return Expected(
        f"sensors/stac-items/{file}", "hls-l30" if is_landsat else "hls-s30", "B04", "B05" if is_landsat else "B08",
        **HLS, acquisition=acquisition, version=(2, 0), sensor="Landsat OLI" if is_landsat else "Sentinel-2 MSI",
    )  # fmt: skip


_C1 = {
    "definition": "sentinel-2-c1-l2a", "red": "red", "nir": "nir", "scale": S2_SCALE, "offset": S2_OFFSET,
    # The datatake began at 07:16:19; the item's own time, 07:41:33, is that of the tile.
    "acquisition": "sentinel-2b 20240710T071619 37MGP", "version": (5, 10), "generated": "2024-07-10T10:37:47",
}  # fmt: skip
_PC, _PC8, _USGS = "pc-landsat-c2-l2/items", "pc-landsat-8-c2-l2-retired/items", "usgs-landsat-c2l2-sr/items"
_ES = "es-landsat-c2-l2/items"
_MADE_BY = "pc-landsat-c2-l2/stactools-generated/items"
_BY_FILE = "landsat-oli-c2-l2-by-file"
ITEMS = (
    _planetary_computer("S2A_MSIL2A_20150704T101006_R022_T35XQA_20210411T133707", "02.12", "2021-04-11T13:37:07"),
    _planetary_computer("S2A_MSIL2A_20190101T000001_R116_T60VUJ_20201007T214652", "02.12", "2020-10-07T21:46:52"),
    _planetary_computer("S2A_MSIL2A_20190101T000001_R116_T60VUK_20201007T214652", "02.12", "2020-10-07T21:46:52"),
    _planetary_computer("S2A_MSIL2A_20200601T080611_R078_T35MNM_20201027T072253", "02.12", "2020-10-27T07:22:53"),
    _planetary_computer("S2A_MSIL2A_20240823T174901_R141_T13TDE_20240824T013055", "05.11", "2024-08-24T01:30:55"),
    _planetary_computer("S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531", "02.12", "2020-10-06T08:05:31"),
    _planetary_computer(
        "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531", "02.12", "2020-10-06T08:05:31", ".raster_ext"
    ),
    _planetary_computer("S2B_MSIL2A_20200606T080609_R078_T35MNM_20200826T094900", "02.12", "2020-08-26T09:49:00"),
    _planetary_computer("S2B_MSIL2A_20200616T080609_R078_T35MNM_20201027T073925", "02.12", "2020-10-27T07:39:25"),
    _planetary_computer("S2B_MSIL2A_20200626T080609_R078_T35MNM_20200824T052748", "02.12", "2020-08-24T05:27:48"),
    _planetary_computer("S2B_MSIL2A_20200706T080609_R078_T35MNM_20201027T081700", "02.12", "2020-10-27T08:17:00"),
    _planetary_computer("S2B_MSIL2A_20200716T080609_R078_T35MNM_20200816T092511", "02.12", "2020-08-16T09:25:11"),
    _planetary_computer("S2B_MSIL2A_20200726T080609_R078_T35MNM_20200908T180357", "02.12", "2020-09-08T18:03:57"),
    _planetary_computer("S2B_MSIL2A_20220612T182919_R027_T24XWR_20220613T123251", "04.00", "2022-06-13T12:32:51"),
    _planetary_computer("S2B_MSIL2A_20240419T095549_R122_T47XMJ_20240419T122756", "05.10", "2024-04-19T12:27:56"),
    _planetary_computer("S2B_MSIL2A_20240419T095549_R122_T47XML_20240419T123458", "05.10", "2024-04-19T12:34:58"),
    _planetary_computer("S2B_MSIL2A_20240825T173909_R098_T13TDE_20240825T215747", "05.11", "2024-08-25T21:57:47"),
    _cdse("S2A_MSIL2A_20200703T103031_N0500_R108_T32TMT_20230613T212700"),
    _cdse("S2A_MSIL2A_20200703T103031_N0500_R108_T32TNT_20230613T212700"),
    _cdse("S2A_MSIL2A_20241107T113311_N0511_R080_T32VKR_20241107T123948"),
    _cdse("S2B_MSIL2A_20200705T101559_N0500_R065_T32TMT_20230530T175912"),
    _cdse("S2B_MSIL2A_20200705T101559_N0500_R065_T32TNT_20230530T175912"),
    _cdse("S2B_MSIL2A_20240110T100309_N0510_R122_T33UVR_20240110T113053"),
    # The offset was added to the pixels, as Element 84 did with all COGs of baseline 04.00 and newer.
    Expected(
        "sensors/stac-items/deafrica-s2_l2a/items/S2B_35QKG_20230603_0_L2A.source-of-s2_l2a.json",
        "deafrica-sentinel-2-l2a", "B04", "B08", S2_SCALE, 0.0, 0, "sentinel-2b 20230603T084559 35QKG", (5, 9),
    ),
    Expected("sensors/stac-items/deafrica-s2_l2a/items/S2B_T37MGP_20240710T073012_L2A_C1.json", **_C1),
    Expected("sensors/stac-items/deafrica-s2_l2a/items/S2B_T37MGP_20240710T073012_L2A_C1_rel_links.json", **_C1),
    _landsat(_ES, "LC08_L2SP_033032_20231008_02_T1", "LC80330322023281LGN00", "2023-10-17T16:22:27"),
    _landsat(_ES, "LC09_L2SR_145060_20230307_02_T1", "LC91450602023066LGN00", "2023-03-07T06:21:53"),
    _landsat(_PC, "LC08_L2SP_202033_20220327_02_T1", "LC82020332022086LGN00"),
    _landsat(_PC, "LC09_L2SP_084069_20250722_02_T2", "LC90840692025203LGN00"),
    _landsat(_PC, "LC09_L2SP_089088_20240417_02_T2", "LC90890882024108LGN00"),
    _landsat(_PC, "LC09_L2SP_089090_20240417_02_T1", "LC90890902024108LGN00"),
    _landsat(_PC, "LC09_L2SR_084074_20250722_02_T1", "LC90840742025203LGN00"),
    _landsat(_PC, "LC09_L2SR_084082_20250722_02_T1", "LC90840822025203LGN00"),
    _landsat(_MADE_BY, "LC08_L2SP_047027_20201204_02_T1", "LC80470272020339LGN00"),
    _landsat(_MADE_BY, "LE07_L2SP_021030_20100109_02_T1", "LE70210302010009EDC00"),
    _landsat(_MADE_BY, "LT05_L2SP_010067_19860424_02_T2", "LT50100671986114XXX02"),
    _landsat(_PC8, "LC08_L2SP_045034_20220315_02_T2", "LC80450342022074LGN00", definition=_BY_FILE),
    _landsat(_PC8, "LC08_L2SP_197023_20220324_02_T1", "LC81970232022083LGN00", definition=_BY_FILE),
    _landsat(_PC8, "LC08_L2SR_066091_20220318_02_T1", "LC80660912022077LGN00", definition=_BY_FILE),
    _landsat(_PC8, "LC08_L2SR_067091_20220309_02_T1", "LC80670912022068LGN00", definition=_BY_FILE),
    _landsat(_USGS, "LC08_L2SP_028030_20200114_20200824_02_T1_SR", "LC80280302020014LGN00", "2020-08-24"),
    _landsat(_USGS, "LC08_L2SR_081119_20200101_20200823_02_T2", "LC80811192020001LGN00", "2020-08-23", _BY_FILE),
    _landsat(_USGS, "LC08_L2SR_084024_20160111_20201016_02_T1", "LC80840242016011LGN01", "2020-10-16", _BY_FILE),
    _landsat(_USGS, "LC09_L2SP_092068_20230607_20230609_02_T1_SR", "LC90920682023158LGN00", "2023-06-09"),
    _landsat(_USGS, "LE07_L2SP_044033_20210329_20210424_02_T1_SR", "LE70440332021088EDC00", "2021-04-24"),
    _landsat(_USGS, "LT05_L2SP_010067_19860424_20200918_02_T2_SR", "LT50100671986114XXX02", "2020-09-18"),
    _landsat(_USGS, "LT05_L2SR_087017_20090621_20200827_02_T2_SR", "LT50870172009172MGR01", "2020-08-27"),
    _hls("lpcloud-hls-v2/items/HLS.L30.T13TGF.2021133T172406.v2.0.json", "L30.T13TGF.2021133T172406"),
    _hls("lpcloud-hls-v2/items/HLS.S30.T15MXV.2015333T161622.v2.0.json", "S30.T15MXV.2015333T161622"),
    _hls("pc-hls2/made/HLS.S30.T15MXV.2015333T161622.v2.0.MADE.json", "S30.T15MXV.2015333T161622"),
    # Thermal bands alone; keys without a meaning (data1, data2); keys of another program, which states no offset.
    Expected(
        "sensors/stac-items/usgs-landsat-c2l2-sr/st-twin/items/LT05_L2SP_010067_19860424_20200918_02_T2_ST.json", None
    ),
    Expected("sensors/stac-items/lpcloud-hls-v2/items/G2147556158-LPCLOUD.json", None),
    Expected(
        "sensors/stac-items/lpcloud-hls-v2/stactools-hls-generated/items/HLS.L30.T19LDD.2022165T144027.v2.0.json", None
    ),
)  # fmt: skip
"""Items of all catalogues but Earth Search's Sentinel-2."""


def address_of(asset: dict[str, Any]) -> str:
    """Return the address of an asset that can be read without a login in a browser."""
    in_browser = asset["href"].startswith(("https://landsatlook.usgs.gov/", "https://zipper.dataspace.copernicus.eu/"))
    address: str = asset["alternate"]["s3"]["href"] if in_browser and "alternate" in asset else asset["href"]
    return address
