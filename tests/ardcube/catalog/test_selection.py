"""Items that a cube selects: by the API, and by ardcube in any case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import ardcube
from ardcube.catalog.search import open_catalog
from ardcube.catalog.selection import SelectedCatalog, check_properties, query_of
from ardcube.config.selection import Comparison, parse_months
from ardcube.errors import InputError
from ardcube.extent.periods import calendar_periods
from tests.flows.jobs import sample_cube
from tests.servers.earth_search import CONFORMANCE, EarthSearch

HERE = (11.0, 46.0, 12.0, 47.0)
YEARS = datetime(2021, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
COMPARISONS = tuple(map(Comparison.parse, ("eo:cloud_cover<60", "platform!=sentinel-2a")))


def item(number: int, month: int, **properties: Any) -> dict[str, Any]:
    ring = [[11.2, 46.2], [11.8, 46.2], [11.8, 46.8], [11.2, 46.8], [11.2, 46.2]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "collection": "c", "id": f"i{number}",
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [11.2, 46.2, 11.8, 46.8], "links": [],
        "assets": {}, "properties": {"datetime": f"2023-{month:02}-10T10:00:00Z", **properties},
    }  # fmt: skip


ITEMS = [
    item(0, 4, **{"eo:cloud_cover": 10, "platform": "sentinel-2b"}),
    item(1, 5, **{"eo:cloud_cover": 59.9, "platform": "sentinel-2b"}),
    item(2, 6, **{"eo:cloud_cover": 60, "platform": "sentinel-2b"}),
    item(3, 7, **{"eo:cloud_cover": 0, "platform": "sentinel-2a"}),
    item(4, 8, platform="sentinel-2b"),
    item(5, 9, **{"eo:cloud_cover": 1, "platform": "sentinel-2b"}),
]


@pytest.fixture(params=[True, False], ids=["supports queries", "ignores queries"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[EarthSearch]:
    if not request.param:
        monkeypatch.setattr(
            "tests.servers.earth_search.CONFORMANCE", tuple(one for one in CONFORMANCE if "#query" not in one)
        )
    collection = {"type": "Collection", "id": "c", "stac_version": "1.0.0", "description": "", "license": "x",
                  "links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]},
                                          "temporal": {"interval": [[None, None]]}}}  # fmt: skip
    with EarthSearch([collection], ITEMS) as running:
        yield running


def test_items_are_selected_by_comparisons_and_months(server: EarthSearch) -> None:
    source = open_catalog(server.url, "c")
    catalog = SelectedCatalog(source.selecting(query_of(COMPARISONS)), COMPARISONS, parse_months("5-9"))
    assert [found["id"] for found in catalog.search(HERE, *YEARS)] == ["i5", "i1"]
    sent = server.searches[-1].body
    supported = source.selecting({"a": {"eq": 1}}) is not source
    assert sent.get("query") == (
        {"eo:cloud_cover": {"lt": 60.0}, "platform": {"neq": "sentinel-2a"}} if supported else None
    )


def test_a_property_that_no_item_has_is_refused_with_those_that_exist(server: EarthSearch) -> None:
    periods = calendar_periods(YEARS[0].date(), YEARS[1].date(), 1)
    source = open_catalog(server.url, "c")
    check_properties(source, COMPARISONS, HERE, periods)
    with pytest.raises(
        InputError, match=r"none of the first 6 items has the property eo:cloud_covr; choose from .*eo:c"
    ):
        check_properties(source, [Comparison.parse("eo:cloud_covr<60")], HERE, periods)


def test_a_cube_keeps_months_of_every_year_and_its_selection_is_its_identity(
    sample_archive: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"months": "7,5", "query": ("eo:cloud_cover<70",), "bands": ("red",), "chunk_size": 400}
    cube = sample_cube(sample_archive, **options)
    plan, unselected = ardcube.plan(cube), ardcube.plan(sample_cube(sample_archive, bands=("red",), chunk_size=400))
    assert list(plan.scenes) == ["2023-05", "2023-07"]
    assert 0 < sum(plan.scenes.values()) < unselected.scenes["2023-05"] + unselected.scenes["2023-07"]
    assert ardcube.build(cube, tmp_path / "cube", threads=2).written == 2
    with xr.open_zarr(tmp_path / "cube") as opened:
        assert opened.time.dt.month.to_numpy().tolist() == [5, 7]
        assert opened.time_bnds.dt.month.to_numpy().tolist() == [[5, 6], [7, 8]]
    assert ardcube.build(cube, tmp_path / "cube", threads=2).already_done == 2
    for other in ({"query": ()}, {"months": None}):
        with pytest.raises(InputError, match="holds another cube"):
            ardcube.build(sample_cube(sample_archive, **options | other), tmp_path / "cube")
    with pytest.raises(InputError, match=r"months 1,2: no period .* has one of the months \[1, 2\]"):
        ardcube.plan(sample_cube(sample_archive, months="1-2"))
