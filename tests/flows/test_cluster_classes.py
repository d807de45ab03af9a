"""Clusters that a run creates: arguments are compared with the installed class; a real one builds equal pixels."""

from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from ardcube.config import RunConfig
from ardcube.errors import InputError, RunStopsError
from flows.build_cube import build_cube
from flows.cluster_classes import cluster_arguments, find_class
from flows.preflight import check_workers
from flows.runners import make_runner
from tests.flows.jobs import pixels, run_config, sample_cube
from tests.servers import processes

LOCAL = "distributed.LocalCluster"
SLURM = "dask_jobqueue.SLURMCluster"
KUBE = "dask_kubernetes.operator.KubeCluster"
SSH = "distributed.SSHCluster"
HERE = ["127.0.0.1", "127.0.0.1"]


def created(uri: Path | str, cluster_class: str, options: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    """Return a run that creates a cluster."""
    return run_config(
        uri,
        **{
            "threads": None,
            "serverless_backend": "dask",
            "cluster_class": cluster_class,
            "cluster_options": options or {},
            **changes,
        },
    )


def refused(run: RunConfig) -> str:
    """Return the message of a refused run, which is one line."""
    with temporary_settings({PREFECT_API_URL: "https://prefect.example/api"}), pytest.raises(InputError) as caught:
        check_workers(run, [])
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("cluster_class", "changes", "message"),
    [
        (LOCAL, {"options": {"image": "x"}}, "cluster-option image: distributed.LocalCluster has no such argument; it"),
        (SLURM, {"options": {"core": 4}}, "cluster-option core: dask_jobqueue.SLURMCluster has no such argument; it"),
        (SSH, {"options": {"hosts": HERE, "n_worker": 4}, "workers": None}, "cluster-option n_worker: distributed.SSH"),
        (LOCAL, {"options": {"n_workers": 4}}, "cluster-option n_workers: cannot be given; use workers or adapt"),
        (LOCAL, {"options": {"asynchronous": True}}, "cluster-option asynchronous: cannot be given"),
        (LOCAL, {"workers": None}, "cluster-class distributed.LocalCluster: needs a number of workers; give workers"),
        (SSH, {"workers": None}, "cluster-class distributed.SSHCluster: needs the hosts of its scheduler and of each"),
        (SSH, {"options": {"hosts": HERE}}, "cluster-class distributed.SSHCluster: its hosts are its workers; omit"),
        (KUBE, {"options": {"images": "x"}}, "cluster-option images: dask_kubernetes.operator.KubeCluster has no such"),
        (
            KUBE,
            {"workers": None},
            "cluster-class dask_kubernetes.operator.KubeCluster: needs a number of workers; give",
        ),
        ("not_installed.Cluster", {}, "cluster-class not_installed.Cluster is not installed; install not_installed"),
        ("distributed.NoCluster", {}, "has no attribute 'NoCluster'; install a version that has it"),
        (
            "tests.flows.test_cluster_classes.NeedsQueue",
            {},
            "missing a required argument: 'queue'; give it as",
        ),
    ],
)
def test_a_class_and_arguments_that_cannot_work_are_refused_in_one_line(
    cluster_class: str, changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARDCUBE_CLUSTER_CLASSES", cluster_class)
    assert message in refused(created(tmp_path / "cube.zarr", cluster_class, **{"workers": 2, **changes}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cluster_class", "package"),
    [(SLURM, "dask-jobqueue"), (KUBE, "dask-kubernetes"), ("dask_gateway.GatewayCluster", "dask-gateway")],
)
def test_a_class_that_is_not_installed_is_refused_with_its_package(
    cluster_class: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, cluster_class.rpartition(".")[0], None)
    line = refused(created(tmp_path / "cube.zarr", cluster_class, workers=2))
    assert line == f"cluster-class {cluster_class} is not installed; install {package} where the flow runs"


class NeedsQueue:
    """A class of an operator, with an argument that has no default."""

    def __init__(self, *, queue: str, n_workers: int = 0) -> None:
        self.queue = queue


@pytest.mark.parametrize(
    ("cluster_class", "options", "changes"),
    [
        (LOCAL, {"threads_per_worker": 2, "memory_limit": "2 GB", "lifetime": "1 hour"}, {"adapt": (1, 3)}),
        (SLURM, {"cores": 4, "memory": "16 GB", "queue": "regular", "account": "x", "processes": 4}, {"workers": 8}),
        (
            KUBE,
            {
                "name": "ardcube",
                "namespace": "cubes",
                "image": "registry.example/ardcube:1",
                "idle_timeout": 600,
                "env": {"PREFECT_API_URL": "https://prefect.example/api"},
                "custom_cluster_spec": "cluster.yaml",
            },
            {"adapt": (1, 3)},
        ),
        (SSH, {"hosts": HERE, "worker_options": {"nthreads": 1}, "connect_options": {"known_hosts": None}}, {}),
    ],
)
def test_a_class_takes_what_the_run_gives_it(
    cluster_class: str, options: dict[str, Any], changes: dict[str, Any], tmp_path: Path
) -> None:
    run = created(tmp_path / "cube.zarr", cluster_class, options, **changes)
    with temporary_settings({PREFECT_API_URL: "https://prefect.example/api"}):
        check_workers(run, [])
    arguments = cluster_arguments(run)
    assert options.items() <= arguments.items()
    inspect.signature(find_class(cluster_class)).bind(**arguments)
    assert arguments.get("n_workers") == (None if cluster_class == SSH else 8 if cluster_class == SLURM else 1)
    adapt = {"minimum": 1, "maximum": 3} if "adapt" in changes else {}
    assert make_runner(run).adapt_kwargs == adapt


def test_workers_elsewhere_need_a_server_that_they_reach(tmp_path: Path) -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}),
        pytest.raises(
            InputError, match=r"its workers run on other machines and cannot report to http://127.*, which only this"
        ),
    ):
        check_workers(created(tmp_path, SSH, {"hosts": ["127.0.0.1", "10.1.2.3"]}), [])


@pytest.mark.usefixtures("prefect_server")
def test_a_build_on_processes_equals_a_local_build(
    sample_archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cube = sample_cube(sample_archive, chunk_size=80, bands=("red",), end_date="2023-05-31")
    build_cube(cube, run_config(tmp_path / "local.zarr"))
    options = {"threads_per_worker": 1, "security": True}  # certificates that exist in memory alone
    with caplog.at_level(logging.INFO):
        summary = build_cube(cube, created(tmp_path / "cube.zarr", LOCAL, options, adapt=(1, 2)))
    assert f"Creating a new Dask cluster with `{LOCAL}`" in caplog.messages
    assert (summary.written + summary.empty, summary.failed) == (summary.chunks, 0)
    assert pixels(tmp_path / "cube.zarr") == pixels(tmp_path / "local.zarr")


@pytest.mark.usefixtures("prefect_server")
def test_a_cluster_that_does_not_start_stops_the_run_in_one_line(sample_archive: Path, tmp_path: Path) -> None:
    cube = sample_cube(sample_archive, chunk_size=80, bands=("red",), end_date="2023-05-31")
    taken = f"tcp://10.255.255.1:{processes.free_port()}"
    with pytest.raises(RunStopsError, match=r"^cluster-class distributed\.LocalCluster: the cluster does not start \("):
        build_cube(cube, created(tmp_path / "cube.zarr", LOCAL, {"host": taken}, workers=1))
