"""The asset of a band: by key, common name or name; the finest of several, or a refusal that lists them."""

from __future__ import annotations

from typing import Any

import pytest

from ardcube.catalog.bands import asset_key
from ardcube.errors import SceneError
from tests.strategies import stac_item

RED = {"eo:bands": [{"name": "B04", "common_name": "red"}]}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def key(assets: dict[str, Any], band: str = "red") -> str:
    described = {name: {"href": f"/{name}", **asset} for name, asset in assets.items()}
    return asset_key(stac_item("some", assets=described), band)


def refusal(assets: dict[str, Any], band: str = "red") -> str:
    with pytest.raises(SceneError) as caught:
        key(assets, band)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "assets",
    [
        {"right": RED},
        {"right": {"bands": [{"name": "B04", "eo:common_name": "red"}]}},
        {"right": {"eo:bands": [{"name": "red"}]}, "B08": {}},
        {"other": {"eo:bands": [{"name": "red", "common_name": "nir"}]}, "right": RED},
        {"visual": {"eo:bands": [{"common_name": c} for c in ("red", "green", "blue")]}, "right": RED},
    ],
    ids=["common name", "STAC 1.1", "name", "common name before name", "no asset of several bands"],
)
def test_a_band_is_found_by_common_name_then_name(assets: dict[str, Any]) -> None:
    assert key(assets) == "right"


def test_bands_that_are_numbers_are_ignored() -> None:
    """STAC 0.9 refers to a list of bands of the collection."""
    assert key({"browse": {"eo:bands": [3, 2, 1]}, "B04": RED, "red edge": {"eo:bands": [4]}}) == "B04"
    assert refusal({"browse": {"eo:bands": [3, 2, 1]}}).startswith("item some: no asset for band red, only (none);")


def test_a_band_is_found_by_key_first() -> None:
    assert key({"B04": RED, "red": {}}) == "red"


@pytest.mark.parametrize(
    "sizes",
    [
        lambda metres: {"proj:transform": [metres, 0, 0, 0, -metres, 0]},
        lambda metres: {"raster:bands": [{"spatial_resolution": metres}]},
        lambda metres: {"raster:spatial_resolution": metres},
        lambda metres: {"proj:shape": [109800 // metres, 109800 // metres]},
        lambda metres: {"proj:transform": [metres, 0, 0, 0, -metres, 0], "raster:bands": [{"spatial_resolution": 10}]},
    ],
    ids=["transform", "resolution", "STAC 1.1", "shape", "transform before resolution"],
)
def test_of_one_band_in_several_sizes_the_finest_is_chosen(sizes: Any) -> None:
    for order in ((60, 20, 10), (10, 20, 60), (20, 10, 60)):
        assert key({f"B04_{metres}m": RED | sizes(metres) for metres in order}) == "B04_10m"


@pytest.mark.parametrize("sizes", [lambda _: {}, lambda metres: {"gsd": metres}], ids=["no size", "gsd alone"])
def test_several_assets_of_unknown_pixel_size_are_refused_with_their_list(sizes: Any) -> None:
    message = refusal({f"B04_{metres}m": RED | sizes(metres) for metres in (60, 20, 10)})
    assert message == "item some: band red is in several assets; choose one of B04_10m, B04_20m, B04_60m"


def test_of_equal_sizes_a_cloud_optimized_geotiff_then_a_geotiff_is_chosen() -> None:
    """Earth Search lists each band twice: as GeoTIFF and as JPEG 2000."""
    types = {"jp2": "image/jp2", "tif": "image/tiff; application=geotiff", "cog": COG}
    assets = {name: RED | {"type": media, "proj:shape": [10, 10]} for name, media in types.items()}
    assert key(assets) == "cog"
    assert key({name: asset for name, asset in assets.items() if name != "cog"}) == "tif"
    assets["jp2"]["proj:shape"] = [20, 20]
    assert key(assets) == "jp2"


def test_several_bands_of_one_common_name_are_refused_with_their_list() -> None:
    edge = {
        f"rededge{n}": {"eo:bands": [{"name": f"rededge{n}", "common_name": "rededge"}], "gsd": 20} for n in (1, 2, 3)
    }
    assert refusal(edge, "rededge").endswith("choose one of rededge1, rededge2, rededge3")
    assert key(edge, "rededge2") == "rededge2"


def test_two_keys_of_one_file_are_one_asset() -> None:
    assert key({"b": {"href": "/same", **RED}, "a": {"href": "/same", **RED}}) == "a"


def test_an_asset_of_several_bands_is_refused_with_the_other_assets() -> None:
    several = {"eo:bands": [{"common_name": c} for c in ("red", "green", "blue")]}
    assets = {"visual": several, "B04": RED, "B08": {}}
    expected = (
        "item some: asset visual of band visual has 3 bands (blue, green, red); choose an asset of one band: B04, B08"
    )
    assert refusal(assets, "visual") == expected
    assert "has 4 bands; choose" in refusal({"all": {"raster:bands": [{}] * 4}, "B08": {}}, "all")


def test_a_band_that_is_only_in_an_asset_of_several_bands_is_refused() -> None:
    assets = {"analytic": {"bands": [{"name": "red"}, {"name": "nir"}]}, "mask": {}}
    assert refusal(assets, "nir").startswith("item some: band nir is in analytic together with others, only mask")


def test_the_error_for_a_missing_band_names_the_item_and_its_assets() -> None:
    with pytest.raises(SceneError, match=r"item some: no asset for band swir, only red, .*scl"):
        asset_key(stac_item("some"), "swir")
