"""The encoding of a cube in its plan, its identity, its store and its ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from ardcube.config.encoding import CubeEncoding
from ardcube.errors import InputError, StoreError
from ardcube.fingerprint import digest
from ardcube.ledger.stored_cube import StoredCube
from tests.ardcube.prepare.test_check import BBOX, check, plan_of, prepare, refusal, write_catalogue
from tests.strategies import stac_collection, stac_item

USUAL: dict[str, Any] = {"scale": 0.0001, "offset": -0.1, "data_type": "uint16", "nodata": 0}
LANDSAT: dict[str, Any] = {"scale": 2.75e-5, "offset": -0.2, "data_type": "uint16", "nodata": 0}
SIGNED: dict[str, Any] = {"scale": 0.0001, "offset": 0.0, "data_type": "int16", "nodata": -9999}
RED = ("red",)


def catalogue(world: Path, *stated: dict[str, Any], of_collection: dict[str, Any] | None = None) -> Path:
    """A catalogue with an item for each encoding, and a collection that may state one."""
    items = [
        stac_item(f"item-{number}", f"2023-01-{number + 10}T10:00:00Z", BBOX, assets={"red": red(fields)})
        for number, fields in enumerate(stated)
    ]
    collection = stac_collection() | {"item_assets": {"red": red(of_collection)} if of_collection else {}}
    write_catalogue(world / "catalogue", *items, collection=collection)
    return world


def red(fields: dict[str, Any]) -> dict[str, Any]:
    return {"href": "https://127.0.0.1:1/red.tif", "raster:bands": [fields]}


@pytest.mark.parametrize(
    ("stated", "of_collection", "encoding"),
    [
        ([USUAL], USUAL, CubeEncoding(offset=-0.1)),
        ([USUAL], None, CubeEncoding()),  # as ever: items alone give no offset
        ([LANDSAT], LANDSAT, CubeEncoding(2.75e-5, -0.2)),
        ([LANDSAT, LANDSAT], None, CubeEncoding(2.75e-5, -0.2)),
        ([SIGNED], SIGNED, CubeEncoding(0.0001, -3.2768)),
        ([LANDSAT, USUAL], None, CubeEncoding(0.0001, -0.2001 + 0.0)),
        ([LANDSAT], USUAL, CubeEncoding(offset=-0.1)),
    ],
)
def test_a_plan_has_one_encoding(
    tmp_path: Path, stated: list[dict[str, Any]], of_collection: dict[str, Any] | None, encoding: CubeEncoding
) -> None:
    catalogue(tmp_path, *stated, of_collection=of_collection)
    plan = plan_of(check(tmp_path, bands=RED))
    assert plan.spec.encoding == encoding


def test_the_usual_encoding_is_not_part_of_the_identity(tmp_path: Path) -> None:
    request, plan = prepare(catalogue(tmp_path, USUAL, of_collection=USUAL), bands=RED)
    stored = json.loads((Path(request.ledger.place.path) / "cube.json").read_text())
    assert stored["offset"] == -0.1
    assert "encoding" not in stored["identity"]
    assert plan.spec.fingerprint == stored["fingerprint"] == digest(stored["identity"])
    assert StoredCube.read(request.ledger).encoding == CubeEncoding(offset=-0.1)  # type: ignore[union-attr]


@pytest.mark.parametrize("option", [None, "scale=0.0001,offset=-0.2"])
def test_another_encoding_is_part_of_the_identity_and_of_the_store(tmp_path: Path, option: str | None) -> None:
    changes = {"bands": RED, "encoding": option}
    request, plan = prepare(catalogue(tmp_path, LANDSAT, of_collection=LANDSAT), **changes)
    expected = CubeEncoding(2.75e-5, -0.2) if option is None else CubeEncoding(0.0001, -0.2)
    stored = json.loads((Path(request.ledger.place.path) / "cube.json").read_text())
    assert stored["identity"]["encoding"] == expected.fields
    assert plan.spec.fingerprint == stored["fingerprint"] == digest(stored["identity"])
    assert StoredCube.read(request.ledger).encoding == plan.spec.encoding == expected  # type: ignore[union-attr]
    with xr.open_zarr(request.place.uri, mask_and_scale=False) as cube:
        attributes = cube["rgb_median"].attrs
    assert (attributes["scale_factor"], attributes["add_offset"]) == (expected.scale, expected.offset)
    again, later = prepare(tmp_path, **changes, end_date="2023-04-30")
    assert again.stored is not None
    assert later.spec.encoding == expected
    assert later.spec.fingerprint == plan.spec.fingerprint


def test_a_clipped_range_is_stated_in_the_store(tmp_path: Path) -> None:
    option = "scale=0.0001,offset=-0.2,min=0,max=1"
    request, _ = prepare(catalogue(tmp_path, LANDSAT, of_collection=LANDSAT), bands=RED, encoding=option)
    with xr.open_zarr(request.place.uri, mask_and_scale=False) as cube:
        assert cube["rgb_median"].attrs["comment"] == "reflectance is clipped to 0 .. 1"
    assert StoredCube.read(request.ledger).encoding == CubeEncoding(0.0001, -0.2, 2000, 12000)  # type: ignore[union-attr]


def test_another_encoding_does_not_continue_a_cube(tmp_path: Path) -> None:
    prepare(catalogue(tmp_path, LANDSAT, of_collection=LANDSAT), bands=RED)
    message = refusal(tmp_path, bands=RED, encoding="scale=0.0001,offset=-0.2")
    assert "encoding is {'scale': 2.75e-05, 'offset': -0.2, 'valid_range': [1, 65535]} there and {'scale'" in message


def test_a_given_encoding_must_be_given_again(tmp_path: Path) -> None:
    option = "scale=0.0001,offset=-0.2"
    prepare(catalogue(tmp_path, LANDSAT, of_collection=LANDSAT), bands=RED, encoding=option)
    assert "there and not given here" in refusal(tmp_path, bands=RED)
    prepare(tmp_path, bands=RED, encoding=option)


def test_the_encoding_of_an_existing_cube_does_not_change(tmp_path: Path) -> None:
    """Although items of another scale arrive later."""
    _, plan = prepare(catalogue(tmp_path, LANDSAT), bands=RED)
    catalogue(tmp_path, LANDSAT, USUAL)
    _, later = prepare(tmp_path, bands=RED)
    assert later.spec.encoding == plan.spec.encoding == CubeEncoding(2.75e-5, -0.2)


def test_a_given_encoding_that_does_not_hold_the_files_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    catalogue(tmp_path, LANDSAT, of_collection=LANDSAT)
    with pytest.raises(
        InputError, match=r"encoding scale=0\.0001,offset=0\.0: holds reflectance from 0.0001"
    ) as caught:
        prepare(tmp_path, bands=RED, encoding="scale=0.0001,offset=0")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalogue"]


def test_a_damaged_encoding_is_reported(tmp_path: Path) -> None:
    request, _ = prepare(catalogue(tmp_path, LANDSAT, of_collection=LANDSAT), bands=RED)
    file = Path(request.ledger.place.path) / "cube.json"
    stored = json.loads(file.read_text())
    stored["identity"]["encoding"]["valid_range"] = [0, 1]
    del stored["fingerprint"]
    file.write_text(json.dumps(stored))
    with pytest.raises(StoreError, match=r"cube\.json cannot be used"):
        StoredCube.read(request.ledger)
    with pytest.raises(StoreError, match=r"cube\.json cannot be used"):
        plan_of(check(tmp_path, bands=RED))
