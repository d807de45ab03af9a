"""`ardcube.stac` and `--stac`: documents of a cube, who may replace them, and who can read them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pystac
import pystac_client
import pytest
import xarray as xr
import zarr
import zarr_cm.stac
from click.testing import CliRunner

import ardcube
from flows.cli import cli
from tests.ardcube.api_cube import cube_of
from tests.stac_schemas import validate_folder


@pytest.fixture(scope="module")
def built(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of two months, of which one chunk of June is not built."""
    store = tmp_path_factory.mktemp("stac") / "alps.zarr"
    ardcube.build(cube_of(sample_archive), store, limit=11)
    return store


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    """Return a copy of the cube that a test may change."""
    copy = tmp_path / "alps.zarr"
    shutil.copytree(built, copy)
    shutil.copytree(f"{built}.ardcube", f"{copy}.ardcube")
    return copy


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- documents ------------------------------------------------------------------------------------


def test_documents_are_valid_and_describe_the_cube(built: Path, tmp_path: Path) -> None:
    before = content(built)
    collection = ardcube.stac(built, tmp_path / "catalogue")
    assert content(built) == before
    assert collection.get_self_href() == str(tmp_path / "catalogue" / "collection.json")
    whole, may, june = validate_folder(tmp_path / "catalogue")
    with ardcube.open(built) as cube:
        observed = (cube["observation_count"] > 0).mean(["latitude", "longitude"]).to_numpy()
        days = cube["observation_count"].mean(["latitude", "longitude"]).to_numpy()
        west, north = float(cube["longitude"][0]) - 0.00025, float(cube["latitude"][0]) + 0.00025
        shape = [cube.sizes["latitude"], cube.sizes["longitude"]]
    with xr.open_zarr(built, mask_and_scale=False) as raw:
        encoding = raw["rgb_median"].attrs
    assert whole["id"] == "alps"
    assert whole["extent"]["temporal"]["interval"] == [["2023-05-01T00:00:00Z", "2023-06-30T23:59:59Z"]]
    assert whole["cube:dimensions"]["band"]["values"] == ["red", "nir"]
    assert whole["cube:variables"]["rgb_median"]["dimensions"] == ["time", "latitude", "longitude", "band"]
    assert [provider["name"] for provider in whole["providers"]] == ["ESA"]
    assert {link["rel"] for link in whole["links"]} == {"root", "license", "derived_from", "item"}
    for index, (item, month) in enumerate(((may, "2023-05"), (june, "2023-06"))):
        properties = item["properties"]
        assert item["id"] == f"alps_{month}"
        assert properties["datetime"] == properties["start_datetime"] == f"{month}-01T00:00:00Z"
        assert properties["ardcube:time_index"] == index
        assert properties["proj:code"] == "EPSG:4326"
        assert properties["proj:shape"] == shape
        assert properties["proj:transform"] == pytest.approx([0.0005, 0, west, 0, -0.0005, north])
        reflectance = item["assets"]["rgb_median"]
        assert (reflectance["data_type"], reflectance["nodata"]) == ("uint16", 0)
        assert reflectance["raster:scale"] == encoding["scale_factor"]
        assert reflectance["raster:offset"] == encoding["add_offset"]
        assert [band["name"] for band in reflectance["bands"]] == ["red", "nir"]
        assert "nodata" not in item["assets"]["observation_count"]
    assert may["properties"]["end_datetime"] == "2023-05-31T23:59:59Z"
    assert may["properties"]["ardcube:observed_share"] == pytest.approx(observed[0], abs=1e-4)
    assert may["properties"]["ardcube:mean_clear_days"] == pytest.approx(days[0], abs=1e-3)
    assert [item["properties"]["ardcube:complete"] for item in (may, june)] == [1.0, round(5 / 6, 4)]
    assert may["properties"]["processing:software"] == {"ardcube": ardcube.__version__}


def test_every_reader_of_pystac_walks_the_folder(built: Path, tmp_path: Path) -> None:
    ardcube.stac(built, tmp_path)
    collection = pystac.Collection.from_file(str(tmp_path / "collection.json"))
    items = list(collection.get_items())
    assert [item.id for item in items] == ["alps_2023-05", "alps_2023-06"]
    assert items[0].get_collection() is collection
    for key in ("zarr", "rgb_median"):
        assert Path(items[0].assets[key].get_absolute_href() or "").is_dir()


def test_pictures_and_geotiffs_in_the_folder_become_assets_of_their_period(built: Path, tmp_path: Path) -> None:
    for name in ("rgb_median_2023-05.png", "rgb_median_2023-05-11.png", "2023-06.tif", "12023-05.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    ardcube.stac(built, tmp_path)
    _, may, june = validate_folder(tmp_path)
    assert may["assets"]["quicklook_rgb_median"]["href"] == "../rgb_median_2023-05.png"
    assert set(may["assets"]) - set(june["assets"]) == {"quicklook_rgb_median"}
    assert set(june["assets"]) - set(may["assets"]) == {"cog"}


# ---- within the store -----------------------------------------------------------------------------


def test_documents_in_the_store_are_found_by_its_convention_after_a_move(store: Path, tmp_path: Path) -> None:
    before = zarr.open_group(store, mode="r").attrs.asdict()
    ardcube.stac(store)
    moved = store.rename(tmp_path / "elsewhere.zarr")
    attributes = zarr.open_group(moved, mode="r").attrs.asdict()
    kept, found = zarr_cm.stac.extract(attributes)
    assert found == {"stac:key": "collection.json"}
    assert kept == before
    documents = validate_folder(moved)
    assert documents[0]["id"] == "alps"
    item = next(iter(pystac.Collection.from_file(str(moved / found["stac:key"])).get_items()))
    asset = item.assets["zarr"]
    with xr.open_zarr(asset.get_absolute_href(), **asset.extra_fields["xarray:open_kwargs"]) as cube:
        assert float(cube["observation_count"].sel(time="2023-05").mean()) == pytest.approx(
            item.properties["ardcube:mean_clear_days"], abs=1e-3
        )


def test_a_second_call_changes_nothing(store: Path) -> None:
    ardcube.stac(store)
    before = content(store)
    ardcube.stac(store)
    assert content(store) == before


def test_a_run_updates_documents_of_an_extended_cube(store: Path, sample_archive: Path) -> None:
    ardcube.stac(store)
    ardcube.build(cube_of(sample_archive, end_date="2023-07-31"), store, stac="inside")
    documents = validate_folder(store)
    assert [item["id"] for item in documents[1:]] == ["alps_2023-05", "alps_2023-06", "alps_2023-07"]
    assert {item["properties"]["ardcube:complete"] for item in documents[1:]} == {1.0}
    assert zarr.open_group(store, mode="r").attrs["stac:key"] == "collection.json"


def test_overwrite_removes_the_documents_of_the_cube_and_no_others(store: Path, sample_archive: Path) -> None:
    ardcube.stac(store)
    (store / "items" / "note.json").write_text("{}")
    ardcube.build(cube_of(sample_archive, end_date="2023-05-31"), store, overwrite=True, limit=1)
    assert not (store / "collection.json").exists()
    assert [path.name for path in (store / "items").iterdir()] == ["note.json"]


# ---- other catalogues -----------------------------------------------------------------------------

OTHERS = {
    "another collection": ("collection.json", '{"type": "Collection", "id": "theirs"}'),
    "a catalogue": ("catalog.json", "{}"),
    "no JSON": ("collection.json", "<html>"),
    "items without a collection": ("items/alps_2023-05.json", "{}"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_folder_with_another_catalogue_is_refused(built: Path, tmp_path: Path, other: str) -> None:
    name, text = OTHERS[other]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    done = CliRunner().invoke(cli, ["stac", str(built), "--output", str(tmp_path)])
    assert isinstance(done.exception, ardcube.InputError)
    assert "choose an empty folder" in str(done.exception)
    assert content(tmp_path) == {name: text.encode()}


def test_the_folder_of_another_cube_is_refused(built: Path, store: Path, tmp_path: Path) -> None:
    ardcube.stac(store, tmp_path / "catalogue")
    before = content(tmp_path / "catalogue")
    with pytest.raises(ardcube.InputError, match="of another cube; choose an empty folder"):
        ardcube.stac(built, tmp_path / "catalogue")
    assert content(tmp_path / "catalogue") == before


def test_a_run_checks_the_folder_before_it_writes(sample_archive: Path, tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text("{}")
    with pytest.raises(ardcube.InputError, match="holds another catalogue"):
        ardcube.build(cube_of(sample_archive), tmp_path / "new.zarr", stac=str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(ardcube.InputError, match="cannot be written"):
        ardcube.build(cube_of(sample_archive), tmp_path / "new.zarr", stac=str(tmp_path / "file" / "folder"))
    assert not (tmp_path / "new.zarr").exists()


def test_a_call_that_was_interrupted_can_be_repeated(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ardcube.storage.place import Place

    write, calls = Place.write, []

    def failing(place: Place, name: str, text: bytes) -> None:
        calls.append(name)
        if len(calls) == 3:
            raise OSError("power failure")
        write(place, name, text)

    with monkeypatch.context() as patched:
        patched.setattr(Place, "write", failing)
        with pytest.raises(Exception, match="power failure"):
            ardcube.stac(built, tmp_path)
    assert calls == ["collection.json", "items/alps_2023-05.json", "items/alps_2023-06.json"]
    assert len(validate_folder(tmp_path)) == 1
    ardcube.stac(built, tmp_path)
    assert len(validate_folder(tmp_path)) == 3


def test_a_place_without_a_cube_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ardcube.InputError, match="no cube"):
        ardcube.stac(tmp_path / "nothing.zarr", tmp_path / "catalogue")
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_address_of_the_collection(built: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["stac", str(built), "--output", str(tmp_path)])
    assert done.output == f"{tmp_path / 'collection.json'}: 2 Items\n"


# ---- readers --------------------------------------------------------------------------------------


def test_a_stac_api_finds_the_month_and_one_line_opens_it(
    built: Path, tmp_path: Path, rustac_api: Callable[..., str]
) -> None:
    ardcube.stac(built, tmp_path)
    client = pystac_client.Client.open(rustac_api(tmp_path / "collection.json"))
    search = client.search(collections=["alps"], bbox=[11.95, 46.85, 12.0, 46.88], datetime="2023-06")
    (item,) = search.items()
    assert item.id == "alps_2023-06"
    asset = item.assets["zarr"]
    with xr.open_zarr(asset.href, **asset.extra_fields["xarray:open_kwargs"]) as cube, ardcube.open(built) as ours:
        one = cube["rgb_median"].sel(time=item.properties["datetime"][:10])
        assert np.allclose(one, ours["rgb_median"][item.properties["ardcube:time_index"]], equal_nan=True)
    assert not list(client.search(collections=["alps"], datetime="2023-07").items())
    assert not list(client.search(collections=["alps"], bbox=[13, 46, 14, 47]).items())


def opened(asset: pystac.Asset) -> xr.Dataset:
    """Open the asset `zarr` as its fields say."""
    options = asset.extra_fields["xarray:open_kwargs"]
    if asset.media_type != "application/vnd.zarr+icechunk":
        return xr.open_zarr(asset.href, **options)
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(asset.href))
    return xr.open_zarr(repository.readonly_session(tag=asset.extra_fields["icechunk:tag"]).store, **options)


@pytest.mark.parametrize(("layout", "backend"), [("geozarr", "fsspec"), ("flat", "icechunk"), ("geozarr", "icechunk")])
def test_a_stac_api_finds_a_cube_of_each_kind(
    sample_archive: Path, tmp_path: Path, rustac_api: Callable[..., str], layout: str, backend: Any
) -> None:
    uri, folder = tmp_path / "alps", tmp_path / "catalogue"
    cube = cube_of(sample_archive, layout=layout, resolution=0.001, bands=("red",))
    ardcube.build(cube, uri, storage_backend=backend, stac=str(folder))
    validate_folder(folder)
    client = pystac_client.Client.open(rustac_api(folder / "collection.json"))
    (item,) = client.search(collections=["alps"], bbox=[11.95, 46.85, 12.0, 46.88], datetime="2023-06").items()
    assert (item.id, item.properties["ardcube:complete"]) == ("alps_2023-06", 1.0)
    name = "red" if layout == "geozarr" else "rgb_median"
    with opened(item.assets["zarr"]) as found, ardcube.open(uri) as ours:
        june = found[name].sel(time=item.properties["datetime"][:10]).squeeze()
        expected = ours["rgb_median"][item.properties["ardcube:time_index"], ..., 0]
        np.testing.assert_allclose(june, expected, atol=1e-6)
    fields = item.assets[name].extra_fields
    assert (fields["data_type"], fields["raster:scale"]) == ("uint16", 0.0001)
    path = fields.get("ardcube:path") or item.assets[name].href.removeprefix(f"{uri}/")
    assert path == (f"0/{name}" if layout == "geozarr" else name)


def test_documents_of_icechunk_describe_the_published_version(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "alps"

    def build(end: str, **options: Any) -> None:
        cube = cube_of(sample_archive, resolution=0.001, bands=("red",), end_date=end)
        ardcube.build(cube, uri, storage_backend="icechunk", stac="inside", **options)

    def documents() -> dict[str, bytes]:
        return {name: text for name, text in content(uri).items() if name.startswith(("collection", "items"))}

    build("2023-05-31", limit=1)
    with pytest.raises(ardcube.InputError, match="holds a build that is not published; run the build until"):
        ardcube.stac(uri, tmp_path / "catalogue")
    assert not (tmp_path / "catalogue").exists()
    assert not (uri / "collection.json").exists()
    build("2023-05-31")
    before = documents()
    build("2023-06-30", limit=1)
    assert documents() == before
    build("2023-06-30")
    _, may, june = validate_folder(uri)
    assert [item["assets"]["zarr"]["icechunk:tag"] for item in (may, june)] == ["v2", "v2"]
    moved = uri.rename(tmp_path / "elsewhere")
    asset = next(iter(pystac.Collection.from_file(str(moved / "collection.json")).get_items())).assets["zarr"]
    asset.href = str(asset.get_absolute_href())
    with opened(asset) as cube:
        assert cube.sizes["time"] == 2
    Path(f"{uri}.ardcube").rename(f"{moved}.ardcube")
    cube = cube_of(sample_archive, resolution=0.001, bands=("red",), end_date="2023-05-31", resampling="nearest")
    ardcube.build(cube, moved, storage_backend="icechunk", overwrite=True)
    assert not (moved / "collection.json").exists()
    assert [version.tag for version in ardcube.history(moved)] == ["v3", "v2", "v1"]


def test_documents_in_a_bucket_have_absolute_addresses(tmp_path: Path, sample_archive: Path) -> None:
    import fsspec

    uri = f"memory://{tmp_path.name}/alps.zarr"
    ardcube.build(cube_of(sample_archive, end_date="2023-05-31"), uri, limit=1, stac=f"memory://{tmp_path.name}/stac")
    files = fsspec.filesystem("memory")
    item = json.loads(files.cat(f"/{tmp_path.name}/stac/items/alps_2023-05.json"))
    assert item["assets"]["zarr"]["href"] == uri


def test_a_projected_cube_of_days_has_its_crs_and_transform(sample_archive: Path, tmp_path: Path) -> None:
    cube = cube_of(sample_archive, crs="EPSG:32633", resolution=50, period="16D", end_date="2023-05-31", bands=("red",))
    ardcube.build(cube, tmp_path / "utm.zarr", limit=1, stac="inside")
    whole, *items = validate_folder(tmp_path / "utm.zarr")
    with xr.open_zarr(tmp_path / "utm.zarr") as stored:
        x, y = stored["x"].to_numpy(), stored["y"].to_numpy()
        starts = [str(day)[:10] for day in stored["time"].to_numpy()]
        ends = [np.datetime_as_string(day - np.timedelta64(1, "s")) for day in stored["time_bnds"].to_numpy()[:, 1]]
    assert [item["id"] for item in items] == [f"utm_{start}" for start in starts]
    assert [item["properties"]["end_datetime"] for item in items] == [f"{end[:19]}Z" for end in ends]
    properties = items[0]["properties"]
    assert (properties["proj:code"], properties["proj:shape"]) == ("EPSG:32633", [len(y), len(x)])
    assert properties["proj:transform"] == [50, 0, x[0] - 25, 0, -50, y[0] + 25]
    assert properties["proj:bbox"] == [x[0] - 25, y[-1] - 25, x[-1] + 25, y[0] + 25]
    assert items[0]["bbox"] == pytest.approx([11.93, 46.84, 12.07, 46.9], abs=0.005)
    assert whole["cube:dimensions"]["x"]["reference_system"] == 32633


def test_a_cube_of_several_resolutions_refers_to_the_finest(sample_archive: Path, tmp_path: Path) -> None:
    cube = cube_of(sample_archive, layout="geozarr", crs="EPSG:32633", resolution=20, chunk_size=200, bands=("red",))
    ardcube.build(cube, tmp_path / "cube.zarr", limit=1, stac="inside")
    whole, may, _ = validate_folder(tmp_path / "cube.zarr")
    assert may["assets"]["red"]["href"] == "../0/red"
    assert whole["cube:variables"]["red"]["dimensions"] == ["time", "y", "x"]
    item = next(iter(pystac.Collection.from_file(str(tmp_path / "cube.zarr" / "collection.json")).get_items()))
    asset = item.assets["zarr"]
    with xr.open_zarr(asset.get_absolute_href(), **asset.extra_fields["xarray:open_kwargs"]) as opened:
        assert [opened.sizes["y"], opened.sizes["x"]] == item.properties["proj:shape"]
    assert zarr.open_group(tmp_path / "cube.zarr", mode="r").attrs["stac:key"] == "collection.json"
