"""The form of a deployment, as JSON schema: what Prefect's pages show and its server refuses, beside the models."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import (
    ValidationError,
    build_error_obj,
    is_valid_schema,
    preprocess_schema,
    validate,
)
from pydantic import ValidationError as ModelError

from ardcube.config import CubeConfig, RunConfig
from ardcube.config.form_schema import EDGES, REFLECTANCE_BANDS
from ardcube.pixels.masks import cloud_mask_names
from flows.build_cube import build_cube

FORM: dict[str, Any] = parameter_schema(build_cube).model_dump()
PREPARED = preprocess_schema(FORM)
FIELDS = {model: FORM["definitions"][model]["properties"] for model in ("CubeConfig", "RunConfig")}
MODELS = {"cube": CubeConfig, "run": RunConfig}
GOOD: dict[str, dict[str, Any]] = {
    "cube": {"start_date": "2023-01-01", "end_date": "2023-03-31", "bbox": [11, 46, 12, 47]},
    "run": {"fsspec_uri": "output/cube.zarr"},
}
BOX = dict(zip(EDGES, GOOD["cube"]["bbox"], strict=True))


def refusal(model: str, changes: dict[str, Any]) -> str:
    """What the server answers to a form, as it does before a run starts; nothing where it accepts."""
    wanted = {**GOOD, model: {**GOOD[model], **changes}}
    try:
        validate(wanted, FORM, raise_on_error=True)
    except ValidationError as error:
        return str(error)
    return ""


def shown(model: str, changes: dict[str, Any]) -> str:
    """What the page then shows, with the field at which it does."""
    return json.dumps(build_error_obj(validate({**GOOD, model: {**GOOD[model], **changes}}, FORM)))


def passes(model: str, changes: dict[str, Any]) -> bool:
    return not validate({**GOOD, model: {**GOOD[model], **changes}}, PREPARED, preprocess=False)


def accepted_by_the_model(model: str, changes: dict[str, Any]) -> bool:
    try:
        MODELS[model](**{**GOOD[model], **changes})
    except ModelError:
        return False
    return True


def test_the_server_takes_the_schema_for_one() -> None:
    is_valid_schema(FORM)


@pytest.mark.parametrize("model", FIELDS)
def test_every_field_has_a_title_a_description_and_a_place(model: str) -> None:
    fields = FIELDS[model]
    assert sorted(field["position"] for field in fields.values()) == list(range(len(fields)))
    for name, field in fields.items():
        assert field["title"][0].isupper(), name
        assert "_" not in field["title"], name
        assert field["description"], name


def test_units_are_in_the_titles() -> None:
    titles = {name: field["title"] for fields in FIELDS.values() for name, field in fields.items()}
    for name, unit in (("resolution", "degrees"), ("chunk_size", "pixels"), ("time_frequency_months", "months"),
                       ("bbox", "degrees"), ("retry_delay_seconds", "seconds")):  # fmt: skip
        assert unit in titles[name]


def test_fields_are_shown_as_what_they_are() -> None:
    """Dates are picked, names chosen, edges labelled, and what may be left out has no list of Python's types."""
    cube, run = FIELDS["CubeConfig"], FIELDS["RunConfig"]
    assert cube["start_date"]["format"] == cube["end_date"]["format"] == "date"
    assert cube["cloud_mask"]["enum"] == cloud_mask_names()
    assert cube["resampling"]["enum"] == ["nearest", "bilinear", "cubic"]
    assert cube["bands"]["items"]["enum"] == list(REFLECTANCE_BANDS)
    assert [edge["title"].split()[0].lower() for edge in cube["bbox"]["anyOf"][0]["properties"].values()] == list(EDGES)
    assert run["workers"]["type"] == "integer"
    assert [name for fields in (cube, run) for name, field in fields.items() if "anyOf" in field] == ["bbox"]
    assert run["credentials_block"]["block_type_slug"] == "secret"


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ("cube", {"end_date": "2022-12-31"}, "'the month of start_date or a later one; swap them' was expected"),
        ("cube", {"end_date": "1989-12-31"}, "'the month of start_date or a later one; swap them' was expected"),
        ("cube", {"end_date": "31.12.2023"}, "'a date like 2023-01-01' was expected"),
        ("cube", {"bbox": None}, "'bbox or geometry_file; give one of them' was expected"),
        ("cube", {"geometry_file": "a.gpkg"}, "'bbox or geometry_file, not both; give one of them' was expected"),
        ("cube", {"use_geometry_mask": True}, "since use_geometry_mask needs geometry_file"),
        ("cube", {"bbox": [1, 2]}, "[1, 2] is too short"),
        ("cube", {"bbox": {**BOX, "north": 95}}, "95 is greater than the maximum of 90"),
        ("cube", {"bbox": {"west": 1, "south": 2, "east": 3}}, "'north' is a required property"),
        ("cube", {"bands": ["red", "red"]}, "non-unique"),
        ("cube", {"bands": []}, "non-empty"),
        ("cube", {"varname": "a/b"}, "'a name of letters, digits and _ that the store itself does not take'"),
        ("cube", {"varname": "time"}, "'a name of letters, digits and _ that the store itself does not take'"),
        ("cube", {"cloud_mask": "fmask"}, "'fmask' is not one of"),
        ("cube", {"resolution": 0}, "0 is less than or equal to the minimum of 0"),
        ("run", {"serverless_backend": "dask"}, "dask needs scheduler_address, such as tcp://host:8786"),
        ("run", {"scheduler_address": "tcp://a:1"}, "only serverless_backend dask has a use for it"),
        ("run", {"overwrite": True, "initialize": False}, "overwrite needs initialize"),
        ("run", {"storage_options": {"secret": "hush-hush"}}, "no credentials, since they would be stored"),
        ("run", {"storage_options": {"a": [{"api_key": "hush-hush"}]}}, "no credentials, since they would be stored"),
        ("run", {"storage_options": {"endpoint_url": "https://me:hush-hush@h"}}, "an address without credentials"),
        ("run", {"storage_options": {"a": {"b": ["https://me:hush-hush@h"]}}}, "an address without credentials"),
        ("run", {"fsspec_uri": "s3://me:hush-hush@bucket/cube"}, "an address without credentials"),
        ("run", {"serverless_backend": "dask", "scheduler_address": "tcp://me:hush-hush@h:1"}, "without credentials"),
        ("run", {"allow_asset_roots": ["/data", "https://hush-hush@h"]}, "an address without credentials"),
        ("cube", {"stac_url": "https://h/v1?token=hush-hush"}, "an address without credentials"),
    ],
)
def test_what_the_models_refuse_the_server_refuses_before_a_run_starts(
    model: str, changes: dict[str, Any], said: str
) -> None:
    if "fmask" not in changes.values():  # the model takes any name; the flow asks for the mask
        assert not accepted_by_the_model(model, changes)
    answer = refusal(model, changes)
    assert said in answer
    assert "hush-hush" not in answer
    assert "hush-hush" not in shown(model, changes)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"end_date": "2022-12-31"}, "end_date"),
        ({"geometry_file": "a.gpkg"}, "geometry_file"),
        ({"bbox": {"west": 1, "south": 2, "east": 3}}, "north"),
        ({"varname": "time"}, "varname"),
    ],
)
def test_a_refusal_is_shown_at_the_field_that_it_is_about(changes: dict[str, Any], place: str) -> None:
    assert f'"property": "{place}"' in shown("cube", changes)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("cube", {"bbox": BOX}),
        ("cube", {"bbox": None, "geometry_file": "a.gpkg", "use_geometry_mask": True}),
        ("cube", {"bands": ["B04", "B08", "B8A"]}),
        ("cube", {"end_date": "2023-01-01", "start_date": "2023-01-31"}),
        ("run", {"serverless_backend": "dask", "scheduler_address": "tcp://a:1"}),
        ("run", {"overwrite": True}),
        ("run", {"storage_options": {"client_kwargs": {"region_name": "x"}, "anon": True}}),
        ("run", {"credentials_block": "store"}),
    ],
)
def test_what_is_good_passes(model: str, changes: dict[str, Any]) -> None:
    assert accepted_by_the_model(model, changes)
    assert refusal(model, changes) == ""


def test_a_whole_model_passes_with_all_that_is_left_out_as_null() -> None:
    """As a program sends it."""
    everything = {name: MODELS[name](**GOOD[name]).model_dump(mode="json") for name in MODELS}
    assert everything["run"]["scheduler_address"] is None
    validate(everything, FORM, raise_on_error=True)


months = st.dates(date(1980, 1, 1), date(2059, 12, 31))


@settings(deadline=None)
@given(months, months)
def test_months_are_compared_as_the_model_does(start: date, end: date) -> None:
    changes = {"start_date": str(start), "end_date": str(end)}
    assert passes("cube", changes) == accepted_by_the_model("cube", changes)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={
    "bbox": st.none() | st.just(BOX) | st.just([1, 2, 3, 4]),
    "geometry_file": st.none() | st.just("a.gpkg"),
    "use_geometry_mask": st.booleans(),
    "varname": st.sampled_from(["x", "time", "a b", "é"]),
    "bands": st.lists(st.sampled_from(["red", "B04"]), max_size=3),
}))  # fmt: skip
def test_the_server_and_the_model_agree(changes: dict[str, Any]) -> None:
    assert passes("cube", changes) == accepted_by_the_model("cube", changes)


@pytest.mark.parametrize(
    "partial",
    [
        {"cube": {"end_date": "2023-03-31"}, "run": {"serverless_backend": "dask"}},
        {"cube": {"start_date": "2023-03-31", "use_geometry_mask": True}, "run": {"scheduler_address": "tcp://a:1"}},
        {"cube": {"geometry_file": "a.gpkg"}, "run": {}},
        {},
    ],
)
def test_a_deployment_may_leave_parameters_to_the_form(partial: dict[str, Any]) -> None:
    """As the server checks the parameters of a deployment."""
    validate(partial, FORM, raise_on_error=True, ignore_required=True)


def test_a_box_of_named_edges_is_the_box_of_a_list() -> None:
    cube = CubeConfig(**GOOD["cube"] | {"bbox": BOX})
    assert cube == CubeConfig(**GOOD["cube"])
    assert cube.model_dump(mode="json")["bbox"] == GOOD["cube"]["bbox"]


@pytest.mark.parametrize("box", [{}, {"west": 1}, {**BOX, "top": 1}])
def test_a_box_with_other_edges_is_refused(box: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="give west, south, east, north"):
        CubeConfig(**GOOD["cube"] | {"bbox": box})
