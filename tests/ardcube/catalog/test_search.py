"""The scenes of a cube are those whose reach intersects it, in a STAC API and in a local catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.search import find_scenes, open_catalog
from ardcube.catalog.source import ItemParser
from ardcube.config import CubeConfig
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from tests.strategies import COLLECTION_ID, stac_collection, stac_item

Found = Callable[[tuple[float, float, float, float], Iterable[dict[str, Any]]], set[str]]
AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))


@pytest.fixture(params=["local", "api"])
def found(request: pytest.FixtureRequest, tmp_path: Path, earth_search: Callable[..., Any]) -> Found:
    """Return the ids of the items that a cube of some bounds finds."""

    def search(bounds: tuple[float, float, float, float], items: Iterable[dict[str, Any]]) -> set[str]:
        url = str(tmp_path)
        if request.param == "api":
            url = earth_search([stac_collection()], items).url
        else:
            for document in (*items, stac_collection()):
                (tmp_path / f"{document['id']}.json").write_text(json.dumps(document))
        cube = CubeConfig(start_date="2023-08-01", end_date="2023-08-31", bbox=(0, 0, 1, 1), stac_url=url)
        grid = Grid.from_bounds(bounds, 0.001)
        catalog = open_catalog(url, COLLECTION_ID)
        scenes = find_scenes(catalog, ItemParser(cube.bands), grid, AUGUST, AccessPolicy(url))
        return {scene.id for scene in scenes}

    return search


def test_a_scene_is_found_whose_margin_alone_reaches_the_cube(found: Found) -> None:
    # At 60 degrees of latitude the margin is 0.02 degrees of latitude and 0.04 degrees of longitude wide.
    cube = (15.0, 60.0, 15.1, 60.1)
    items = [
        stac_item("west", box=(14.0, 59.5, 14.97, 60.5)),
        stac_item("too far west", box=(14.0, 59.5, 14.95, 60.5)),
        stac_item("south", box=(14.5, 59.8, 15.5, 59.985)),
        stac_item("too far south", box=(14.5, 59.8, 15.5, 59.975)),
    ]
    assert found(cube, items) == {"west", "south"}


@pytest.mark.parametrize("cube", [(-180.0, 0.0, -179.9, 0.1), (179.9, 0.0, 180.0, 0.1)])
def test_a_scene_is_found_whose_margin_crosses_the_antimeridian(
    cube: tuple[float, float, float, float], found: Found
) -> None:
    items = [
        stac_item("east of it", box=(-179.99, 0, -179, 1)),
        stac_item("west of it", box=(179, 0, 179.99, 1)),
        stac_item("far", box=(178, 0, 179, 1)),
    ]
    assert found(cube, items) == {"east of it", "west of it"}
