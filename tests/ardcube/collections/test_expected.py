"""Each item has the definition, bands, encoding, acquisition and processing that its catalogue documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely

from ardcube.catalog.bands import asset_key
from ardcube.catalog.encoding import ItemEncoding
from ardcube.catalog.items import parse_scene, processing_of
from ardcube.collections.registry import load_definitions
from tests.ardcube.collections.expected import ITEMS, Expected, address_of
from tests.ardcube.collections.made import MADE

Item = dict[str, Any]
KNOWN = load_definitions()


def check(item: Item, expected: Expected) -> None:
    """Compare an item with the facts about it, without its collection."""
    definition = KNOWN.of(item)
    assert (None if definition is None else definition.name) == expected.definition
    if definition is None:
        return
    for band, key in (("red", expected.red), ("nir", expected.nir)):
        assert asset_key(item, band, definition) == key
        assert ItemEncoding.of(item, None, definition).numbers(key, band) == (
            pytest.approx(expected.scale, rel=1e-9), pytest.approx(expected.offset, abs=1e-9)
        )  # fmt: skip
        assert definition.nodata(band) == expected.nodata
    assert definition.sensor(item) == expected.sensor
    acquisition, version, generated = processing_of(item, definition.acquisition)
    assert (acquisition, version) == (expected.acquisition, expected.version)
    assert generated.startswith(expected.generated)
    assert bool(generated) == bool(expected.generated)


@pytest.mark.parametrize("name", MADE)
def test_an_item_in_the_form_of_each_catalogue_is_read_as_documented(name: str) -> None:
    check(*MADE[name])


@pytest.mark.real
@pytest.mark.parametrize("expected", ITEMS, ids=lambda expected: Path(expected.file).stem)
def test_a_recorded_item_is_read_as_documented(shared_real: Path, expected: Expected) -> None:
    check(json.loads((shared_real / expected.file).read_text()), expected)


@pytest.mark.real
def test_all_recorded_items_are_in_the_table(shared_real: Path) -> None:
    files = {str(file.relative_to(shared_real)) for file in (shared_real / "sensors" / "stac-items").rglob("*.json")}
    others = {
        file for file in files if "/collections/" in file or "/odc/" in file or file.endswith("item-collection.json")
    }
    assert {expected.file for expected in ITEMS} == files - others


def recorded_by_earth_search(folder: Path) -> Iterator[Item]:
    """Yield the items of all recorded answers and files of Earth Search."""
    waiting: list[Any] = [json.loads(file.read_text()) for file in sorted(folder.rglob("*.json"))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict) and value.get("type") == "Feature":
            yield value
        elif isinstance(value, dict | list):
            waiting += list(value.values() if isinstance(value, dict) else value)


@pytest.mark.real
def test_recorded_items_of_earth_search_are_read_as_documented(shared_real: Path) -> None:
    """The notes next to the items say which of them have pixels that were shifted already."""
    counts: dict[tuple[str | None, float | None], int] = {}
    for item in recorded_by_earth_search(shared_real / "stac_recorded"):
        if not item.get("assets"):
            continue  # answers with a selection of fields
        definition = KNOWN.of(item)
        name = None if definition is None else definition.name
        offset = None
        if name is not None and name.startswith(("earth-search", "sentinel")):
            properties = item["properties"]
            expected = -0.1 if properties["s2:processing_baseline"] >= "04.00" else 0.0
            if properties.get("earthsearch:boa_offset_applied"):
                expected = 0.0
            for band in ("red", "nir", "nir08", "swir16"):
                scale, offset = ItemEncoding.of(item, None, definition).numbers(band, band)
                assert (scale, offset) == (0.0001, expected), item["id"]
        counts[name, offset] = counts.get((name, offset), 0) + 1
    assert {name for name, _ in counts} == {
        "earth-search-sentinel-2-l2a", "sentinel-2-c1-l2a", "landsat-c2-l2", None,
    }  # fmt: skip
    assert counts["sentinel-2-c1-l2a", -0.1] == 31
    assert counts["earth-search-sentinel-2-l2a", 0.0] == 40
    assert counts["earth-search-sentinel-2-l2a", -0.1] == 1  # baseline 04.00, not shifted


@pytest.mark.real
def test_elevation_radar_and_radiance_at_the_sensor_have_no_definition(shared_real: Path) -> None:
    others = {"cop-dem-glo-30", "sentinel-1-grd", "sentinel-2-l1c"}
    seen = set()
    for item in recorded_by_earth_search(shared_real / "stac_recorded"):
        if item.get("collection") in others:
            assert KNOWN.of(item) is None, item["id"]
            seen.add(item["collection"])
    assert seen == others


@pytest.mark.real
def test_retired_hls_items_state_less_and_have_the_encoding_of_version_2(shared_real: Path) -> None:
    file = shared_real / "sensors/stac-items/lpcloud-hls-v1.5-retired/HLSL30.v1.5.item-collection.json"
    items = json.loads(file.read_text())["features"]
    assert len(items) == 10
    for item in items:
        definition = KNOWN.of(item)
        assert definition is not None
        assert definition.name == "hls-l30"
        assert definition.reflectance_encoding(item, "red") == (0.0001, 0.0)


@pytest.mark.real
def test_items_of_a_geoparquet_file_are_recognized(shared_real: Path) -> None:
    import rustac

    file = shared_real / "sensors/stac-items/pc-landsat-c2-l2/bulk/100-landsat-items.parquet"
    items = rustac.read_sync(str(file))["features"]
    assert len(items) == 100
    for item in items:
        definition = KNOWN.of(item)
        assert definition is not None
        assert definition.name == "landsat-c2-l2"
        if "red" in item["assets"]:
            scale, offset = ItemEncoding.of(item, None, definition).numbers("red", "red")
            assert (scale, offset) == (pytest.approx(2.75e-5), -0.2)


@pytest.mark.real
@pytest.mark.parametrize("expected", [one for one in ITEMS if one.definition], ids=lambda one: Path(one.file).stem)
def test_every_item_is_a_scene_with_its_encoding(shared_real: Path, expected: Expected) -> None:
    item = json.loads((shared_real / expected.file).read_text())
    item["geometry"] = shapely.geometry.mapping(shapely.box(0, 0, 1, 1))  # that of an item at 180 degrees is invalid
    is_sentinel = expected.scale == 0.0001 and expected.nodata == 0
    bands = parse_scene(item, None, ("red",), ("scl",) if is_sentinel else (), KNOWN).bands
    red = bands["red"]
    assert (red.scale, red.offset, red.nodata) == (expected.scale, expected.offset, expected.nodata)
    assert (red.dtype == "int16") == (expected.nodata == -9999)
    if is_sentinel:
        key = next(key for key in ("SCL_20m", "SCL", "scl") if key in item["assets"])
        assert bands["scl"].href == address_of(item["assets"][key])


def test_an_older_processing_of_landsat_is_older() -> None:
    item, expected = MADE["usgs landsat"]
    older = item | {"id": item["id"].replace("20230609", "20230101")}
    both = [processing_of(one, KNOWN.of(one).acquisition) for one in (older, item)]  # type: ignore[union-attr]
    assert [one[0] for one in both] == [expected.acquisition] * 2
    assert both[0][1:] < both[1][1:]


def test_an_item_that_lacks_a_part_of_the_key_is_an_acquisition_by_itself() -> None:
    item, _ = MADE["lp cloud hls l30"]
    assert processing_of(item | {"id": "G2147556158-LPCLOUD"}, KNOWN.named({"hls-l30"})[0].acquisition) == ("", (), "")
