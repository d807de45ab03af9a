"""A definition is validated; an error names file and field in one line."""

from __future__ import annotations

from typing import Any

import pytest

from ardcube.collections.condition import Condition, Source, version
from ardcube.collections.model import Definition
from ardcube.collections.parse import parse_definition
from ardcube.collections.registry import load_definitions
from ardcube.errors import InputError

SMALL = """
name = "small"
title = "A small definition"
sensors = { "Sentinel-2 MSI" = ["sentinel-2a"] }

[[catalogues]]
collection = "small"
access = { kind = "unsigned" }

[[recognize]]
assets = ["RE"]

[encoding]
scale = 0.0001
offset = -0.1
data_type = "uint16"
nodata = 0
valid_range = [1, 65535]

[bands]
red = { assets = ["RE", "RE-jp2"], common_name = "red", aliases = ["B04"], size = 10 }
thermal = { assets = ["TH"], size = 30, kind = "temperature", scale = 0.01, offset = 149 }

[bands.scl]
assets = ["CL"]
size = 20
kind = "classes"
classes = { cloud = [8, 9] }
nodata = 0
"""


def small(old: str = "", new: str = "") -> Definition:
    assert old in SMALL
    return parse_definition(SMALL.replace(old, new, 1), "small.toml")


def refusal(old: str, new: str) -> str:
    with pytest.raises(InputError) as caught:
        small(old, new)
    message = str(caught.value)
    assert message.startswith("small.toml: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('title = "A', 'colour = "red"\ntitle = "A', "unknown field colour"),
        ("size = 10", "size = 10, gsd = 10", "unknown field bands.red.gsd"),
        ("offset = -0.1", "offset = -0.1\nfactor = 2", "unknown field encoding.factor"),
        ('kind = "unsigned"', 'kind = "unsigned", token = "x"', "unknown field catalogues.0.access.token"),
        ('assets = ["RE"]', 'assets = ["RE"]\nid = "x"', "unknown field recognize.0.id"),
        ("scale = 0.0001\n", "", "missing field encoding.scale"),
        ("valid_range = [1, 65535]", "", "missing field encoding.valid_range"),
        ('title = "A small definition"', "", "missing field title"),
        ("offset = -0.1", "offset = -1000", "field encoding"),
        ("scale = 0.0001\n", "scale = 0\n", "field encoding.scale"),
        ("valid_range = [1, 65535]", "valid_range = [5, 5]", "valid_range 5, 5 is empty"),
        ('name = "small"', 'name = "A b"', "field name"),
        ('aliases = ["B04"]', 'aliases = ["thermal"]', "bands red and thermal both have the name thermal"),
        ('kind = "classes"\n', 'kind = "bits"\n', "field bands.scl"),
        ("classes = { cloud = [8, 9] }", "", "field bands.scl"),
        ('kind = "unsigned"', 'kind = "sas"', "access of the kind sas needs token_url"),
        ('kind = "unsigned"', 'kind = "header", header = "Authorization"', "needs header and value"),
        ('kind = "unsigned"', 'kind = "header", header = "A", value = "Bearer secret"', "catalogues.0.access.value"),
        (
            'kind = "unsigned"',
            'kind = "signed", token_url = "https://x"',
            "token_url belongs to access of the kind",
        ),
        ('assets = ["RE"]', 'assets = ["RE"]\nwhen = [{ property = "a" }]', "recognize.0.when.0"),
        ('assets = ["RE"]', 'assets = ["RE"]\nwhen = [{ property = "a", below = "x" }]', "not a version such as 04.00"),
        ("[bands]", '[acquisition]\nkey = [{ property = "id", pattern = "a" }]\n[bands]', "has no group"),
        ("[bands]", '[acquisition]\nkey = [{ property = "id", pattern = "(" }]\n[bands]', "not a regular expression"),
        ("[encoding]", "[encoding", "is not TOML"),
    ],
)
def test_a_wrong_definition_is_refused_in_one_line_with_file_and_field(old: str, new: str, named: str) -> None:
    assert named in refusal(old, new)


def test_several_problems_are_counted() -> None:
    assert "and 1 more problems" in refusal("size = 10", "size = 0, gsd = 10")


def test_a_band_is_found_by_each_of_its_names() -> None:
    definition = small()
    assert {name: definition.band(name) for name in ("red", "B04", "RE", "RE-jp2", "CL", "SCL", "nope")} == {
        "red": "red", "B04": "red", "RE": "red", "RE-jp2": "red", "CL": "scl", "SCL": None, "nope": None,
    }  # fmt: skip


def test_the_first_asset_that_an_item_has_is_read() -> None:
    definition = small()
    assert definition.asset_key({"assets": {"RE-jp2": {}, "RE": {}}}, "B04") == "RE"
    assert definition.asset_key({"assets": {"RE-jp2": {}}}, "B04") == "RE-jp2"
    assert definition.asset_key({"assets": {"CL": {}}}, "B04") is None


def test_numbers_of_a_band_come_from_the_band_else_from_the_encoding_of_reflectance() -> None:
    definition, item = small(), {"assets": {}}
    assert definition.reflectance_encoding(item, "red") == (0.0001, -0.1)
    assert definition.reflectance_encoding(item, "thermal") == (0.01, 149)
    assert definition.reflectance_encoding(item, "scl") is None
    assert definition.reflectance_encoding(item, "nope") is None
    assert [definition.nodata(name) for name in ("red", "thermal", "scl", "nope")] == [0, None, 0, None]
    assert [definition.data_type(name) for name in ("red", "thermal", "nope")] == ["uint16", None, None]
    assert definition.reflectance_encodings("red") == [(0.0001, -0.1)]
    assert [definition.reflectance_encodings(name) for name in ("thermal", "nope")] == [[], []]


RULES = """
[[encoding.offset]]
value = 0
when = [{ property = "applied", equals = true }]
overrides = "it was applied"

[[encoding.offset]]
value = -0.1
when = [{ property = "baseline", at_least = "04.00" }]
"""


def test_the_first_rule_that_holds_gives_the_offset_and_without_one_it_is_unknown() -> None:
    definition = parse_definition(SMALL.replace("offset = -0.1\n", "").replace("[bands]", f"{RULES}\n[bands]"), "x")
    for properties, expected in [
        ({"baseline": "05.11"}, -0.1),
        ({"baseline": "04.00"}, -0.1),
        ({"baseline": "05.11", "applied": True}, 0),
        ({"baseline": "05.11", "applied": False}, -0.1),
        ({"baseline": "03.01"}, None),
        ({"baseline": "unknown"}, None),
        ({}, None),
    ]:
        found = definition.reflectance_encoding({"properties": properties}, "red")
        assert found == (None if expected is None else (0.0001, expected)), properties
    assert definition.reflectance_encodings("red") == [(0.0001, 0), (0.0001, -0.1)]


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ({"exists": True}, ["x", 0, False], [None]),
        ({"exists": False}, [None], ["x", 0, False]),
        ({"equals": True}, [True], [1, "true", False, None]),
        ({"equals": 1}, [1, 1.0], [True, "1", None]),
        ({"equals": "L2SP"}, ["L2SP"], ["l2sp", "L2S", None]),
        ({"matches": "L2S?"}, ["L2SP", "L2SR"], ["L1TP", "L2SPX", None]),
        ({"at_least": "04.00"}, ["04.00", "5.9", "05.10", "10"], ["03.01", "x", "", None, [1], -1]),
        ({"below": "04.00"}, ["03.99", "2.1", "00.01"], ["04.00", "05.10", "x", None]),
        ({"at_least": "05.9", "below": "05.11"}, ["05.10"], ["05.8", "05.11"]),
    ],
)
def test_a_condition_holds_for_values_of_the_property(condition: Any, holds: list[Any], fails: list[Any]) -> None:
    made = Condition(property="p", **condition)
    for value in holds:
        assert made.holds({"properties": {} if value is None else {"p": value}}), value
    for value in fails:
        assert not made.holds({"properties": {} if value is None else {"p": value}}), value


def test_versions_are_compared_number_by_number() -> None:
    assert version("05.10") > version("05.9") > version("05.8") > version("04.00") > version("")
    assert version("1.2.3.4.5") == version("4,0") == version("-1") == ()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"property": "id"}, "HLS.L30.T13TGF"),
        ({"property": "a"}, "x1"),
        ({"property": "n"}, "7"),
        ({"property": "missing"}, ""),
        ({"property": "id", "pattern": r"^HLS\.(\w)30\.(T\w+)"}, "LT13TGF"),
        ({"property": "id", "pattern": r"^S2(.)"}, ""),
    ],
)
def test_a_source_is_a_property_or_the_id_or_groups_of_it(source: dict[str, str], text: str) -> None:
    assert Source(**source).text({"id": "HLS.L30.T13TGF", "properties": {"a": "x1", "n": 7}}) == text


@pytest.mark.parametrize(
    ("properties", "sensor"),
    [
        ({"platform": "LANDSAT_8"}, "Landsat OLI"),
        ({"platform": "landsat-7"}, "Landsat ETM+"),
        ({"eo:platform": "LANDSAT 5"}, "Landsat TM"),
        ({"platform": "terra"}, ""),
        ({}, ""),
    ],
)
def test_the_platform_gives_the_sensor(properties: dict[str, str], sensor: str) -> None:
    assert load_definitions("landsat-c2-l2").chosen.sensor({"properties": properties}) == sensor  # type: ignore[union-attr]


def test_a_single_sensor_needs_no_platform() -> None:
    assert small().sensor({"properties": {}}) == "Sentinel-2 MSI"


@pytest.mark.parametrize(
    ("platform", "sensor"),
    [("Sentinel-2B", "Sentinel-2 MSI"), ("landsat_7", "Landsat ETM+"), ("sentinel-1a", ""), (None, "")],
)
def test_an_item_without_definition_has_the_sensor_of_its_platform(platform: str | None, sensor: str) -> None:
    """An older processing without definition stays in one observation with the newer one."""
    known = load_definitions()
    item = {"properties": {"platform": platform}, "assets": {"other": {}}}
    assert known.of(item) is None
    assert known.sensor(item, None) == sensor
