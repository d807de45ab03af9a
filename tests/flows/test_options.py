"""The command line and the two models are one: no option without a field, no field without an option."""

from __future__ import annotations

import json
import re
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError
from ardcube.pixels.masks import cloud_mask_names
from flows.cli import cli
from flows.options import ModelCommand, build_model, option_name

FIELDS: dict[str, FieldInfo] = {**CubeConfig.model_fields, **RunConfig.model_fields}
COMMANDS = ("build", "plan")
OF_A_PLAN = ("calibrate", "like_cube")
"""Parameters of a plan alone."""

# Every option of the reference: its name, its kind, its default where the reference states one.
REFERENCE = """
--start-date                text        required
--end-date                  text        required
--bbox                      float*4     -
--geometry-file             text        -
--use-geometry-mask         flag        -
--time-frequency-months     integer     -
--resolution                float       -
--chunk-size                integer     1200
--bands                     repeatable  red, green, blue, nir
--varname                   text        rgb_median
--epsg                      integer     -
--serverless-backend        choice      -
--storage-backend           choice      fsspec
--fsspec-uri                text        -
--limit                     integer     -
--debug                     flag        -
--initialize/--no-initialize flag       -
--cloud-mask                text        none
"""
CHOICES = {"--serverless-backend": {"coiled", "local"}, "--storage-backend": {"fsspec", "icechunk"}}

# One value per field, none of them its default.
CUBE: dict[str, Any] = {
    "start_date": "2023-01-01",
    "end_date": "2023-12-31",
    "geometry_file": "area.gpkg",
    "geometry_layer": "fields",
    "feature": "name=Zagreb",
    "definition": "sentinel-2-c1-l2a",
    "collection_file": "own.toml",
    "use_geometry_mask": True,
    "clip": True,
    "months": "3,6",
    "query": ("eo:cloud_cover<60", "view:sun_elevation>20"),
    "max_scenes": 6,
    "enough": 3,
    "time_frequency_months": 3,
    "crs": "EPSG:32633",
    "resolution": 20.0,
    "align": "center",
    "chunk_size": 600,
    "shard": 2,
    "layout": "geozarr",
    "bands": ("nir", "swir16"),
    "composites": ("percentile:25",),
    "quality": ("valid_count", "spread"),
    "varname": "composite",
    "cloud_mask": "scl",
    "cloud_mask_options": {"closing": 3, "allowed_values": [4, 5, 6]},
    "resampling": "cubic",
    "encoding": "scale=0.0001,offset=-0.2",
    "stac_url": "archive",
    "collection": "sentinel-2-l2a",
}
RUN: dict[str, Any] = {
    "fsspec_uri": "output/cube.zarr",
    "each": "name",
    "storage_backend": "icechunk",
    "storage_options": {"endpoint_url": "http://127.0.0.1:9000", "use_ssl": False, "retries": 3},
    "credentials_block": "store",
    "serverless_backend": "dask",
    "scheduler_address": "tcp://127.0.0.1:8786",
    "workers": 3,
    "threads": 2,
    "memory_limit": "2 GB",
    "patience": "2 h",
    "stac": "inside",
    "report": True,
    "allow_loss": 0.5,
    "limit": 5,
    "look_back_months": 3,
    "initialize": False,
    "break_lease": True,
    "asset_access": "requester-pays",
    "asset_endpoint_url": "https://s3.example.org",
    "asset_region": "eu-central-1",
    "allow_asset_roots": ("/data/scenes", "http://10.0.0.5"),
    "skip_bad_scenes": 2,
    "requests": 32,
    "decode_threads": 3,
    "price_per_core_hour": 0.25,
    "price_per_gb": 0.09,
    "price_per_1000_requests": 0.0004,
    "reader": "gdal",
    "retries": 1,
    "retry_delay_seconds": 0.5,
    "batch_size": 7,
    "dry_run": True,
    "debug": True,
    "max_chunks": 50,
    "yes": True,
    "coiled_name": "mine",
    "coiled_region": "eu-central-1",
    "coiled_worker_cpu": 2,
    "coiled_worker_memory": "8 GiB",
    "coiled_spot_policy": "spot",
    "coiled_image": "registry.example/ardcube:1",
    "coiled_idle_timeout": "1 hour",
}
# Fields that exclude those above, and fields with a single value.
OTHERS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (
        CubeConfig,
        {
            "start_date": "2023-01-01",
            "end_date": "2023-12-31",
            "bbox": (-123.3, 48.9, -122.9, 49.4),
            "period": "season",
        },
    ),
    (
        CubeConfig,
        {
            "start_date": "2023-01-01",
            "end_date": "2023-12-31",
            "like": "dem.tif",
            "collection": ("hls2-l30", "https://example.com/v1#hls2-s30"),
            "definition": ("hls2-l30=a", "hls2-s30=b"),
            "collection_file": ("a.toml", "b.toml"),
        },
    ),
    (
        CubeConfig,
        {"start_date": "2023-01-01", "end_date": "2023-12-31", "like": "dem.tif", "preset": "cdse-quarterly"},
    ),
    (
        RunConfig,
        {
            "fsspec_uri": "cube",
            "overwrite": True,
            "serverless_backend": "dask",
            "cluster_class": "distributed.LocalCluster",
            "cluster_options": {"threads_per_worker": 2, "env": {"OMP_NUM_THREADS": "1"}},
            "adapt": (1, 4),
        },
    ),
]
ONE_VALUE = {"epsg"}


def command(name: str) -> click.Command:
    """A subcommand of `ardcube`."""
    return cli.commands[name]


def option(name: str, of: str = "build") -> click.Option:
    """The option with a flag such as `--bbox`."""
    (found,) = [p for p in command(of).params if isinstance(p, click.Option) and name in (*p.opts, *p.secondary_opts)]
    return found


def help_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Help of each option of a subcommand, in one line, by its first flag."""
    monkeypatch.setattr(cli, "context_settings", {**cli.context_settings, "max_content_width": 400})
    result = CliRunner().invoke(cli, [name, "--help"], terminal_width=400)
    assert result.exit_code == 0
    rows = re.split(r"^  (?=-)", result.output, flags=re.MULTILINE)[1:]
    return {row.split()[0]: " ".join(row.split()) for row in rows}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_field_has_one_option_and_every_option_a_field(name: str) -> None:
    assert [param.name for param in command(name).params] == [*(OF_A_PLAN if name == "plan" else ()), *FIELDS]
    flags = [flag for param in command(name).params for flag in (*param.opts, *param.secondary_opts)]
    assert len(flags) == len(set(flags))
    assert {option_name(field) for field in FIELDS} <= set(flags)


def test_no_field_belongs_to_both_models() -> None:
    assert not CubeConfig.model_fields.keys() & RunConfig.model_fields.keys()


def test_without_a_command_the_help_is_printed() -> None:
    found = CliRunner().invoke(cli, [])
    assert found.exit_code == 0
    assert found.output == CliRunner().invoke(cli, ["--help"]).output
    assert "Usage:" in found.output


def test_both_commands_have_the_same_options() -> None:
    """A plan has those of its basis in addition."""
    build, plan = ([param.to_info_dict() for param in command(name).params] for name in COMMANDS)
    assert build == plan[len(OF_A_PLAN) :]


def kind_of(found: click.Option) -> str:
    """Return the kind of value of an option, in the terms of the reference."""
    if found.is_flag:
        return "flag"
    if found.multiple:
        return "repeatable"
    kind = found.type.name.split()[0]
    return kind if found.nargs == 1 else f"{kind}*{found.nargs}"


@pytest.mark.parametrize("line", REFERENCE.strip().splitlines(), ids=lambda line: line.split()[0])
def test_every_option_of_the_reference_exists_with_its_type_and_default(line: str) -> None:
    flags, kind, default = re.split(r"\s+", line, maxsplit=2)
    found = option(flags.split("/")[0])
    assert flags.split("/") == [*found.opts, *found.secondary_opts]
    assert kind_of(found) == kind
    field = FIELDS[str(found.name)]
    if default == "required":
        assert field.is_required()
    elif default != "-":
        stated = field.get_default(call_default_factory=True, validated_data={})
        assert (", ".join(stated) if isinstance(stated, tuple) else str(stated)) == default


def test_every_choice_and_range_of_the_reference_exists() -> None:
    for flag, choices in CHOICES.items():
        kind = option(flag).type
        assert isinstance(kind, click.Choice)
        assert choices <= set(kind.choices)
    months = option("--time-frequency-months").type
    assert isinstance(months, click.IntRange)
    assert (months.min, months.max) == (1, 24)
    assert set(cloud_mask_names()) >= {"none", "scl"}  # no fixed choice: an installed package can add one


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_description_and_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = help_of(name, monkeypatch)
    for field_name, field in FIELDS.items():
        row = rows[option_name(field_name)]
        assert field.description is not None
        assert field.description in row
        default = field.get_default(call_default_factory=True, validated_data={})
        if field.is_required():
            assert row.endswith("[required]")
        elif default not in (None, False, {}, ()):
            shown = field_name if default is True else ", ".join(default) if isinstance(default, tuple) else default
            assert f"[default: {shown}]" in row


def test_help_shows_ranges_and_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = help_of("build", monkeypatch)
    assert "1<=x<=24" in rows["--time-frequency-months"]
    assert "x>0" in rows["--resolution"]
    assert "16<=x<=16384" in rows["--chunk-size"]
    assert "[nearest|bilinear|cubic]" in rows["--resampling"]
    assert "[local|dask|coiled]" in rows["--serverless-backend"]
    assert rows["--initialize"].startswith("--initialize / --no-initialize ")


def parse(model: type[BaseModel], arguments: list[str]) -> BaseModel:
    """Parse a command line into a model."""
    made: list[BaseModel] = []

    @click.command(cls=ModelCommand, models=lambda: (model,))
    def run(**values: Any) -> None:
        made.append(build_model(model, values))

    run.main(arguments, standalone_mode=False)
    return made[0]


def arguments_of(values: dict[str, Any]) -> list[str]:
    """The command line that gives these values, written as a person would."""
    arguments: list[str] = []
    for name, value in values.items():
        flag = option_name(name)
        if isinstance(value, bool):
            arguments.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, dict):
            for key, entry in value.items():
                arguments += [flag, f"{key}={entry if isinstance(entry, str) else json.dumps(entry)}"]
        elif isinstance(value, tuple) and name not in ("bbox", "adapt"):
            arguments += [part for entry in value for part in (flag, entry)]
        elif isinstance(value, tuple):
            arguments += [flag, *map(str, value)]
        else:
            arguments += [flag, str(value)]
    return arguments


@pytest.mark.parametrize(("model", "values"), [(CubeConfig, CUBE), (RunConfig, RUN), *OTHERS])
def test_options_become_the_same_model(model: type[BaseModel], values: dict[str, Any]) -> None:
    assert parse(model, arguments_of(values)) == model(**values)


def test_the_round_trip_covers_every_field() -> None:
    given = {(model, name) for model, values in [(CubeConfig, CUBE), (RunConfig, RUN), *OTHERS] for name in values}
    every = {(model, name) for model in (CubeConfig, RunConfig) for name in model.model_fields}
    assert {name for _, name in every - given} == ONE_VALUE
    for model, values in [(CubeConfig, CUBE), (RunConfig, RUN)]:
        for name, value in values.items():
            assert model.model_fields[name].get_default(call_default_factory=True, validated_data={}) != value


def test_without_options_the_model_sets_every_default() -> None:
    assert parse(RunConfig, ["--fsspec-uri", "cube"]) == RunConfig(fsspec_uri="cube")


@pytest.mark.parametrize("text", ["2023-01-01", "2023-01-01T00:00:00", "2023-01-01 00:00:00"])
def test_dates_are_accepted_in_every_format_of_the_reference(text: str) -> None:
    made = parse(CubeConfig, ["--start-date", text, "--end-date", text, "--bbox", "1", "2", "3", "4"])
    assert made == CubeConfig(start_date="2023-01-01", end_date="2023-01-01", bbox=(1, 2, 3, 4))  # type: ignore[arg-type]


def test_a_message_names_options_and_not_fields() -> None:
    with pytest.raises(InputError) as caught:
        build_model(RunConfig, {"fsspec_uri": "cube", "overwrite": True, "initialize": False})
    assert str(caught.value) == "--overwrite: needs --initialize; omit --no-initialize"
