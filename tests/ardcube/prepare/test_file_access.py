"""Access by definitions and by options of a run, and the environment variables that a run needs."""

from __future__ import annotations

from typing import Any

import pytest

from ardcube.catalog.file_access import access_of
from ardcube.catalog.items import parse_scene
from ardcube.collections.model import Definition
from ardcube.collections.parse import parse_definition
from ardcube.collections.recognize import Definitions
from ardcube.collections.registry import installed_definitions
from ardcube.config import (
    AccessByHost,
    AssetAccess,
    FileAccess,
    HeaderAccess,
    HostAccess,
    RunConfig,
    S3Access,
    TokenAccess,
)
from ardcube.errors import InputError
from ardcube.prepare.file_access import asset_access, check_variables
from ardcube.report.wording import access_to
from tests.ardcube.collections.made import item
from tests.private_archive import definition_text

PC = TokenAccess("https://planetarycomputer.microsoft.com/api/sas/v1/token/{account}/{container}")
EARTHDATA = HeaderAccess("Authorization", "Bearer {EARTHDATA_TOKEN}", ("data.lpdaac.earthdatacloud.nasa.gov",))
CDSE = "s3://eodata/Sentinel-2/red.jp2"
USGS = "s3://usgs-landsat/collection02/red.TIF"
LANDSAT_PC = "https://landsateuwest.blob.core.windows.net/landsat-c2/red.TIF"
SENTINEL_PC = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/red.tif"
HLS = "https://data.lpdaac.earthdatacloud.nasa.gov/lp-prod-protected/red.tif"
EARTH_SEARCH = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/red.tif"
AFRICA = "s3://deafrica-sentinel-2-l2a-c1/red.tif"


def by(*definitions: Definition, **options: Any) -> AssetAccess:
    return asset_access(definitions, RunConfig(fsspec_uri="cube.zarr", **options))


def installed(**options: Any) -> AssetAccess:
    return by(*installed_definitions(), **options)


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        (CDSE, S3Access("signed", "https://eodata.dataspace.copernicus.eu", "default")),
        (USGS, S3Access("requester-pays", "", "us-west-2")),
        (LANDSAT_PC, PC),
        (SENTINEL_PC, PC),
        ("https://hls2euwest.blob.core.windows.net/hls2/red.tif", PC),
        (HLS, EARTHDATA),
        (EARTH_SEARCH, "unsigned"),
        (AFRICA, S3Access("unsigned", "", "af-south-1")),
        ("s3://another/red.tif", "unsigned"),
        ("/data/red.tif", "unsigned"),
    ],
)
def test_installed_definitions_state_the_access_to_their_hosts(href: str, expected: FileAccess) -> None:
    assert access_of(href, installed()) == expected


@pytest.mark.parametrize(
    ("options", "href", "expected"),
    [
        ({"asset_access": "signed"}, USGS, S3Access("signed", "", "us-west-2")),
        ({"asset_access": "signed"}, HLS, EARTHDATA),
        ({"asset_access": "signed"}, "s3://another/red.tif", "signed"),
        ({"asset_access": "unsigned"}, CDSE, S3Access("unsigned", "https://eodata.dataspace.copernicus.eu", "default")),
        ({"asset_access": "unsigned"}, SENTINEL_PC, "unsigned"),
        ({"asset_access": "unsigned"}, HLS, "unsigned"),
        ({"asset_endpoint_url": "http://mirror:9000"}, CDSE, S3Access("signed", "http://mirror:9000", "")),
        ({"asset_region": "eu-west-1"}, USGS, S3Access("requester-pays", "", "eu-west-1")),
        ({"asset_region": "eu-west-1"}, "s3://another/red.tif", S3Access("unsigned", "", "eu-west-1")),
    ],
)
def test_each_option_of_the_user_precedes_the_definition(
    options: dict[str, Any], href: str, expected: FileAccess
) -> None:
    assert access_of(href, installed(**options)) == expected


def test_without_private_files_access_is_one_value() -> None:
    public = [one for one in installed_definitions() if one.name == "earth-search-sentinel-2-l2a"]
    assert by(*public) == by() == "unsigned"
    assert by(*public, asset_access="signed") == "signed"


def test_the_definition_of_the_user_precedes_installed_ones() -> None:
    text = definition_text("mine", "s3://eodata", '{ kind = "unsigned", region = "here" }')
    access = by(parse_definition(text, "mine.toml"), *installed_definitions())
    assert access_of(CDSE, access) == S3Access("unsigned", "", "here")


BROWSER = "https://landsatlook.usgs.gov/data/SR_B4.TIF"


@pytest.mark.parametrize(
    ("href", "alternate", "expected"),
    [
        (BROWSER, {"s3": {"href": USGS}}, USGS),
        (BROWSER, {"other": {"href": "s3://another/red.tif"}, "s3": {"href": USGS}}, USGS),
        (USGS, {"https": {"href": LANDSAT_PC}}, USGS),
        (BROWSER, {"https": {"href": LANDSAT_PC}}, BROWSER),  # of another catalogue
        (BROWSER, {"s3": {"href": "s3://another/red.tif"}}, BROWSER),
        (BROWSER, {"s3": {"href": "../red.tif"}}, BROWSER),
        (BROWSER, {"s3": {"href": 5}, "more": "text"}, BROWSER),
        (BROWSER, ["s3"], BROWSER),
        (BROWSER, None, BROWSER),
        # Copies, whose items still name the place that they came from.
        ("/scenes/red.tif", {"s3": {"href": USGS}}, "/scenes/red.tif"),
        ("https://mirror.example.org/red.tif", {"s3": {"href": USGS}}, "https://mirror.example.org/red.tif"),
        ("s3://mirror/red.tif", {"s3": {"href": USGS}}, "s3://mirror/red.tif"),
    ],
)
def test_an_alternate_address_is_read_instead_of_a_page_with_a_login(href: str, alternate: Any, expected: str) -> None:
    name = "landsat-c2-l2"
    (definition,) = (one for one in installed_definitions() if one.name == name)
    properties = {"datetime": "2023-06-07T23:55:41Z", "platform": "LANDSAT_9", "landsat:correction": "L2SP"}
    keys = ("red", "green", "blue", "nir08", "swir16", "swir22")
    made = item("scene", {key: {"href": href, "alternate": alternate} for key in keys}, **properties)
    found = parse_scene(made, None, ("red",), definitions=Definitions((definition,)))
    assert (found.definition, found.bands["red"].href) == (name, expected)


def test_a_missing_variable_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    access = installed()
    assert isinstance(access, AccessByHost)
    monkeypatch.setenv("EARTHDATA_TOKEN", "some")
    check_variables(access.hosts)
    for value in (None, "", " \n"):
        monkeypatch.setenv("EARTHDATA_TOKEN", value) if value is not None else monkeypatch.delenv("EARTHDATA_TOKEN")
        with pytest.raises(InputError) as refused:
            check_variables(access.hosts)
        assert str(refused.value) == (
            "files of data.lpdaac.earthdatacloud.nasa.gov: the header Authorization needs the environment variable "
            "EARTHDATA_TOKEN, which is not set; set it to the token of the provider, on each worker"
        )


def test_a_plan_names_the_access() -> None:
    access = installed()
    assert isinstance(access, AccessByHost)
    hosts = {entry.host: entry for entry in access.hosts}
    assert access_to([hosts["s3://usgs-landsat"]]) == (
        "requester pays: requests and transfer are charged to your account (s3://usgs-landsat)"
    )
    assert access_to([hosts["s3://eodata"]]) == "signed with your credentials of S3 (s3://eodata)"
    assert access_to([hosts["sentinel2l2a01.blob.core.windows.net"]]) == (
        "with a token that is fetched when a file is read (sentinel2l2a01.blob.core.windows.net)"
    )
    assert access_to([HostAccess("data.example.org", EARTHDATA)]) == (
        "with the environment variable EARTHDATA_TOKEN of each worker (data.example.org)"
    )
    assert access_to([HostAccess("public.example.org", "unsigned")]) == ""


@pytest.mark.parametrize(
    ("host", "access", "text"),
    [
        ("*", '{ kind = "sas", token_url = "https://t/{account}" }', r"hosts: '\*' is none such as data.example.org"),
        ("*.org", '{ kind = "header", header = "Authorization", value = "{A}" }', r"hosts: '\*.org' is none"),
        ("s3://b", '{ kind = "header", header = "Authorization", value = "{A}" }', "hosts: 's3://b' is none"),
        ("https://a.org", '{ kind = "unsigned" }', r"hosts: 'https://a.org' is none such as .* or s3://bucket"),
        ("a.org", '{ kind = "header", header = "X-Key", value = "{A}" }', "header is another than Authorization"),
        ("a.org", '{ kind = "sas", token_url = "http://t.org/{account}" }', "token_url is no https:// address"),
        ("a.org", '{ kind = "sas", token_url = "https://me@t.org/" }', "token_url is no https:// address"),
        ("s3://b", '{ kind = "signed", endpoint_url = "s3.example.org" }', "endpoint_url is no address of a server"),
    ],
)
def test_a_definition_sends_no_secret_to_any_host(host: str, access: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        parse_definition(definition_text("mine", host, access), "mine.toml")


def test_access_to_private_files_names_its_hosts() -> None:
    text = definition_text("mine", "a.org", '{ kind = "signed" }').replace('hosts = ["a.org"]\n', "")
    with pytest.raises(InputError, match="access of the kind signed needs hosts"):
        parse_definition(text, "mine.toml")
