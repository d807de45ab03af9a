"""The benchmark of the orchestration, at a size too small to measure speed."""

from pathlib import Path

import pytest

from benchmarks.orchestration import Bench, per_chunk, run_command
from benchmarks.prefect_side import Services
from tests.servers.processes import DaskCluster, PrefectServer

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(prefect_server: PrefectServer, dask_cluster: DaskCluster, tmp_path: Path) -> Bench:
    return Bench(Services("sqlite", prefect_server), dask_cluster, tmp_path)


def test_every_task_run_and_event_is_counted(bench: Bench) -> None:
    outcome = bench.build(10)
    assert 1 <= outcome.task_runs <= 10, "later batches are sized by the time of the first chunks"
    assert (outcome.recorded, outcome.events) == ({"COMPLETED": outcome.task_runs}, 3 * outcome.task_runs)
    assert outcome.lost == 0
    for figure in (outcome.flow_cpu, outcome.workers_cpu, outcome.flow_mb, outcome.worker_mb, outcome.server_mb):
        assert figure > 0
    assert outcome.cpu >= outcome.flow_cpu + outcome.workers_cpu


@pytest.mark.deep
def test_a_second_run_finds_all_done(bench: Bench) -> None:
    outcome = bench.build(20)
    assert per_chunk(outcome, bench.build(10))["cpu"] != 0
    assert [(one.records, one.chunks) for one in bench.resume(20)] == [
        ("files", 20), ("table", 20), ("killed", 20),
    ]  # fmt: skip


def test_a_command_that_exceeds_its_time_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="did not end within 0 s"):
        run_command(["--help"], {}, tmp_path / "log", seconds=0)
