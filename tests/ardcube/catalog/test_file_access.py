"""Which access a file has by its host, and to which addresses a secret may be sent."""

from __future__ import annotations

import pickle

import pytest

from ardcube.catalog.file_access import access_of, is_at
from ardcube.config import AccessByHost, HeaderAccess, HostAccess, S3Access, TokenAccess

HEADER = HeaderAccess("Authorization", "Bearer {EARTHDATA_TOKEN}", ("data.example.org", "127.0.0.1:8080"))
TOKEN = TokenAccess("https://tokens.example.org/{account}/{container}")
PAYS = S3Access("requester-pays", "", "us-west-2")
ACCESS = AccessByHost(
    (
        HostAccess("data.example.org", HEADER),
        HostAccess("127.0.0.1:8080", HEADER),
        HostAccess("*.blob.example.org", TOKEN),
        HostAccess("s3://usgs-landsat", PAYS),
        HostAccess("s3://open-*", "unsigned"),
        HostAccess("s3://open-but-paid", PAYS),
    ),
    "signed",
)


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://data.example.org/a/red.tif", HEADER),
        ("https://DATA.example.org:443/a/red.tif", HEADER),
        ("http://127.0.0.1:8080/red.tif", HEADER),  # within this machine
        ("https://one.blob.example.org/c/red.tif", TOKEN),
        ("s3://usgs-landsat/a/red.tif", PAYS),
        ("s3://open-but-paid/a/red.tif", "unsigned"),  # the first one decides
        ("s3://usgs-landsat-2/a/red.tif", "signed"),
        ("/data/red.tif", "signed"),
    ],
)
def test_the_host_decides_on_access(href: str, expected: object) -> None:
    assert access_of(href, ACCESS) == expected
    assert access_of(href, pickle.loads(pickle.dumps(ACCESS))) == expected
    assert access_of(href, "unsigned") == "unsigned"


@pytest.mark.parametrize(
    "href",
    [
        "http://data.example.org/a/red.tif",  # not encrypted
        "https://data.example.org:8443/a/red.tif",
        "https://data.example.org.evil.example/a/red.tif",
        "https://evil.example/data.example.org/red.tif",
        "https://data.example.org@evil.example/red.tif",
        "https://me:word@data.example.org/red.tif",
        "https://evil.example/#@data.example.org/red.tif",
        "https://evil.example\\@data.example.org/red.tif",
        "https://data.example.org\\.evil.example/red.tif",
        "https://data%2eexample.org/red.tif",
        "https://data.example.org%00.evil.example/red.tif",
        "https://data.example.org./red.tif",
        "//data.example.org/red.tif",
        "ftp://data.example.org/red.tif",
        "s3://data.example.org/red.tif",
        "http://127.0.0.1/red.tif",
        "http://127.0.0.1:80800/red.tif",
        "https://blob.example.org/c/red.tif",
        "https://evil.example/x.blob.example.org/red.tif",
        "http://one.blob.example.org/c/red.tif",
        "/vsicurl/https://data.example.org/red.tif",
        "",
    ],
)
def test_a_secret_is_sent_to_no_other_address(href: str) -> None:
    assert access_of(href, ACCESS) == "signed"
    assert not is_at(href, HEADER.hosts)
