"""The clean-up after a run whose process was killed: its lease and cluster, and no others."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import coiled
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Crashed, Failed

from ardcube.config import RunConfig
from ardcube.lease.acquire import holding
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.retry_cube import retry_cube
from hooks.clusters import cluster_name
from hooks.states import on_cancellation, on_crashed, on_failure
from tests.leases import current_claim
from tests.servers.processes import PrefectServer

CUBE = {"bbox": [11, 46, 12, 47], "start_date": "2023-01-01", "end_date": "2023-03-31"}
HANDLERS = [(on_failure, Failed()), (on_crashed, Crashed()), (on_cancellation, Cancelling())]


def flow_run(**run: Any) -> FlowRun:
    """Return a run as the server passes it to a handler, with parameters in JSON."""
    return FlowRun(id=uuid4(), flow_id=uuid4(), name="eager-otter", parameters={"cube": CUBE, "run": run})


def test_every_flow_has_all_three_hooks() -> None:
    for flow in (build_cube, retry_cube):
        assert flow.on_failure_hooks == [on_failure]
        assert flow.on_crashed_hooks == [on_crashed]
        assert flow.on_cancellation_hooks == [on_cancellation]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("handler", "state"), HANDLERS, ids=["failed", "crashed", "cancelled"])
def test_the_lease_of_the_run_is_released_and_no_other(tmp_path: Path, handler: Any, state: Any) -> None:
    uri = str(tmp_path / "cube.zarr")
    place = Ledger.of_store(Place.at(uri)).place
    ours, other = flow_run(fsspec_uri=uri), flow_run(fsspec_uri=uri)
    with holding(place, run="eager-otter", run_id=str(ours.id)):
        handler(build_cube, other, state)
        assert current_claim(place) is not None
        handler(build_cube, ours, state)
        assert current_claim(place) is None


@pytest.mark.usefixtures("prefect_server")
def test_of_several_cubes_the_lease_of_the_one_that_was_built_is_released(tmp_path: Path) -> None:
    first, second = (Ledger.of_store(Place.at(str(tmp_path / f"{name}.zarr"))).place for name in "ab")
    ours = flow_run(fsspec_uri=str(tmp_path), each="name")
    with holding(first, run="other", run_id=str(uuid4())), holding(second, run="eager-otter", run_id=str(ours.id)):
        on_crashed(build_cube, ours, Crashed())
        assert current_claim(first) is not None
        assert current_claim(second) is None


@pytest.mark.parametrize(("handler", "state"), HANDLERS, ids=["failed", "crashed", "cancelled"])
def test_a_run_with_refused_parameters_needs_no_clean_up(tmp_path: Path, handler: Any, state: Any) -> None:
    handler(build_cube, flow_run(fsspec_uri=str(tmp_path / "cube.zarr"), retries=99), state)
    handler(build_cube, FlowRun(id=uuid4(), flow_id=uuid4(), parameters={}), state)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_does_not_answer_prevents_no_other_step_of_the_clean_up(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(coiled, "delete_cluster", lambda *, name: closed.append(name))
    (tmp_path / "cube.zarr.ardcube").write_text("a file where a folder should be")
    run = flow_run(fsspec_uri=str(tmp_path / "cube.zarr"), serverless_backend="coiled", coiled_name="alps")
    on_crashed(build_cube, run, Crashed())
    assert closed == [cluster_name(RunConfig(**run.parameters["run"]), run.id)]
    assert prefect_server.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [str(run.id)]}}}) == []


def test_a_cluster_is_named_after_its_run_and_can_be_deleted_by_name() -> None:
    run = RunConfig(fsspec_uri="cube", serverless_backend="coiled", coiled_name="alps")
    first, second = uuid4(), uuid4()
    assert cluster_name(run, first).startswith("alps-")
    assert cluster_name(run, first) == cluster_name(run, str(first)) != cluster_name(run, second)
    inspect.signature(coiled.delete_cluster).bind(name=cluster_name(run, first))
    assert "coiled" in sys.modules
