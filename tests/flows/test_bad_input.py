"""Bad input is one line on stderr with the value, the problem and the remedy, exit code 2, and no other effect."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
import zarr

from ardcube.chunk.batch import process_batch
from ardcube.pixels.masks import cloud_mask
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from flows.command import main
from tests.flows.jobs import command, copy_catalogue, pixels, records, run, run_config, sample_cube
from tests.servers.earth_search import EarthSearch
from tests.servers.processes import free_port
from tests.servers.range_server import RangeServer
from tests.strategies import stac_item

GIVEN = {
    "--start-date": "2023-05-01",
    "--end-date": "2023-06-30",
    "--bbox": "11.96 46.85 12.04 46.89",
    "--resolution": "0.0005",
    "--chunk-size": "48",
    "--fsspec-uri": "cube.zarr",
}
"""A valid request. A row changes one option. Words of a value are separate arguments; None leaves the option out."""

Changes = Mapping[str, str | None]
Refused = Callable[..., str]


def arguments(archive: Path, changes: Changes, name: str = "build") -> list[str]:
    """Return a command line."""
    options = {"--stac-url": str(archive), **GIVEN, **changes}
    return [name, *(part for flag, text in options.items() if text is not None for part in (flag, *text.split()))]


def snapshot(folder: Path) -> dict[str, str]:
    """Return every file and folder below a folder, with a hash of the content of files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command in this process; return its exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run_here(words: Iterable[str]) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ardcube", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return run_here


@pytest.fixture
def refused(tmp_path: Path, call: Callable[..., Any], sample_archive: Path) -> Refused:
    """Run a request that is refused; return its line on stderr."""

    def run_refused(changes: Changes, name: str = "build", archive: Path = sample_archive) -> str:
        before = snapshot(tmp_path)
        code, output, errors = call(arguments(archive, changes, name))
        assert (code, output) == (2, "")
        assert snapshot(tmp_path) == before
        (line,) = errors.splitlines()
        assert line.startswith("ardcube: ")
        assert "Traceback" not in line
        return str(line)

    return run_refused


@pytest.fixture(scope="module")
def begun(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of the valid request with two chunks."""
    folder = tmp_path_factory.mktemp("begun")
    cube = sample_cube(sample_archive, end_date="2023-06-30", cloud_mask="none")
    request = check_request(cube, run_config(folder / "cube.zarr"), cloud_mask("none"))
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    process_batch(plan.spec, plan.jobs[:2])
    return folder


@pytest.fixture
def cube(begun: Path, tmp_path: Path) -> Path:
    """A copy of that cube at the URI of the request."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    assert pixels(tmp_path / "cube.zarr").values.any()
    return tmp_path / "cube.zarr"


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("name", ["build", "plan"])
def test_credentials_in_a_block_that_does_not_exist_are_refused(refused: Refused, name: str) -> None:
    line = refused({"--credentials-block": "nowhere"}, name)
    assert "credentials-block nowhere is no Secret block of this Prefect server; create one under Blocks" in line


def test_a_template_that_nobody_fills_in_is_refused(refused: Refused) -> None:
    for option, value in (("--fsspec-uri", "{{x}}.zarr"), ("--storage-option", "endpoint_url={{x}}")):
        line = refused({option: value})
        assert f"{option}: contains a template {{{{ ... }}}}, but only prefect.yaml may have templates" in line
    assert "--storage-option: $ref names a block" in refused({"--storage-option": "$ref=x"})


ROWS: dict[str, tuple[Changes, list[str]]] = {
    "end before start": ({"--end-date": "2023-04-30"}, ["--end-date 2023-04", "--start-date 2023-05", "swap them"]),
    "unknown period": ({"--period": "10X"}, ["--period: '10X' is none", "1M to 24M, 1D to 183D, season, year", ".csv"]),
    "two periods": (
        {"--period": "10D", "--time-frequency-months": "1"},
        ["--period 10D and --time-frequency-months 1: both are given and differ", "give one"],
    ),
    "days before start": (
        {"--period": "10D", "--start-date": "2023-05-20", "--end-date": "2023-05-10"},
        ["--end-date 2023-05-10: before --start-date 2023-05-20", "swap them"],
    ),
    "too many periods": (
        {"--period": "1D", "--start-date": "1980-01-01"},
        ["period 1D: 1 days from 1980-01-01 to 2023-06-30 are more than 4096 periods", "choose other dates"],
    ),
    "no period in these months": (
        {"--period": "10D", "--months": "1"},
        ["months 1: no period has a day in one of the months [1]", "choose other months or dates"],
    ),
    "no file of periods": ({"--period": "none.csv"}, ["period none.csv: cannot be read", "correct the path"]),
    "bbox west above east": ({"--bbox": "12.04 46 11.96 47"}, ["--bbox", "12.04 46 11.96 47", "min_lon min_lat"]),
    "bbox west equals east": ({"--bbox": "12 46 12 47"}, ["--bbox", "12 46 12 47", "not below its maximum"]),
    "bbox south above north": ({"--bbox": "11 47 12 46"}, ["--bbox", "11 47 12 46", "not below its maximum"]),
    "bbox beyond the pole": ({"--bbox": "11 46 12 95"}, ["--bbox", "11 46 12 95", "not a box in degrees", "-90..90"]),
    "bbox west of the world": ({"--bbox": "-200 46 12 48"}, ["--bbox", "-200 46 12 48", "-180..180"]),
    "bbox around the world twice": ({"--bbox": "-180 46 540 48"}, ["-180 46 540 48", "at most 360 degrees"]),
    "bbox of letters": ({"--bbox": "a b c d"}, ["--bbox", "'a' is not a valid float"]),
    "bbox not a number": ({"--bbox": "nan 1 2 3"}, ["--bbox", "nan", "finite number"]),
    "too many chunks": (
        {"--max-chunks": "2"},
        ["16 chunks", "2 x 4 tiles, 2 periods", "max-chunks 2", "smaller area", "--yes"],
    ),
    "bbox and geometry": ({"--geometry-file": "area.gpkg"}, ["--bbox and --geometry-file: both", "give one"]),
    "no bbox, no geometry": ({"--bbox": None}, ["--bbox and --geometry-file: none", "give one"]),
    "mask without geometry": ({"--use-geometry-mask": ""}, ["--use-geometry-mask: needs a --geometry-file"]),
    "each without geometry": ({"--each": "name"}, ["each name: needs a geometry-file", "give one"]),
    "clip without geometry": ({"--clip": ""}, ["--clip: needs a --geometry-file", "omit"]),
    "unknown band": ({"--bands": "swir99"}, ["swir99", "choose from red, green, blue, nir"]),
    "a band twice": ({"--bands": "red --bands red"}, ["--bands", "red is given more than once", "once"]),
    "a band of classes": ({"--bands": "scl"}, ["band scl", "choose a reflectance band"]),
    "unknown mask": ({"--cloud-mask": "fog"}, ["cloud mask fog is unknown", "none, qa_pixel, scl"]),
    "unknown class of a mask": (
        {"--cloud-mask": "scl", "--cloud-mask-option": "allowed_values=[fog]"},
        ["none of its", "band scl of definition sentinel-2-c1-l2a has no class fog; choose from no_data, defective"],
    ),
    "bad class of a mask": (
        {"--cloud-mask": "fmask", "--cloud-mask-option": "masked=cloud"},
        ["cloud mask fmask: masked 'cloud' must be a list of names of classes", "[cloud, shadow]"],
    ),
    "bad threshold of a mask": (
        {"--cloud-mask": "cloud_probability", "--cloud-mask-option": "threshold=0.5%"},
        ["cloud mask cloud_probability: threshold '0.5%' must be a percentage above 0, at most 100"],
    ),
    "a mask whose band is missing": (
        {"--cloud-mask": "qa_pixel"},
        ["band qa_pixel: not in the collection", "choose from red"],
    ),
    "auto without a definition": (
        {"--cloud-mask": "auto"},
        ["cloud-mask auto: no definition recognizes item", "choose one of cloud_probability"],
    ),
    "unknown option of a mask": (
        {"--cloud-mask": "scl", "--cloud-mask-option": "radius=3"},
        ["scl", "radius", "preset, closing, opening, buffer, allowed_values"],
    ),
    "mask with a radius that is too large": (
        {"--cloud-mask": "scl", "--cloud-mask-option": "closing=30000"},
        ["scl", "closing 30000", "0 to 5000"],
    ),
    "resolution zero": ({"--resolution": "0"}, ["--resolution", "0.0", "x>0"]),
    "resolution negative": ({"--resolution": "-0.1"}, ["--resolution", "-0.1", "x>0"]),
    "chunk size too small": ({"--chunk-size": "15"}, ["--chunk-size", "15", "16<=x"]),
    "no uri": ({"--fsspec-uri": None}, ["--fsspec-uri is missing", "a local path, file://, s3://"]),
    "driver not installed": ({"--fsspec-uri": "gs://bucket/cube"}, ["gs://bucket/cube", "not installed", "gcsfs"]),
    "unknown protocol": ({"--fsspec-uri": "nosuch://bucket/cube"}, ["nosuch://bucket/cube", "Protocol not known"]),
    "missing catalogue": ({"--stac-url": "nowhere"}, ["stac-url", "nowhere", "does not exist", "give a"]),
    "unknown protocol of a catalogue": (
        {"--stac-url": "ftp://host/x"},
        ["stac-url ftp://host/x", "http(s)", "local path"],
    ),
    "unknown definition": ({"--definition": "nope"}, ["definition nope: unknown", "choose from", "sentinel-2-c1-l2a"]),
    "missing collection file": ({"--collection-file": "no.toml"}, ["collection-file no.toml", "No such file", "path"]),
    "unknown collection": ({"--collection": "nope"}, ["collection nope", "choose from sentinel-2-c1-l2a"]),
    "collection twice": ({"--collection": "a --collection a"}, ["--collection a is given more than once", "once"]),
    "address of a collection": (
        {"--collection": "https://stac.example/v1/collections/a"},
        ["is an address", "write https://stac.example/v1#a"],
    ),
    "catalogue without a collection": ({"--collection": "folder#"}, ["'folder#' has no id", "CATALOGUE#ID"]),
    "definition of another collection": (
        {"--definition": "hls=hls-l30"},
        ["--definition of 'hls': no such", "choose from sentinel-2-c1-l2a"],
    ),
    "two definitions without collection": (
        {"--definition": "hls-l30 --definition hls-s30"},
        ["'hls-l30' is one of several", "write COLLECTION=NAME"],
    ),
    "no-initialize without a store": ({"--no-initialize": ""}, ["cube.zarr holds no cube", "drop --no-initialize"]),
    "overwrite without initialize": (
        {"--no-initialize": "", "--overwrite": ""},
        ["--overwrite: needs --initialize", "omit --no-initialize"],
    ),
    "wrong date": ({"--start-date": "2023-13-01"}, ["--start-date", "'2023-13-01' is not a date", "format 2023-01-01"]),
    "no date": ({"--end-date": None}, ["--end-date is missing", "Last month of the cube"]),
    "unknown option": (
        {"--cloudy": "yes"},
        ["No such option --cloudy of `", "build`; `", "build --help` lists its options"],
    ),
    "similar option": ({"--cloud-masks": "scl"}, ["No such option --cloud-masks", "did you mean --cloud-mask?"]),
    "not a whole number": ({"--max-scenes": "x"}, ["'--max-scenes'", "'x' is not a valid integer."]),
    "an address without protocol": (
        {"--serverless-backend": "dask", "--scheduler-address": "127.0.0.1:8799"},
        ["--scheduler-address '127.0.0.1:8799': has another form", "such as tcp://host:8786"],
    ),
    "a folder that takes no files": ({"--fsspec-uri": "/proc/x"}, ["fsspec-uri /proc/x cannot be written", "choose"]),
    "an extra argument": ({"--debug": "extra"}, ["unexpected extra argument", "extra"]),
    "storage option without value": ({"--storage-option": "anon"}, ["--storage-option", "'anon' is not KEY=VALUE"]),
    "storage option without key": ({"--storage-option": "=1"}, ["--storage-option", "'=1' is not KEY=VALUE"]),
    "unknown backend": (
        {"--serverless-backend": "spark"},
        ["--serverless-backend", "spark", "local", "dask", "coiled"],
    ),
    "dask without address": ({"--serverless-backend": "dask"}, ["--scheduler-address", "tcp://host:8786"]),
    "address without dask": (
        {"--scheduler-address": "tcp://host:1"},
        ["--scheduler-address", "--serverless-backend local", "use dask"],
    ),
    "reserved name": ({"--varname": "time"}, ["--varname", "'time' is a name that the store uses", "choose another"]),
    "unknown composite": ({"--composite": "mode"}, ["composite mode is unknown", "choose one of", "median"]),
    "wrong percentile": ({"--composite": "percentile:x"}, ["composite percentile:x", "write it as percentile:25"]),
    "parameters of none": ({"--composite": "mean:3"}, ["composite mean:3", "takes no parameters"]),
    "unknown quality": ({"--quality": "clouds"}, ["--quality", "'clouds'", "'valid_count'", "'sensor_share'"]),
    "quality twice": (
        {"--quality": "date --quality date"},
        ["--quality: date is given more than once", "give each layer once"],
    ),
    "one sensor": ({"--quality": "sensor_share"}, ["quality sensor_share", "the sensor Sentinel-2 MSI", "leave"]),
    "invalid name": ({"--varname": "a/b"}, ["--varname", "'a/b'", "use letters, digits and _"]),
    "unknown crs": ({"--crs": "EPSG:99999"}, ["crs 'EPSG:99999': unknown", "give an EPSG code such as EPSG:32633"]),
    "crs of heights": ({"--epsg": "5773"}, ["crs 'EPSG:5773'", "give a projected or a geographic CRS"]),
    "degrees for metres": (
        {"--crs": "utm", "--resolution": "0.0003"},
        ["resolution 0.0003: is in m with EPSG:32633", "for pixels of 0.0003 degrees give 33.4"],
    ),
    "metres for degrees": (
        {"--resolution": "10"},
        ["resolution 10: is in degrees with EPSG:4326", "for pixels of 10 m give 9e-05, or --crs utm"],
    ),
    "no months": ({"--months": "May"}, ["--months", "'May' is no range within a year", "write 5-9"]),
    "no encoding": (
        {"--encoding": "0.0001"},
        ["--encoding", "'0.0001' is no list of NAME=NUMBER", "scale=0.0001,offset=-0.2"],
    ),
    "an offset in digital numbers": (
        {"--encoding": "scale=0.0001,offset=-1000"},
        ["--encoding", "the offset -1000 is none of reflectance", "give one such as -0.1"],
    ),
    "limits beyond 16 bits": (
        {"--encoding": "scale=0.0001,offset=0,max=7"},
        ["--encoding", "its numbers hold reflectance from 0.0001 to 6.5535", "another scale or offset"],
    ),
    "no comparison": ({"--query": "eo:cloud_cover"}, ["--query", "is no comparison", "eo:cloud_cover<60"]),
    "crs and epsg": ({"--crs": "utm", "--epsg": "3035"}, ["--crs 'utm' and --epsg 3035: both are given"]),
    "like and area": ({"--like": "dem.tif"}, ["--like and --bbox: both are given", "omit --bbox"]),
    "joined bands": ({"--bands": "red,green"}, ["--bands", "'red,green'", "by itself: --bands red --bands green"]),
    "limit zero": ({"--limit": "0"}, ["--limit", "0", "x>=1"]),
}


@pytest.mark.parametrize(("changes", "said"), ROWS.values(), ids=ROWS.keys())
def test_bad_input_is_one_line_with_value_problem_and_remedy(
    changes: Changes, said: list[str], refused: Refused
) -> None:
    line = refused(changes)
    assert "Pydantic" not in line
    assert [words for words in said if words not in line] == []


def test_an_encoding_that_clips_reflectance_is_refused(call: Callable[..., Any], sample_archive: Path) -> None:
    """After the search, which finds the definitions of the scenes."""
    code, _, errors = call(arguments(sample_archive, {"--encoding": "scale=0.0001,offset=0"}, "plan"))
    (line,) = errors.splitlines()
    assert code == 2
    assert "encoding scale=0.0001,offset=0.0: holds reflectance from 0.0001 to 6.5535" in line
    assert "add min=REFLECTANCE, beyond which it is clipped" in line


def test_a_definition_with_an_unknown_field_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('name = "own"\ncolour = "red"\n')
    assert "collection-file own.toml: unknown field colour (and " in refused({"--collection-file": "own.toml"})
    (tmp_path / "own.toml").write_text("name = ")
    assert "collection-file own.toml: is not TOML" in refused({"--collection-file": "own.toml"})


def test_the_driver_gcsfs_is_not_installed() -> None:
    assert importlib.util.find_spec("gcsfs") is None


def test_the_unchanged_request_is_accepted(call: Callable[..., Any], sample_archive: Path, tmp_path: Path) -> None:
    code, output, errors = call(arguments(sample_archive, {}, "plan"))
    assert (code, errors, snapshot(tmp_path)) == (0, "", {})
    assert "16" in output


@pytest.mark.parametrize("changes", [{}, {"--fsspec-uri": "cube.zarr"}, {"--dry-run": ""}])
def test_a_plan_of_many_chunks_needs_no_confirmation_and_writes_nothing(
    changes: Changes, call: Callable[..., Any], sample_archive: Path, tmp_path: Path
) -> None:
    name = "build" if "--dry-run" in changes else "plan"
    code, _, errors = call(arguments(sample_archive, {"--max-chunks": "2"} | changes, name))
    assert (code, errors, snapshot(tmp_path)) == (0, "", {})


@pytest.mark.parametrize(
    "option",
    ["key=hush", "secret=hush", "aws_session_token=hush", "password=hush", "account_key=hush", "sas_token=hush"],
)
def test_a_secret_is_refused_and_not_repeated(option: str, refused: Refused) -> None:
    line = refused({"--storage-option": option})
    assert option.split("=")[0] in line
    assert "AWS_SECRET_ACCESS_KEY" in line
    assert "hush" not in line


SQUARE = shapely.box(11.96, 46.85, 12.04, 46.89)
BOW_TIE = shapely.Polygon([(11.9, 46.8), (12.1, 46.9), (12.1, 46.8), (11.9, 46.9)])
DEGREES = "EPSG:4326"


def write(file: Path, shapes: list[Any], crs: str | None) -> None:
    """Write geometries to a file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        geopandas.GeoDataFrame({"name": ["a"] * len(shapes)}, geometry=shapes, crs=crs).to_file(file)


@pytest.mark.parametrize(
    ("name", "shapes", "crs", "said"),
    [
        ("empty.gpkg", [], DEGREES, ["empty", "at least one polygon"]),
        ("hollow.gpkg", [shapely.Polygon()], DEGREES, ["empty", "at least one polygon"]),
        ("bow-tie.gpkg", [BOW_TIE], DEGREES, ["feature 0", "Self-intersection", "ogr2ogr -makevalid"]),
        ("nameless.shp", [SQUARE], None, ["has no CRS", ".prj", "ogr2ogr -a_srs"]),
        ("nameless.gpkg", [SQUARE], None, ["has no CRS", "ogr2ogr -a_srs"]),
        ("point.gpkg", [shapely.Point(12, 46.8)], DEGREES, ["covers no area", "polygons"]),
        ("metres.gpkg", [shapely.box(5e5, 4e6, 5.1e5, 4.1e6)], DEGREES, ["not degrees on Earth", "CRS"]),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_geometry_file_that_cannot_be_used(
    name: str, shapes: list[Any], crs: str | None, said: list[str], refused: Refused, tmp_path: Path
) -> None:
    write(tmp_path / name, shapes, crs)
    line = refused({"--bbox": None, "--geometry-file": name})
    assert [words for words in [f"geometry file {name}", *said] if words not in line] == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.gpkg", None, "does not exist; check the path"),
        ("text.gpkg", "hello", "cannot be read"),
        ("text.geojson", "hello", "cannot be read"),
        ("area.kml", "<kml/>", "its type is not supported; give a .shp, .gpkg or .geojson file"),
    ],
)
def test_a_file_that_holds_no_geometry(
    name: str, content: str | None, said: str, refused: Refused, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    line = refused({"--bbox": None, "--geometry-file": name})
    assert f"geometry file {name}: {said}" in line


def test_a_band_that_is_missing_from_the_items(sample_archive: Path, call: Callable[..., Any], tmp_path: Path) -> None:
    catalogue = copy_catalogue(sample_archive, tmp_path / "catalogue", without=["collection.json"])
    before = snapshot(tmp_path)
    code, _, errors = call(arguments(catalogue, {"--bands": "swir99"}, "plan"))
    assert (code, snapshot(tmp_path)) == (2, before)
    (line,) = errors.splitlines()
    assert "band swir99: not in the collection; choose from " in line


@pytest.mark.parametrize("name", ["build", "plan"])
def test_a_band_that_one_of_the_pooled_collections_lacks(refused: Refused, tmp_path: Path, name: str) -> None:
    """The second collection has no blue band."""
    item = stac_item("narrow", "2023-06-10T10:00:00Z", (11.5, 46.5, 12.5, 47.2))
    del item["assets"]["blue"]
    (tmp_path / "narrow.json").write_text(json.dumps(item | {"collection": "narrow"}))
    pool = {"--collection": "sentinel-2-c1-l2a --collection narrow.json#narrow", "--bands": "blue"}
    assert "band blue: not in collection narrow; choose from red, green, nir" in refused(pool, name)


def test_a_stac_url_where_nothing_listens(refused: Refused) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    begin = time.monotonic()
    line = refused({"--stac-url": url})
    assert time.monotonic() - begin < 10
    assert f"stac-url {url}: cannot be reached" in line
    assert "check the address" in line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", "<html><body>hello</body></html>"),
        ("other.json", json.dumps({"hello": "world"})),
        ("list.json", json.dumps([1, 2])),
        (
            "static.json",
            json.dumps({"type": "Catalog", "id": "a", "stac_version": "1.0.0", "description": "a", "links": []}),
        ),
    ],
)
def test_a_stac_url_that_is_no_stac_api(
    name: str, content: str, refused: Refused, range_server: Callable[[Path], RangeServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("site")
    (folder / name).write_text(content)
    url = f"{range_server(folder).url}/{name}"
    line = refused({"--stac-url": url})
    assert f"stac-url {url}" in line
    assert "STAC API" in line
    assert "root URL" in line


def test_a_stac_url_that_answers_404(
    refused: Refused, range_server: Callable[[Path], RangeServer], tmp_path: Path
) -> None:
    url = f"{range_server(tmp_path).url}/nothing"
    line = refused({"--stac-url": url})
    assert f"stac-url {url}: cannot be reached" in line
    assert "404" in line or "not found" in line


def test_a_collection_that_the_api_does_not_have(
    refused: Refused, earth_search: Callable[..., EarthSearch], sample_archive: Path
) -> None:
    url = earth_search([json.loads((sample_archive / "collection.json").read_text())], []).url
    line = refused({"--stac-url": url, "--collection": "nope"})
    assert f"collection nope: not at {url}; choose from sentinel-2-c1-l2a" in line


def test_a_band_that_the_api_does_not_have(
    refused: Refused, earth_search: Callable[..., EarthSearch], sample_archive: Path
) -> None:
    url = earth_search([json.loads((sample_archive / "collection.json").read_text())], []).url
    line = refused({"--stac-url": url, "--bands": "swir99"})
    assert "band swir99: not in the collection; choose from red, green, blue, nir" in line


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty", None, "contains no STAC items"),
        ("items.json", "hello", "not readable JSON"),
        ("items.json", '{"type": "FeatureCollection", "features": []}', "contains no STAC items"),
        ("items.parquet", "hello", "not readable stac-geoparquet"),
    ],
)
def test_a_local_path_without_stac_items(
    name: str, content: str | None, said: str, refused: Refused, tmp_path: Path
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text(content)
    line = refused({"--stac-url": name})
    assert said in line
    assert name in line


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", ["has no rows", "write rows 2023-01-01,2023-03-31"]),
        ("start,end\n", ["has no rows"]),
        ("begin,until\n2023-05-01,2023-05-31", ["line 1: 'begin' is not a date", "2023-01-31"]),
        ("2023-05-01,2023-05-31\n2023-06-01,31.6.2023", ["line 2: '31.6.2023' is not a date"]),
        ("2023-05-01,2023-02-30", ["line 1: '2023-02-30' is not a date"]),
        ("2023-05-01,9999-12-31", ["line 1: 9999-12-31 is after the last year"]),
        ("2023-05-31,2023-05-01", ["line 1 ends on 2023-05-01, before it starts on 2023-05-31", "swap"]),
        ("2023-05-01;2023-05-31", ["line 1 has 1 columns", "2023-01-01,2023-03-31"]),
        ("2023-05-01,2023-05-31,x", ["line 1 has 3 columns"]),
        ("2023-06-01,2023-06-30\n\n2023-05-01,2023-05-31", ["line 3 (2023-05-01 to 2023-05-31) does not start and"]),
        ("2023-05-01,2023-05-31\n2023-05-01,2023-06-30", ["line 2", "keep one row of each start"]),
        ("2023-05-01,2023-06-30\n2023-05-10,2023-06-30", ["line 2", "keep one row of each start and of each end"]),
        ("2022-05-01,2022-05-31", ["no period of the file is within 2023-05-01 to 2023-06-30", "choose other dates"]),
        ("\xff", ["is no CSV file in UTF-8"]),
        ('2023-05-01,"2023-05-31', ["is no CSV file in UTF-8"]),
        ("\n".join(["2023-05-01,2023-05-31"] * 4097), ["has 4097 rows, more than 4096"]),
        ("2023-05-01,2023-05-31\n" * 50_000, ["has more than 1000000 bytes"]),
    ],
    ids=range(17),
)
def test_a_file_of_periods_that_cannot_be_used(rows: str, said: list[str], refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "rolling.csv").write_bytes(rows.encode("latin-1"))
    line = refused({"--period": "rolling.csv"})
    assert "period rolling.csv: " in line
    assert [words for words in said if words not in line] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"--period": "10D"},
            ["period is '1M' there and '10D' here", "start is '2023-05' there"],
        ),
        ({"--period": "season"}, ["period is '1M' there and 'season' here"]),
        ({"--resolution": "0.001"}, ["grid is", "0.0005", "0.001"]),
        ({"--bbox": "11.97 46.85 12.04 46.89"}, ["grid is"]),
        ({"--bands": "nir"}, ["bands is ['red', 'green', 'blue', 'nir'] there and ['nir'] here"]),
        ({"--chunk-size": "64"}, ["chunk-size is 48 there and 64 here"]),
        ({"--shard": "2"}, ["shard is 1 there and 2 here"]),
        ({"--cloud-mask": "scl"}, ["cloud-mask is 'none' there and 'scl' here"]),
        ({"--start-date": "2023-06-01"}, ["start is '2023-05' there and '2023-06' here"]),
        ({"--varname": "other"}, ["varname is 'rgb_median' there and 'other' here"]),
        ({"--resampling": "nearest"}, ["resampling is 'bilinear' there and 'nearest' here"]),
        ({"--time-frequency-months": "2"}, ["period is '1M' there and '2M' here"]),
        ({"--composite": "mean"}, ["composites is ['median'] there and ['mean'] here"]),
        ({"--quality": "date"}, ["quality is [] there and ['date'] here"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.usefixtures("cube")
def test_a_store_with_another_configuration(changes: Changes, said: list[str], refused: Refused) -> None:
    line = refused(changes)
    assert "fsspec-uri cube.zarr holds another cube" in line
    assert "choose another location, the same configuration, or --overwrite" in line
    assert [words for words in said if words not in line] == []


@pytest.mark.usefixtures("cube")
def test_an_end_before_that_of_the_cube(refused: Refused) -> None:
    assert (
        "--end-date 2023-05-31: the cube at cube.zarr reaches to 2023-06, and a build keeps all of its periods; give "
        "2023-06 or later, another location, or --overwrite"
    ) in refused({"--end-date": "2023-05-31"})


@pytest.mark.parametrize("more", [{}, {"--overwrite": ""}], ids=["", "overwrite"])
@pytest.mark.parametrize("kind", ["notes", "zarr", "ledger without cube"])
def test_a_folder_that_ardcube_did_not_write(kind: str, more: Changes, refused: Refused, tmp_path: Path) -> None:
    match kind:
        case "zarr":
            zarr.create_array(tmp_path / "cube.zarr", shape=(2, 2), dtype="u1")
        case "notes":
            (tmp_path / "cube.zarr").mkdir()
            (tmp_path / "cube.zarr" / "notes.txt").write_text("mine")
        case _:
            (tmp_path / "cube.zarr" / "rgb_median").mkdir(parents=True)
            (tmp_path / "cube.zarr.ardcube").mkdir()
            (tmp_path / "cube.zarr.ardcube" / "notes.txt").write_text("mine")
    line = refused(more)
    assert "fsspec-uri cube.zarr holds something that ardcube did not write" in line
    assert "choose another location" in line


@pytest.mark.parametrize("more", [{}, {"--overwrite": ""}], ids=["", "overwrite"])
def test_a_file_where_the_store_should_be(more: Changes, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "cube.zarr").write_text("mine")
    line = refused(more)
    assert "fsspec-uri cube.zarr" in line


@pytest.mark.parametrize("more", [{}, {"--overwrite": ""}, {"--no-initialize": ""}], ids=["", "overwrite", "no-init"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"identity": 3}'])
def test_a_damaged_cube_json(content: str, more: Changes, refused: Refused, cube: Path) -> None:
    (cube.parent / "cube.zarr.ardcube" / "cube.json").write_text(content)
    line = refused(more)
    assert "cube.zarr.ardcube/cube.json is damaged" in line
    assert "restore it, or remove the cube by hand" in line


def test_a_missing_store_whose_ledger_exists(refused: Refused, cube: Path) -> None:
    shutil.rmtree(cube)
    line = refused({})
    assert "fsspec-uri cube.zarr is missing, but cube.zarr.ardcube lists chunks of it" in line
    assert "--overwrite" in line


@pytest.mark.usefixtures("cube")
@pytest.mark.parametrize(
    "changes",
    [{"--bands": "swir99"}, {"--cloud-mask": "fog"}, {"--stac-url": "nowhere"}, {"--collection": "nope"},
     {"--max-chunks": "2"}],
    ids=lambda value: next(iter(value)),
)  # fmt: skip
def test_a_refused_request_with_overwrite_removes_nothing(changes: Changes, refused: Refused, tmp_path: Path) -> None:
    refused({**changes, "--overwrite": ""})
    assert pixels(tmp_path / "cube.zarr").values.any()
    assert len(records(tmp_path / "cube.zarr")) == 2


@pytest.mark.parametrize("name", ["build", "plan"])
def test_debug_shows_a_traceback_before_the_line(
    name: str, call: Callable[..., Any], sample_archive: Path, tmp_path: Path
) -> None:
    code, _, errors = call(arguments(sample_archive, {"--bands": "swir99", "--debug": ""}, name))
    assert (code, snapshot(tmp_path)) == (2, {})
    assert "Traceback (most recent call last)" in errors
    assert "check_bands" in errors
    assert errors.splitlines()[-1].startswith("ardcube: band swir99: not in the collection")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "nothing.zarr"], "nothing.zarr: no cube of ardcube"),
        (["status"], "Missing argument 'URI'"),
        (["status", "gs://bucket/cube"], "gcsfs"),
        (["status", "cube.zarr", "--storage-option", "anon"], "'anon' is not KEY=VALUE"),
        (["quicklook", "nothing.zarr", "--output", "pictures"], "nothing.zarr holds no cube"),
        (["quicklook", "nothing.zarr"], "--output"),
        (["report", "nothing.zarr", "--output", "page.html"], "nothing.zarr: no cube of ardcube"),
        (["report", "nothing.zarr", "--output", "file"], "output file: exists and is not a report page"),
        (["report", "nothing.zarr", "--output", "nowhere/page.html"], "the folder nowhere does not exist; create it"),
        (["report", "nothing.zarr", "--output", "."], "output .: is a folder; give the name of a file"),
        (["export", "nothing.zarr", "--output", "files"], "nothing.zarr: no cube of ardcube"),
        (["export", "nothing.zarr", "--output", "files", "--format", "png"], "'png' is not one of 'cog', 'netcdf'"),
        (["export", "nothing.zarr"], "--output"),
        (["fill", "nothing.zarr", "--method", "carry", "--max-periods", "2"], "nothing.zarr: no cube of ardcube"),
        (["fill", "nothing.zarr", "--method", "carry", "--max-periods", "0"], "'--max-periods': 0 is not in the range"),
        (["fill", "nothing.zarr", "--method", "nearest", "--max-periods", "1"], "'nearest' is not one of 'carry'"),
        (["sample", "file"], "file: is a file; give a folder"),
        (["sample"], "Missing argument 'FOLDER'"),
        (["biuld"], "No such command 'biuld'"),
        (["--cloudy"], "--cloudy"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_other_commands_report_bad_input_in_one_line(
    words: list[str], said: str, call: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    code, output, errors = call(words)
    assert (code, output, snapshot(tmp_path)) == (2, "", before)
    (line,) = errors.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--end-date": "2023-04-30"}, "--end-date 2023-04: before --start-date 2023-05; swap them"),
        ({"--bands": "swir99"}, "band swir99: not in the collection; choose from red, green, blue, nir"),
    ],
    ids=["end before start", "unknown band"],
)
def test_the_installed_command_reports_the_same(
    changes: Changes, said: str, sample_archive: Path, tmp_path: Path
) -> None:
    words = arguments(sample_archive, {**changes, "--fsspec-uri": str(tmp_path / "cube.zarr")})
    assert Path(command()[0]).exists()
    done = run(words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("ardcube: ")
    assert said in line
    assert snapshot(tmp_path) == {}
