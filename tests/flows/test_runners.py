"""Which runner a run's chunks go to, and that Coiled's real signature takes what it is given."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import get_args

import pytest
from distributed import Client, LocalCluster
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, temporary_settings

from ardcube.config import AccessByHost, HeaderAccess, HostAccess, RunConfig
from flows.coiled_cluster import coiled_arguments, private_environment
from flows.runners import make_isolated_runner, make_runner
from tests.servers.processes import DaskCluster, environment


def run_config(**changes: object) -> RunConfig:
    """Return a run with some fields set."""
    return RunConfig(fsspec_uri="cube", **changes)  # type: ignore[arg-type]


def test_local_is_one_worker_with_threads_in_this_process() -> None:
    runner = make_runner(run_config(threads=3))
    assert runner.cluster_class == "distributed.LocalCluster"
    assert runner.address is None
    assert runner.adapt_kwargs == {}
    assert {name: runner.cluster_kwargs[name] for name in ("n_workers", "threads_per_worker", "processes")} == {
        "n_workers": 1,
        "threads_per_worker": 3,
        "processes": False,
    }


def complain() -> None:
    """Log an error as a worker does whose scheduler is missing."""
    logging.getLogger("distributed.worker").error("Failed to communicate")


@pytest.mark.parametrize("changes", [{}, {"silence_logs": logging.WARNING}], ids=["isolated", "Dask's default"])
def test_the_isolated_worker_writes_nothing_to_the_stderr_of_the_flow(
    changes: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    with LocalCluster(**(make_isolated_runner().cluster_kwargs | changes)) as cluster, Client(cluster) as client:
        client.submit(complain).result(timeout=60)
    assert ("Failed to communicate" in capfd.readouterr().err) == bool(changes)


def test_local_threads_are_the_cpus_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ardcube.config.run.cpu_count", lambda: 7)
    assert run_config().local_threads == 7
    assert run_config(threads=2).local_threads == 2


def test_dask_is_the_scheduler_at_the_address(dask_cluster: DaskCluster) -> None:
    runner = make_runner(run_config(serverless_backend="dask", scheduler_address=dask_cluster.address))
    assert runner.address == dask_cluster.address
    assert runner.cluster_class is None
    with runner as opened:
        scheduler = opened.client.scheduler_info()
    assert scheduler["address"] == dask_cluster.address
    assert len(scheduler["workers"]) == 2


def test_coiled_is_a_cluster_that_adapts() -> None:
    run = run_config(serverless_backend="coiled")
    runner = make_runner(run)
    cluster, adapt = coiled_arguments(run)
    assert runner.cluster_kwargs == cluster
    assert runner.adapt_kwargs == adapt == {"minimum": 1, "maximum": 100, "target_duration": "20s"}
    assert cluster["n_workers"] == 1  # what adapting begins with
    cluster, adapt = coiled_arguments(run_config(serverless_backend="coiled", adapt=(5, 400)))
    assert (cluster["n_workers"], adapt) == (5, {"minimum": 5, "maximum": 400, "target_duration": "20s"})


def test_coiled_gets_the_options_of_its_class() -> None:
    options = {
        "workspace": "team",
        "worker_vm_types": ["m7g.xlarge"],
        "arm": True,
        "tags": {"project": "alps"},
        "wait_for_workers": 2,
        "timeout": 1200,
        "environ": {"GDAL_CACHEMAX": "64"},
    }
    cluster, _ = coiled_arguments(run_config(serverless_backend="coiled", workers=4, cluster_options=options))
    environ = options.pop("environ")
    assert options.items() <= cluster.items()
    assert environ.items() <= cluster["environ"].items()  # type: ignore[attr-defined]
    assert "MALLOC_ARENA_MAX" in cluster["environ"]
    assert not cluster.keys() & {"worker_cpu", "worker_memory"}  # Coiled refuses them with types of machines


def test_coiled_of_so_many_workers_does_not_adapt() -> None:
    runner = make_runner(run_config(serverless_backend="coiled", workers=12))
    assert runner.cluster_kwargs["n_workers"] == 12
    assert runner.adapt_kwargs == {}


def test_coiled_gets_what_the_run_says() -> None:
    cluster, _ = coiled_arguments(
        run_config(
            serverless_backend="coiled",
            threads=2,
            coiled_name="mine",
            coiled_region="eu-central-1",
            coiled_worker_cpu=8,
            coiled_worker_memory="32 GiB",
            coiled_idle_timeout="1 hour",
            coiled_spot_policy="on-demand",
        )
    )
    del cluster["environ"]
    assert cluster == {
        "name": "mine",
        "region": "eu-central-1",
        "worker_cpu": 8,
        "worker_memory": "32 GiB",
        "idle_timeout": "1 hour",
        "spot_policy": "on-demand",
        "n_workers": 1,
        "worker_options": {"nthreads": 2},
    }
    by_default, _ = coiled_arguments(run_config(serverless_backend="coiled", coiled_worker_cpu=8))
    assert by_default["worker_options"] == {"nthreads": 8}  # a chunk per CPU


def test_coiled_takes_the_packages_of_this_machine_or_an_image_whose_entrypoint_is_another_command() -> None:
    by_default, _ = coiled_arguments(run_config(serverless_backend="coiled"))
    assert not by_default.keys() & {"container", "software", "package_sync"}
    cluster, _ = coiled_arguments(run_config(serverless_backend="coiled", coiled_image="registry.example/ardcube:1"))
    assert cluster["container"] == "registry.example/ardcube:1"
    assert cluster["ignore_container_entrypoint"] is True


def test_coiled_takes_every_argument() -> None:
    code = """if True:
        import inspect, json, sys
        import coiled
        for cluster, adapt in json.loads(sys.argv[1]):
            inspect.signature(coiled.Cluster).bind(**cluster)
            inspect.signature(coiled.Cluster.send_private_envs).bind(None, {}, raise_on_error=True)
            # `adapt` passes on what it does not know, so its names are compared.
            assert set(adapt or ()) <= set(inspect.signature(coiled.Cluster.adapt).parameters)
    """
    runs = [
        run_config(serverless_backend="coiled", workers=workers, coiled_image=image)
        for workers, image in ((None, None), (12, "registry.example/ardcube:1"))
    ]
    # In a separate process, because other tests check that this one does not import coiled.
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([coiled_arguments(run) for run in runs])],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_machines_of_coiled_get_secrets_directly_and_none_in_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    header = HeaderAccess("Authorization", "Bearer {EARTHDATA_TOKEN}", ("data.example.org",))
    access = AccessByHost((HostAccess("data.example.org", header),))
    monkeypatch.setenv("EARTHDATA_TOKEN", "hush-token")
    variables = {
        "PREFECT_API_URL": "https://prefect.example/api",
        "PREFECT_API_KEY": "hush-key",
        "PREFECT_API_AUTH_STRING": "me:hush-word",
    }
    settings = (PREFECT_API_URL, PREFECT_API_KEY, PREFECT_API_AUTH_STRING)
    with temporary_settings(dict(zip(settings, variables.values(), strict=True))):
        cluster, _ = coiled_arguments(run_config(serverless_backend="coiled"))
        private = private_environment(access)
    assert cluster["environ"]["PREFECT_API_URL"] == variables.pop("PREFECT_API_URL")
    assert "hush" not in json.dumps(cluster)
    assert private == {**variables, "EARTHDATA_TOKEN": "hush-token"}
    assert private_environment() == {}


def test_coiled_is_not_imported_before_it_is_chosen() -> None:
    code = "import flows.cli, flows.runners, flows.build_cube, sys; print('coiled' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_line_imports_nothing_heavy_for_help() -> None:
    code = "import sys, flows.cli; print(json.dumps(sorted(name.split('.')[0] for name in sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import json; {code}"], env=environment(), capture_output=True, text=True, check=True
    )
    heavy = {"prefect", "dask", "distributed", "pandas", "geopandas", "xarray", "zarr", "numba", "rasterio", "rich"}
    assert heavy & set(json.loads(done.stdout)) == set()


def test_make_runner_knows_every_backend() -> None:
    backends = RunConfig.model_fields["serverless_backend"].annotation
    assert set(get_args(backends)) == {"local", "dask", "coiled"}
