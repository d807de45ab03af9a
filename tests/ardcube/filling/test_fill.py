"""`ardcube.fill`: filled cubes against plain Python, pandas and xarray; repeated, interrupted and refused passes."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray

import ardcube
from ardcube.errors import TransientError
from ardcube.filling.chunk import OpenFilling
from ardcube.lease.acquire import holding
from ardcube.prepare import finished
from ardcube.storage.place import Place
from ardcube.store.backend import zarr_store
from ardcube.store.versions import for_reading
from tests.ardcube.api_cube import cube_of
from tests.ardcube.pyramid_cube import halved
from tests.ardcube.random_cube import ledger_of, rewrite
from tests.servers.processes import S3
from tests.stac_schemas import validate_folder

REACH = 2


def small(archive: Path, **changes: Any) -> ardcube.CubeConfig:
    """Periods of ten days and three composites, of 30 x 70 pixels in 1 x 3 tiles."""
    values = {"period": "10D", "resolution": 0.002, "chunk_size": 32, "composites": ("median", "mean", "std")}
    return cube_of(archive, **values | changes)


@pytest.fixture(scope="module")
def built(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cube whose pixels are random, with gaps."""
    uri = tmp_path_factory.mktemp("fill") / "cube.zarr"
    ardcube.build(small(sample_archive), uri)
    rewrite(uri, 1)
    return uri


@pytest.fixture
def cube(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(f"{built}.ardcube", tmp_path / "cube.zarr.ardcube")
    return Path(shutil.copytree(built, tmp_path / "cube.zarr"))


def arrays(uri: Path | str) -> dict[str, NDArray[Any]]:
    group = zarr.open_group(str(uri), mode="r")
    return {name: array[...] for name, array in group.arrays()}


def middles(stored: dict[str, NDArray[Any]]) -> list[Fraction]:
    return [Fraction(int(start + end), 2) for start, end in stored["time_bnds"]]


def oracle(before: dict[str, NDArray[Any]], method: str, most: int) -> dict[str, NDArray[Any]]:
    """Fill pixel by pixel in plain Python with exact fractions."""
    after = {name: array.copy() for name, array in before.items()}
    counts, times = before["observation_count"], middles(before)
    after["filled"], after["fill_distance"] = np.zeros(counts.shape, np.uint8), np.full(counts.shape, 255, np.uint8)
    for index in np.ndindex(counts.shape):
        period, pixel = index[0], index[1:]
        if counts[index] > 0:
            after["filled"][index], after["fill_distance"][index] = 1, 0
            continue
        seen = [other for other in range(len(times)) if counts[other][pixel] > 0 and abs(other - period) <= most]
        first = max((other for other in seen if other < period), default=None)
        second = min((other for other in seen if other > period), default=None)
        if first is None or (second is None and method == "interpolate"):
            continue
        after["filled"][index] = 2
        after["fill_distance"][index] = period - first
        for name in ("median", "mean"):
            values = before[name]
            if method == "carry":
                after[name][index] = values[first][pixel]
                continue
            assert second is not None
            after["fill_distance"][index] = max(period - first, second - period)
            share = (times[period] - times[first]) / (times[second] - times[first])
            after[name][index] = [
                round(int(low) + share * (int(high) - int(low))) if low and high else 0
                for low, high in zip(values[first][pixel], values[second][pixel], strict=True)
            ]
    return after


def assert_equal(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("method", ["carry", "interpolate"])
def test_a_filled_cube_is_that_of_plain_python(cube: Path, method: Any) -> None:
    before = arrays(cube)
    summary = ardcube.fill(cube, method=method, max_periods=REACH)
    expected = oracle(before, method, REACH)
    assert_equal(arrays(summary.uri), expected)
    assert_equal(arrays(cube), before)  # the cube itself is unchanged
    shares = [(expected["filled"] == flag).mean() for flag in (1, 2, 0)]
    assert [summary.observed, summary.filled, summary.empty] == pytest.approx(shares)
    assert summary.filled > 0.1


def test_carrying_forward_is_that_of_pandas(cube: Path) -> None:
    before = arrays(cube)
    filled = ardcube.fill(cube, method="carry", max_periods=REACH).uri
    counts, values = before["observation_count"], before["median"][..., 0].astype(float)
    # A band that is nodata in an observed pixel is carried too, so it gets a number that pandas takes for a value.
    series = pd.DataFrame(np.where(counts > 0, values, np.nan).reshape(len(counts), -1))
    expected = series.ffill(limit=REACH).fillna(0).to_numpy().reshape(counts.shape)
    np.testing.assert_array_equal(arrays(filled)["median"][..., 0], expected)


def test_interpolating_is_that_of_xarray(cube: Path) -> None:
    before = arrays(cube)
    periods = len(before["time"])
    filled = ardcube.fill(cube, method="interpolate", max_periods=periods).uri
    counts = before["observation_count"]
    whole = (before["median"][..., 0] > 0) | (counts == 0)
    series = xr.DataArray(
        np.where(counts > 0, before["median"][..., 0], np.nan),
        dims=("time", "y", "x"),
        coords={"time": [float(middle) for middle in middles(before)]},
    )
    expected = series.interpolate_na("time").fillna(0).to_numpy()
    found = arrays(filled)["median"][..., 0]
    at = np.broadcast_to(whole.all(axis=0), counts.shape)  # xarray takes nodata of a band for 0
    assert at.mean() > 0.5
    assert np.abs(found - expected)[at].max() <= 0.5 + 1e-9


def test_readers_see_the_layers_of_a_filled_cube(cube: Path) -> None:
    filled = ardcube.open(ardcube.fill(cube, method="carry", max_periods=REACH).uri)
    flags = filled["filled"]
    assert (flags.dtype, flags.dims) == (np.uint8, filled["observation_count"].dims)
    assert flags.attrs["flag_values"] == [0, 1, 2]
    assert flags.attrs["flag_meanings"] == "empty observed filled"
    assert filled["median"].attrs["ancillary_variables"] == "observation_count filled fill_distance"
    assert filled["median"].notnull().any("band").where(flags > 0, True).mean() > 0.99
    assert filled["median"].isnull().where(flags == 0, True).all()
    np.testing.assert_array_equal(filled["fill_distance"].isnull(), flags == 0)
    assert (filled.attrs["fill_method"], filled.attrs["fill_max_periods"]) == ("carry", REACH)
    assert "filled by carry within 2 periods" in filled.attrs["history"].splitlines()[-1]
    assert filled.attrs["title"].endswith(" composites, gaps filled by carry within 2 periods")
    assert filled.attrs["fill_source"] == str(cube)
    assert ardcube.open(cube)["median"].attrs["ancillary_variables"] == "observation_count"


def test_a_filled_cube_has_separate_documents(cube: Path) -> None:
    ardcube.stac(cube)
    filled = Path(ardcube.fill(cube, method="carry", max_periods=1).uri)
    assert "stac:key" not in zarr.open_group(filled, mode="r").attrs
    ardcube.stac(filled)
    whole, item, *_ = validate_folder(filled)
    assert whole["id"] == filled.stem
    classes = item["assets"]["filled"]["classification:classes"]
    assert [one["name"] for one in classes] == ["empty", "observed", "filled"]
    how = {"method": "carry", "max_periods": 1, "source": str(cube)}
    assert (whole["ardcube:fill"], item["properties"]["ardcube:fill"]) == (how, how)
    assert whole["title"].endswith("gaps filled by carry within 1 period")
    assert str(cube) in [link["href"] for link in item["links"] if link["rel"] == "derived_from"]


def shares(documents: Path) -> list[tuple[Any, ...]]:
    names = ("scenes", "observed_share", "mean_clear_days")
    return [tuple(item["properties"][f"ardcube:{name}"] for name in names) for item in validate_folder(documents)[1:]]


def test_a_filled_cube_states_the_scenes_of_its_cube_and_how_it_is_filled(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    ardcube.build(small(sample_archive), uri)
    filled = ardcube.fill(uri, method="carry", max_periods=1)
    ardcube.stac(uri)
    ardcube.stac(filled.uri)
    assert shares(Path(filled.uri)) == shares(uri)
    assert shares(uri)[0][0] > 0
    parts = [item["properties"]["ardcube:filled_share"] for item in validate_folder(Path(filled.uri))[1:]]
    assert np.mean(parts) == pytest.approx(filled.filled, abs=1e-4)
    np.testing.assert_array_equal(ardcube.status(filled.uri)["scenes"], ardcube.status(uri)["scenes"])
    page = ardcube.write_report(filled.uri, tmp_path / "page.html").read_text()
    assert '<p class="kind">Filled data cube</p>' in page
    assert f"gaps filled by carry within 1 period, from {uri}</dd>" in page
    assert f"<dt>Filled pixels</dt><dd>{100 * filled.filled:.1f} %</dd>" in page
    assert "No scene was found" not in page


# ---- again ----------------------------------------------------------------------------------------


def fill_to(cube: Path, name: str) -> ardcube.FillSummary:
    return ardcube.fill(cube, method="interpolate", max_periods=REACH, output=cube.parent / name)


def test_a_second_pass_does_nothing(cube: Path) -> None:
    first = fill_to(cube, "a.zarr")
    objects = {path: path.stat().st_mtime_ns for path in Path(first.uri).rglob("*") if path.is_file()}
    second = fill_to(cube, "a.zarr")
    assert (second.chunks, second.already_done) == (first.chunks, first.chunks)
    assert (second.observed, second.filled) == (first.observed, first.filled)
    assert {path: path.stat().st_mtime_ns for path in Path(first.uri).rglob("*") if path.is_file()} == objects


def test_an_interrupted_pass_continues(cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, fill = [], OpenFilling.fill

    def fails(self: OpenFilling, job: Any, fork: bytes | None = None) -> Any:
        calls.append(job)
        if len(calls) == 5:
            raise TransientError("the store is away")
        return fill(self, job, fork)

    monkeypatch.setattr(OpenFilling, "fill", fails)
    with pytest.raises(TransientError, match="away"):
        ardcube.fill(cube, method="interpolate", max_periods=REACH, output=cube.parent / "a.zarr", threads=1)
    assert ardcube.open(cube.parent / "a.zarr")["complete"].max() == 0
    again = fill_to(cube, "a.zarr")
    assert ardcube.open(again.uri)["complete"].min() == 1
    assert again.already_done == 4
    assert_equal(arrays(again.uri), arrays(fill_to(cube, "b.zarr").uri))


def test_chunks_within_reach_of_a_chunk_that_was_built_again_are_filled_again(cube: Path) -> None:
    done = fill_to(cube, "a.zarr")
    ledger = ledger_of(cube)
    record = next(one for one in ledger.records().values() if (one.key.period, one.key.col) == ("2023-05-21", 1))
    group = zarr.open_group(cube, mode="r+")
    for name in ("observation_count", "median", "mean", "std"):
        group[name][2, :, 32:64] = group[name].fill_value
    ledger.write(record.after(record, record.attempts[-1]))
    again = fill_to(cube, "a.zarr")
    assert again.chunks - again.already_done == 1 + 2 * REACH
    assert again.observed < done.observed
    assert_equal(arrays(again.uri), oracle(arrays(cube), "interpolate", REACH))


def test_a_pass_over_an_extended_cube_extends_the_filled_cube(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    ardcube.build(small(sample_archive, end_date="2023-06-08"), uri)
    fill_to(uri, "a.zarr")
    ardcube.build(small(sample_archive), uri)
    extended = fill_to(uri, "a.zarr")
    assert 0 < extended.already_done < extended.chunks
    fresh = arrays(fill_to(uri, "b.zarr").uri)
    assert len(fresh["time"]) == 7
    assert_equal(arrays(extended.uri), fresh)
    assert_equal(fresh, oracle(arrays(uri), "interpolate", REACH))


@pytest.mark.parametrize(("layout", "backend"), [("geozarr", "fsspec"), ("flat", "icechunk"), ("geozarr", "icechunk")])
def test_each_kind_of_cube_is_filled_as_a_flat_one_with_levels_of_its_pixels(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, backend: Any
) -> None:
    """The filled cube is interrupted, continued, and extended with the cube."""
    monkeypatch.setattr(finished, "COMMIT_SECONDS", 0.0)
    uri, plain, fill = tmp_path / "cube", tmp_path / "plain.zarr", OpenFilling.fill
    fine = {"resolution": 0.00025, "chunk_size": 150, "composites": ("median", "std"), "bands": ("red",)}
    for end in ("2023-05-30", "2023-06-08"):
        ardcube.build(small(sample_archive, **fine, end_date=end), plain)
        ardcube.build(small(sample_archive, **fine, end_date=end, layout=layout), uri, storage_backend=backend)
        calls = list[object]()

        def fails(self: OpenFilling, job: Any, fork: bytes | None = None, calls: list[object] = calls) -> Any:
            calls.append(job)
            if len(calls) == 4:
                raise TransientError("the store is away")
            return fill(self, job, fork)

        with monkeypatch.context() as patched:
            patched.setattr(OpenFilling, "fill", fails)
            with pytest.raises(TransientError, match="away"):
                ardcube.fill(uri, method="interpolate", max_periods=REACH, output=tmp_path / "a", threads=1)
        if backend == "icechunk":
            assert next(version.tag for version in ardcube.history(tmp_path / "a")) == ""
        assert fill_to(uri, "a").already_done >= 3
        assert fill_to(uri, "a").already_done == fill_to(plain, "flat").chunks
        expected, found = (ardcube.open(tmp_path / name).load() for name in ("flat", "a"))
        xr.testing.assert_equal(found, expected)
    assert (found["filled"] == 2).any()
    if backend == "icechunk":
        assert [version.tag for version in ardcube.history(tmp_path / "a")] == ["v2", "v1"]
        assert ardcube.open(tmp_path / "a", at="v1").sizes["time"] == 3
    if layout == "geozarr":
        store = for_reading(Place.at(str(tmp_path / "a")), backend)
        base, above = (zarr.open_group(zarr_store(store.child(level)), mode="r") for level in "01")
        assert {"filled", "fill_distance", "observation_count", "median_red", "std_red"} <= set(above)
        assert above.attrs["bands"] == ["red"]
        for name in ("filled", "fill_distance", "observation_count", "median_red", "std_red"):
            array, is_mean = base[name], name.endswith("red")
            for values, level in zip(array[...], above[name][...], strict=True):
                np.testing.assert_array_equal(level, halved(values, array.fill_value, mean=is_mean))


@pytest.mark.parametrize("shard", [1, 2])
def test_threads_and_shards_change_no_pixel(sample_archive: Path, tmp_path: Path, shard: int) -> None:
    uri = tmp_path / "cube.zarr"
    ardcube.build(small(sample_archive, chunk_size=16, shard=shard, end_date="2023-06-08"), uri)
    rewrite(uri, 2)
    one = ardcube.fill(uri, method="carry", max_periods=REACH, output=tmp_path / "1.zarr", threads=1)
    several = ardcube.fill(uri, method="carry", max_periods=REACH, output=tmp_path / "3.zarr", threads=3)
    assert_equal(arrays(one.uri), arrays(several.uri))
    assert_equal(arrays(one.uri), oracle(arrays(uri), "carry", REACH))


def test_layers_of_chunks_without_a_clear_pixel_are_copied(sample_archive: Path, tmp_path: Path) -> None:
    """All pixels are valid and none is clear: the chunks are empty, and their layers are not."""
    snow = {"cloud_mask": "scl", "cloud_mask_options": {"allowed_values": [11], "opening": 0}}
    cloudy = small(sample_archive, composites=("median",), quality=("valid_count", "clear_share"), **snow)
    assert ardcube.build(cloudy, tmp_path / "cube.zarr").written == 0
    ardcube.fill(tmp_path / "cube.zarr", method="carry", max_periods=REACH)
    before, after = arrays(tmp_path / "cube.zarr"), arrays(tmp_path / "cube-filled.zarr")
    assert 0 < before["valid_count"].max() < 100
    for name in ("valid_count", "clear_share"):
        np.testing.assert_array_equal(after[name], before[name])


def test_a_cube_on_s3_is_filled_there(sample_archive: Path, tmp_path: Path, moto_s3: S3) -> None:
    cube = tmp_path / "cube.zarr"
    ardcube.build(small(sample_archive, end_date="2023-06-08"), cube)
    rewrite(cube, 3)
    fs = Place.at(moto_s3.uri(""), moto_s3.storage_options).fs
    for suffix in ("", ".ardcube"):
        fs.put(f"{cube}{suffix}", moto_s3.uri(f"cube.zarr{suffix}"), recursive=True)
    done = ardcube.fill(
        moto_s3.uri("cube.zarr"), method="carry", max_periods=REACH, storage_options=moto_s3.storage_options
    )
    assert done.uri == moto_s3.uri("cube-filled.zarr")
    fs.get(done.uri, str(cube.parent / "back.zarr"), recursive=True)
    assert_equal(arrays(cube.parent / "back.zarr"), oracle(arrays(cube), "carry", REACH))


# ---- refused --------------------------------------------------------------------------------------


def test_an_unfinished_cube_is_filled_only_on_request(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    ardcube.build(small(sample_archive), uri, limit=10)
    with pytest.raises(ardcube.InputError, match=r"11 of 21 chunks are missing; .* or add allow_missing"):
        fill_to(uri, "a.zarr")
    assert not list(tmp_path.glob("a.zarr*"))
    done = ardcube.fill(uri, method="interpolate", max_periods=9, output=tmp_path / "a.zarr", allow_missing=True)
    assert_equal(arrays(done.uri), oracle(arrays(uri), "interpolate", 9))
    ardcube.build(small(sample_archive), uri)
    assert_equal(arrays(fill_to(uri, "b.zarr").uri), oracle(arrays(uri), "interpolate", REACH))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "nearest"}, r"^method 'nearest': no such method; give one of carry, interpolate$"),
        ({"max_periods": 0}, r"^max_periods=0: not a number of periods; give 1 to 254$"),
        ({"max_periods": 2.5}, r"^max_periods=2.5: not a number"),
        ({"max_periods": True}, r"^max_periods True: not a number"),
        ({"threads": 0}, r"^threads=0: not a number of threads; give 1 or more$"),
        ({"output": ""}, r"not a location"),
    ],
)
def test_an_invalid_argument_is_refused_in_one_line(cube: Path, arguments: Any, message: str) -> None:
    with pytest.raises(ardcube.InputError, match=message) as caught:
        ardcube.fill(cube, **{"method": "carry", "max_periods": REACH} | arguments)
    assert "\n" not in str(caught.value)
    assert not list(cube.parent.glob("*filled*"))


def test_a_location_that_holds_something_else_is_refused(cube: Path, built: Path) -> None:
    def refused(message: str, output: Path, uri: Path = cube, method: Any = "carry") -> None:
        before = sorted(cube.parent.rglob("*"))
        with pytest.raises(ardcube.InputError, match=message):
            ardcube.fill(uri, method=method, max_periods=REACH, output=output)
        assert sorted(cube.parent.rglob("*")) == before

    refused("the cube itself", cube)
    refused("no cube of ardcube", cube.parent / "a.zarr", uri=cube.parent / "other.zarr")
    (cube.parent / "mine").mkdir()
    (cube.parent / "mine" / "file").touch()
    refused("holds something that ardcube did not write", cube.parent / "mine")
    refused("within the cube", cube / "filled.zarr")
    refused("within the cube", Path(f"{cube}.ardcube") / "filled.zarr")
    refused("cannot be written", cube.parent / "mine" / "file" / "filled.zarr")
    filled = Path(ardcube.fill(cube, method="carry", max_periods=REACH).uri)
    refused(
        "carry max_periods=2 there and filled with method interpolate max_periods=2 here", filled, method="interpolate"
    )
    refused("a filled cube; give the cube that it was filled from", cube.parent / "b.zarr", uri=filled)
    refused("not filled there", built)


def test_a_filled_cube_is_not_built_or_retried(sample_archive: Path, cube: Path) -> None:
    filled = ardcube.fill(cube, method="carry", max_periods=REACH).uri
    with pytest.raises(ardcube.InputError, match=r"holds another cube: fill is"):
        ardcube.build(small(sample_archive), filled)
    with pytest.raises(ardcube.InputError, match="is a filled cube; retry the cube that it was filled from"):
        ardcube.retry(filled)
    table = ardcube.status(filled)
    assert (table.attrs["chunks"], table.attrs["due"]) == (21, 0)


def test_a_cube_that_another_run_writes_is_not_filled(cube: Path) -> None:
    with holding(ledger_of(cube).place), pytest.raises(ardcube.LeaseHeldError):
        ardcube.fill(cube, method="carry", max_periods=REACH)
    assert not list(cube.parent.glob("*filled*"))


def test_a_damaged_chunk_stops_the_pass_and_names_the_cube(cube: Path) -> None:
    victim = next(path for path in sorted((cube / "median" / "c").rglob("*")) if path.is_file())
    victim.write_bytes(b"no pixels")
    with pytest.raises(ardcube.StoreError, match=rf"^{cube} is damaged"):
        ardcube.fill(cube, method="carry", max_periods=REACH)


def test_a_build_with_overwrite_leaves_no_layer_of_a_filling(sample_archive: Path, cube: Path) -> None:
    filled = Path(ardcube.fill(cube, method="carry", max_periods=REACH).uri)
    ardcube.build(small(sample_archive, end_date="2023-05-31"), filled, overwrite=True)
    assert "filled" not in arrays(filled)
