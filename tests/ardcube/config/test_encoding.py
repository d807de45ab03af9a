"""The encoding of a cube as an option: scale, offset, and the reflectance that is kept."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ardcube.config import CubeConfig
from ardcube.config.encoding import CubeEncoding, GivenEncoding

pytestmark = pytest.mark.unit

CUBE: dict[str, Any] = {"start_date": "2022-11", "end_date": "2023-12", "bbox": (11, 46, 12, 47)}


@pytest.mark.parametrize(
    ("text", "written", "expected"),
    [
        ("scale=0.0001,offset=-0.2", "scale=0.0001,offset=-0.2", CubeEncoding(0.0001, -0.2)),
        (" offset = 0 , scale = 1e-4 ", "scale=0.0001,offset=0.0", CubeEncoding()),
        ("scale=2.75e-5,offset=-0.2", "scale=2.75e-05,offset=-0.2", CubeEncoding(2.75e-5, -0.2)),
        (
            "scale=0.0001,offset=-0.2,min=-0.1,max=1",
            "scale=0.0001,offset=-0.2,min=-0.1,max=1.0",
            CubeEncoding(0.0001, -0.2, 1000, 12000),
        ),
        (
            "scale=0.0001,offset=0,min=0",  # number 0 is no data
            "scale=0.0001,offset=0.0,min=0.0",
            CubeEncoding(),
        ),
        (
            "scale=0.0003,offset=0,max=1",
            "scale=0.0003,offset=0.0,max=1.0",
            CubeEncoding(0.0003, 0.0, 1, 3333),
        ),
    ],
)
def test_an_encoding_is_parsed_and_written_in_one_way(text: str, written: str, expected: CubeEncoding) -> None:
    cube = CubeConfig(**CUBE, encoding=text)
    assert cube.encoding == written
    assert cube.given_encoding is not None
    assert cube.given_encoding.encoding() == expected
    assert CubeConfig(**CUBE, encoding=written) == cube


def test_without_one_the_encoding_is_chosen() -> None:
    assert CubeConfig(**CUBE).given_encoding is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no list of NAME=NUMBER; write one such as scale=0.0001,offset=-0.2"),
        ("0.0001", "is no list of NAME=NUMBER"),
        ("scale=0.0001,offset=0,scale=1", "is no list of NAME=NUMBER"),
        ("scale=0.0001,offset=0,nodata=0", "is no list of NAME=NUMBER"),
        ("scale=0.0001", "has no scale or no offset"),
        ("offset=0", "has no scale or no offset"),
        ("scale=fine,offset=0", "the scale is no number"),
        ("scale=0,offset=0", "the scale 0 is not the reflectance of one number"),
        ("scale=-0.0001,offset=0", "the scale -0.0001 is not"),
        ("scale=nan,offset=0", "the scale nan is not"),
        ("scale=10000,offset=0", "the scale 10000 is not"),
        ("scale=0.0001,offset=-1000", "the offset -1000 is none of reflectance"),
        ("scale=0.0001,offset=nan", "the offset nan is none"),
        ("scale=0.0001,offset=0,min=-0.1", "its numbers hold reflectance from 0.0001 to 6.5535; choose min and max"),
        ("scale=0.0001,offset=0,max=7", "its numbers hold reflectance from 0.0001 to 6.5535"),
        ("scale=0.0001,offset=0,min=1,max=0.5", "its numbers hold"),
        ("scale=0.0001,offset=0,max=inf", "its numbers hold"),
        ("scale=0.0001,offset=0,min=nan", "its numbers hold"),
    ],
)
def test_other_texts_are_no_encoding(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        CubeConfig(**CUBE, encoding=text)
    assert all("\n" not in error["msg"] for error in caught.value.errors())


def test_an_encoding_is_restored_from_its_fields() -> None:
    encoding = CubeEncoding(2.75e-5, -0.2, 5, 60000)
    assert CubeEncoding.of(encoding.fields) == encoding
    assert not encoding.is_usual
    assert encoding.limits == (-0.1998625, 1.45)
    assert CubeEncoding(offset=-0.1).is_usual


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        (CubeEncoding(), "number * 0.0001"),
        (CubeEncoding(2.75e-5, -0.2), "number * 2.75e-05 - 0.2"),
        (CubeEncoding(0.0001, 0.1, 1, 9000), "number * 0.0001 + 0.1, clipped to 0.1001 .. 1"),
    ],
)
def test_an_encoding_is_shown_as_a_formula(encoding: CubeEncoding, text: str) -> None:
    assert str(encoding) == text


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 0.0},
        {"scale": "x"},
        {"offset": None},
        {"offset": 1e9},
        {"valid_range": [0, 5]},
        {"valid_range": [5, 5]},
        {"valid_range": [1, 65536]},
        {"valid_range": [1.0, 5]},
        {"valid_range": 5},
    ],
)
def test_damaged_fields_are_no_encoding(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        CubeEncoding.of(CubeEncoding().fields | changes)


def test_a_given_encoding_is_a_value() -> None:
    assert GivenEncoding.parse("scale=0.0001,offset=0") == GivenEncoding(0.0001, 0.0)
