"""The JSON schema of a deployment's parameters: fields of Prefect's form, and refusals by its server."""

from __future__ import annotations

import json
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
BLOCK_ID = "8ab0798d-2583-4f87-a9d4-739995427d07"
BOX = dict(zip(EDGES, GOOD["cube"]["bbox"], strict=True))


def refusal(model: str, changes: dict[str, Any]) -> str:
    """Return the error of the server for parameters of a run, or an empty text if it accepts them."""
    wanted = {**GOOD, model: {**GOOD[model], **changes}}
    try:
        validate(wanted, FORM, raise_on_error=True)
    except ValidationError as error:
        return str(error)
    return ""


def shown(model: str, changes: dict[str, Any]) -> str:
    """Return the errors that the page shows, with their fields."""
    return json.dumps(build_error_obj(validate({**GOOD, model: {**GOOD[model], **changes}}, FORM)))


def passes(model: str, changes: dict[str, Any]) -> bool:
    return not validate({**GOOD, model: {**GOOD[model], **changes}}, PREPARED, preprocess=False)


def accepted_by_the_model(model: str, changes: dict[str, Any]) -> bool:
    try:
        MODELS[model](**{**GOOD[model], **changes})
    except ModelError:
        return False
    return True


def test_the_server_accepts_the_schema() -> None:
    is_valid_schema(FORM)


@pytest.mark.parametrize("model", FIELDS)
def test_every_field_has_a_title_a_description_and_a_position(model: str) -> None:
    fields = FIELDS[model]
    assert sorted(field["position"] for field in fields.values()) == list(range(len(fields)))
    for name, field in fields.items():
        assert field["title"][0].isupper(), name
        assert "_" not in field["title"], name
        assert field["description"], name


def test_units_are_in_the_titles() -> None:
    titles = {name: field["title"] for fields in FIELDS.values() for name, field in fields.items()}
    for name, unit in (("resolution", "CRS units"), ("chunk_size", "pixels"), ("time_frequency_months", "months"),
                       ("bbox", "degrees"), ("retry_delay_seconds", "seconds")):  # fmt: skip
        assert unit in titles[name]


def test_titles_name_the_backend_that_a_field_belongs_to_and_its_fields_follow_the_choice() -> None:
    fields = FIELDS["RunConfig"]
    shown = sorted(fields, key=lambda name: fields[name]["position"])
    first = shown.index("serverless_backend") + 1
    dask, either = ["scheduler_address", "cluster_class"], ["cluster_options", "workers", "adapt"]
    coiled = [name for name in fields if name.startswith("coiled_")]
    assert shown[first : first + 5 + len(coiled)] == [*dask, *either, *coiled]
    titles = dict.fromkeys(dask, "Dask: ") | dict.fromkeys(either, "Cluster: ") | dict.fromkeys(coiled, "Coiled: ")
    for name, field in fields.items():
        assert field["title"].startswith(titles.get(name) or field["title"].replace(": ", "")), name


def test_fields_are_shown_as_dates_choices_and_numbers() -> None:
    """Optional fields have the type of their value, without null."""
    cube, run = FIELDS["CubeConfig"], FIELDS["RunConfig"]
    assert cube["start_date"]["format"] == cube["end_date"]["format"] == "date"
    assert cube["cloud_mask"]["enum"] == cloud_mask_names()
    assert cube["resampling"]["enum"] == ["nearest", "bilinear", "cubic"]
    assert cube["bands"]["items"]["enum"] == list(REFLECTANCE_BANDS)
    assert [edge["title"].split()[0].lower() for edge in cube["bbox"]["anyOf"][0]["properties"].values()] == list(EDGES)
    assert run["workers"]["type"] == "integer"
    assert [name for fields in (cube, run) for name, field in fields.items() if "anyOf" in field] == [
        "bbox", "collection", "definition", "collection_file",
    ]  # fmt: skip
    assert [kind["title"] for kind in cube["collection"]["anyOf"]] == ["One collection", "Several collections"]
    assert cube["collection"]["default"] == "sentinel-2-c1-l2a"
    assert run["credentials_block"]["block_type_slug"] == "secret"


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("cube", {"bbox": {**BOX, "north": 95}}, "95 is greater than the maximum of 90"),
        ("cube", {"bands": ["red", "red"]}, "non-unique"),
        ("cube", {"bands": []}, "non-empty"),
        ("cube", {"period": "25M"}, "'1M, 10D, season, year, or the path of a .csv file' was expected"),
        ("cube", {"varname": "a/b"}, "'a name of letters, digits and _ that the store does not use itself'"),
        ("cube", {"varname": "time"}, "'a name of letters, digits and _ that the store does not use itself'"),
        ("cube", {"cloud_mask": "s2cloudless"}, "'s2cloudless' is not one of"),
        ("cube", {"resolution": 0}, "0 is less than or equal to the minimum of 0"),
        ("cube", {"chunk_size": 15}, "15 is less than the minimum of 16"),
        ("run", {"storage_options": {"secret": "hush-hush"}}, "no credentials, because they would be stored"),
        ("run", {"storage_options": {"a": [{"api_key": "hush-hush"}]}}, "no credentials, because they would be stored"),
        ("run", {"storage_options": {"endpoint_url": "https://me:hush-hush@h"}}, "an address without credentials"),
        ("run", {"storage_options": {"a": {"b": ["https://me:hush-hush@h"]}}}, "an address without credentials"),
        ("run", {"fsspec_uri": "s3://me:hush-hush@bucket/cube"}, "an address without credentials"),
        ("run", {"serverless_backend": "dask", "scheduler_address": "tcp://me:hush-hush@h:1"}, "without credentials"),
        ("run", {"allow_asset_roots": ["/data", "https://hush-hush@h"]}, "an address without credentials"),
        ("cube", {"stac_url": "https://h/v1?token=hush-hush"}, "an address without credentials"),
        ("cube", {"collection": "https://me:hush-hush@h/v1#a"}, "an address without credentials"),
        ("cube", {"collection": ["a", "https://me:hush-hush@h/v1#b"]}, "an address without credentials"),
        ("cube", {"collection": ["a", "{{ hush-hush }}"]}, "a value without a template"),
        ("run", {"fsspec_uri": "{{ prefect.variables.hush-hush }}"}, "a value without a template"),
        ("run", {"storage_options": {"a": {"b": "{{ prefect.blocks.json.hush-hush }}"}}}, "a value without a template"),
        ("run", {"storage_options": {"$ref": BLOCK_ID}}, "options without a block"),
        ("run", {"storage_options": {"client_kwargs": {"$ref": BLOCK_ID}}}, "options without a block"),
    ],
)
def test_the_server_refuses_values_out_of_range_unknown_choices_and_secrets_and_does_not_repeat_secrets(
    model: str, changes: dict[str, Any], message: str
) -> None:
    if "s2cloudless" not in changes.values():  # the model accepts any name; the flow checks the mask
        assert not accepted_by_the_model(model, changes)
    answer = refusal(model, changes)
    assert message in answer
    assert "hush-hush" not in answer
    assert "hush-hush" not in shown(model, changes)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("cube", {"end_date": "2022-12-31"}),
        ("cube", {"bbox": None}),
        ("cube", {"geometry_file": "a.gpkg"}),
        ("run", {"serverless_backend": "dask"}),
    ],
)
def test_rules_about_two_fields_are_left_to_the_models(model: str, changes: dict[str, Any]) -> None:
    assert refusal(model, changes) == ""
    assert not accepted_by_the_model(model, changes)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"bands": []}, "bands"), ({"resolution": 0}, "resolution"), ({"varname": "time"}, "varname")],
)
def test_a_refusal_is_shown_at_its_field(changes: dict[str, Any], field: str) -> None:
    assert f'"property": "{field}"' in shown("cube", changes)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("cube", {"bbox": BOX}),
        ("cube", {"bbox": None, "geometry_file": "a.gpkg", "use_geometry_mask": True}),
        ("cube", {"bands": ["B04", "B08", "B8A"]}),
        ("cube", {"end_date": "2023-01-01", "start_date": "2023-01-31"}),
        ("cube", {"start_date": "2023-01", "end_date": "2023-08"}),
        ("cube", {"collection": ["hls2-l30", "https://h/v1#hls2-s30"], "definition": ["hls2-l30=hls-l30"]}),
        ("run", {"serverless_backend": "dask", "scheduler_address": "tcp://a:1"}),
        ("run", {"overwrite": True}),
        ("run", {"storage_options": {"client_kwargs": {"region_name": "x"}, "anon": True}}),
        ("run", {"credentials_block": "store"}),
        ("run", {"storage_options": {"a": "{ }"}}),
    ],
)
def test_valid_values_are_accepted(model: str, changes: dict[str, Any]) -> None:
    assert accepted_by_the_model(model, changes)
    assert refusal(model, changes) == ""


@pytest.mark.parametrize("reference", [BLOCK_ID, {"block_document_id": BLOCK_ID}])
def test_a_block_is_referred_to_by_an_id(reference: Any) -> None:
    assert refusal("run", {"credentials_block": {"$ref": reference}}) == ""


@pytest.mark.parametrize(
    "reference", ["keys", "secret/keys", 5, None, {"block_document_id": "keys"}, {}, BLOCK_ID + "0"]
)
def test_a_reference_to_a_block_by_anything_but_an_id_is_refused(reference: Any) -> None:
    assert "the id of a block, as" in refusal("run", {"credentials_block": {"$ref": reference}})


def test_a_whole_model_is_accepted_with_null_for_omitted_fields() -> None:
    """Programs send parameters like this."""
    everything = {name: MODELS[name](**GOOD[name]).model_dump(mode="json") for name in MODELS}
    assert everything["run"]["scheduler_address"] is None
    validate(everything, FORM, raise_on_error=True)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={
    "bbox": st.just(BOX) | st.just([1, 2, 3, 4]),
    "varname": st.sampled_from(["x", "time", "a b", "é"]),
    "bands": st.lists(st.sampled_from(["red", "B04", "red,nir"]), max_size=3),
    "shard": st.integers(-1, 3),
    "layout": st.sampled_from(["flat", "geozarr", "tiled"]),
    "period": st.sampled_from([
        None, "1M", "24m", "25M", "0D", "7D", "183D", "184D", "season", "YEAR", "week", "a/b.csv", ".csv", "",
    ]),
}))  # fmt: skip
def test_the_server_accepts_a_value_of_a_field_if_and_only_if_the_model_does(changes: dict[str, Any]) -> None:
    assert passes("cube", changes) == accepted_by_the_model("cube", changes)


@pytest.mark.parametrize(
    "partial",
    [
        {"cube": {"end_date": "2023-03-31"}, "run": {"serverless_backend": "dask"}},
        {},
    ],
)
def test_a_deployment_may_omit_parameters_for_the_form(partial: dict[str, Any]) -> None:
    """The server validates parameters of a deployment without required fields."""
    validate(partial, FORM, raise_on_error=True, ignore_required=True)


def test_a_box_of_four_edges_equals_a_box_of_four_numbers() -> None:
    cube = CubeConfig(**GOOD["cube"] | {"bbox": BOX})
    assert cube == CubeConfig(**GOOD["cube"])
    assert cube.model_dump(mode="json")["bbox"] == GOOD["cube"]["bbox"]


@pytest.mark.parametrize("box", [{}, {"west": 1}, {**BOX, "top": 1}])
def test_a_box_with_other_edges_is_refused(box: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="give west, south, east, north"):
        CubeConfig(**GOOD["cube"] | {"bbox": box})
