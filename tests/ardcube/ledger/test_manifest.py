"""Manifests: the scenes of a period are read unchanged."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import geopandas
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import Scene
from ardcube.errors import StoreError
from ardcube.extent.periods import Period
from ardcube.ledger.manifest import read_manifest, remove_unplanned, write_manifest
from ardcube.storage.place import Place
from tests.strategies import BANDS, FEW, stac_collection, stac_item

AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))


def make(number: int, *, split: bool = False, known: bool = True) -> Scene:
    parts = [shapely.box(179.5, 0, 180, 1), shapely.box(-180, 0, -179.5, 1)]
    properties = {"grid:code": f"MGRS-01TW{number}", "s2:processing_baseline": "05.10"} if known else {}
    return parse_scene(
        stac_item(
            f"scene-{number}",
            f"2023-08-{number + 1:02d}T10:06:01.123456Z",
            geometry=shapely.geometry.mapping(shapely.MultiPolygon(parts) if split else parts[0]),
            offset=-0.1 if number % 2 else 0.0,
            **properties,
        ),
        stac_collection(),
        BANDS,
        ("scl",),
    ).at_longitudes(170.0, 190.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Place:
    return Place.at(str(tmp_path / "cube.zarr.ardcube"))


@FEW
@given(kinds=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6))
def test_scenes_are_read_unchanged(ledger: Place, kinds: list[tuple[bool, bool]]) -> None:
    scenes = [make(i, split=split, known=known) for i, (split, known) in enumerate(kinds)]
    name = write_manifest(ledger, AUGUST, scenes)
    assert list(read_manifest(ledger.uri, name).scenes) == scenes


def test_a_manifest_is_geoparquet(ledger: Place) -> None:
    name = write_manifest(ledger, AUGUST, [make(1), make(2)])
    frame = geopandas.read_parquet(ledger.file(name))
    assert frame["id"].tolist() == ["scene-1", "scene-2"]
    assert frame.crs == "EPSG:4326"


def test_a_manifest_that_geopandas_wrote_is_read(ledger: Place) -> None:
    """Earlier versions wrote manifests with geopandas."""
    scenes = [make(1, split=True), make(2), make(3, known=False)]
    name = write_manifest(ledger, AUGUST, scenes)
    geopandas.read_parquet(ledger.file(name)).to_parquet(ledger.file("items/older.parquet"), index=False)
    assert list(read_manifest(ledger.uri, "items/older.parquet").scenes) == scenes


def test_a_manifest_keeps_the_sensors(ledger: Place) -> None:
    scenes = [replace(make(1), sensor="Landsat OLI"), replace(make(2), sensor="Sentinel-2 MSI")]
    name = write_manifest(ledger, AUGUST, scenes)
    assert list(read_manifest(ledger.uri, name).scenes) == scenes
    others = [replace(scene, sensor="Landsat OLI") for scene in scenes]
    assert write_manifest(ledger, AUGUST, others) != name


def test_scenes_of_a_manifest_without_sensors_have_one_sensor(ledger: Place) -> None:
    """Earlier versions wrote no sensor."""
    scenes = [make(1), make(2)]
    known = [replace(scene, sensor="Sentinel-2 MSI") for scene in scenes]
    name = write_manifest(ledger, AUGUST, known)
    older = geopandas.read_parquet(ledger.file(name)).drop(columns="sensor")
    older.to_parquet(ledger.file("items/older.parquet"), index=False)
    assert list(read_manifest(ledger.uri, "items/older.parquet").scenes) == scenes
    assert write_manifest(ledger, AUGUST, scenes) == name  # the name of an earlier version, too


def test_other_scenes_are_written_to_another_file(ledger: Place) -> None:
    """Chunks in flight read the scenes that they were planned with."""
    first = write_manifest(ledger, AUGUST, [make(1)])
    before = ledger.read(first)
    assert write_manifest(ledger, AUGUST, [make(1)]) == first
    assert ledger.list() == [first]

    moved = make(1)
    moved = replace(
        moved, bands={name: replace(asset, href="s3://mirror/x.tif") for name, asset in moved.bands.items()}
    )
    turned = make(1).at_longitudes(-190.0, -170.0)  # of another cube at the same address
    others = [
        write_manifest(ledger, AUGUST, scenes)
        for scenes in ([make(1), make(2)], [replace(make(1), revision="newer")], [moved], [turned], [])
    ]
    assert len({first, *others}) == 6
    assert ledger.read(first) == before
    assert all(name.startswith("items/2023-08-") for name in others)


def test_the_error_for_a_missing_manifest_names_the_file(ledger: Place) -> None:
    with pytest.raises(
        StoreError, match=r"items/nothing\.parquet: the planned scenes are missing; run the build again"
    ):
        read_manifest(ledger.uri, "items/nothing.parquet")


def test_manifests_that_the_plan_does_not_name_are_removed_and_nothing_else(ledger: Place) -> None:
    kept, old = write_manifest(ledger, AUGUST, [make(1)]), write_manifest(ledger, AUGUST, [make(2)])
    for name in (
        "items/notes.parquet",
        "items/2023-08.parquet",
        "items/planned.json",
        "chunks/2023-08-0123456789abcdef.parquet",
    ):
        ledger.write(name, b"mine")
    before = set(ledger.list())
    remove_unplanned(ledger, {kept})
    assert before - set(ledger.list()) == {old}
