"""A cube of several collections, from one catalogue or several."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ardcube.catalog.scene import Scene
from ardcube.errors import InputError
from ardcube.ledger.manifest import read_manifest
from ardcube.planning.estimate import estimate, largest_work
from ardcube.prepare.make_plan import search_scenes
from ardcube.prepare.pending import initialize_store, plan_build
from ardcube.prepare.request import Request
from ardcube.store import schema
from tests.ardcube.collections.test_model import SMALL
from tests.ardcube.prepare.test_check import BBOX, check, plan_of
from tests.servers.earth_search import EarthSearch
from tests.strategies import raster_band, stac_collection, stac_item

AREA = (14.9, 45.9, 15.2, 46.1)
NARROW = {"blue": {}, "green": {}, "red": {}, "nir08": {}, "swir16": {}, "qa_pixel": {}}


def sentinel_2(name: str = "s2", when: str = "2023-01-10T10:00:00Z", **more: Any) -> dict[str, Any]:
    return stac_item(name, when, AREA, platform="sentinel-2a", **more) | {"collection": "s2"}


def landsat(
    name: str = "l8", when: str = "2023-01-10T09:50:00Z", offset: float | None = -0.2, **more: Any
) -> dict[str, Any]:
    stated = {} if offset is None else {"raster:bands": raster_band(offset)}
    assets = {key: {"href": f"https://127.0.0.1:1/{name}/{key}.tif", **stated} for key in NARROW}
    item = stac_item(name, when, AREA, assets=assets, platform="landsat-8", **more)
    return item | {"collection": "landsat"}


def document(name: str, offset: float | None = None, keys: Any = NARROW) -> dict[str, Any]:
    assets = {key: {"eo:bands": [{"name": key}], "raster:bands": raster_band(offset)} for key in keys}
    return stac_collection() | {"id": name, "item_assets": assets}


def write(folder: Path, *documents: dict[str, Any]) -> Path:
    """Write documents into files of a folder."""
    folder.mkdir(exist_ok=True)
    for number, one in enumerate(documents):
        (folder / f"{number}-{one['id']}.json").write_text(json.dumps(one))
    return folder


def pooled(world: Path, *collections: str, **changes: Any) -> Request:
    changes = {"collection": collections or ("landsat", "s2"), "bands": ("red",)} | changes
    return check(world, **changes)


def scenes_of(request: Request) -> dict[str, Scene]:
    return {scene.id: scene for found in search_scenes(request).values() for scene in found}


def test_the_scenes_of_several_collections_are_ordered_by_time_and_have_their_sensors(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat(), landsat("later", "2023-02-01T09:50:00Z"))
    request = pooled(tmp_path)
    found = search_scenes(request)
    assert {label: [scene.id for scene in scenes] for label, scenes in found.items()} == {
        "2023-01": ["landsat/l8", "s2/s2"],
        "2023-02": ["landsat/later"],
    }
    assert {scene.id: scene.sensor for scene in found["2023-01"]} == {
        "landsat/l8": "Landsat OLI",
        "s2/s2": "Sentinel-2 MSI",
    }
    plan = plan_of(request)
    sizes = estimate(plan)
    assert dict(sizes.collections) == {"landsat": 2, "s2": 1}
    assert dict(sizes.sensors) == {"Landsat OLI": 2, "Sentinel-2 MSI": 1}
    assert largest_work(plan).days == 2  # two observations on one day


def test_the_order_of_collections_does_not_matter_and_one_in_a_list_is_one(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat())
    one, other = pooled(tmp_path, "landsat", "s2"), pooled(tmp_path, "s2", "landsat")
    assert one.identity == other.identity
    assert one.identity["collection"] == ["landsat", "s2"]
    assert pooled(tmp_path, collection=["s2"]).identity == pooled(tmp_path, collection="s2").identity
    assert pooled(tmp_path, "s2").identity["collection"] == "s2"
    assert [*scenes_of(pooled(tmp_path, "s2"))] == ["s2"]


def test_the_collections_of_two_catalogues_are_pooled_and_their_address_is_no_identity(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", landsat(), sentinel_2())
    other = write(tmp_path / "other", sentinel_2())
    one, two = pooled(tmp_path), pooled(tmp_path, "landsat", f"{other}#s2")
    assert one.identity == two.identity
    assert {name: scene.revision for name, scene in scenes_of(one).items()} == {
        name: scene.revision for name, scene in scenes_of(two).items()
    }


def test_each_collection_of_an_api_is_searched_by_itself_for_each_period(tmp_path: Path) -> None:
    items = [sentinel_2(f"s2-{day}", f"2023-01-{day:02d}T10:00:00Z") for day in range(1, 4)]
    with EarthSearch([document("s2", -0.1), document("landsat", -0.2)], [*items, landsat()]) as server:
        request = pooled(tmp_path, stac_url=server.url)
        before = len(server.searches)
        assert sorted(scenes_of(request)) == ["landsat/l8", "s2/s2-1", "s2/s2-2", "s2/s2-3"]
        searched = [(one.body or one.query)["collections"] for one in server.searches[before:]]
    assert sorted(map(str, searched)) == ["['landsat']", "['landsat']", "['s2']", "['s2']"]


def test_a_collection_describes_only_its_own_items_and_the_cube_has_the_smallest_offset(tmp_path: Path) -> None:
    described = document("landsat", -0.2), document("s2", -0.1, ["red"])
    write(tmp_path / "catalogue", *described, sentinel_2(offset=None), landsat(offset=None))
    request = pooled(tmp_path)
    assert {name: scene.bands["red"].offset for name, scene in scenes_of(request).items()} == {
        "landsat/l8": -0.2,
        "s2/s2": -0.1,
    }
    assert plan_of(request).spec.encoding.offset == -0.2


def test_items_of_one_id_in_two_collections_are_two_scenes(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2("2023-01-10"))
    write(tmp_path / "other", landsat("2023-01-10"))
    request = pooled(tmp_path, "s2", f"{tmp_path / 'other'}#landsat")
    assert sorted(scenes_of(request)) == ["landsat/2023-01-10", "s2/2023-01-10"]


def test_an_item_that_two_catalogues_of_one_collection_have_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2("a"), sentinel_2("b"))
    mirror = write(tmp_path / "mirror", sentinel_2("b"), sentinel_2("c"))
    request = pooled(tmp_path, "s2", f"{mirror}#s2")
    assert sorted(scenes_of(request)) == ["s2/a", "s2/b", "s2/c"]
    assert request.identity["collection"] == ["s2", "s2"]


def test_a_band_that_one_collection_lacks_is_refused_with_its_bands(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat())
    with pytest.raises(InputError, match=r"^band nir: not in collection landsat; choose from blue, green, red, nir08"):
        pooled(tmp_path, bands=("red", "nir"))
    assert not (tmp_path / "cube.zarr").exists()


def test_a_collection_without_the_band_of_the_mask_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat())
    with pytest.raises(InputError, match=r"^band scl: not in collection landsat; choose from"):
        pooled(tmp_path, cloud_mask="scl")


def test_an_unknown_collection_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat())
    with pytest.raises(InputError, match=r"^collection hls: not in .*; choose from landsat, s2$"):
        pooled(tmp_path, "s2", "hls")


def test_a_local_catalogue_lets_a_remote_one_refer_to_no_local_file(tmp_path: Path) -> None:
    local, remote = sentinel_2(), landsat()
    for item in (local, remote):
        for key, asset in item["assets"].items():
            asset["href"] = f"file://{tmp_path}/{key}.tif"
    write(tmp_path / "catalogue", local)
    with EarthSearch([document("landsat", -0.2)], [remote]) as server:
        request = pooled(tmp_path, "s2", f"{server.url}#landsat")
        with pytest.raises(InputError, match=r"band red of item landsat/l8 is at .*a local file; to read it, add"):
            search_scenes(request)
    assert [*scenes_of(pooled(tmp_path, "s2"))] == ["s2"]


def test_an_item_that_names_no_collection_is_refused(tmp_path: Path) -> None:
    nameless = {name: value for name, value in landsat("x").items() if name != "collection"}
    write(tmp_path / "catalogue", sentinel_2(), landsat(), nameless)
    with pytest.raises(InputError, match=r"item x names no collection, and the cube has several; add its collection"):
        pooled(tmp_path)


def test_a_condition_on_a_property_that_one_collection_lacks_is_refused(tmp_path: Path) -> None:
    """Otherwise none of its scenes would be used."""
    write(tmp_path / "catalogue", sentinel_2(**{"view:sun_elevation": 30, "eo:cloud_cover": 5}), landsat())
    with pytest.raises(InputError, match=r"none of the first 1 items of collection landsat has the property"):
        pooled(tmp_path, query=("view:sun_elevation>20",))


def test_conditions_select_scenes_of_each_collection(tmp_path: Path) -> None:
    cover = [("a", 5), ("b", 80)]
    items = [
        make(f"{make.__name__}-{name}", **{"eo:cloud_cover": share})
        for name, share in cover
        for make in (sentinel_2, landsat)
    ]
    write(tmp_path / "catalogue", *items)
    found = scenes_of(pooled(tmp_path, query=("eo:cloud_cover<60",)))
    assert sorted(found) == ["landsat/landsat-a", "s2/sentinel_2-a"]


def test_a_collection_without_a_scene_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat(when="2020-01-10T10:00:00Z"))
    request = pooled(tmp_path)
    with caplog.at_level(logging.WARNING):
        plan = plan_of(request)
    assert "collection landsat: no scene was found in any period" in caplog.text
    assert dict(estimate(plan).collections) == {"landsat": 0, "s2": 1}


def test_the_bands_of_a_collection_without_a_scene_are_those_of_its_definitions(tmp_path: Path) -> None:
    """Its first scenes may come later: Landsat 9 was launched in 2021."""
    listed = document("hls2-l30") | {"item_assets": {"B04": {"eo:bands": [{"name": "B04"}]}, "Fmask": {}}}
    with EarthSearch([document("s2", -0.1), listed], [sentinel_2()]) as server:
        request = pooled(tmp_path, "hls2-l30", "s2", stac_url=server.url)
        plan = plan_of(request)
        assert dict(estimate(plan).collections) == {"hls2-l30": 0, "s2": 1}
        assert plan.spec.encoding.offset == -0.9999  # of HLS, whose scenes come later
        with pytest.raises(
            InputError, match=r"^band nir09: not in collection hls2-l30; choose from B04, coastal, blue"
        ):
            pooled(tmp_path, "hls2-l30", "s2", stac_url=server.url, bands=("nir09",))


def test_the_mask_of_a_collection_without_a_scene_is_that_of_its_definitions(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", landsat(), sentinel_2(when="2023-04-10T10:00:00Z") | {"collection": "hls2-s30"})
    named = {"definition": "landsat=landsat-c2-l2", "cloud_mask": "auto"}
    request = pooled(tmp_path, "landsat", "hls2-s30", **named)  # January to March
    assert request.cube.cloud_mask == "auto"
    assert request.cube.cloud_mask_options == {"masks": ["fmask", "qa_pixel"]}


def test_a_collection_of_bad_scenes_only_is_refused_with_its_id(tmp_path: Path) -> None:
    bad = [landsat(name) | {"geometry": None} for name in ("a", "b")]
    write(tmp_path / "catalogue", sentinel_2(), *bad)
    with pytest.raises(InputError, match=r"^collection landsat: none of its 2 scenes can be used: item a: it has no"):
        search_scenes(pooled(tmp_path, skip_bad_scenes=5))


def test_a_definition_is_named_for_one_collection_and_belongs_to_the_identity(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat(offset=None))
    with pytest.raises(InputError, match=r"states no scale and offset"):
        plan_of(pooled(tmp_path))
    request = pooled(tmp_path, definition="landsat=sentinel-2-c1-l2a", bands=("red",))
    found = scenes_of(request)
    assert found["landsat/l8"].definition == "sentinel-2-c1-l2a"
    assert found["landsat/l8"].bands["red"].offset == -0.1
    assert found["s2/s2"].definition == ""
    other = pooled(tmp_path, definition="s2=planetary-computer-sentinel-2-l2a", bands=("red",))
    assert len({str(one.identity.get("definitions")) for one in (request, other, pooled(tmp_path))}) == 3


def test_each_collection_may_have_a_definition_in_a_file(tmp_path: Path) -> None:
    items = [sentinel_2(offset=None), landsat(offset=None)]
    for item, key in zip(items, ("RE", "GR"), strict=True):
        item["assets"] = {key: {"href": f"https://127.0.0.1:1/{key}.tif"}}
    write(tmp_path / "catalogue", *items)
    other = SMALL.replace('"small"', '"other"', 1).replace('"RE"', '"GR"').replace("Sentinel-2 MSI", "Other")
    files = [tmp_path / "small.toml", tmp_path / "other.toml"]
    for file, text in zip(files, (SMALL, other), strict=True):
        file.write_text(text)
    request = pooled(tmp_path, collection_file=[str(file) for file in files])
    assert {name: (scene.definition, scene.sensor) for name, scene in scenes_of(request).items()} == {
        "s2/s2": ("small", "Sentinel-2 MSI"),
        "landsat/l8": ("other", "Other"),
    }
    assert request.identity == pooled(tmp_path, collection_file=[str(file) for file in files[::-1]]).identity


def test_the_store_and_the_manifest_record_collections_sensors_and_products(tmp_path: Path) -> None:
    write(tmp_path / "catalogue", sentinel_2(), landsat())
    request = pooled(tmp_path, definition="s2=sentinel-2-c1-l2a")
    pending = plan_build(request, search_scenes(request))
    initialize_store(request, pending)
    manifest = read_manifest(pending.ledger.place.uri, pending.jobs[0].manifest)
    assert [(scene.id, scene.sensor) for scene in manifest.scenes] == [
        ("landsat/l8", "Landsat OLI"),
        ("s2/s2", "Sentinel-2 MSI"),
    ]
    found = schema.read_attributes(request.place)
    assert (found["collection"], found["instrument"]) == ("landsat, s2", "Landsat OLI, Sentinel-2 MSI")
    assert found["title"] == "Sentinel-2 L2A surface reflectance, median composites"
    assert found["source"] == "Sentinel-2 L2A; contains modified Copernicus Sentinel data 2023"
    again = pooled(tmp_path, "s2", "landsat", definition="s2=sentinel-2-c1-l2a")  # another order continues it
    assert again.stored is not None
    with pytest.raises(InputError, match=r"collection is \['landsat', 's2'\] there and 's2' here"):
        pooled(tmp_path, "s2")


def test_the_finest_pixel_of_all_collections_is_the_default_resolution(tmp_path: Path) -> None:
    coarse, fine = landsat(), sentinel_2()
    for item, size in ((coarse, 30), (fine, 10)):
        for asset in item["assets"].values():
            asset["gsd"] = size
    write(tmp_path / "catalogue", coarse, fine)
    request = pooled(tmp_path, crs="EPSG:32633", resolution=None, bbox=(BBOX[0], BBOX[1], 15.01, 46.01))
    assert request.grid.lattice.step_x == 10
