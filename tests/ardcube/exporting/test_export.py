"""`ardcube.export`: files read back by rasterio, GDAL, rioxarray and xarray; resumed and refused exports."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
import zarr
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

import ardcube
from ardcube.errors import TransientError
from ardcube.exporting import cog
from ardcube.lease.acquire import holding
from ardcube.storage.place import Place
from tests.ardcube.api_cube import BOUNDS, cube_of
from tests.ardcube.random_cube import ledger_of, rewrite
from tests.servers.processes import S3

BOX = (11.9501, 46.85125, 12.0003, 46.8899)


@pytest.fixture(scope="module")
def built(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of 300 x 700 pixels in 2 x 4 tiles, with random pixels and gaps."""
    uri = tmp_path_factory.mktemp("export") / "cube.zarr"
    ardcube.build(cube_of(sample_archive, resolution=0.0002, chunk_size=200), uri)
    rewrite(uri, 1)
    return uri


@pytest.fixture
def cube(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(f"{built}.ardcube", tmp_path / "cube.zarr.ardcube")
    return Path(shutil.copytree(built, tmp_path / "cube.zarr"))


def stored(uri: Path, name: str = "rgb_median") -> NDArray[Any]:
    array = zarr.open_group(uri, mode="r")[name]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])


def halved(values: NDArray[Any]) -> NDArray[Any]:
    """Average the valid numbers of each block of 2 x 2 in plain NumPy, rounded half to even: (band, y, x)."""
    rows, columns = (-(-side // 2) * 2 for side in values.shape[1:])
    padded = np.zeros((len(values), rows, columns))
    padded[:, : values.shape[1], : values.shape[2]] = values
    blocks = padded.reshape(len(values), rows // 2, 2, columns // 2, 2)
    counts = (blocks > 0).sum(axis=(2, 4))
    return np.where(counts > 0, np.rint(blocks.sum(axis=(2, 4)) / np.maximum(counts, 1)), 0).astype(np.uint16)


# ---- cloud-optimized GeoTIFF ----------------------------------------------------------------------


def test_a_geotiff_of_each_period_has_the_pixels_and_the_description_of_the_cube(built: Path, tmp_path: Path) -> None:
    done = ardcube.export(built, tmp_path / "out")
    assert [Path(file).name for file in done.written] == ["rgb_median_2023-05.tif", "rgb_median_2023-06.tif"]
    for number, file in enumerate(done.written):
        with rasterio.open(file) as opened:
            np.testing.assert_array_equal(opened.read(), stored(built)[number].transpose(2, 0, 1))
            assert opened.descriptions == ("red", "nir")
            assert opened.colorinterp == (ColorInterp.red, ColorInterp.undefined)
            assert (opened.scales, opened.offsets) == ((0.0001, 0.0001), (-0.1, -0.1))
            assert (opened.nodata, opened.crs.to_epsg()) == (0, 4326)
            assert tuple(opened.bounds) == pytest.approx(BOUNDS)
            assert opened.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert opened.tags()["period_start"] == f"2023-0{5 + number}-01"
            assert opened.tags()["long_name"] == "median of clear observations"


def test_overviews_are_means_of_valid_pixels_rounded_half_to_even(built: Path, tmp_path: Path) -> None:
    (file, *_) = ardcube.export(built, tmp_path / "out", periods=["2023-05"]).written
    with rasterio.open(file) as opened:
        assert [opened.overviews(band) for band in (1, 2)] == [[2], [2]]
    with rasterio.open(file, overview_level=0) as opened:
        np.testing.assert_array_equal(opened.read(), halved(stored(built)[0].transpose(2, 0, 1)))


def test_overviews_of_a_count_are_the_nearest_pixels(built: Path, tmp_path: Path) -> None:
    done = ardcube.export(built, tmp_path / "out", variables="observation_count", periods="2023-06")
    with rasterio.open(*done.written) as opened:
        np.testing.assert_array_equal(opened.read(1), stored(built, "observation_count")[1])
        assert (opened.nodata, opened.descriptions) == (None, ("observation_count",))
    with rasterio.open(*done.written, overview_level=0) as opened:
        np.testing.assert_array_equal(opened.read(1), stored(built, "observation_count")[1, ::2, ::2])


def test_several_levels_are_made_in_blocks(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ardcube.extent import levels

    monkeypatch.setattr(levels, "LARGEST_TOP", 100)
    monkeypatch.setattr(cog, "_BLOCK", 64)
    (file, *_) = ardcube.export(built, tmp_path / "out").written
    expected = stored(built)[0].transpose(2, 0, 1)
    with rasterio.open(file) as opened:
        assert opened.overviews(1) == [2, 4, 8]
    for level in range(3):
        expected = halved(expected)
        with rasterio.open(file, overview_level=level) as opened:
            np.testing.assert_array_equal(opened.read(), expected)


def test_overviews_of_a_cube_with_a_pyramid_are_its_levels(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    more: dict[str, Any] = {
        "resolution": 0.0002,
        "chunk_size": 200,
        "end_date": "2023-05-31",
        "quality": ("valid_count",),
    }
    ardcube.build(cube_of(sample_archive, layout="geozarr", composites=("median", "std"), **more), uri)
    done = ardcube.export(uri, tmp_path / "out")
    assert len(done.written) == 3
    for file in done.written:
        variable = Path(file).name.removesuffix("_2023-05.tif")
        names = [variable] if variable == "valid_count" else [f"{variable}_{band}" for band in ("red", "nir")]
        for level, options in enumerate(({}, {"overview_level": 0})):
            with rasterio.open(file, **options) as opened:
                expected = np.stack([stored(uri, f"{level}/{name}")[0] for name in names])
                np.testing.assert_array_equal(opened.read(), expected)
    (file,) = ardcube.export(uri, tmp_path / "out", format="netcdf").written
    with xr.open_dataset(file, mask_and_scale=False) as opened:
        expected = np.stack([stored(uri, f"0/std_{band}") for band in ("red", "nir")], axis=1)
        np.testing.assert_array_equal(opened["std"], expected)


def test_rioxarray_reads_the_reflectance_of_the_cube(built: Path, tmp_path: Path) -> None:
    (file, *_) = ardcube.export(built, tmp_path / "out").written
    expected = ardcube.open(built)["rgb_median"][0].transpose("band", "latitude", "longitude")
    with rioxarray.open_rasterio(file, mask_and_scale=True) as opened:
        np.testing.assert_allclose(opened.to_numpy(), expected.to_numpy(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(opened.x, expected.longitude, rtol=0, atol=1e-9)
        np.testing.assert_allclose(opened.y, expected.latitude, rtol=0, atol=1e-9)


@pytest.mark.parametrize("format", ["cog", "netcdf"])
def test_a_window_has_the_pixels_that_a_box_touches(built: Path, tmp_path: Path, format: Any) -> None:
    (file,) = ardcube.export(built, tmp_path / "out", format=format, periods="2023-06", bbox=BOX).written
    cube = xr.open_zarr(built, mask_and_scale=False)["rgb_median"].isel(time=1)
    # Centres up to half a pixel outside of the box belong to pixels that the box touches.
    half, (west, south, east, north) = 0.0001, BOX
    part = cube.sel(latitude=slice(north + half, south - half), longitude=slice(west - half, east + half))
    name = file if format == "cog" else f"netcdf:{file}:rgb_median"
    with rasterio.open(name) as opened:
        np.testing.assert_array_equal(opened.read(), part.to_numpy().transpose(2, 0, 1))
        x, y = part.longitude.to_numpy(), part.latitude.to_numpy()
        edges = (x[0] - half, y[-1] - half, x[-1] + half, y[0] + half)
        assert tuple(opened.bounds) == pytest.approx(edges, abs=1e-9)


def test_a_filled_cube_is_exported_with_its_layers(built: Path, tmp_path: Path) -> None:
    filled = Path(ardcube.fill(built, method="carry", max_periods=1, output=tmp_path / "filled.zarr").uri)
    done = ardcube.export(filled, tmp_path / "out", periods="2023-06")
    files = {Path(file).name: file for file in done.written}
    assert sorted(files) == ["fill_distance_2023-06.tif", "filled_2023-06.tif", "rgb_median_2023-06.tif"]
    with rasterio.open(files["filled_2023-06.tif"]) as opened:
        np.testing.assert_array_equal(opened.read(1), stored(filled, "filled")[1])
        assert opened.tags()["flag_meanings"] == "empty observed filled"


# ---- netCDF ---------------------------------------------------------------------------------------


def test_a_netcdf_file_is_the_cube(built: Path, tmp_path: Path) -> None:
    (file,) = ardcube.export(built, tmp_path / "out", format="netcdf").written
    assert Path(file).name == "cube.nc"
    with xr.open_dataset(file, decode_coords="all") as opened, ardcube.open(built) as expected:
        for name in ("rgb_median", "observation_count"):
            found = opened[name].transpose(*expected[name].dims)
            np.testing.assert_allclose(found.to_numpy(), expected[name].to_numpy(), rtol=0, atol=1e-6)
        for name in ("time", "time_bnds", "latitude", "longitude"):
            np.testing.assert_array_equal(opened[name], expected[name])
        assert list(opened["band"].to_numpy()) == ["red", "nir"]
        assert opened.rio.crs.to_epsg() == 4326
        assert opened.attrs["Conventions"] == "CF-1.11"
        assert opened.attrs["history"] == expected.attrs["history"]
        assert opened["rgb_median"].attrs["standard_name"] == "surface_bidirectional_reflectance"


def test_gdal_reads_the_numbers_of_a_netcdf_file(built: Path, tmp_path: Path) -> None:
    (file,) = ardcube.export(built, tmp_path / "out", format="netcdf").written
    with rasterio.open(f"netcdf:{file}:rgb_median") as opened:
        found = opened.read().reshape(2, 2, *opened.shape)
        np.testing.assert_array_equal(found, stored(built).transpose(0, 3, 1, 2))
        assert (opened.nodata, opened.crs.to_epsg()) == (0, 4326)
        assert tuple(opened.bounds) == pytest.approx(BOUNDS)


def test_a_template_divides_a_netcdf_export(built: Path, tmp_path: Path) -> None:
    done = ardcube.export(built, tmp_path, format="netcdf", template="{cube}/{period}.nc")
    assert done.written == (f"{tmp_path}/cube/2023-05.nc", f"{tmp_path}/cube/2023-06.nc")
    with xr.open_dataset(done.written[1]) as opened:
        assert opened.sizes["time"] == 1
        assert str(opened["time"].to_numpy()[0])[:10] == "2023-06-01"


# ---- again ----------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_export_continues(cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, reduce = [], cog._reduce

    def fails(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise TransientError("the disk is away")
        reduce(*arguments)

    monkeypatch.setattr(cog, "_reduce", fails)
    with pytest.raises(TransientError, match="away"):
        ardcube.export(cube, tmp_path / "a", threads=1)
    assert set(contents(tmp_path / "a")) == {"rgb_median_2023-05.tif", "ardcube-export.json"}
    (tmp_path / "a" / ".ardcube-export-killed").mkdir()  # left by a process that was killed
    again = ardcube.export(cube, tmp_path / "a")
    assert [len(again.written), len(again.kept)] == [1, 1]
    ardcube.export(cube, tmp_path / "b", threads=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(contents(tmp_path / "b"))


def test_a_cube_that_changed_replaces_its_files_only_on_request(cube: Path, tmp_path: Path) -> None:
    ardcube.export(cube, tmp_path / "out")
    ledger = ledger_of(cube)
    record = next(one for one in ledger.records().values() if one.key.period == "2023-06")
    ledger.write(record.after(record, record.attempts[-1]))
    with pytest.raises(ardcube.InputError, match=r"rgb_median_2023-06.tif exists with other content; add overwrite="):
        ardcube.export(cube, tmp_path / "out")
    done = ardcube.export(cube, tmp_path / "out", overwrite=True)
    assert done.written == (f"{tmp_path}/out/rgb_median_2023-06.tif",)
    assert len(ardcube.export(cube, tmp_path / "out").kept) == 2


def test_a_damaged_file_is_never_taken_for_an_exported_one(cube: Path, tmp_path: Path) -> None:
    ardcube.export(cube, tmp_path / "out")
    before = contents(tmp_path / "out")
    victim = tmp_path / "out" / "rgb_median_2023-05.tif"
    victim.write_bytes(victim.read_bytes()[:5000])
    with pytest.raises(ardcube.InputError, match=r"rgb_median_2023-05\.tif exists with other content"):
        ardcube.export(cube, tmp_path / "out")
    assert len(ardcube.export(cube, tmp_path / "out", overwrite=True).written) == 1
    assert contents(tmp_path / "out") == before


def test_files_are_exported_to_s3(built: Path, tmp_path: Path, moto_s3: S3) -> None:
    options = {"storage_options": moto_s3.storage_options, "periods": "2023-05"}
    fs = Place.at(moto_s3.uri(""), moto_s3.storage_options).fs
    for suffix in ("", ".ardcube"):
        fs.put(f"{built}{suffix}", moto_s3.uri(f"cube.zarr{suffix}"), recursive=True)
    done = ardcube.export(moto_s3.uri("cube.zarr"), moto_s3.uri("out"), **options)
    assert done.written == (moto_s3.uri("out/rgb_median_2023-05.tif"),)
    fs.get_file(done.written[0], str(tmp_path / "back.tif"))
    with rasterio.open(tmp_path / "back.tif") as opened:
        np.testing.assert_array_equal(opened.read(), stored(built)[0].transpose(2, 0, 1))
    assert ardcube.export(moto_s3.uri("cube.zarr"), moto_s3.uri("out"), **options).kept == done.written


# ---- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "png"}, r"^format 'png': no such format; give one of cog, netcdf$"),
        ({"periods": ["2023-07"]}, r"^periods '2023-07': no such period; the cube has 2023-05, 2023-06$"),
        ({"variables": ["ndvi"]}, r"^variables 'ndvi': no variable of .*; the cube has rgb_median$"),
        ({"bbox": (1, 2, 3, 4)}, r"^bbox=1 2 3 4: no pixel of the cube is in it"),
        ({"bbox": (12, 46, 11, 47)}, r"^bbox=12 46 11 47: not west, south, east, north in degrees$"),
        ({"bbox": (11, 46, float("nan"), 47)}, r"not west, south, east, north in degrees$"),
        ({"bbox": (11, 46, 12)}, r"not west, south, east, north in degrees$"),
        ({"template": "{varname}.tif"}, r"^template: rgb_median.tif would hold 1 variables of 2 periods"),
        ({"template": "{band}.tif"}, r"^template '\{band\}.tif': not a template of file names; its fields are"),
        ({"template": "{varname!r}.tif"}, r"not a template of file names"),
        ({"template": "{"}, r"not a template of file names"),
        ({"template": "../{varname}_{period}.tif"}, r"is no file in the folder; give a relative name$"),
        ({"template": "/tmp/{varname}_{period}.tif"}, r"is no file in the folder; give a relative name$"),
        ({"template": "ardcube-export.json"}, r"is no file in the folder"),
        ({"threads": 0}, r"^threads=0: not a number of threads; give 1 or more$"),
    ],
)
def test_an_invalid_argument_is_refused_in_one_line(built: Path, tmp_path: Path, arguments: Any, message: str) -> None:
    with pytest.raises(ardcube.InputError, match=message) as caught:
        ardcube.export(built, tmp_path / "out", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_files_of_others_are_not_replaced(built: Path, tmp_path: Path) -> None:
    (tmp_path / "rgb_median_2023-05.tif").write_text("mine")
    with pytest.raises(ardcube.InputError, match=r"rgb_median_2023-05\.tif exists with other content"):
        ardcube.export(built, tmp_path)
    with pytest.raises(ardcube.InputError, match="is a file; give a folder"):
        ardcube.export(built, tmp_path / "rgb_median_2023-05.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["rgb_median_2023-05.tif"]
    assert (tmp_path / "rgb_median_2023-05.tif").read_text() == "mine"


def test_a_cube_that_does_not_exist_or_is_being_written_is_refused(cube: Path, tmp_path: Path) -> None:
    with pytest.raises(ardcube.InputError, match="no cube of ardcube"):
        ardcube.export(tmp_path / "nothing.zarr", tmp_path / "out")
    with holding(ledger_of(cube).place), pytest.raises(ardcube.InputError, match="another run writes this cube"):
        ardcube.export(cube, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_chunks_are_exported_only_on_request(sample_archive: Path, tmp_path: Path) -> None:
    ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr", limit=7)
    with pytest.raises(ardcube.InputError, match=r"5 of 12 chunks are missing; .*, or add allow_missing=True"):
        ardcube.export(tmp_path / "cube.zarr", tmp_path / "out")
    done = ardcube.export(tmp_path / "cube.zarr", tmp_path / "out", allow_missing=True)
    for number, file in enumerate(done.written):
        with rasterio.open(file) as opened:
            np.testing.assert_array_equal(opened.read(), stored(tmp_path / "cube.zarr")[number].transpose(2, 0, 1))
    ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr")
    with pytest.raises(ardcube.InputError, match="exists with other content"):
        ardcube.export(tmp_path / "cube.zarr", tmp_path / "out")


def test_a_damaged_chunk_stops_the_export_and_names_the_cube(cube: Path, tmp_path: Path) -> None:
    victim = next(path for path in sorted((cube / "rgb_median" / "c").rglob("*")) if path.is_file())
    victim.write_bytes(b"no pixels")
    with pytest.raises(ardcube.StoreError, match=rf"^{cube} is damaged"):
        ardcube.export(cube, tmp_path / "out", periods="2023-05")
    assert set(contents(tmp_path / "out")) == {"ardcube-export.json"}
