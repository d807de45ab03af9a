"""Global attributes: what a store says about its origin."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
import xarray as xr

from ardcube.config import CubeConfig
from ardcube.extent.periods import calendar_periods
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.provenance import Origin, continued, provenance
from tests.ardcube.small_cube import CHUNK, periods_until, spec_at

CUBE = CubeConfig(
    start_date="2023-11-01",
    end_date="2024-02-01",
    bbox=(15.0, 46.0, 15.5, 46.3),
    cloud_mask="scl",
    collection="sentinel-2-l2a",
    stac_url="https://stac.example.com/v1",
)


def at(hour: int, end: date = date(2024, 2, 1), url: str = CUBE.stac_url) -> dict[str, object]:
    periods = calendar_periods(date(2023, 11, 1), end, 1)
    when = datetime(2024, 3, 1, hour, tzinfo=UTC)
    origin = Origin(
        [url],
        ["Landsat Collection 2 Level-2", "Sentinel-2 L2A"],
        ["contains modified Copernicus Sentinel data {years}"],
        ["Landsat OLI", "Sentinel-2 MSI"],
    )
    return provenance(CUBE, origin, {"opening": 5, "closing": 3}, periods, "1.2.3", when)


@pytest.mark.unit
def test_attributes_name_version_catalogue_collection_mask_resampling_composite_and_time() -> None:
    found = at(12)
    assert found["history"] == "2024-03-01T12:00:00Z ardcube 1.2.3: built 2023-11 to 2024-02"
    assert found["stac_url"] == "https://stac.example.com/v1"
    assert (found["collection"], found["cloud_mask"]) == ("sentinel-2-l2a", "scl")
    assert json.loads(str(found["cloud_mask_options"])) == {"opening": 5, "closing": 3}
    assert (found["resampling"], found["composite"]) == ("bilinear", "median")
    assert (found["time_coverage_start"], found["time_coverage_end"]) == ("2023-11-01", "2024-03-01")
    products = "Landsat Collection 2 Level-2 and Sentinel-2 L2A"
    assert found["title"] == f"{products} surface reflectance, median composites"
    assert found["source"] == f"{products}; contains modified Copernicus Sentinel data 2023-2024"
    assert found["instrument"] == "Landsat OLI, Sentinel-2 MSI"
    assert all(isinstance(value, str) for value in found.values())  # netCDF has no other kind for them


@pytest.mark.unit
def test_attributes_name_the_limits_on_scenes_and_days() -> None:
    limited = CUBE.model_copy(update={"max_scenes": 6, "enough": 3})
    periods = calendar_periods(date(2023, 11, 1), date(2024, 2, 1), 1)
    found = provenance(limited, Origin([CUBE.stac_url]), {}, periods, "1.2.3", datetime(2024, 3, 1, tzinfo=UTC))
    assert (found["max_scenes"], found["enough"]) == ("6", "3")
    assert not {"max_scenes", "enough"} & set(at(12))


@pytest.mark.unit
def test_several_collections_and_catalogues_are_listed_and_unknown_products_have_the_ids() -> None:
    cube = CUBE.model_copy(update={"collection": ("a", "https://other.example.com/v1#b")})
    periods = calendar_periods(date(2023, 11, 1), date(2023, 12, 1), 1)
    origin = Origin([one.stac_url for one in cube.collections])
    found = provenance(cube, origin, {}, periods, "1.2.3", datetime(2024, 3, 1, tzinfo=UTC))
    assert found["collection"] == "a, b"
    assert found["stac_url"] == "https://stac.example.com/v1, https://other.example.com/v1"
    assert found["title"].startswith("a and b surface reflectance")
    assert found["instrument"] == ""


@pytest.mark.unit
def test_the_address_of_the_catalogue_is_shown_without_secrets() -> None:
    assert "hush" not in json.dumps(at(1, url="https://me:hush@stac.example.com/v1?token=hush"))


@pytest.mark.unit
def test_an_extended_cube_keeps_the_time_of_creation_and_gets_a_line_of_history() -> None:
    found = continued(at(1), at(2, date(2024, 3, 1)))
    assert (found["date_created"], found["date_modified"]) == ("2024-03-01T01:00:00Z", "2024-03-01T02:00:00Z")
    assert str(found["history"]).splitlines() == [at(1)["history"], at(2, date(2024, 3, 1))["history"]]
    assert found["time_coverage_end"] == "2024-04-01"


@pytest.mark.unit
def test_the_history_is_bounded_and_keeps_the_first_line() -> None:
    found = at(0)
    for run in range(300):
        found = continued(found, at(run % 24))
    lines = str(found["history"]).splitlines()
    assert len(lines) == 100
    assert (lines[0], lines[-1]) == (at(0)["history"], at(299 % 24)["history"])
    long = continued({"history": "x" * 10**6}, at(1))
    assert len(str(long["history"])) < 1000


@pytest.mark.unit
@pytest.mark.parametrize("edited", [{}, {"history": 7, "date_created": None}, {"history": ["a"], "date_created": 1}])
def test_attributes_that_are_no_text_are_not_continued(edited: dict[str, object]) -> None:
    assert continued(edited, at(1)) == at(1)


def test_a_store_is_created_and_extended_with_attributes(place: Place) -> None:
    schema.create(place, spec_at(place, 2), periods_until(2), CHUNK, 1, {"history": "first", "title": "a cube"})
    assert schema.read_attributes(place)["history"] == "first"
    schema.extend(place, "rgb_median", periods_until(3), {"history": "first\nsecond"})
    assert schema.exists(place)
    with xr.open_zarr(place.uri) as cube:
        assert cube.sizes["time"] == 3
        assert (cube.attrs["history"], cube.attrs["title"]) == ("first\nsecond", "a cube")
        assert cube.attrs["Conventions"] == "CF-1.11"
        assert "time_bnds" in cube.coords
