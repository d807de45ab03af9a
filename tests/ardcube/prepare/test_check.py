"""From a request to a plan and an initialized store; a bad request is refused before anything is written."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
import xarray as xr

from ardcube.catalog.search import local_path
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError, StoreError
from ardcube.fingerprint import digest
from ardcube.ledger.ledger import stored_inputs
from ardcube.ledger.manifest import read_manifest
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.pixels.masks import cloud_mask
from ardcube.planning.plan import CubePlan
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize, remove_cube
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.prepare.pending import initialize_store, plan_build
from ardcube.prepare.request import Request
from ardcube.store import schema
from tests.strategies import stac_collection, stac_item

BBOX = (15.0, 46.0, 15.08, 46.04)  # 2 x 1 tiles of 40 pixels


def write_catalogue(folder: Path, *items: dict[str, Any], collection: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for item in items:
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    (folder / "collection.json").write_text(json.dumps(collection or stac_collection()))
    return folder


WEST = stac_item("west", "2023-01-10T10:00:00Z", (14.9, 45.9, 15.01, 46.1))
BOTH = stac_item("both", "2023-02-10T10:00:00Z", (14.9, 45.9, 15.2, 46.1))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with a catalogue in it, and room for cubes."""
    write_catalogue(tmp_path / "catalogue", WEST, BOTH)
    return tmp_path


def check(world: Path, *, build: bool = True, **changes: Any) -> Request:
    """Check a request for a cube at `world/cube.zarr`; changes are fields of either model."""
    cube: dict[str, Any] = {
        "start_date": "2023-01-01",
        "end_date": "2023-02-28",
        "bbox": BBOX,
        "resolution": 0.001,
        "chunk_size": 40,
        "stac_url": str(world / "catalogue"),
    }
    run: dict[str, Any] = {"fsspec_uri": str(world / "cube.zarr")}
    for name, value in changes.items():
        (cube if name in CubeConfig.model_fields else run)[name] = value
    config = CubeConfig(**cube)
    mask = cloud_mask(config.cloud_mask, config.cloud_mask_options)
    return check_request(config, RunConfig(**run), mask, build=build)


def plan_of(request: Request) -> CubePlan:
    return make_plan(request, search_scenes(request))


def prepare(world: Path, **changes: Any) -> tuple[Request, CubePlan]:
    request = check(world, **changes)
    plan = plan_of(request)
    initialize(request, plan)
    return request, plan


def refusal(world: Path, **changes: Any) -> str:
    """The one line of a refusal; nothing may have been written for it."""
    before = contents(world)
    with pytest.raises(InputError) as caught:
        check(world, **changes)
    assert "\n" not in str(caught.value)
    assert contents(world) == before
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def finish(request: Request, plan: CubePlan) -> None:
    """Say of every chunk that it is empty, as a run without scenes would."""
    for job in plan.jobs:
        attempt = Attempt("2024-01-01T00:00:00+00:00", "here", 1.0)
        request.ledger.write(ChunkRecord(job.key, "empty", job.inputs, (attempt,)))


# ---- plans ---------------------------------------------------------------------------------------


def test_a_plan_joins_tiles_periods_and_scenes(world: Path) -> None:
    plan = plan_of(check(world))
    assert [(str(job.key), job.time_index, job.scenes) for job in plan.jobs] == [
        ("2023-01_y0000_x0000", 0, 1),
        ("2023-02_y0000_x0000", 1, 1),
        ("2023-01_y0000_x0001", 0, 0),
        ("2023-02_y0000_x0001", 1, 1),
    ]
    assert [(period, [scene.id for scene in scenes]) for period, scenes in plan.scenes.items()] == [
        ("2023-01", ["west"]),
        ("2023-02", ["both"]),
    ]


def test_checking_and_planning_without_building_writes_nothing(world: Path) -> None:
    before = contents(world)
    request = check(world, build=False)
    plan = make_plan(request, search_scenes(request), build=False)
    assert len(plan.jobs) == 4
    assert contents(world) == before


def test_planning_again_gives_the_same_jobs(world: Path) -> None:
    assert plan_of(check(world)) == plan_of(check(world))


def test_a_scene_that_arrives_makes_just_its_chunks_pending(world: Path) -> None:
    _, before = prepare(world)
    east = stac_item("east", "2023-01-20T10:00:00Z", (15.075, 45.9, 15.2, 46.1))
    write_catalogue(world / "catalogue", east)
    after = plan_of(check(world))
    changed = [str(a.key) for b, a in zip(before.jobs, after.jobs, strict=True) if b.inputs != a.inputs]
    assert changed == ["2023-01_y0000_x0001"]


def test_the_search_reports_each_period(world: Path) -> None:
    expected: list[tuple[str, int]] = []
    search_scenes(check(world), lambda period, count: expected.append((period.label, count)))
    assert expected == [("2023-01", 1), ("2023-02", 1)]


def test_a_geometry_file_gives_the_bounds_and_with_the_mask_only_its_tiles(world: Path) -> None:
    corners = [shapely.box(15.0, 46.0, 15.03, 46.04), shapely.box(15.15, 46.0, 15.16, 46.04)]
    file = world / "area.gpkg"
    geopandas.GeoDataFrame(geometry=corners, crs="EPSG:4326").to_file(file)
    area = {"bbox": None, "geometry_file": str(file)}
    assert {job.key.col for job in plan_of(check(world, **area)).jobs} == {0, 1, 2, 3}
    masked = plan_of(check(world, **area, use_geometry_mask=True))
    assert {job.key.col for job in masked.jobs} == {0, 3}
    assert {job.window.x0 for job in masked.jobs} == {0, 120}


def test_the_offset_of_the_cube_does_not_depend_on_its_items(world: Path) -> None:
    """Overlapping cubes of one collection have equal digital numbers."""
    assert plan_of(check(world)).spec.encoding.offset == -0.1
    other = {"collection": "other"}
    silent = stac_collection(None) | {"id": "other"}
    items = [
        stac_item("later", "2023-02-20T10:00:00Z", BBOX, offset=-0.3) | other,
        stac_item("first", "2023-01-05T10:00:00Z", BBOX, offset=-0.2) | other,
    ]
    write_catalogue(world / "other", *items, collection=silent)
    plan = plan_of(check(world, stac_url=str(world / "other"), collection="other"))
    assert plan.spec.encoding.offset == 0.0
    assert [scene.bands["red"].offset for found in plan.scenes.values() for scene in found] == [-0.2, -0.3]


# ---- bad scenes ----------------------------------------------------------------------------------

ANOTHER = stac_item("another", "2023-01-20T10:00:00Z", (14.9, 45.9, 15.01, 46.1))


def without_asset(item: dict[str, Any]) -> None:
    del item["assets"]["red"]


def without_encoding(item: dict[str, Any]) -> None:
    item["collection"] = None
    item["assets"]["red"].pop("raster:bands")


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no asset": (without_asset, "no asset for band red, only green"),
    "no assets": (lambda item: item.pop("assets"), "no asset for band red"),
    "assets are none": (lambda item: item.update(assets=None), "no asset for band red"),
    "no href": (lambda item: item["assets"]["red"].pop("href"), "does not follow the STAC specification (KeyError"),
    "no geometry": (lambda item: item.update(geometry=None), "it has no geometry"),
    "no geometry and box": (lambda item: [item.pop(name) for name in ("geometry", "bbox")], "it has no geometry"),
    "a geometry that is none": (lambda item: item.update(geometry={"type": "Polygon"}), "does not follow the STAC"),
    "no time": (lambda item: item["properties"].pop("datetime"), "it has no datetime"),
    "a time that is none": (lambda item: item["properties"].update(datetime="yesterday"), "does not follow the STAC"),
    "no properties": (lambda item: item.pop("properties"), "it has no datetime"),
    "an offset in digital numbers": (
        lambda item: item["assets"]["red"]["raster:bands"][0].update(offset=-1000), "band red has the offset -1000"
    ),
    "a type of 32 bits": (
        lambda item: item["assets"]["red"]["raster:bands"][0].update(data_type="float32"), "band red is float32"
    ),
}  # fmt: skip


def with_bad_item(world: Path, kind: str) -> None:
    """Make the scene `west` of January bad."""
    item = copy.deepcopy(WEST)
    BAD[kind][0](item)
    write_catalogue(world / "catalogue", ANOTHER)
    (world / "catalogue" / "west.json").write_text(json.dumps(item))


@pytest.mark.parametrize("kind", BAD)
def test_a_scene_that_cannot_be_understood_is_refused_and_named_before_anything_is_written(
    world: Path, kind: str
) -> None:
    with_bad_item(world, kind)
    before = contents(world)
    with pytest.raises(InputError) as caught:
        search_scenes(check(world))
    message = str(caught.value)
    assert message.startswith("item west: ")
    assert BAD[kind][1] in message
    assert "; or add --skip-bad-scenes N to leave out up to N such scenes per chunk (1 of " in message
    assert "\n" not in message
    assert contents(world) == before


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_scene_that_may_be_left_out_stays_in_the_plan_of_its_chunks(world: Path, kind: str) -> None:
    with_bad_item(world, kind)
    request, plan = prepare(world, skip_bad_scenes=1)
    (bad,) = [scene for scene in plan.scenes["2023-01"] if scene.problem]
    assert (bad.id, dict(bad.bands)) == ("west", {})
    assert BAD[kind][1] in bad.problem
    met = {str(job.key): job.scenes for job in plan.jobs}
    everywhere = kind == "no geometry and box"
    assert met["2023-01_y0000_x0000"] == 2
    assert met["2023-01_y0000_x0001"] == (1 if everywhere else 0)
    (read,) = [
        scene for scene in read_manifest(request.ledger.place.uri, plan.jobs[0].manifest).scenes if scene.problem
    ]
    assert read == bad


def test_a_bad_scene_that_is_corrected_changes_the_inputs_of_its_chunks(world: Path) -> None:
    with_bad_item(world, "no asset")
    _, before = prepare(world, skip_bad_scenes=1)
    write_catalogue(world / "catalogue", WEST)
    after = plan_of(check(world))
    changed = [str(a.key) for b, a in zip(before.jobs, after.jobs, strict=True) if b.inputs != a.inputs]
    assert changed == ["2023-01_y0000_x0000"]


def test_a_bad_scene_that_meets_no_tile_is_no_problem(world: Path) -> None:
    with_bad_item(world, "no asset")
    corners = [shapely.box(15.041, 46.0, 15.08, 46.04), shapely.box(15.0, 46.0, 15.0, 46.0)]
    file = world / "area.gpkg"
    geopandas.GeoDataFrame(geometry=corners[:1], crs="EPSG:4326").to_file(file)
    request = check(world)
    masked = replace(request, area=replace(request.area, mask=corners[0]))
    assert [scene.id for scene in search_scenes(masked)["2023-01"] if scene.problem] == ["west"]
    with pytest.raises(InputError, match="item west: no asset"):
        search_scenes(request)


@pytest.mark.parametrize("skip", [0, 10])
def test_a_catalogue_without_encodings_is_refused_whatever_may_be_skipped(world: Path, skip: int) -> None:
    items = [copy.deepcopy(item) | {"collection": "plain"} for item in (WEST, BOTH, ANOTHER)]
    for item in items:
        for asset in item["assets"].values():
            asset.pop("raster:bands")
    write_catalogue(world / "plain", *items, collection={"type": "Collection", "id": "plain"})
    message = refusal(world, stac_url=str(world / "plain"), collection="plain", skip_bad_scenes=skip)
    assert message.startswith(
        f"stac-url {world / 'plain'}: none of its 3 scenes can be used: item west: band red states no "
    )
    assert "states no scale and offset; add scale and offset to raster:bands" in message


# ---- initialize ----------------------------------------------------------------------------------


def test_initialize_creates_the_store_and_repeating_it_changes_nothing(world: Path) -> None:
    request, _ = prepare(world)
    assert schema.exists(request.place)
    before = contents(world)
    again, _ = prepare(world)
    assert again.stored is not None
    assert contents(world) == before


def test_a_store_that_was_never_finished_is_finished(world: Path) -> None:
    request, _ = prepare(world)
    (world / "cube.zarr" / "zarr.json").unlink()
    prepare(world)
    assert schema.exists(request.place)


def test_a_later_end_date_extends_the_time_axis_and_keeps_done_chunks(world: Path) -> None:
    request, plan = prepare(world)
    finish(request, plan)
    longer, longer_plan = prepare(world, end_date="2023-04-30")
    with xr.open_zarr(longer.place.uri) as cube:
        assert cube["time"].dt.month.values.tolist() == [1, 2, 3, 4]
    records = longer.ledger.records()
    done = [str(job.key) for job in longer_plan.jobs if job.key in records and records[job.key].is_done(job)]
    assert done == [str(job.key) for job in plan.jobs]
    assert len(longer_plan.jobs) == 8
    prepare(world, end_date="2023-04-30")


def test_the_offset_of_an_existing_cube_does_not_change(world: Path) -> None:
    """Scenes that arrive later must not change the encoding of the pixels that are there."""
    catalogue = world / "silent"
    properties = {"s2:product_type": "S2MSI2A", "s2:processing_baseline": "05.10"}  # those of a definition
    write_catalogue(
        catalogue,
        stac_item("b", "2023-02-10T10:00:00Z", BBOX, offset=-0.1, **properties),
        collection=stac_collection(None),
    )
    _, plan = prepare(world, stac_url=str(catalogue))
    write_catalogue(
        catalogue, stac_item("a", "2023-01-10T10:00:00Z", BBOX, offset=0.0), collection=stac_collection(None)
    )
    _, later = prepare(world, stac_url=str(catalogue))
    assert plan.spec.encoding.offset == later.spec.encoding.offset == -0.1


# ---- looking back --------------------------------------------------------------------------------


def test_a_look_back_searches_new_periods_and_that_many_months_before(world: Path) -> None:
    first = {"end_date": "2023-04-30", "look_back_months": 1}
    assert list(search_scenes(check(world, **first))) == ["2023-01", "2023-02", "2023-03", "2023-04"]  # a new cube
    finish(*prepare(world, **first))
    request = check(world, end_date="2023-05-31", look_back_months=1)
    plan = plan_of(request)
    assert list(plan.scenes) == ["2023-04", "2023-05"]
    assert [(job.key.period, job.time_index) for job in plan.jobs[:2]] == [("2023-04", 3), ("2023-05", 4)]
    initialize(request, plan)
    with xr.open_zarr(request.place.uri) as cube:
        assert cube.sizes["time"] == 5
    assert list(search_scenes(check(world, end_date="2023-05-31"))) == [period.label for period in request.periods]


def test_a_look_back_goes_further_where_a_chunk_is_missing(world: Path) -> None:
    request, plan = prepare(world, end_date="2023-04-30")
    finish(request, plan)
    failed = next(job for job in plan.jobs if job.key.period == "2023-02")
    attempt = Attempt("2024-01-01T00:00:00+00:00", "here", 1.0, "SceneError: gone")
    request.ledger.write(ChunkRecord(failed.key, "failed", failed.inputs, (attempt,)))
    later = {"end_date": "2023-05-31", "look_back_months": 0}
    assert list(search_scenes(check(world, **later))) == ["2023-02", "2023-05"]
    prepare(world, **later)  # and then it is stopped before it builds anything
    assert list(search_scenes(check(world, **later))) == ["2023-02", "2023-05"]


def test_a_period_that_was_clipped_is_searched_in_every_later_run(world: Path) -> None:
    """A run that was stopped right after it made the period longer leaves records of the shorter one."""
    finish(*prepare(world, end_date="2023-01-31", time_frequency_months=2))
    prepare(world, end_date="2023-06-30", time_frequency_months=2)
    longer = check(world, end_date="2023-08-31", time_frequency_months=2, look_back_months=0)
    finish(longer, plan_of(longer))
    assert "2023-01" in search_scenes(longer)
    initialize(longer, plan_of(longer))
    again = check(world, end_date="2023-08-31", time_frequency_months=2, look_back_months=0)
    assert list(search_scenes(again)) == ["2023-01", "2023-07"]


def test_the_identity_of_a_cube_of_months_is_that_of_earlier_versions(world: Path) -> None:
    request = check(world, period="2M")
    assert request.identity["time_frequency_months"] == 2
    assert "period" not in request.identity
    assert request.identity == check(world, time_frequency_months=2).identity
    days = check(world, period="10D").identity
    assert (days["period"], days["start"]) == ("10D", "2023-01-01")
    assert "time_frequency_months" not in days


@pytest.mark.parametrize(
    ("period", "before", "later", "lengthened", "searched"),
    [
        ("10D", "2023-02-14", "2023-02-25", "2023-02-10", ["2023-02-10", "2023-02-20"]),
        ("season", "2023-04-30", "2023-06-30", "2023-03", ["2023-03", "2023-06"]),
        ("year", "2023-04-30", "2024-01-31", "2023-01", ["2023-01", "2024-01"]),
    ],
)
def test_a_clipped_period_of_each_kind_becomes_longer(
    world: Path, period: str, before: str, later: str, lengthened: str, searched: list[str]
) -> None:
    first, _ = made = prepare(world, end_date=before, period=period)
    finish(*made)
    assert first.periods[-1].label == lengthened
    longer = check(world, end_date=later, period=period, look_back_months=0)
    assert [label for label in search_scenes(longer) if label >= lengthened] == searched
    initialize(longer, plan_of(longer))
    stored = longer.ledger.read_cube()
    assert stored is not None
    assert (stored["lengthened"], stored["end"]) == ([lengthened], longer.periods[-1].end_label)
    found = StoredCube.read(longer.ledger)
    assert found is not None
    assert found.periods == longer.periods
    assert f"reaches to {later if period == '10D' else later[:7]}" in refusal(world, end_date=before, period=period)


def rolling(world: Path, *rows: str) -> dict[str, str]:
    """Return the options of a cube of a file of periods."""
    (world / "rolling.csv").write_text("\n".join(rows))
    return {"period": str(world / "rolling.csv"), "end_date": "2023-12-31"}


def test_a_cube_of_a_file_is_extended_by_rows_at_the_end_and_refused_with_other_rows(world: Path) -> None:
    rows = ["2023-01-01,2023-02-28", "2023-02-01,2023-03-31", "2023-03-01,2023-04-30"]
    finish(*prepare(world, **rolling(world, *rows[:2])))
    longer = check(world, **rolling(world, *rows))
    plan = plan_of(longer)
    assert [period.label for period in plan.periods] == ["2023-01-01", "2023-02-01", "2023-03-01"]
    initialize(longer, plan)
    stored = longer.ledger.read_cube()
    assert stored is not None
    assert stored["periods"][0] == ["2023-01-01", "2023-03-01"]
    assert stored["lengthened"] == []
    moved = [rows[0], "2023-02-02,2023-03-31", rows[2]]
    expected = "period 2 is ['2023-02-01', '2023-04-01'] there and ['2023-02-02', '2023-04-01'] here"
    assert expected in refusal(world, **rolling(world, *moved))
    assert "reaches to 2023-04-30, and a build keeps all" in refusal(world, **rolling(world, *rows[:2]))
    assert "period is 'file' there and '10D' here" in refusal(world, period="10D")
    (world / "rolling.csv").unlink()
    found = StoredCube.read(longer.ledger)
    assert found is not None
    assert found.periods == longer.periods


@pytest.mark.parametrize("period", ["1M", "10D"])
def test_a_cube_whose_first_months_are_not_kept_is_read_again(world: Path, period: str) -> None:
    """Its first period begins later than its start date."""
    request, _ = prepare(world, months="2", period=period)
    found = StoredCube.read(request.ledger)
    assert found is not None
    assert found.periods == request.periods
    assert found.periods[0].start > found.config.start_date


@pytest.mark.parametrize("damage", [None, 3, "2023", [1], [["2023-01-01"]], [["2023-01-01", "soon"]], {"a": 1}])
def test_damaged_periods_of_a_file_are_refused(world: Path, damage: Any) -> None:
    options = rolling(world, "2023-01-01,2023-02-28", "2023-02-01,2023-03-31")
    request, _ = prepare(world, **options)
    stored = request.ledger.read_cube()
    assert stored is not None
    request.ledger.write_cube(stored | {"periods": damage})
    assert "holds another cube: " in refusal(world, **options)
    with pytest.raises(StoreError, match=r"cube\.json cannot be used"):
        StoredCube.read(request.ledger)


def test_a_store_states_its_origin_and_an_extension_adds_to_its_history(world: Path) -> None:
    request, _ = prepare(world, end_date="2023-02-28", cloud_mask="scl")
    before = schema.read_attributes(request.place)
    assert before["stac_url"] == str(local_path(request.cube.stac_url))
    assert json.loads(before["cloud_mask_options"]) == request.identity["cloud_mask_options"]
    prepare(world, end_date="2023-02-28", cloud_mask="scl")
    assert schema.read_attributes(request.place) == before
    prepare(world, end_date="2023-05-31", cloud_mask="scl")
    after = schema.read_attributes(request.place)
    first, second = after["history"].splitlines()
    assert first == before["history"]
    assert second.endswith("built 2023-01 to 2023-05")
    assert after["date_created"] == before["date_created"] <= after["date_modified"]


# ---- existing cubes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"start_date": "2022-12-01"}, "start is '2023-01' there and '2022-12' here"),
        ({"bands": ("red",)}, "bands is ['red', 'green', 'blue', 'nir'] there and ['red'] here"),
        ({"resolution": 0.002}, "grid is"),
        ({"chunk_size": 80}, "chunk-size is 40 there and 80 here"),
        ({"shard": 2}, "shard is 1 there and 2 here"),
        ({"resampling": "cubic"}, "resampling is 'bilinear' there and 'cubic' here"),
        ({"cloud_mask": "scl"}, "cloud-mask is 'none' there and 'scl' here"),
        ({"varname": "other"}, "varname is 'rgb_median' there and 'other' here"),
        ({"time_frequency_months": 2}, "period is '1M' there and '2M' here"),
        ({"end_date": "2023-01-31"}, "end-date 2023-01-31: the cube at"),
    ],
)
def test_a_cube_of_another_configuration_is_refused_with_both_values(
    world: Path, change: dict[str, Any], expected: str
) -> None:
    prepare(world)
    message = refusal(world, **change)
    assert expected in message
    assert "--overwrite" in message


@pytest.mark.parametrize(("rules", "age"), [(None, "an earlier"), (1, "an earlier"), (3, "a later")])
def test_a_cube_of_other_pixel_rules_is_refused_with_that_reason(world: Path, rules: int | None, age: str) -> None:
    request, _ = prepare(world)
    described = request.ledger.read_cube()
    assert described is not None
    del described["identity"]["pixels"]
    described["identity"] |= {} if rules is None else {"pixels": rules}
    described["fingerprint"] = digest(described["identity"])
    request.ledger.write_cube(described)
    message = refusal(world)
    assert f"was built with the pixel rules of {age} version of ardcube ({rules or 1} there, 2 here)" in message
    assert message.endswith("choose another location, or build it again with --overwrite")


def test_a_cube_keeps_one_manifest_of_each_period(world: Path) -> None:
    """Each plan with other scenes writes new manifests."""
    for day in range(1, 4):
        write_catalogue(world / "catalogue", stac_item(f"extra {day}", f"2023-01-{day:02d}T10:00:00Z", BBOX))
        request = check(world)
        pending = plan_build(request, search_scenes(request))
        initialize_store(request, pending)
    files = request.ledger.place.list("items")
    assert sorted(files) == sorted({job.manifest for job in pending.plan.jobs} | {"items/planned.json"})
    assert len(files) == 3
    january = check(world, end_date="2023-03-31", look_back_months=0)
    finish(request, pending.plan)
    later = plan_build(january, search_scenes(january))
    assert [period.label for period in later.plan.periods] == ["2023-03"]
    initialize_store(january, later)
    assert set(files) < set(request.ledger.place.list("items")), "periods that were not searched keep theirs"


def test_a_moved_catalogue_continues_the_cube_and_keeps_its_chunks(world: Path) -> None:
    """The address of a catalogue is provenance, not identity."""
    request, plan = prepare(world)
    finish(request, plan)
    moved = (world / "catalogue").rename(world / "elsewhere")
    again, later = prepare(world, stac_url=str(moved))
    assert again.stored is not None
    assert [job.inputs for job in later.jobs] == [job.inputs for job in plan.jobs]
    assert not later.jobs.without(stored_inputs(again.ledger.records()))


def test_with_shards_a_job_is_a_whole_shard_of_a_period(world: Path) -> None:
    request, plan = prepare(world, chunk_size=20, shard=2)
    whole = plan_of(check(world, build=False, chunk_size=40))
    assert [(job.key, job.window, job.inputs) for job in plan.jobs] == [
        (job.key, job.window, job.inputs) for job in whole.jobs
    ]
    with xr.open_zarr(request.place.uri) as cube:
        encoding = cube["rgb_median"].encoding
        assert (encoding["chunks"], encoding["shards"]) == ((1, 20, 20, 4), (1, 40, 40, 4))


def test_shards_do_not_let_a_larger_cube_through(world: Path) -> None:
    """The bound on chunks is one on the work, and that stays the same."""
    for shard in (1, 2):
        assert "the cube has 16 chunks (2 x 4 tiles, 2 periods)" in refusal(
            world, chunk_size=20, shard=shard, max_chunks=15
        )


def test_options_of_the_mask_belong_to_the_cube(world: Path) -> None:
    prepare(world, cloud_mask="scl")
    check(world, cloud_mask="scl", cloud_mask_options={"closing": 155})
    assert "'closing': 3.0" in refusal(world, cloud_mask="scl", cloud_mask_options={"closing": 3})


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("kind", ["folder", "file", "foreign zarr"])
def test_a_location_with_other_files_is_refused_even_with_overwrite(world: Path, kind: str, overwrite: bool) -> None:
    place = world / "cube.zarr"
    if kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / ("zarr.json" if kind == "foreign zarr" else "mine.txt")).write_text("{}")
    message = refusal(world, overwrite=overwrite)
    assert message.startswith(f"fsspec-uri {place} ")
    if kind != "file":
        assert "holds something that ardcube did not write" in message


def test_an_empty_folder_is_accepted(world: Path) -> None:
    (world / "cube.zarr").mkdir()
    request, _ = prepare(world)
    assert schema.exists(request.place)


def test_without_initialize_the_store_must_exist(world: Path) -> None:
    assert "drop --no-initialize" in refusal(world, initialize=False)
    prepare(world)
    check(world, initialize=False)


def test_a_missing_store_whose_ledger_has_records_is_refused(world: Path) -> None:
    """Else its finished chunks would be taken for done and never built again."""
    request, plan = prepare(world)
    finish(request, plan)
    schema.remove(request.place, "rgb_median")
    message = refusal(world)
    assert "is missing" in message
    assert "--overwrite" in message


def test_a_damaged_description_is_refused(world: Path) -> None:
    prepare(world)
    (world / "cube.zarr.ardcube" / "cube.json").write_text("{")
    assert "is damaged" in refusal(world)
    assert "is damaged" in refusal(world, overwrite=True)


def test_overwrite_removes_what_ardcube_wrote_and_nothing_else(world: Path) -> None:
    request, plan = prepare(world)
    finish(request, plan)
    request.ledger.compact()
    (world / "cube.zarr" / "notes.txt").write_text("mine")
    (world / "cube.zarr.ardcube" / "notes.txt").write_text("mine")
    remove_cube(check(world, overwrite=True, bands=("nir",)))
    left = {name for name in contents(world) if name.startswith("cube.zarr")}
    assert left == {"cube.zarr.ardcube/notes.txt", "cube.zarr/notes.txt"}


def test_overwrite_allows_another_configuration(world: Path) -> None:
    request, plan = prepare(world)
    finish(request, plan)
    again = check(world, overwrite=True, bands=("nir",))
    remove_cube(again)
    initialize(again, plan_of(again))
    with xr.open_zarr(again.place.uri) as cube:
        assert cube["band"].values.tolist() == ["nir"]
    assert again.ledger.records() == {}


# ---- other bad input -----------------------------------------------------------------------------


def test_too_many_chunks_are_refused_until_confirmed(world: Path) -> None:
    message = refusal(world, max_chunks=3)
    assert "the cube has 4 chunks (1 x 2 tiles, 2 periods), more than max-chunks 3" in message
    assert "--yes" in message
    check(world, max_chunks=3, yes=True)
    check(world, max_chunks=4)
    check(world, max_chunks=3, dry_run=True)


def test_a_plan_of_more_chunks_than_memory_holds_is_refused(world: Path) -> None:
    message = refusal(world, resolution=1e-6, chunk_size=16, dry_run=True)
    assert "more than max-chunks 10000000" in message


def test_an_unknown_band_is_refused_with_the_known_names(world: Path) -> None:
    message = refusal(world, bands=("red", "swir"))
    assert message == "band swir: not in the collection; choose from red, green, blue, nir, scl"


def test_a_band_that_only_the_items_describe_is_accepted(world: Path) -> None:
    collection = stac_collection()
    del collection["item_assets"]["scl"], collection["item_assets"]["red"]
    write_catalogue(world / "catalogue", collection=collection)
    assert len(plan_of(check(world, cloud_mask="scl")).jobs) == 4


def test_a_mask_whose_band_neither_collection_nor_items_have_is_refused(world: Path) -> None:
    collection, items = stac_collection(), [copy.deepcopy(item) for item in (WEST, BOTH)]
    for assets in (collection["item_assets"], *(item["assets"] for item in items)):
        del assets["scl"]
    write_catalogue(world / "catalogue", *items, collection=collection)
    assert refusal(world, cloud_mask="scl").startswith("band scl: not in the collection; choose from red, ")


def test_a_categorical_band_cannot_be_composited(world: Path) -> None:
    assert "item west: band scl states no scale and offset; " in refusal(world, bands=("scl",))


def test_a_filesystem_whose_driver_is_not_installed_is_refused_with_its_package(world: Path) -> None:
    assert "gcsfs" in refusal(world, fsspec_uri="gs://bucket/cube.zarr")


def test_a_location_that_cannot_be_written_is_refused(world: Path) -> None:
    (world / "file").write_text("mine")
    message = refusal(world, fsspec_uri=str(world / "file" / "cube.zarr"))
    assert message.startswith(f"fsspec-uri {world / 'file' / 'cube.zarr'}")


def test_a_missing_catalogue_is_refused(world: Path) -> None:
    assert "does not exist" in refusal(world, stac_url=str(world / "nothing"))


def test_a_geometry_that_no_tile_intersects_is_refused(world: Path) -> None:
    request = check(world)
    nowhere = shapely.Point(0, 0).buffer(0.01)
    with pytest.raises(InputError, match="no tile intersects the geometry"):
        plan_of(replace(request, area=replace(request.area, mask=nowhere)))


def test_items_without_a_collection_document_are_checked_before_the_search(world: Path) -> None:
    folder = world / "bare"
    write_catalogue(folder, stac_item("one", "2023-01-10T10:00:00Z", BBOX))
    (folder / "collection.json").unlink()
    message = refusal(world, stac_url=str(folder), bands=("swir",))
    assert message == "band swir: not in the collection; choose from red, green, blue, nir, scl"
