"""Models of a request: defaults, validation, and messages that do not reveal secrets."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from ardcube.config import DEFAULT_RESOLUTION, EARTH_SEARCH, CubeConfig, GrowingCubeConfig, RefreshConfig, RunConfig
from ardcube.config.preset import preset_warnings
from ardcube.errors import InputError
from ardcube.pixels.masks import DefaultCloudMaskHook, SCLCloudMaskHook, cloud_mask
from ardcube.redaction import without_secrets
from flows.options import build_model

CUBE: dict[str, Any] = {"start_date": "2023-01-01", "end_date": "2023-03-31", "bbox": (-123.3, 48.9, -122.9, 49.4)}
RUN: dict[str, Any] = {"fsspec_uri": "./output/cube"}


CREATED: dict[str, Any] = {"serverless_backend": "dask", "cluster_class": "distributed.LocalCluster"}


def refusal(model: type[CubeConfig | RunConfig], values: dict[str, Any]) -> str:
    """Return the messages of the errors that a model raises for values."""
    with pytest.raises(ValidationError) as caught:
        model(**values)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in caught.value.errors())


def test_defaults_are_those_of_the_reference() -> None:
    cube = CubeConfig(**CUBE)
    assert (cube.resolution, DEFAULT_RESOLUTION) == (None, 1 / 3600)
    assert (cube.chunk_size, cube.time_frequency_months, cube.crs) == (1200, 1, "EPSG:4326")
    assert cube.bands == ("red", "green", "blue", "nir")
    assert (cube.varname, cube.cloud_mask, cube.resampling) == ("rgb_median", "none", "bilinear")
    assert (cube.stac_url, cube.collection) == (EARTH_SEARCH, "sentinel-2-c1-l2a")
    run = RunConfig(**RUN)
    assert (run.serverless_backend, run.storage_backend, run.initialize) == ("local", "fsspec", True)
    assert (run.overwrite, run.limit, run.debug, run.asset_access) == (False, None, False, "auto")


def test_the_python_example_of_the_reference_works_and_a_mask_is_stored_as_json() -> None:
    """A mask object becomes a name and options."""
    cube = CubeConfig(
        resolution=0.0005,
        epsg=4326,
        bbox=(-123.3, 48.9, -122.9, 49.4),
        start_date=date(2023, 1, 1),
        end_date=date(2023, 3, 31),
        time_frequency_months=1,
        bands=["red", "green", "blue", "nir"],
        varname="rgb_median",
        chunk_size=600,
        cloud_mask=SCLCloudMaskHook(closing=3),
    )
    assert cube.cloud_mask == "scl"
    again = CubeConfig.model_validate_json(cube.model_dump_json())
    assert again.model_dump(mode="json") == cube.model_dump(mode="json")
    for model in (cube, again):
        assert cloud_mask(model.cloud_mask, model.cloud_mask_options) == SCLCloudMaskHook(closing=3)


def test_a_model_is_equal_after_a_round_trip_through_json() -> None:
    hooked = CubeConfig(**CUBE, cloud_mask=SCLCloudMaskHook(opening=0, allowed_values=(4, 5, 6)))
    for cube in (CubeConfig(**CUBE), hooked, CubeConfig(**CUBE, cloud_mask=DefaultCloudMaskHook())):
        assert CubeConfig.model_validate_json(cube.model_dump_json()) == cube
    run = RunConfig(**RUN, storage_options={"client_kwargs": {"region_name": "eu-central-1"}, "anon": True})
    assert RunConfig.model_validate_json(run.model_dump_json()) == run


@pytest.mark.parametrize(
    "given",
    [
        "2023-01",
        "2023-01-01",
        "2023-01-01T12:30:00",
        "2023-01-01 12:30:00",
        date(2023, 1, 1),
        datetime(2023, 1, 1, 23, 59),
    ],
)
def test_dates_are_accepted_in_every_format_of_the_reference(given: Any) -> None:
    assert CubeConfig(**CUBE | {"start_date": given}).start_date == date(2023, 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_date": "2023-04-01"}, "end_date 2023-03: before start_date 2023-04"),
        ({"start_date": "01.02.2023"}, "'01.02.2023' is not a date; use the format 2023-01-01"),
        ({"start_date": "2023-13"}, "'2023-13' is not a date; use the format 2023-01-01 or 2023-01"),
        ({"start_date": "2023-02-30"}, "'2023-02-30' is not a date"),
        ({"bbox": (2, 0, 1, 1)}, "2 0 1 1 has a minimum that is not below its maximum"),
        ({"bbox": (0, 1, 1, 1)}, "0 1 1 1 has a minimum that is not below its maximum"),
        ({"bbox": (0, -91, 1, 1)}, "not a box in degrees on Earth"),
        ({"bbox": (0, 0, 1, 90.5)}, "not a box in degrees on Earth"),
        ({"bbox": (-181, 0, 1, 1)}, "not a box in degrees on Earth"),
        ({"bbox": (180, 0, 181, 1)}, "not a box in degrees on Earth"),
        ({"bbox": (-10, 0, 351, 1)}, "not a box in degrees on Earth"),
        ({"bbox": (float("nan"), 0, 1, 1)}, "finite number"),
        ({"bbox": (0, 0, 1)}, "bbox"),
        ({"bbox": None}, "bbox and geometry_file: none of them is given"),
        ({"geometry_file": "area.gpkg"}, "bbox and geometry_file: both are given"),
        ({"use_geometry_mask": True}, "use_geometry_mask: needs a geometry_file"),
        ({"clip": True}, "clip: needs a geometry_file; give one or omit clip"),
        ({"bbox": None, "like": "dem.tif", "geometry_file": "area.gpkg"}, "like and geometry_file: both are given"),
        ({"feature": "name=Zagreb"}, "feature: needs a geometry_file; give one or omit the feature"),
        ({"feature": "Zagreb"}, "feature: Value error, 'Zagreb' is not FIELD=VALUE; give one such as name=Zagreb"),
        ({"geometry_layer": "fields"}, "geometry_layer: needs a geometry_file"),
        ({"resolution": 0}, "resolution: Input should be greater than 0"),
        ({"resolution": -0.1}, "resolution: Input should be greater than 0"),
        ({"resolution": float("inf")}, "resolution"),
        ({"chunk_size": 15}, "chunk_size: Input should be greater than or equal to 16"),
        ({"shard": 0}, "shard: Input should be greater than or equal to 1"),
        ({"shard": 65}, "shard: Input should be less than or equal to 64"),
        ({"shard": 14}, "shard 14 of chunk_size 1200: 16800 pixels per side are more than 16384"),
        ({"time_frequency_months": 0}, "time_frequency_months: Input should be greater than or equal to 1"),
        ({"time_frequency_months": 25}, "time_frequency_months: Input should be less than or equal to 24"),
        ({"period": "25M"}, "period: Value error, '25M' is none; choose from 1M to 24M, 1D to 183D, season, year, or"),
        ({"period": 3}, "period: Input should be a valid string"),
        (
            {"period": "2M", "time_frequency_months": 3},
            "period 2M and time_frequency_months 3: both are given",
        ),
        ({"bands": ()}, "bands"),
        ({"bands": ("red", "nir", "red")}, "red is given more than once"),
        (
            {"bands": ("red,green",)},
            "'red,green' is one name with a comma; give each band by itself: --bands red --bands",
        ),
        ({"varname": "a/b"}, "'a/b' is not a valid name of a variable"),
        ({"varname": "time"}, "'time' is a name that the store uses itself"),
        ({"varname": "observation_count"}, "a name that the store uses itself"),
        ({"varname": ""}, "not a valid name of a variable"),
        ({"varname": ".."}, "not a valid name of a variable"),
        ({"epsg": 3857, "crs": "EPSG:32633"}, "crs 'EPSG:32633' and epsg 3857: both are given; give one"),
        ({"like": "dem.tif"}, "like and bbox: both are given; like gives the whole grid, so omit bbox"),
        ({"bbox": None, "like": "dem.tif", "crs": "utm"}, "like and crs: both are given"),
        ({"bbox": None, "like": "dem.tif", "resolution": 10}, "like and resolution: both are given"),
        ({"resampling": "lanczos"}, "resampling: Input should be 'nearest', 'bilinear' or 'cubic'"),
        ({"no_such_option": 1}, "no_such_option: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_cube_is_refused_with_a_message_that_names_the_value(change: dict[str, Any], message: str) -> None:
    refused = refusal(CubeConfig, CUBE | change)
    assert message in refused
    assert "\n" not in refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fsspec_uri": ""}, "fsspec_uri"),
        ({"serverless_backend": "dask"}, "needs a scheduler_address; give one, such as tcp://host:8786"),
        ({"scheduler_address": "tcp://host:8786"}, "scheduler_address: serverless_backend local does not use it"),
        (
            {"serverless_backend": "dask", "cluster_class": "os.system"},
            "'os.system' is not allowed; choose one of ",
        ),
        (
            {**CREATED, "scheduler_address": "tcp://host:8786"},
            "scheduler_address: cluster_class creates another cluster; omit one",
        ),
        ({"cluster_class": CREATED["cluster_class"]}, "cluster_class: serverless_backend local does not use it"),
        ({"adapt": (1, 2)}, "adapt: serverless_backend local does not use it; omit it or use dask"),
        ({**CREATED, "adapt": (2, 1)}, "(2, 1) is not MIN MAX"),
        ({**CREATED, "adapt": (1, 2), "workers": 2}, "workers: adapt changes the number of workers; omit one of them"),
        ({"overwrite": True, "initialize": False}, "overwrite: needs initialize"),
        ({"limit": 0}, "limit: Input should be greater than or equal to 1"),
        ({"retries": -1}, "retries"),
        ({"serverless_backend": "modal"}, "Input should be 'local', 'dask' or 'coiled'"),
        ({"storage_backend": "zip"}, "Input should be 'fsspec' or 'icechunk'"),
    ],
)
def test_an_invalid_run_is_refused_with_a_message_that_names_the_value(change: dict[str, Any], message: str) -> None:
    assert message in refusal(RunConfig, RUN | change)


@pytest.mark.parametrize("months", [1, 3, 24])
def test_a_period_of_months_is_the_time_frequency(months: int) -> None:
    given = CubeConfig(**CUBE, time_frequency_months=months)
    assert CubeConfig(**CUBE, period=f"{months}M") == given
    assert CubeConfig(**CUBE, period=f" {months}m", time_frequency_months=months) == given
    assert (given.period, given.time_frequency_months) == (None, months)


@pytest.mark.parametrize("period", ["10D", "season", "year", "a/b.csv"])
def test_another_period_is_stored_without_a_time_frequency(period: str) -> None:
    cube = CubeConfig(**CUBE, period=period.upper() if "/" not in period else period)
    assert (cube.period, cube.time_frequency_months) == (period, None)
    assert CubeConfig(**cube.model_dump()) == cube
    with pytest.raises(ValidationError, match=r"period .* and time_frequency_months 1: both are given and differ"):
        CubeConfig(**CUBE, period=period, time_frequency_months=1)


def test_days_of_the_dates_count_for_periods_of_days() -> None:
    dates = {"start_date": "2023-05-20", "end_date": "2023-05-10"}
    assert CubeConfig(**CUBE | dates).end_date == date(2023, 5, 10)
    with pytest.raises(ValidationError, match="end_date 2023-05-10: before start_date 2023-05-20; swap them"):
        CubeConfig(**CUBE | dates, period="10D")
    assert CubeConfig(**CUBE | {"end_date": "2024-02"}, period="10D").end_date == date(2024, 2, 29)


def test_a_growing_cube_ends_with_a_month_and_the_day_of_a_run_is_a_day() -> None:
    assert GrowingCubeConfig(**CUBE | {"start_date": "2023-01", "end_date": "2023-08"}).end_date == date(2023, 8, 31)
    assert RefreshConfig(as_of="2023-08-31").as_of == date(2023, 8, 31)
    with pytest.raises(ValidationError, match="'2023-08' is not a date; use the format 2023-01-01"):
        RefreshConfig(as_of="2023-08")


def test_a_bounding_box_may_cross_the_antimeridian_or_cover_the_earth() -> None:
    assert CubeConfig(**CUBE | {"bbox": (179, -17, 181, -16)}).bbox == (179, -17, 181, -16)
    assert CubeConfig(**CUBE | {"bbox": (-180, -90, 180, 90)}).bbox == (-180, -90, 180, 90)


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIA0"},
        {"secret": "hush-hush"},
        {"token": "hush-hush"},
        {"aws_secret_access_key": "hush-hush"},
        {"account_key": "hush-hush"},
        {"sas_token": "hush-hush"},
        {"password": "hush-hush"},
        {"Secret": "hush-hush"},
        {"client_kwargs": {"aws_secret_access_key": "hush-hush"}},
        {"client_kwargs": {"aws_session_token": "hush-hush"}},
    ],
    ids=json.dumps,
)
def test_secrets_in_storage_options_are_refused(options: dict[str, Any]) -> None:
    assert "put credentials into the environment" in refusal(RunConfig, RUN | {"storage_options": options})


def test_the_error_for_a_secret_does_not_quote_it() -> None:
    """Prefect logs the validation error of a run's parameters."""
    with pytest.raises(ValidationError) as caught:
        RunConfig(**RUN, storage_options={"secret": "hush-hush"})
    assert "hush-hush" not in str(caught.value)


ADDRESSES_WITH_CREDENTIALS = (
    "https://me:hush-hush@host.example/v1",
    "https://hush-hush@host.example/v1",
    "s3://me:hush@hush-hush@bucket/cube",
    "simplecache::s3://me:hush/hush-hush@bucket/cube",
    "https://host.example/v1?limit=5&Sig=hush-hush",
    "https://host.example/v1?X-Amz-Signature=hush-hush",
    "https://host.example/v1?subscription-key=hush-hush",
    "s3://bucket/cube?key=hush-hush",
    "https://host.example/v1#access_token=hush-hush",
)


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"AWS_SECRET_ACCESS_KEY": "hush-hush"}},
        {"env": [{"name": "EARTHDATA_TOKEN", "value": "hush-hush"}]},
        {"connect_options": [{"password": "hush-hush"}]},
        {"job_script_prologue": ["export EARTHDATA_TOKEN=hush-hush"]},
        {"address": "https://me:hush-hush@gateway.example"},
    ],
)
def test_credentials_in_options_of_a_cluster_are_refused_and_not_shown(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        build_model(RunConfig, RUN | CREATED | {"cluster_options": options})
    assert "would be stored with the run, where others can read it; " in str(refused.value)
    assert "hush-hush" not in str(refused.value)


def test_the_environment_allows_further_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARDCUBE_CLUSTER_CLASSES", "dask_cloudprovider.aws.FargateCluster, mine.Cluster")
    run = RunConfig(**RUN | CREATED | {"cluster_class": "mine.Cluster"})
    assert run.cluster_class == "mine.Cluster"
    assert RunConfig.model_json_schema()["properties"]["cluster_class"]["enum"][-3:] == [
        "dask_cloudprovider.aws.FargateCluster",
        "mine.Cluster",
        None,
    ]


@pytest.mark.parametrize("address", ADDRESSES_WITH_CREDENTIALS)
@pytest.mark.parametrize(
    "field",
    [
        "stac_url", "like", "geometry_file", "collection_file", "period", "fsspec_uri", "scheduler_address",
        "allow_asset_roots", "endpoint_url", "proxies",
    ],
)  # fmt: skip
def test_credentials_in_an_address_are_refused_and_not_shown(field: str, address: str) -> None:
    """Neither the error of the model nor the message of the command line quotes them."""
    model: type[CubeConfig | RunConfig] = CubeConfig if field in CubeConfig.model_fields else RunConfig
    values: dict[str, Any] = (CUBE if model is CubeConfig else RUN) | {
        "endpoint_url": {"storage_options": {field: address}},
        "proxies": {"storage_options": {"config_kwargs": {field: {"http": address}}}},
        "allow_asset_roots": {field: ("/data", address)},
        "scheduler_address": {field: address, "serverless_backend": "dask"},
    }.get(field, {field: address})
    with pytest.raises(ValidationError) as caught:
        model(**values)
    assert "put credentials into the environment" in str(caught.value) or "should match pattern" in str(caught.value)
    assert "hush-hush" not in str(caught.value)
    with pytest.raises(InputError) as refused:
        build_model(model, values)
    assert "hush-hush" not in without_secrets(str(refused.value)), "the message of the command line"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "abfs://container@account.dfs.core.windows.net/cube", "sftp://me@host/cube", "./output/a:b/c@d", "/a:b/c@d",
        "s3://bucket/a:b/c@d", "file:///a:b/c@d", "http://[::1]:9000/a@b", "https://host:8080/a@b?limit=5&monkey=1",
    ],
)  # fmt: skip
def test_an_address_without_credentials_is_kept(address: str) -> None:
    options = {"endpoint_url": address}
    assert RunConfig(fsspec_uri=address, allow_asset_roots=(address,), storage_options=options).fsspec_uri == address


def test_storage_options_without_secrets_are_kept() -> None:
    options = {"endpoint_url": "http://127.0.0.1:9000", "anon": True, "client_kwargs": {"region_name": "x"}}
    assert RunConfig(**RUN, storage_options=options).storage_options == options


@pytest.mark.parametrize("model", [CubeConfig, RunConfig])
def test_every_field_has_a_description(model: type[CubeConfig | RunConfig]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.rstrip().endswith("."), name


def test_models_are_frozen() -> None:
    cube = CubeConfig(**CUBE)
    with pytest.raises(ValidationError, match="frozen"):
        cube.varname = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "given", [{"crs": "EPSG:32633"}, {"crs": "32633"}, {"epsg": 32633}, {"epsg": 32633, "crs": "EPSG:32633"}]
)
def test_a_code_and_a_crs_are_one(given: dict[str, Any]) -> None:
    cube = CubeConfig(**CUBE, **given)
    assert (cube.crs, cube.epsg) == ("EPSG:32633", None)
    assert CubeConfig(**cube.model_dump()) == cube


def test_a_preset_of_quarters_warns_of_a_start_within_a_quarter() -> None:
    (line,) = preset_warnings("cdse-quarterly", date(2023, 5, 1))
    assert line.startswith("preset cdse-quarterly: periods of three months from 2023-05 are not quarters")
    assert preset_warnings("cdse-quarterly", date(2023, 4, 1)) == preset_warnings(None, date(2023, 5, 1)) == []


def test_a_preset_gives_the_options_of_a_product() -> None:
    made = CubeConfig(**CUBE, preset="cdse-quarterly")
    options = {"allowed_values": [2, 4, 5, 6, 11], "closing": 0, "opening": 0}
    one_by_one = CubeConfig(
        **CUBE, period="3M", composites=["percentile:25"], cloud_mask="scl", cloud_mask_options=options
    )
    assert made.model_copy(update={"preset": None}) == one_by_one
    assert (made.time_frequency_months, made.varname) == (3, "percentile_25")
    assert CubeConfig(**made.model_dump(mode="json")) == made
    assert CubeConfig(
        **CUBE, preset="cdse-quarterly", cloud_mask="none", composites=("median",), bands=["red"]
    ).bands == ("red",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"period": "1M"}, "period '1M': preset cdse-quarterly has '3M'; omit one"),
        ({"time_frequency_months": 2}, "both are given and differ"),
        ({"composites": ("percentile:10",)}, "composites .*: preset cdse-quarterly has"),
        ({"cloud_mask": "fmask"}, "cloud_mask 'fmask': preset cdse-quarterly has 'scl'"),
        ({"cloud_mask_options": {"buffer": 60}}, "cloud_mask_options .*: preset cdse-quarterly has"),
    ],
)
def test_an_option_that_differs_from_the_preset_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CubeConfig(**CUBE, preset="cdse-quarterly", **given)
