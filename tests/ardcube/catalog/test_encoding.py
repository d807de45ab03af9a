"""Scale and offset of each item: from the item, its collection, a definition; unknown and implausible ones refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ardcube.catalog.cube_encoding import choose_encoding, source_encodings
from ardcube.catalog.encoding import states_encoding
from ardcube.catalog.items import parse_scene
from ardcube.collections.registry import load_definitions
from ardcube.config.encoding import CubeEncoding
from ardcube.errors import SceneError
from tests.oracle import items as oracle
from tests.strategies import BANDS, raster_band, stac_collection, stac_item

OTHER = "another-collection"
"""Collection that has no definition."""


def item_of(asset: dict[str, Any], collection: str = OTHER, **properties: Any) -> dict[str, Any]:
    return stac_item("some", assets={"red": {"href": "/a.tif", **asset}}, **properties) | {"collection": collection}


def collection_of(offset: float | None = -0.1, **changes: Any) -> dict[str, Any]:
    return stac_collection(offset) | {"id": OTHER} | changes


def offset_of(item: dict[str, Any], collection: dict[str, Any] | None, band: str = "red") -> float:
    asset = parse_scene(item, collection, (band,), definitions=load_definitions()).bands[band]
    assert asset.scale == 0.0001
    return asset.offset


def refusal(item: dict[str, Any], collection: dict[str, Any] | None = None) -> str:
    with pytest.raises(SceneError) as caught:
        parse_scene(item, collection, ("red",), definitions=load_definitions())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def recorded(folder: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Recorded items of a folder, each with its collection."""
    documents = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    (collection,) = [document for document in documents if document["type"] == "Collection"]
    items = [document for document in documents if document["type"] == "Feature"]
    items += [item for document in documents for item in document.get("features", [])]
    return [(item, collection) for item in items]


# ---- sources -------------------------------------------------------------------------------------


@pytest.mark.real
def test_every_recorded_item_of_collection_1_has_the_offset_in_its_pixels(shared_real: Path) -> None:
    items = recorded(shared_real / "stac_recorded" / "items_earth_search_c1")
    assert len(items) == 10
    for item, collection in items:
        for band in BANDS:
            assert offset_of(item, collection, band) == -0.1
        assert choose_encoding(source_encodings(collection, BANDS)) == CubeEncoding(offset=-0.1)


@pytest.mark.real
def test_recorded_items_whose_offset_was_applied_have_no_offset(shared_real: Path) -> None:
    """They declare `offset: -0.1` nevertheless, which would subtract it twice."""
    items = recorded(shared_real / "stac_recorded" / "items_earth_search_v1_l2a")
    seen = set()
    for item, collection in items:
        applied = item["properties"]["earthsearch:boa_offset_applied"]
        baseline = float(item["properties"]["s2:processing_baseline"])
        seen.add((applied, baseline >= 4))
        expected = -0.1 if baseline >= 4 and not applied else 0.0
        for band in BANDS:
            assert offset_of(item, collection, band) == expected, item["id"]
    # Old baselines without offset, new ones whose offset was applied, and one whose offset was not applied.
    assert seen == {(False, False), (True, True), (False, True)}


@pytest.mark.parametrize(
    ("asset", "collection", "expected"),
    [
        ({"raster:bands": raster_band(-0.1)}, collection_of(0.0), -0.1),
        ({"raster:bands": raster_band(0)}, collection_of(-0.1), 0.0),
        ({"raster:bands": raster_band(None)}, collection_of(-0.1), -0.1),
        ({"raster:bands": [{"offset": -0.2}]}, collection_of(-0.1), -0.2),
        ({}, collection_of(-0.1), -0.1),
        ({"raster:offset": -0.2, "raster:scale": 0.0001}, collection_of(-0.1), -0.2),
        ({"bands": [{"name": "B04", "raster:offset": -0.3}]}, collection_of(-0.1), -0.3),
        ({"raster:bands": [{"nodata": 0}], "raster:offset": -0.3, "raster:scale": 0.0001}, None, -0.3),
        ({"raster:bands": raster_band(0)}, None, 0.0),
        ({"raster:bands": raster_band(0)}, {"type": "Collection", "id": OTHER, "item_assets": {"red": {}}}, 0.0),
        ({"raster:bands": raster_band(0)}, {"type": "Collection", "id": OTHER}, 0.0),
    ],
)
def test_the_encoding_of_an_item_takes_precedence_over_its_collection(
    asset: dict[str, Any], collection: dict[str, Any] | None, expected: float
) -> None:
    item = item_of(asset)
    assert offset_of(item, collection) == expected
    assert oracle.offset_of_item(item, collection, "red") == expected


def test_the_collection_is_asked_by_the_key_of_the_asset_then_by_the_name_of_the_band() -> None:
    described = {"eo:bands": [{"name": "B04", "common_name": "red"}]}
    item = stac_item(assets={"B04": {"href": "/a.tif", **described}}) | {"collection": OTHER}
    by_name = {"id": OTHER, "item_assets": {"other key": {**described, "raster:bands": raster_band(-0.2)}}}
    assert offset_of(item, by_name) == -0.2
    by_name["item_assets"]["B04"] = {"raster:bands": raster_band(-0.3)}
    assert offset_of(item, by_name) == -0.3


def test_a_definition_of_the_collection_is_the_last_source() -> None:
    collection_1 = {"s2:product_type": "S2MSI2A", "s2:processing_baseline": "05.10"}
    item = item_of({}, "sentinel-2-c1-l2a", **collection_1)
    for collection in (None, stac_collection(None), {"id": "sentinel-2-c1-l2a", "item_assets": {}}):
        assert offset_of(item, collection) == -0.1
    assert offset_of(item, stac_collection(0.0)) == 0.0
    # The id of a collection alone identifies no definition.
    assert "states no scale and offset" in refusal(item_of({}, "sentinel-2-c1-l2a"))


@pytest.mark.parametrize(
    "name", ["earthsearch:boa_offset_applied", "sentinel:boa_offset_applied", "boa_offset_applied"]
)
@pytest.mark.parametrize("true", [True, "true", "True"])
def test_an_offset_that_was_applied_is_0_under_each_name_of_the_property(name: str, true: Any) -> None:
    asset = {"raster:bands": raster_band(-0.1)}
    assert offset_of(item_of(asset, **{name: true}), collection_of(-0.1)) == 0.0
    assert offset_of(item_of(asset, **{name: False}), collection_of(-0.1)) == -0.1
    assert offset_of(item_of(asset, **{f"{name}_not": true}), collection_of(-0.1)) == -0.1


@pytest.mark.parametrize(
    "where", ["asset", "raster:bands", "bands", "item", "item_assets", "summary", "summary without a list"]
)
def test_an_offset_that_was_applied_is_0_wherever_the_flag_is(where: str) -> None:
    flag = {"earthsearch:boa_offset_applied": True}
    asset: dict[str, Any] = {"raster:bands": raster_band(-0.1)}
    collection = collection_of(-0.1)
    match where:
        case "asset":
            asset |= flag
        case "raster:bands":
            asset["raster:bands"][0] |= flag
        case "bands":
            asset["bands"] = [flag]
        case "item_assets":
            collection["item_assets"]["red"] |= flag
        case "summary":
            collection["summaries"] = {name: [value] for name, value in flag.items()}
        case "summary without a list":
            collection["summaries"] = flag
    assert offset_of(item_of(asset, **flag if where == "item" else {}), collection) == 0.0


def test_the_flag_of_the_asset_precedes_that_of_the_item_and_of_the_collection() -> None:
    flags = [{"earthsearch:boa_offset_applied": applied} for applied in (True, False)]
    collection = collection_of(-0.1, summaries={"sentinel:boa_offset_applied": [True, False]})
    for of_asset, of_item in (flags, flags[::-1]):
        asset = {"raster:bands": raster_band(-0.1)}
        expected = 0.0 if of_asset["earthsearch:boa_offset_applied"] else -0.1
        assert offset_of(item_of(asset | of_asset, **of_item), collection) == expected
        assert offset_of(item_of(asset, **of_asset), collection) == expected


def test_it_must_be_clear_whether_an_offset_was_applied() -> None:
    asset = {"raster:bands": raster_band(-0.1)}
    flags = {"earthsearch:boa_offset_applied": True, "sentinel:boa_offset_applied": False}
    for problem in (
        refusal(item_of(asset, **flags)),
        refusal(item_of(asset | flags)),
        refusal(item_of(asset, boa_offset_applied="partly")),
        refusal(item_of(asset), collection_of(-0.1, summaries={"earthsearch:boa_offset_applied": [True, False]})),
    ):
        assert "does not say whether the offset was applied" in problem
    collection = collection_of(-0.1, summaries={"earthsearch:boa_offset_applied": [True, False]})
    assert offset_of(item_of({"raster:bands": raster_band(0)}), collection) == 0.0


def test_a_categorical_band_has_no_encoding() -> None:
    asset = parse_scene(stac_item(), stac_collection(), (), ("scl",)).bands["scl"]
    assert (asset.scale, asset.offset) == (1.0, 0.0)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, "item some: band red states no scale and offset; add scale and offset to raster:bands"),
        ({"nodata": 0}, "states no scale and offset; add"),
        ({"scale": 0.0001}, "states no offset; add"),
        ({"offset": -0.1}, "states no scale; add"),
        ({"scale": None, "offset": None}, "states no scale and offset; add"),
        ({"scale": 0.0001, "offset": -1000}, "has the offset -1000; .* BOA_ADD_OFFSET .*, so state -0.1$"),
        ({"scale": 0.0001, "offset": 1.5}, r"has the offset 1.5; an offset of reflectance is within -1\.\.1$"),
        ({"scale": 0.0001, "offset": math.nan}, "has the offset nan"),
        ({"scale": 0, "offset": 0}, "has the scale 0; a scale is above 0"),
        ({"scale": -0.0001, "offset": 0}, "has the scale -0.0001; a scale is above 0"),
        ({"scale": math.inf, "offset": 0}, "has the scale inf"),
        ({"scale": 1, "offset": 0}, "has the scale 1; a scale of reflectance is below 0.1"),
        ({"scale": "0.0001", "offset": 0}, "does not follow the STAC specification .*the scale is not a number"),
        ({"scale": 0.0001, "offset": True}, "does not follow the STAC specification .*the offset is not a number"),
    ],
)
@pytest.mark.parametrize("old", [True, False], ids=["STAC 1.0", "STAC 1.1"])
def test_an_unknown_or_implausible_encoding_is_refused(stated: dict[str, Any], expected: str, *, old: bool) -> None:
    asset = {"raster:bands": [stated]} if old else {f"raster:{name}": value for name, value in stated.items()}
    with pytest.raises(SceneError, match=expected):
        parse_scene(item_of(asset), None, ("red",))
    with pytest.raises(SceneError, match=expected):
        parse_scene(item_of(asset), {"id": OTHER, "item_assets": {"red": {}}}, ("red",))


@pytest.mark.parametrize("dtype", ["int32", "float32", "int8", "uint32", "float64", "cfloat32"])
@pytest.mark.parametrize("where", ["item", "collection", "STAC 1.1"])
def test_a_stated_data_type_that_cannot_be_read_is_refused(dtype: str, where: str) -> None:
    encoding = {"scale": 0.0001, "offset": 0.0}
    item, collection = item_of({"raster:bands": [encoding]}), None
    match where:
        case "item":
            item["assets"]["red"]["raster:bands"] = [encoding | {"data_type": dtype}]
        case "collection":
            collection = {"id": OTHER, "item_assets": {"red": {"raster:bands": [{"data_type": dtype}]}}}
        case _:
            item["assets"]["red"]["data_type"] = dtype
    assert f"band red is {dtype}; only uint8, uint16, int16 are supported" in refusal(item, collection)


@pytest.mark.parametrize("stated", ["other", "INT16", 16, ["int16"]])
def test_an_unknown_data_type_does_not_hide_that_of_the_definition(stated: Any) -> None:
    assets = {key: {"href": "/a.tif", "raster:bands": [{"data_type": stated}]} for key in ("Fmask", "B04", "B8A")}
    hls = stac_item("HLS.S30.T30UVB.2021159T112119.v2.0", assets=assets)
    red = parse_scene(hls, None, ("red",), definitions=load_definitions()).bands["red"]
    assert (red.nodata, red.dtype) == (-9999, "int16")


@pytest.mark.parametrize(
    ("dtype", "nodata", "expected"),
    [
        ("int16", -9999, -9999),
        ("int16", "-9999", -9999),
        ("int16", -9999.0, -9999),
        ("int16", -40_000, None),
        ("int16", 65_535, None),
        ("uint16", -9999, None),
        ("uint16", 65_535, 65_535),
        (None, -9999, None),
        ("int16", math.nan, None),
    ],
)
def test_a_negative_nodata_value_counts_if_the_data_type_holds_it(
    dtype: str | None, nodata: Any, expected: int | None
) -> None:
    stated = {"scale": 0.0001, "offset": 0.0, "nodata": nodata, "data_type": dtype}
    asset = parse_scene(item_of({"raster:bands": [stated]}), None, ("red",)).bands["red"]
    assert (asset.nodata, asset.dtype) == (expected, dtype or "")


def test_a_signed_data_type_may_be_stated_by_the_collection_or_the_definition() -> None:
    """An unsigned one is not compared with the file, as ever."""
    item = item_of({"raster:bands": [{"scale": 0.0001, "offset": 0.0}]})
    for dtype, expected in (("int16", "int16"), ("uint16", "")):
        collection = {"id": OTHER, "item_assets": {"red": {"raster:bands": [{"data_type": dtype}]}}}
        assert parse_scene(item, collection, ("red",)).bands["red"].dtype == expected
    assets = {key: {"href": "/a.tif"} for key in ("Fmask", "B04", "B8A")}
    hls = stac_item("HLS.S30.T30UVB.2021159T112119.v2.0", assets=assets)
    red = parse_scene(hls, None, ("red",), definitions=load_definitions()).bands["red"]
    assert (red.scale, red.offset, red.nodata, red.dtype) == (0.0001, 0.0, -9999, "int16")


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_categories_of_a_signed_type_are_refused(dtype: str) -> None:
    item = item_of({"raster:bands": [{"data_type": dtype}]})
    with pytest.raises(SceneError, match=f"band red is {dtype}; only uint8, uint16 are supported"):
        parse_scene(item, None, (), ("red",))


def test_other_scales_are_kept_as_they_are_stated() -> None:
    for stated, scale in ((2.75e-5, 2.75e-5), (2.750000021478627e-05, 2.75e-5), (1 / 65535, 1 / 65535)):
        item = item_of({"raster:bands": [{"scale": stated, "offset": -0.20000000298023224}]})
        asset = parse_scene(item, None, ("red",)).bands["red"]
        assert (asset.scale, asset.offset) == (scale, -0.2)


def test_a_data_type_that_says_nothing_is_left_to_the_file() -> None:
    for dtype in ("other", "unknown", None):
        asset = {"raster:bands": [{"scale": 0.0001, "offset": 0.0, "data_type": dtype}]}
        assert parse_scene(item_of(asset), None, ("red",)).bands["red"].dtype == ""


def test_an_offset_in_single_precision_is_the_decimal_number() -> None:
    asset = {"raster:bands": [{"scale": 9.999999747378752e-05, "offset": -0.10000000149011612}]}
    assert offset_of(item_of(asset), None) == -0.1


# ---- the cube ------------------------------------------------------------------------------------


def stating(**offsets: float | None) -> dict[str, Any]:
    return {
        "id": OTHER,
        "item_assets": {band: {"raster:bands": raster_band(offset)} for band, offset in offsets.items()},
    }


@pytest.mark.parametrize(
    ("name", "collection", "expected"),
    [
        (None, stating(red=-0.1, nir=-0.1), -0.1),
        (None, stating(red=0.0, nir=-0.2), -0.2),
        (None, stating(red=None, nir=-0.2), -0.2),
        (None, stating(red=-1000, nir=0.0), 0.0),
        (None, stating(green=-0.1), 0.0),
        (None, None, 0.0),
        (None, {"id": OTHER, "item_assets": {"red": {"raster:bands": [{"scale": 1, "offset": -1}]}}}, 0.0),
        (None, {"id": OTHER, "item_assets": {"red": {"raster:bands": [{"scale": "x", "offset": []}]}}}, 0.0),
        ("sentinel-2-c1-l2a", None, -0.1),
        ("sentinel-2-c1-l2a", stating(red=0.0), 0.0),
        ("planetary-computer-sentinel-2-l2a", None, -0.1),
        ("earth-search-sentinel-2-l2a", None, 0.0),
    ],
)
def test_the_offset_of_a_cube_is_the_smallest_that_the_collection_or_else_a_definition_states(
    name: str | None, collection: dict[str, Any] | None, expected: float
) -> None:
    definitions = load_definitions().named({name})
    for bands in (("red", "nir"), ("nir", "red")):
        encoding = choose_encoding(source_encodings(collection, bands, definitions))
        assert (encoding.offset, encoding.is_usual) == (expected, True)


def test_a_collection_states_an_encoding_if_it_is_complete_and_plausible() -> None:
    assert states_encoding(stating(red=0.0), "red")
    for collection in (None, {}, stating(nir=0.0), stating(red=None), stating(red=-1000)):
        assert not states_encoding(collection, "red")
