"""The one encoding of a cube: chosen from what collections and definitions state, or checked if it is given."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.catalog.cube_encoding import (
    SourceEncoding,
    choose_encoding,
    encodings_of_scenes,
    source_encodings,
)
from ardcube.catalog.scene import BandAsset
from ardcube.collections.registry import load_definitions
from ardcube.config.encoding import CubeEncoding, GivenEncoding, decimal
from ardcube.errors import InputError
from tests.strategies import FEW

pytestmark = pytest.mark.unit

DEFINITIONS = load_definitions()
S2 = "planetary-computer-sentinel-2-l2a"


def sources(*names: str, bands: tuple[str, ...] = ("red", "nir08")) -> list[SourceEncoding]:
    return [source for name in names for source in source_encodings(None, bands, DEFINITIONS.named({name}))]


def chosen(*names: str) -> CubeEncoding:
    return choose_encoding(sources(*names))


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("earth-search-sentinel-2-l2a", CubeEncoding()),
        ("deafrica-sentinel-2-l2a", CubeEncoding()),
        ("sentinel-2-c1-l2a", CubeEncoding(offset=-0.1)),
        ("planetary-computer-sentinel-2-l2a", CubeEncoding(offset=-0.1)),
        ("cdse-sentinel-2-l2a", CubeEncoding(offset=-0.1)),
        ("landsat-c2-l2", CubeEncoding(2.75e-5, -0.2)),
        ("landsat-oli-c2-l2-by-file", CubeEncoding(2.75e-5, -0.2)),
        ("hls-l30", CubeEncoding(0.0001, -0.9999)),
        ("hls-s30", CubeEncoding(0.0001, -0.9999)),
    ],
)
def test_a_cube_of_one_collection_has_the_numbers_of_its_files(name: str, encoding: CubeEncoding) -> None:
    """Those of HLS are moved by 9999, so that they are positive."""
    assert chosen(name) == encoding


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (("hls-l30", "hls-s30"), CubeEncoding(0.0001, -0.9999)),
        (("landsat-c2-l2", "landsat-tm-c2-l2-by-file"), CubeEncoding(2.75e-5, -0.2)),
        (("earth-search-sentinel-2-l2a", "sentinel-2-c1-l2a"), CubeEncoding(offset=-0.1)),
        # The numbers of Landsat end at 1.6; those of Sentinel-2 at the end of their data type.
        ((S2, "landsat-c2-l2"), CubeEncoding(0.0001, -0.2001)),
        ((S2, "hls-s30"), CubeEncoding(0.0001, -0.9999)),
        (("landsat-c2-l2", "hls-l30"), CubeEncoding(0.0001, -0.9999)),
    ],
)
def test_a_cube_of_several_collections_has_the_finest_scale_that_holds_all(
    names: tuple[str, ...], encoding: CubeEncoding
) -> None:
    assert chosen(*names) == chosen(*names[::-1]) == encoding


def test_a_scale_that_no_file_has_is_chosen_if_none_of_them_holds_all() -> None:
    narrow, wide = SourceEncoding(0.0001, 0.0, -9998, 32767), SourceEncoding(0.0001, 5.0, 1, 60000)
    encoding = choose_encoding([narrow, wide])
    assert encoding == CubeEncoding(0.000184, -0.999984, 1, encoding.high)
    assert encoding.limits[0] <= -0.9998
    assert encoding.limits[1] >= 11.0


ANY_SOURCE = st.builds(
    SourceEncoding,
    st.sampled_from([0.0001, 2.75e-5, 0.001, 0.004]),
    st.sampled_from([0.0, -0.1, -0.2, 0.05, -0.33333]),
    st.integers(-32767, 2000),
    st.integers(2001, 65535),
)


@FEW
@given(st.lists(ANY_SOURCE, min_size=1, max_size=4))
def test_the_encoding_holds_the_reflectance_of_all_files(files: list[SourceEncoding]) -> None:
    encoding = choose_encoding(files)
    scale, offset = decimal(encoding.scale), decimal(encoding.offset)

    def number(reflectance: Fraction) -> Fraction:
        return (reflectance - offset) / scale

    assert number(min(file.smallest for file in files)) >= encoding.low
    for file in files:
        reaches_as_far = file.high == 65535 and not file.is_limited and scale >= decimal(file.scale)
        assert number(file.largest) <= encoding.high or reaches_as_far
    alike = [decimal(file.offset) for file in files if file.scale == encoding.scale]
    assert not alike or number(min(alike)).denominator == 1  # moved by whole numbers


def described(**bands: dict[str, Any]) -> dict[str, Any]:
    return {"id": "x", "item_assets": {band: {"raster:bands": [fields]} for band, fields in bands.items()}}


@pytest.mark.parametrize(
    ("fields", "encoding"),
    [
        ({"scale": 2.75e-5, "offset": -0.2}, CubeEncoding(2.75e-5, -0.2)),
        ({"scale": 2.750000021478627e-05, "offset": -0.20000000298023224}, CubeEncoding(2.75e-5, -0.2)),
        ({"scale": 0.004, "offset": 0.0, "data_type": "uint8"}, CubeEncoding(0.004)),
        ({"scale": 0.0001, "offset": 0.0, "data_type": "int16"}, CubeEncoding(0.0001, -3.2768)),
        ({"scale": 0.0001, "offset": 0.0, "data_type": "int16", "nodata": -9999}, CubeEncoding(0.0001, -3.2768)),
        ({"scale": 1, "offset": 0}, CubeEncoding()),
        ({"scale": 0.0002}, CubeEncoding()),
    ],
)
def test_a_collection_may_state_the_encoding_itself(fields: dict[str, Any], encoding: CubeEncoding) -> None:
    assert choose_encoding(source_encodings(described(red=fields), ("red",))) == encoding


def test_the_valid_range_of_a_definition_limits_what_its_collection_states() -> None:
    collection = described(red={"scale": 0.0001, "offset": 0.0, "data_type": "int16"})
    found = source_encodings(collection, ("red",), DEFINITIONS.named({"hls-s30"}))
    assert choose_encoding(found) == CubeEncoding(0.0001, -0.9999)


def asset(scale: float, offset: float, dtype: str = "") -> BandAsset:
    return BandAsset("a.tif", scale, offset, None, 0, 0, 10.0, dtype=dtype)


def test_scenes_count_if_nothing_else_is_known_and_their_scale_is_not_the_usual_one() -> None:
    usual = [{"red": asset(0.0001, -0.1)}, {"red": asset(0.0001, 0.0), "scl": asset(1.0, 0.0)}]
    assert encodings_of_scenes(usual, ("red",)) == []
    landsat = [{"red": asset(2.75e-5, -0.2)}, {}]
    assert choose_encoding(encodings_of_scenes(landsat, ("red",))) == CubeEncoding(2.75e-5, -0.2)
    signed = [{"red": asset(0.0001, 0.0, "int16")}]
    assert choose_encoding(encodings_of_scenes(signed, ("red",))) == CubeEncoding(0.0001, -3.2768)


# ---- given ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("scale=0.0001,offset=-0.2", ("landsat-c2-l2",)),  # -0.19997 becomes the number 1
        ("scale=0.0001,offset=-0.1", (S2,)),
        ("scale=0.0001,offset=-0.2", (S2,)),
        ("scale=0.0002,offset=-1", ("hls-s30",)),
        ("scale=0.0001,offset=0,min=0,max=1", ("hls-s30", "landsat-c2-l2", S2)),
    ],
)
def test_a_given_encoding_replaces_the_chosen_one(text: str, names: tuple[str, ...]) -> None:
    option = GivenEncoding.parse(text)
    assert choose_encoding(sources(*names), option) == option.encoding()


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("scale=0.0001,offset=0", "hls-s30", r"from 0.0001 to 6.5535, and the files have -0.9998 to 3.2767; .*min="),
        ("scale=0.0001,offset=-0.1", "landsat-c2-l2", "the files have -0.199972 to 1.60221; .*add min=REFL"),
        ("scale=0.00001,offset=-0.2", "landsat-c2-l2", "holds reflectance from -0.19999 to 0.45535, .*add max=REFL"),
        ("scale=0.00001,offset=-0.2", S2, "add max=REFLECTANCE, beyond which it is clipped"),
    ],
)
def test_a_given_encoding_that_clips_reflectance_is_refused(text: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        choose_encoding(sources(name), GivenEncoding.parse(text))
    assert "\n" not in str(caught.value)
