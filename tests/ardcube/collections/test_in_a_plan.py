"""A request finds its definition, bands and encoding; a wrong one is refused before anything is written."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ardcube.errors import InputError
from ardcube.planning.estimate import estimate
from tests.ardcube.collections.made import L2A
from tests.ardcube.collections.test_model import SMALL
from tests.ardcube.prepare.test_check import BBOX, check, plan_of, write_catalogue
from tests.strategies import raster_band, stac_item

PLANETARY_COMPUTER = "planetary-computer-sentinel-2-l2a"


def without_encoding(keys: str, name: str = "a", **properties: Any) -> dict[str, Any]:
    """Return an item whose assets state nothing."""
    assets = {key: {"href": f"https://127.0.0.1:1/{key}.tif"} for key in keys.split()}
    return stac_item(name, "2023-01-10T10:00:00Z", BBOX, assets=assets, **properties)


def catalogue(world: Path, *items: dict[str, Any], collection: dict[str, Any] | None = None) -> str:
    folder = write_catalogue(world / "catalogue", *items, collection=collection)
    if collection is None:
        (folder / "collection.json").unlink()
    return str(folder)


def scenes(request: Any) -> Iterable[Any]:
    return [scene for found in plan_of(request).scenes.values() for scene in found]


def planetary_computer(baseline: str = "05.11", name: str = "a") -> dict[str, Any]:
    return without_encoding("B02 B03 B04 B08 SCL", name, **L2A, **{"s2:processing_baseline": baseline})


def test_items_of_planetary_computer_are_planned_by_common_names(tmp_path: Path) -> None:
    catalogue(tmp_path, planetary_computer("05.11", "new"), planetary_computer("02.12", "old"))
    request = check(tmp_path, bands=("red", "B08"), cloud_mask="scl")
    plan = plan_of(request)
    found = {scene.id: scene for scene in scenes(request)}
    assert {name: scene.bands["red"].offset for name, scene in found.items()} == {"new": -0.1, "old": 0.0}
    assert [asset.href.rpartition("/")[2] for asset in found["new"].bands.values()] == ["B04.tif", "B08.tif", "SCL.tif"]
    assert plan.spec.encoding.offset == -0.1
    assert dict(estimate(plan).definitions) == {PLANETARY_COMPUTER: 2}


def test_the_offset_of_a_cube_does_not_depend_on_the_items_found(tmp_path: Path) -> None:
    catalogue(tmp_path, planetary_computer("02.12"))
    assert plan_of(check(tmp_path)).spec.encoding.offset == -0.1


def test_a_band_of_no_item_is_refused_with_the_bands_of_the_items(tmp_path: Path) -> None:
    catalogue(tmp_path, planetary_computer())
    with pytest.raises(InputError, match=r"band lwir: not in the collection; choose from blue, green, red, nir, scl$"):
        check(tmp_path, bands=("lwir",))


def test_an_item_without_definition_and_without_encoding_is_refused(tmp_path: Path) -> None:
    catalogue(tmp_path, without_encoding("RE"))
    with pytest.raises(InputError, match=r"band RE states no scale and offset.*--definition"):
        plan_of(check(tmp_path, bands=("RE",)))


def test_a_definition_is_named_for_items_that_are_not_recognized(tmp_path: Path) -> None:
    catalogue(tmp_path, without_encoding("B04", **{"s2:processing_baseline": "04.00"}))
    request = check(tmp_path, bands=("red",), definition=PLANETARY_COMPUTER)
    (scene,) = scenes(request)
    assert (scene.bands["red"].offset, scene.definition) == (-0.1, PLANETARY_COMPUTER)


def test_a_definition_of_a_file_recognizes_items(tmp_path: Path) -> None:
    catalogue(tmp_path, without_encoding("RE"))
    (tmp_path / "own.toml").write_text(SMALL)
    request = check(tmp_path, bands=("red",), collection_file=str(tmp_path / "own.toml"))
    assert [scene.definition for scene in scenes(request)] == ["small"]


def test_the_content_of_a_file_is_part_of_the_identity_and_its_path_is_not(tmp_path: Path) -> None:
    catalogue(tmp_path, without_encoding("RE"))

    def identity(name: str, old: str = "", new: str = "") -> dict[str, Any]:
        assert old in SMALL
        (tmp_path / name).write_text(SMALL.replace(old, new, 1))
        return check(tmp_path, bands=("red",), collection_file=str(tmp_path / name)).identity

    first = identity("a.toml")
    assert identity("b.toml", "A small definition", "Another title") == first
    assert identity("c.toml", 'aliases = ["B04"]', 'aliases = ["B04", "B4"]') == first
    for old, new in (("-0.1", "0"), ("nodata = 0", "nodata = 65535"), ('["RE", "RE-jp2"]', '["RE"]')):
        assert identity("d.toml", old, new) != first


def test_the_identity_of_a_cube_without_these_options_is_that_of_earlier_versions(tmp_path: Path) -> None:
    catalogue(tmp_path, planetary_computer())
    assert "definitions" not in check(tmp_path, bands=("red",)).identity
    names = (PLANETARY_COMPUTER, "cdse-sentinel-2-l2a")
    one, other = (check(tmp_path, bands=("B04",), definition=name).identity["definitions"] for name in names)
    assert one != other


def test_a_wrong_definition_lists_only_bands_that_the_items_have(tmp_path: Path) -> None:
    catalogue(tmp_path, planetary_computer())
    with pytest.raises(InputError, match=r"band red: not in the collection; choose from \(none\)"):
        check(tmp_path, bands=("red",), definition="cdse-sentinel-2-l2a")


def test_a_stated_offset_that_the_definition_does_not_expect_is_used_and_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    properties = L2A | {"s2:processing_baseline": "05.11"}
    assets = {
        band: {"href": f"https://127.0.0.1:1/{band}.tif", "raster:bands": raster_band(0.0)} for band in ("red", "nir")
    }
    both = [stac_item(name, "2023-01-10T10:00:00Z", BBOX, assets=assets, **properties) for name in ("a", "b")]
    catalogue(tmp_path, *both)
    with caplog.at_level(logging.WARNING):
        found = scenes(check(tmp_path, bands=("red", "nir")))
    assert [scene.bands["red"].offset for scene in found] == [0.0, 0.0]
    (line,) = caplog.messages
    assert line.startswith("2 scenes: band red has the offset 0 by its items or collection, and definition ")
    assert line.endswith("definition sentinel-2-c1-l2a expects -0.1; the items are followed")


def test_a_sign_that_the_definition_does_not_expect_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The encoding of the cube follows the definition, and does not hold negative reflectance."""
    properties = L2A | {"s2:processing_baseline": "05.11"}
    signed = raster_band(-0.1)[0] | {"data_type": "int16"}
    assets = {"red": {"href": "https://127.0.0.1:1/red.tif", "raster:bands": [signed]}}
    catalogue(tmp_path, stac_item("a", "2023-01-10T10:00:00Z", BBOX, assets=assets, **properties))
    with caplog.at_level(logging.WARNING):
        assert [scene.bands["red"].dtype for scene in scenes(check(tmp_path, bands=("red",)))] == ["int16"]
    (line,) = caplog.messages
    assert line.startswith("1 scenes: band red is int16 by its items or collection, and definition ")
    assert line.endswith("expects uint16; reflectance that uint16 cannot hold may be clipped")


def test_an_offset_that_was_applied_is_not_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assets = {"red": {"href": "https://127.0.0.1:1/red.tif", "raster:bands": raster_band(-0.1)}}
    properties = L2A | {"s2:processing_baseline": "05.11", "earthsearch:boa_offset_applied": True}
    catalogue(tmp_path, stac_item("a", "2023-01-10T10:00:00Z", BBOX, assets=assets, **properties))
    with caplog.at_level(logging.WARNING):
        (scene,) = scenes(check(tmp_path, bands=("red",)))
    assert (scene.bands["red"].offset, scene.definition) == (0.0, "earth-search-sentinel-2-l2a")
    assert caplog.messages == []


@pytest.mark.parametrize(("reason", "used"), [('overrides = "it was added"', 0.0), ("", -0.1)])
def test_a_rule_with_a_reason_precedes_a_stated_offset(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str, used: float
) -> None:
    rule = f'[[encoding.offset]]\nvalue = 0\nwhen = [{{ property = "added", equals = true }}]\n{reason}\n[bands]'
    (tmp_path / "own.toml").write_text(SMALL.replace("offset = -0.1\n", "").replace("[bands]", rule))
    assets = {"RE": {"href": "https://127.0.0.1:1/RE.tif", "raster:bands": raster_band(-0.1)}}
    catalogue(tmp_path, stac_item("a", "2023-01-10T10:00:00Z", BBOX, assets=assets, added=True))
    with caplog.at_level(logging.WARNING):
        (scene,) = scenes(check(tmp_path, bands=("red",), collection_file=str(tmp_path / "own.toml")))
    assert (scene.bands["red"].offset, len(caplog.messages)) == (used, 0 if reason else 1)


def test_the_footprint_of_a_recognized_item_is_checked_with_its_raster(tmp_path: Path) -> None:
    """The band is found through the definition; without it, the swapped footprint would exclude the scene."""
    item = planetary_computer()
    item["properties"] |= {"proj:code": "EPSG:32633", "proj:shape": [1000, 1000]}
    item["properties"]["proj:transform"] = [10, 0, 499000, 0, -10, 5101000]
    west, south, east, north = BBOX
    ring = [[south, west], [north, west], [north, east], [south, east], [south, west]]
    item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    catalogue(tmp_path, item)
    assert [scene.id for scene in scenes(check(tmp_path, bands=("red",)))] == ["a"]
