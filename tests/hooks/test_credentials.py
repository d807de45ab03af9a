"""Credentials of a run go from a Secret block into the environment, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from prefect.blocks.system import Secret

from ardcube.config import RunConfig
from ardcube.errors import InputError
from flows.build_cube import build_cube
from hooks.credentials import lend_credentials, take_credentials
from tests.servers.processes import PrefectServer

CUBE = {"start_date": "2023-01-01", "end_date": "2023-03-31", "bbox": [11, 46, 12, 47]}
HELD = {"AWS_ACCESS_KEY_ID": "AKIAHUSH", "AWS_SECRET_ACCESS_KEY": "hush-hush"}


@pytest.fixture
def block(prefect_server: PrefectServer) -> Callable[[Any], str]:
    """Save a Secret block; return its id."""
    return lambda held: str(Secret(value=held).save("store", overwrite=True, _sync=True))


def run_of(name: str) -> RunConfig:
    return RunConfig(fsspec_uri="s3://bucket/cube.zarr", credentials_block=name)


@pytest.mark.parametrize("held", [HELD, '{"AWS_ACCESS_KEY_ID": "AKIAHUSH", "AWS_SECRET_ACCESS_KEY": "hush-hush"}'])
def test_a_block_becomes_environment(block: Callable[[Any], str], held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HELD:
        monkeypatch.setenv(name, "before")
    block(held)
    take_credentials(run_of("store"))
    assert {name: os.environ[name] for name in HELD} == HELD


def test_variables_that_are_lent_are_restored_whatever_happens(
    block: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = HELD
    monkeypatch.setenv(first, "before")
    monkeypatch.delenv(second, raising=False)
    block(HELD)
    before = dict(os.environ)
    with pytest.raises(KeyError), lend_credentials(run_of("store")):  # noqa: PT012
        assert {name: os.environ[name] for name in HELD} == HELD
        raise KeyError("a step of the hook")
    assert dict(os.environ) == before


def test_without_a_block_the_environment_is_unchanged() -> None:
    before = dict(os.environ)
    take_credentials(RunConfig(fsspec_uri="s3://bucket/cube.zarr"))
    assert dict(os.environ) == before


def test_the_form_passes_the_name_of_a_block_and_no_secret(block: Callable[[Any], str]) -> None:
    """Prefect replaces the reference by the block when a flow run begins."""
    reference = {"$ref": {"block_document_id": block(HELD)}}
    run = {"fsspec_uri": "s3://bucket/cube.zarr", "credentials_block": reference}
    validated = build_cube.validate_parameters({"cube": CUBE, "run": run})["run"]
    assert validated == run_of("store")
    assert "hush" not in repr(validated).lower()


@pytest.mark.parametrize(
    "held",
    [
        "hush-hush",
        {"AWS_ACCESS_KEY_ID": "hush-hush", "LD_PRELOAD": "hush-hush.so"},
        {"PREFECT_API_URL": "http://hush-hush"},
        {"AWS_ACCESS_KEY_ID": {"value": "hush-hush"}},
        ["hush-hush"],
    ],
    ids=["text", "library path", "another server", "nested", "list"],
)
def test_a_block_with_other_content_is_refused_and_its_content_not_shown(
    block: Callable[[Any], str], held: Any
) -> None:
    block(held)
    before = dict(os.environ)
    with pytest.raises(InputError, match="credentials-block store") as caught:
        take_credentials(run_of("store"))
    assert "hush" not in str(caught.value)
    assert dict(os.environ) == before


def test_a_missing_block_is_refused(prefect_server: PrefectServer) -> None:
    with pytest.raises(InputError, match="credentials-block elsewhere is no Secret block of this Prefect server"):
        take_credentials(run_of("elsewhere"))
