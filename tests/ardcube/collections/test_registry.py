"""Definitions of this package, of installed packages, and of a file of the user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import ardcube.collections
from ardcube.collections.model import Definition
from ardcube.collections.recognize import Definitions
from ardcube.collections.registry import installed_definitions, list_definitions, load_definitions, read_definition
from ardcube.errors import InputError
from tests.ardcube.collections.made import MADE, item
from tests.ardcube.collections.test_model import SMALL

CATALOGUES = {
    ("https://earth-search.aws.element84.com/v1", "sentinel-2-l2a"),
    ("https://earth-search.aws.element84.com/v1", "sentinel-2-c1-l2a"),
    ("https://earth-search.aws.element84.com/v1", "landsat-c2-l2"),
    ("https://planetarycomputer.microsoft.com/api/stac/v1", "sentinel-2-l2a"),
    ("https://planetarycomputer.microsoft.com/api/stac/v1", "landsat-c2-l2"),
    ("https://planetarycomputer.microsoft.com/api/stac/v1", "hls2-l30"),
    ("https://planetarycomputer.microsoft.com/api/stac/v1", "hls2-s30"),
    ("https://stac.dataspace.copernicus.eu/v1", "sentinel-2-l2a"),
    ("https://explorer.digitalearth.africa/stac", "s2_l2a"),
    ("https://explorer.digitalearth.africa/stac", "s2_l2a_c1"),
    ("https://landsatlook.usgs.gov/stac-server", "landsat-c2l2-sr"),
    ("https://cmr.earthdata.nasa.gov/stac/LPCLOUD", "HLSL30_2.0"),
    ("https://cmr.earthdata.nasa.gov/stac/LPCLOUD", "HLSS30_2.0"),
}


def test_each_catalogue_has_a_definition() -> None:
    found = {(one.stac_url, one.collection) for definition in installed_definitions() for one in definition.catalogues}
    assert found == CATALOGUES


@pytest.mark.parametrize("definition", installed_definitions(), ids=lambda definition: definition.name)
def test_a_built_in_definition_is_complete(definition: Definition) -> None:
    names = [file.name for file in files(ardcube.collections).joinpath("definitions").iterdir()]
    assert f"{definition.name}.toml" in names
    assert definition.recognize
    assert all(definition.band(name) for name in ("red", "green", "blue", "nir", "nir08", "swir16", "swir22"))
    low, high = definition.encoding.valid_range
    nodata = definition.encoding.nodata
    assert nodata is not None
    assert not low <= nodata <= high
    mask = definition.bands[str(definition.mask)]
    named = {"classes": mask.classes, "bits": mask.bits}[mask.kind]
    assert {"cloud", "shadow", "cirrus", "snow", "water"} <= set(named)


def test_no_item_has_two_definitions() -> None:
    for made, _ in MADE.values():
        assert len([one for one in installed_definitions() if one.recognizes(made)]) <= 1, made["id"]


def test_asset_keys_of_resolutions_alone_are_not_those_of_cdse() -> None:
    """Other products have these keys too, and the offset of CDSE depends on the version of the processing."""
    plain = item("some", "B04_60m B04_20m B04_10m")
    assert load_definitions().of(plain) is None
    found = load_definitions().of(item("some", "B04_60m B04_20m B04_10m", **{"processing:version": "05.11"}))
    assert found is not None
    assert found.name == "cdse-sentinel-2-l2a"


def test_the_bit_that_landsat_calls_clear_is_left_out() -> None:
    """It is set together with shadow, snow, water and cirrus on OLI, and not set for water on TM."""
    for name in ("landsat-c2-l2", "landsat-oli-c2-l2-by-file", "landsat-tm-c2-l2-by-file"):
        bits = load_definitions(name).chosen.bands["qa_pixel"].bits  # type: ignore[union-attr]
        assert 6 not in bits.values()
        assert "clear" not in bits


def test_how_overviews_of_a_mask_were_made_decides_on_pixels() -> None:
    definition = load_definitions("hls-l30").chosen
    assert definition is not None
    assert (definition.overviews("fmask"), definition.overviews("red"), definition.overviews("nope")) == (
        "nearest",
        "",
        "",
    )
    mask = definition.bands["fmask"].model_copy(update={"overviews": "unknown"})
    other = definition.model_copy(update={"bands": {**definition.bands, "fmask": mask}})
    assert other.overviews("fmask") == ""
    assert other.pixel_fields(["fmask"]) != definition.pixel_fields(["fmask"])


def write(folder: Path, text: str = SMALL) -> str:
    file = folder / "own.toml"
    file.write_text(text)
    return str(file)


def test_a_definition_of_a_file_takes_precedence(tmp_path: Path) -> None:
    own = SMALL.replace('assets = ["RE"]', 'assets = ["B04"]')
    definitions = load_definitions(collection_file=write(tmp_path, own))
    made, _ = MADE["planetary computer sentinel-2, older"]
    assert definitions.of(made).name == "small"  # type: ignore[union-attr]
    assert load_definitions("planetary-computer-sentinel-2-l2a", write(tmp_path, own)).of(made).name == (  # type: ignore[union-attr]
        "planetary-computer-sentinel-2-l2a"
    )


def test_several_files_have_different_names_and_no_order(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(SMALL.replace('"small"', '"other"', 1).replace('"RE"', '"GR"'))
    files = [write(tmp_path), str(tmp_path / "other.toml")]
    definitions = load_definitions(collection_file=files)
    assert [definitions.of(item("x", key)).name for key in ("RE", "GR")] == ["small", "other"]  # type: ignore[union-attr]
    assert definitions == load_definitions(collection_file=files[::-1])
    with pytest.raises(InputError, match=r"own.toml: the name small is one of another file; choose another name"):
        load_definitions(collection_file=[*files, files[0]])


def test_a_chosen_definition_is_that_of_all_items() -> None:
    definitions = load_definitions("hls-l30")
    assert definitions.of(item("x", "red")).name == "hls-l30"  # type: ignore[union-attr]


def test_several_definitions_of_one_item_are_refused_with_their_names(tmp_path: Path) -> None:
    one = read_definition(write(tmp_path))
    two = one.model_copy(update={"name": "other"})
    with pytest.raises(InputError, match="item x: several definitions recognize it: small, other; choose one with"):
        Definitions((one, two)).of(item("x", "RE"))


def test_a_file_or_name_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="definition nope: unknown; choose from cdse-sentinel-2-l2a, "):
        load_definitions("nope")
    with pytest.raises(InputError, match=r"collection-file .*missing.toml: cannot be read \(No such file"):
        load_definitions(collection_file=str(tmp_path / "missing.toml"))
    with pytest.raises(InputError, match="cannot be read"):
        load_definitions(collection_file=str(tmp_path))
    with pytest.raises(InputError, match=r"own.toml: unknown field colour"):
        load_definitions(collection_file=write(tmp_path, f"colour = 1\n{SMALL}"))
    with pytest.raises(InputError, match="the name hls-l30 is one of an installed definition"):
        load_definitions(collection_file=write(tmp_path, SMALL.replace('"small"', '"hls-l30"', 1)))
    with pytest.raises(InputError, match="has more than 1000000 bytes"):
        load_definitions(collection_file=write(tmp_path, "#" * 1_000_001))
    (tmp_path / "own.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8"):
        load_definitions(collection_file=str(tmp_path / "own.toml"))


def test_definitions_are_listed_by_name_and_from_a_file(tmp_path: Path) -> None:
    assert [one.name for one in list_definitions(("hls-s30", "hls-l30"))] == ["hls-l30", "hls-s30"]
    assert [one.name for one in list_definitions((), write(tmp_path))] == ["small"]
    assert len(list_definitions()) == 10


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the packages of a folder installed."""
    command = [str(Path(sys.executable).parent / "ardcube"), *words]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )  # fmt: skip


def install(folder: Path, module: str, points: str) -> None:
    """Write an installed package with entry points."""
    (folder / "archive.py").write_text(module)
    info = folder / "archive-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: archive\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ardcube.collections]\n{points}")


def test_a_package_registers_a_text_a_path_and_a_function(tmp_path: Path) -> None:
    texts = {name: SMALL.replace('"small"', f'"{name}"', 1) for name in ("text", "path", "function")}
    (tmp_path / "path.toml").write_text(texts["path"])
    module = f"from pathlib import Path\ntext = {texts['text']!r}\npath = Path(__file__).with_name('path.toml')\n"
    module += f"def function():\n    return {texts['function']!r}\n"
    install(tmp_path, module, "a = archive:text\nb = archive:path\nc = archive:function\n")
    done = run(tmp_path, "collections", "--json", "text", "path", "function")
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in json.loads(done.stdout)] == ["function", "path", "text"]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("definition = 5", "it is a int, and neither TOML text nor a path"),
        ("other = 5", "cannot be loaded"),
        ("definition = 'name = 1'", "entry point archive:definition: "),
        (f"definition = {SMALL.replace('small', 'hls-l30', 1)!r}", "the name hls-l30 exists already"),
    ],
)
def test_a_package_with_something_else_is_named(tmp_path: Path, module: str, message: str) -> None:
    install(tmp_path, module, "mine = archive:definition\n")
    done = run(tmp_path, "collections")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_list_fits_100_columns_and_names_sensors_catalogues_bands_and_masks(tmp_path: Path) -> None:
    done = run(tmp_path, "collections")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100
    for text in (
        "landsat-c2-l2: Landsat Collection 2 Level-2, by common names",
        "  sensors     Landsat TM, Landsat ETM+, Landsat OLI",
        "landsat-c2l2-sr at https://landsatlook.usgs.gov/stac-server, requester-pays",
        "red (B04 B04_10m",
        "  masks       scl",
    ):
        assert text in done.stdout
