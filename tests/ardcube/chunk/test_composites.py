"""Cubes of several composites: each becomes a variable, and scenes are read once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import ardcube
from ardcube.errors import InputError, StoreError
from ardcube.ledger.ledger import Ledger
from ardcube.pixels.composites import registry
from ardcube.planning import memory
from ardcube.report.quicklook import write_quicklooks
from ardcube.sample import write_archive
from ardcube.storage.place import Place

REQUEST: dict[str, Any] = {
    "bbox": (11.92, 46.84, 11.97, 46.865),
    "start_date": "2023-06",
    "end_date": "2023-06",
    "resolution": 0.00025,
    "chunk_size": 64,
    "cloud_mask": "scl",
}
ALL = ("median", "mean", "min", "max", "std", "percentile:25", "geomedian", "mads", "medoid", "max-ndvi", "last")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder)
    return folder


def built(archive: Path, uri: Path, *composites: str, run: dict[str, Any] | None = None, **cube: Any) -> xr.Dataset:
    config = ardcube.CubeConfig(**REQUEST | {"stac_url": str(archive), "composites": composites} | cube)
    summary = ardcube.build(config, uri, **run or {})
    assert summary.failed == 0
    return xr.open_zarr(uri, mask_and_scale=False).load()


@pytest.fixture(scope="module")
def several(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return built(archive, tmp_path_factory.mktemp("cube") / "several.zarr", *ALL)


def numbers(cube: xr.Dataset, name: str) -> NDArray[Any]:
    values: NDArray[Any] = cube[name].values
    return values


def test_each_composite_is_a_variable_and_the_median_is_that_of_another_cube(
    archive: Path, tmp_path: Path, several: xr.Dataset
) -> None:
    alone = built(archive, tmp_path / "alone.zarr", "median")
    assert "rgb_median" in alone
    np.testing.assert_array_equal(numbers(several, "median"), numbers(alone, "rgb_median"))
    np.testing.assert_array_equal(several["observation_count"], alone["observation_count"])
    observed = numbers(several, "median") != 0
    assert observed.mean() > 0.5
    for low, high in (("min", "percentile_25"), ("percentile_25", "median"), ("median", "max"), ("min", "mean")):
        assert (numbers(several, low) <= numbers(several, high)).all()
        np.testing.assert_array_equal(numbers(several, low) != 0, observed)
    np.testing.assert_array_equal(numbers(several, "std") != 65535, observed)
    assert several.attrs["composite"] == ", ".join(ALL)


def test_composites_of_whole_observations_need_all_bands(several: xr.Dataset) -> None:
    low, high = numbers(several, "min").astype(int), numbers(several, "max").astype(int)
    complete = numbers(several, "last").all(axis=-1)
    assert 0.5 < complete.mean() <= (numbers(several, "observation_count") > 0).mean()
    for name in ("geomedian", "medoid", "max_ndvi", "last"):
        values = numbers(several, name).astype(int)
        assert ((low <= values) & (values <= high))[complete].all()
        np.testing.assert_array_equal(values.any(axis=-1), complete)
    for name in ("emad", "smad", "bcmad"):
        values = numbers(several, name)
        assert (values.dtype, values.shape) == (np.float32, complete.shape)
        np.testing.assert_array_equal(np.isfinite(values), complete)
        assert (values[complete] >= 0).all()
        assert several[name].attrs["grid_mapping"] == "spatial_ref"


def test_a_composite_alone_is_named_after_itself_or_by_varname(archive: Path, tmp_path: Path) -> None:
    assert "percentile_25" in built(archive, tmp_path / "a.zarr", "percentile:25")
    assert "lower" in built(archive, tmp_path / "b.zarr", "percentile:25", varname="lower")


def test_strips_and_chunks_change_no_composite(
    archive: Path, tmp_path: Path, several: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "STACK_BYTES", 20_000)
    other = built(archive, tmp_path / "other.zarr", *ALL, chunk_size=40, shard=2)
    for name in several.data_vars:
        np.testing.assert_array_equal(other[name], several[name], err_msg=str(name))


def test_open_scales_reflectance_with_the_offset_and_differences_without(archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    stored = built(archive, uri, "mean", "std")
    cube = ardcube.open(uri)
    observed = numbers(stored, "mean") != 0
    offset = stored["mean"].attrs["add_offset"]
    assert offset == -0.1
    np.testing.assert_allclose(cube["mean"].values, np.where(observed, stored["mean"] * 1e-4 + offset, np.nan), 1e-5)
    np.testing.assert_allclose(cube["std"].values, np.where(observed, stored["std"] * 1e-4, np.nan), 1e-5)
    (picture,) = write_quicklooks(str(uri), tmp_path / "pictures")
    assert picture.name == "mean_2023-06.png"


def test_resume_extension_and_removal_know_all_variables(archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    config = ardcube.CubeConfig(**REQUEST | {"stac_url": str(archive), "composites": ("mean", "std")})
    ardcube.build(config, uri)
    again = ardcube.build(config, uri)
    assert again.written == 0
    longer = config.model_copy(update={"end_date": ardcube.CubeConfig(**REQUEST | {"end_date": "2023-07"}).end_date})
    ardcube.build(longer, uri)
    with xr.open_zarr(uri) as cube:
        assert (cube["mean"].sizes["time"], cube["std"].sizes["time"]) == (2, 2)
    with pytest.raises(InputError, match="composites is"):
        ardcube.build(config.model_copy(update={"composites": ("mean", "max")}), uri)
    other = ardcube.CubeConfig(**REQUEST | {"stac_url": str(archive), "composites": ("mean",)})
    ardcube.build(other, uri, overwrite=True)
    assert not (uri / "std").exists()


def test_the_default_is_no_part_of_the_identity(archive: Path, tmp_path: Path) -> None:
    for name, given in (("a", {}), ("b", {"composites": ("median",)}), ("c", {"composites": ("mean",)})):
        config = ardcube.CubeConfig(**REQUEST | {"stac_url": str(archive)} | given)
        ardcube.build(config, tmp_path / f"{name}.zarr")
    found = [json.loads((tmp_path / f"{name}.zarr.ardcube/cube.json").read_text()) for name in "abc"]
    assert found[0]["identity"] == found[1]["identity"]
    assert "composites" not in found[0]["identity"]
    assert found[2]["identity"]["composites"] == ["mean"]
    assert found[2]["identity"]["varname"] == "mean"


SPAN = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import ardcube


@dataclass(frozen=True)
class Span:
    """Largest number of all bands of the last observation, and the number of observations."""

    name: ClassVar[str] = "span"
    parameters: ClassVar[str] = ""
    bands: ClassVar[tuple[str, ...]] = ("red",)
    layers: ClassVar[tuple[ardcube.Layer, ...]] = (
        ardcube.Layer("largest number"), ardcube.Layer("observations", "number", banded=False, name="seen"),
    )

    def reduce(self, stack, out):
        assert isinstance(stack, ardcube.Stack) and stack.bands == ("red", "green", "blue", "nir")
        complete = (stack.numbers != 0).all(axis=0)
        assert (complete == (stack.numbers != 0).any(axis=0)).all()
        assert (stack.dates[1:] >= stack.dates[:-1]).all()
        seen = complete.sum(axis=0)
        out[0][...] = stack.numbers.max(axis=(0, 1))[..., None]
        out[1][seen > 0] = seen[seen > 0]
        stack.counts["pixels_of_span"] += seen.size


@dataclass(frozen=True)
class Clearest:
    """The observation of the least cloudy scene, and its distance to cloud."""

    name: ClassVar[str] = "clearest"
    parameters: ClassVar[str] = ""
    bands: ClassVar[tuple[str, ...]] = ()
    layers: ClassVar[tuple[ardcube.Layer, ...]] = (
        ardcube.Layer("least cloudy"), ardcube.Layer("metres to cloud", "number", banded=False, name="metres"),
    )
    needs: ClassVar[ardcube.Needs] = ardcube.Needs(cloud_cover=True, cloud_metres=5000)

    def reduce(self, stack, out):
        seen, each = stack.numbers.any(axis=0), range(stack.numbers.shape[1])
        if not seen.any():
            return
        covers = np.stack([stack.figures.cloud_cover(one) for one in each])
        metres = np.stack([stack.figures.cloud_distance(one) for one in each])
        best = np.where(seen, np.nan_to_num(covers, nan=999.0), np.inf).argmin(axis=0)
        observed = seen.any(axis=0)
        chosen = np.take_along_axis(stack.numbers, best[None, None], axis=1)[:, 0]
        out[0][observed] = chosen.transpose(1, 2, 0)[observed]
        out[1][observed] = np.take_along_axis(metres, best[None], axis=0)[0][observed]


class NoComposite:
    name = "none"
'''


def test_a_composite_of_an_installed_package_fills_its_variables(
    archive: Path, tmp_path: Path, several: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "span.py").write_text(SPAN)
    info = tmp_path / "span-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: span\nVersion: 1.0\n")
    points = "span = span:Span\nclearest = span:Clearest\nno-composite = span:NoComposite\nmissing = span:Missing\n"
    points += "median = span:Span\n"
    (info / "entry_points.txt").write_text(f"[ardcube.composites]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._registered.cache_clear()
    try:
        cube = built(archive, tmp_path / "span.zarr", "median", "span", "clearest", "least-cloudy")
        np.testing.assert_array_equal(cube["median"], several["median"])
        np.testing.assert_array_equal(numbers(cube, "span")[..., 0], numbers(several, "max").max(axis=-1))
        np.testing.assert_array_equal(cube["clearest"], cube["least_cloudy"])  # by the figures that it needs
        metres = numbers(cube, "metres")[numbers(cube, "clearest").any(axis=-1)]
        assert (0 < metres.min() < 1000, metres.max()) == (True, 5000)
        seen = numbers(cube, "seen")
        assert seen.dtype == np.float32
        records = Ledger.of_store(Place.at(str(tmp_path / "span.zarr"))).records().values()
        assert sum(record.statistics["pixels_of_span"] for record in records) == seen.size
        assert not any("geomedian_unfinished" in record.statistics for record in records)
        np.testing.assert_array_equal(np.nan_to_num(seen), cube["observation_count"])
        assert np.isnan(ardcube.open(tmp_path / "span.zarr")["seen"]).sum() == (cube["observation_count"] == 0).sum()
        for name, message in {
            "no-composite": "is neither a BandComposite nor an ObservationComposite",
            "missing": "cannot be loaded",
        }.items():
            with pytest.raises(InputError, match=message):
                registry.composite(name)
        with pytest.raises(InputError, match="composite span: it needs the band red, and the cube has nir"):
            registry.composites_of(("span",), "v", ("nir",))
    finally:
        registry._registered.cache_clear()


def test_two_spellings_of_a_composite_are_one_cube_and_an_edited_one_is_refused(archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    for text in ("percentile:25.0", "percentile:25"):
        summary = ardcube.build(
            ardcube.CubeConfig(**REQUEST | {"stac_url": str(archive), "composites": (text, "std")}), uri
        )
    assert summary.written == 0
    description = tmp_path / "cube.zarr.ardcube/cube.json"
    described = json.loads(description.read_text())
    described["config"]["composites"] = ["percentile:75", "std"]
    described["config"]["varname"] = "percentile_75"
    description.write_text(json.dumps(described))
    with pytest.raises(StoreError, match=r"composites is .*:75.* in config and .*:25.* in identity"):
        ardcube.status(uri)
