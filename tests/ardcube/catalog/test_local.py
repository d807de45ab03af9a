"""Local catalogues: a folder, an ItemCollection and a stac-geoparquet file give the same scenes."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rustac

from ardcube.catalog.items import parse_scene
from ardcube.catalog.local import LocalCatalog
from ardcube.catalog.scene import Scene
from ardcube.catalog.search import open_catalog
from ardcube.errors import InputError
from tests.oracle.items import read_catalogue
from tests.strategies import BANDS, COLLECTION_ID, raster_band, stac_collection, stac_item

EVER = (-180.0, -90.0, 180.0, 90.0), datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def with_local_assets(name: str, day: int) -> dict[str, Any]:
    item = stac_item(
        name,
        f"2023-08-{day:02d}T10:06:01.024000Z",
        updated="2023-08-30T01:02:03.456Z",
        platform="sentinel-2a",
        **{
            "grid:code": "MGRS-33TWM",
            "s2:processing_baseline": "05.09",
            "s2:datatake_id": f"GS2A_202308{day}T100031_042544_N05.09",
        },
    )
    item["assets"] = {
        band: {
            "href": f"./{band}.tif",
            "raster:bands": raster_band(),
            "proj:shape": [100, 200],
            "proj:transform": [10, 0, 5, 0, -10, 7],
        }
        for band in BANDS
    }
    return item


ITEMS = [with_local_assets(f"item-{i}", 10 + i) for i in range(3)]


def write(file: Path, document: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
    return file


def folder_of(root: Path, items: Iterable[dict[str, Any]] = ITEMS) -> Path:
    for item in items:
        write(root / item["id"] / f"{item['id']}.json", item)
    write(root / "collection.json", stac_collection())
    return root


def scenes_of(path: Path | str) -> list[Scene]:
    catalog = open_catalog(str(path), COLLECTION_ID)
    return sorted(
        (parse_scene(item, stac_collection(), BANDS) for item in catalog.search(*EVER)),
        key=lambda scene: scene.id,
    )


def refusal(path: Path, collection: str = COLLECTION_ID) -> str:
    with pytest.raises(InputError) as caught:
        LocalCatalog.open(path, collection)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- forms ---------------------------------------------------------------------------------------


def test_every_kind_of_catalogue_gives_the_same_scenes(tmp_path: Path) -> None:
    """Except for the revision from GeoParquet, which hashes timestamps of another precision."""
    items = copy.deepcopy(ITEMS)
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = f"/data/{item['id']}/{asset['href'].removeprefix('./')}"
    folder = folder_of(tmp_path / "folder", items)
    together = {"type": "FeatureCollection", "features": items}
    file = write(tmp_path / "items.json", together)
    rustac.write_sync(str(tmp_path / "items.parquet"), copy.deepcopy(items))

    expected = scenes_of(folder)
    assert [scene.id for scene in expected] == ["item-0", "item-1", "item-2"]
    assert scenes_of(file) == expected
    assert scenes_of(folder.as_uri()) == expected
    from_table = scenes_of(tmp_path / "items.parquet")
    assert [replace(scene, revision="") for scene in from_table] == [replace(scene, revision="") for scene in expected]


def test_relative_hrefs_are_resolved_against_the_file_that_contains_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder")
    assert scenes_of(folder)[1].bands["red"].href == str(folder / "item-1" / "red.tif")
    file = write(tmp_path / "a" / "items.json", {"type": "FeatureCollection", "features": ITEMS})
    assert scenes_of(file)[1].bands["red"].href == str(tmp_path / "a" / "red.tif")
    rustac.write_sync(str(tmp_path / "a" / "items.parquet"), copy.deepcopy(ITEMS))
    assert scenes_of(tmp_path / "a" / "items.parquet")[1].bands["red"].href == str(tmp_path / "a" / "red.tif")


def test_a_relative_path_is_resolved_against_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    href = scenes_of("folder")[0].bands["red"].href
    assert href == str(tmp_path / "folder" / "item-0" / "red.tif")
    assert scenes_of(f".{os.sep}folder") == scenes_of(tmp_path / "folder")


@pytest.mark.parametrize(
    "href", ["https://host/a/red.tif", "s3://bucket/red.tif", "file:///data/red.tif", "/data/red.tif"]
)
def test_absolute_hrefs_are_kept(tmp_path: Path, href: str) -> None:
    item = with_local_assets("item-0", 10)
    item["assets"]["red"]["href"] = href
    folder = folder_of(tmp_path / "folder", [item])
    assert scenes_of(folder)[0].bands["red"].href == href.removeprefix("file://")


def test_a_file_named_like_its_item_wins_over_copies_in_the_same_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder")
    for name in ("item-1.recorded.json", "a-copy.json", "z-copy.json"):
        copied = with_local_assets("item-1", 11)
        copied["assets"]["red"]["href"] = "https://elsewhere/red.tif"
        write(folder / "item-1" / name, copied)
    scenes = scenes_of(folder)
    assert [scene.id for scene in scenes] == ["item-0", "item-1", "item-2"]
    assert scenes[1].bands["red"].href == str(folder / "item-1" / "red.tif")


def test_different_items_with_one_id_are_refused(tmp_path: Path) -> None:
    """One of them would be lost."""
    first, second = with_local_assets("item-0", 10), with_local_assets("item-0", 11)
    file = write(tmp_path / "items.json", {"type": "FeatureCollection", "features": [first, second]})
    assert (
        refusal(file) == f"stac-url file {file}: different items have the id item-0; change the id of one, or remove it"
    )
    folder = tmp_path / "folder"
    files = [write(folder / day / "item.json", item) for day, item in (("10", first), ("11", second))]
    assert f"stac-url file {files[0]} and {files[1]}: different items have the id item-0" in refusal(folder)
    files = [write(folder / day / "item-0.json", item) for day, item in (("10", first), ("11", second))]
    assert f"stac-url file {files[0]} and {files[1]}: different items have the id item-0" in refusal(folder)


def test_copies_of_one_item_are_one_item(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        folder_of(tmp_path / "both" / folder)
    write(tmp_path / "both" / "items.json", {"type": "FeatureCollection", "features": ITEMS})
    assert [scene.id for scene in scenes_of(tmp_path / "both")] == ["item-0", "item-1", "item-2"]


def test_documents_that_are_not_stac_are_ignored(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder")
    area = {"type": "Feature", "geometry": None, "properties": {}}
    write(folder / "area.geojson", {"type": "FeatureCollection", "features": [area]})
    write(folder / "settings.json", {"color": "red"})
    write(folder / "list.json", [1, 2, 3])
    assert len(scenes_of(folder)) == 3


def test_the_collection_document_in_the_folder_is_found(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder")
    write(folder / "collection.recorded.json", stac_collection(0.0))
    catalog = LocalCatalog.open(folder, COLLECTION_ID)
    assert catalog.collection is not None
    assert catalog.collection["item_assets"]["red"]["raster:bands"][0]["offset"] == -0.1


def test_only_items_of_the_collection_are_used(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder")
    write(folder / "other.json", with_local_assets("other", 12) | {"collection": "sentinel-2-l2a"})
    assert len(scenes_of(folder)) == 3
    assert refusal(folder, "landsat") == (
        f"collection landsat: not in {folder}; choose from sentinel-2-c1-l2a, sentinel-2-l2a"
    )


def test_items_of_other_collections_may_have_the_same_ids(tmp_path: Path) -> None:
    other = [with_local_assets(item["id"], 5) | {"collection": "sentinel-2-l1c"} for item in ITEMS]
    file = write(tmp_path / "items.json", {"type": "FeatureCollection", "features": [*other, *ITEMS, *other]})
    assert [scene.datetime.day for scene in scenes_of(file)] == [10, 11, 12]


def test_a_search_compares_times_of_any_time_zone(tmp_path: Path) -> None:
    items = [
        stac_item("utc", "2023-08-31T23:30:00Z"),
        stac_item("east", "2023-09-01T01:30:00+02:00"),
        stac_item("bare", "2023-08-31T23:30:00"),
        stac_item("range") | {"properties": {"datetime": None, "start_datetime": "2023-08-31T23:30:00Z"}},
        stac_item("after", "2023-09-01T00:30:00Z"),
    ]
    catalog = LocalCatalog.open(folder_of(tmp_path / "folder", items), COLLECTION_ID)
    found = catalog.search(EVER[0], datetime(2023, 8, 1, tzinfo=UTC), datetime(2023, 9, 1, tzinfo=UTC))
    assert sorted(item["id"] for item in found) == ["bare", "east", "range", "utc"]


@pytest.mark.real
@pytest.mark.parametrize("name", ["zagreb-2023-08", "antwerp-2023q4", "inn-2021", "laos-2020"])
def test_real_folders_give_the_items_that_the_oracle_reads(shared_real: Path, name: str) -> None:
    folder = (shared_real / "scenes" / name).resolve()  # the oracle resolves links in paths
    items, collection = read_catalogue(folder)
    assert collection is not None
    catalog = LocalCatalog.open(folder, collection["id"])
    assert catalog.collection == collection
    found = {item["id"]: item for item in catalog.search(*EVER)}
    assert sorted(found) == sorted(item["id"] for item in items)
    for item in items:
        hrefs = {key: asset["href"] for key, asset in found[item["id"]]["assets"].items()}
        assert hrefs == {key: asset["href"] for key, asset in item["assets"].items()}


# ---- refusals ------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing") == (
        f"stac-url {tmp_path / 'nothing'}: does not exist; give a folder, a file, or the URL of a STAC API"
    )


def test_a_folder_without_items_is_refused(tmp_path: Path) -> None:
    assert "contains no STAC items" in refusal(tmp_path)
    write(tmp_path / "collection.json", stac_collection())
    assert "contains no STAC items" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["items.json", "items.parquet", "items.geoparquet"])
def test_a_file_with_content_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00 not this")
    assert str(tmp_path / name) in refusal(tmp_path / name)


def test_a_broken_document_in_a_folder_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder")
    (folder / "item-1" / "item-1.json").write_text('{"type": "Feat')
    assert str(folder / "item-1" / "item-1.json") in refusal(folder)
