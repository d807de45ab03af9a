"""Check the workers of a run before it writes anything or rents machines.

Each check ends in one line (`InputError`) that names the value, the problem and the remedy.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.settings import get_current_settings

from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.search import local_path
from ardcube.config import EARTH_SEARCH, RunConfig
from ardcube.errors import InputError
from ardcube.redaction import without_secrets
from ardcube.storage.place import Place
from flows.ask_workers import Answers, ask_workers, first_problem, seen_by_flow
from flows.cluster_classes import check_class, is_loopback, is_on_this_machine
from flows.coiled_cluster import check_coiled_options
from flows.progress import current_progress
from flows.scheduler_security import use_loader
from flows.worker_probe import Seen

logger = logging.getLogger(__name__)
WORKER_SECONDS = 60.0
"""Seconds to wait for the first worker of a Dask cluster."""
_CONNECT_SECONDS = 10.0
"""Seconds to wait for a scheduler to accept a connection."""
_SCHEMES = ("tcp", "tls", "gateway", "ws", "wss", "ucx", "ucxx")
"""Protocols of Dask between machines."""
_EARTH_SEARCH_REGION = "us-west-2"
"""Region of the scenes that Earth Search lists."""


def check_workers(run: RunConfig, stac_urls: Sequence[str]) -> None:
    """Check that the workers of a run exist, and that they see what they need.

    Parameters
    ----------
    run : RunConfig
        Names backend and store.
    stac_urls : sequence of str
        The catalogues that are searched.

    Raises
    ------
    InputError
        If no chunk could be built. Nothing was written.
    """
    if run.serverless_backend == "local" or run.dry_run:
        return
    place = Place.at(run.fsspec_uri, run.storage_options)
    _check_shared(run, place, stac_urls)
    _check_server_is_reachable(run)
    if run.serverless_backend == "coiled":
        _check_coiled(run, place, stac_urls)
    elif run.cluster_class is not None:
        check_class(run)  # its workers are asked when they have started, before they get a chunk
    else:
        _check_cluster(run, place, stac_urls)


def _check_shared(run: RunConfig, place: Place, stac_urls: Sequence[str]) -> None:
    """Raise InputError if other processes cannot see the store or the catalogue."""
    backend = f"serverless-backend {run.serverless_backend}"
    if place.uri.startswith("memory:"):
        raise InputError(
            f"fsspec-uri {place.uri}: only this process sees it, and {backend} has others; use a real store"
        )
    if run.serverless_backend != "coiled":
        return
    if place.is_local:
        raise InputError(
            f"fsspec-uri {place.uri}: {backend} has other machines; give an address such as s3://bucket/cube"
        )
    if local := next((url for url in stac_urls if not is_remote(url)), None):
        raise InputError(f"stac-url {local}: {backend} has other machines; give the URL of a STAC API")


def _check_server_is_reachable(run: RunConfig) -> None:
    """Raise InputError if workers are on other machines and Prefect's server listens only to this one."""
    api = get_current_settings().api.url
    if run.cluster_class is None:
        are_here = run.serverless_backend == "dask" and is_loopback(run.scheduler_address or "")
    else:
        are_here = is_on_this_machine(run)
    if not are_here and (not api or is_loopback(api)):
        raise InputError(
            f"serverless-backend {run.serverless_backend}: its workers run on other machines and cannot report to "
            f"{api or 'the temporary Prefect server'}, which only this one reaches; set PREFECT_API_URL to a "
            "server that they reach"
        )


# ---- Coiled --------------------------------------------------------------------------------------


def _check_coiled(run: RunConfig, place: Place, stac_urls: Sequence[str]) -> None:
    """Raise InputError without a token, since Coiled would wait ten minutes for a login in the browser."""
    import dask.config

    if not dask.config.get("coiled.token", None):
        raise InputError(
            "serverless-backend coiled: no Coiled token is set; run `coiled login`, or set DASK_COILED__TOKEN"
        )
    check_coiled_options(run)
    check_region(run.coiled_region, _region_of(place), stac_urls)


def check_region(region: str, of_bucket: str | None, stac_urls: Sequence[str]) -> None:
    """Warn if workers are far from the store; raise InputError if they are far from the scenes too.

    Parameters
    ----------
    region : str
        Region of the workers.
    of_bucket : str, optional
        Region of the store's bucket, if it is known.
    stac_urls : sequence of str
        The catalogues. Only the region of the scenes of Earth Search is known.
    """
    if of_bucket is None or region == of_bucket:
        return
    if {*stac_urls} != {EARTH_SEARCH} or region == _EARTH_SEARCH_REGION:
        line = f"coiled-region {region}: the store is in {of_bucket}; the transfer of each written byte is charged"
        logger.warning(line)
        current_progress().warned(line)
        return
    raise InputError(
        f"coiled-region {region}: the scenes are in {_EARTH_SEARCH_REGION} and the store in {of_bucket}, and transfers "
        "between regions are slow and expensive; choose one of these two"
    )


def _region_of(place: Place) -> str | None:
    """Return the region of a bucket on AWS; None if it is not known."""
    if not {"s3", "s3a"} & {place.fs.protocol, *place.fs.protocol} or getattr(place.fs, "endpoint_url", None):
        return None
    try:
        answer: Mapping[str, Any] = place.fs.call_s3("head_bucket", Bucket=place.bucket)
    except Exception:  # noqa: BLE001  (only a region is looked for; the check of the store reports its errors)
        return None
    found = answer.get("BucketRegion")
    return found if found and re.fullmatch(r"[a-z]+(-[a-z]+)+-\d+", found) else None


# ---- an existing Dask cluster ----------------------------------------------------------------------


def _check_cluster(run: RunConfig, place: Place, stac_urls: Sequence[str]) -> None:
    """Raise InputError with the first problem of a worker."""
    address = run.scheduler_address or ""
    scheme = address.partition("://")[0]
    if scheme not in _SCHEMES:
        raise InputError(
            f"scheduler-address {address}: Dask has no protocol {scheme}; use tcp://, tls:// or gateway://"
        )
    catalogues = [local_path(url) for url in dict.fromkeys(stac_urls) if not is_remote(url)]
    with seen_by_flow(run, place, catalogues) as seen:
        answers = asyncio.run(_ask(address, seen))
    if line := first_problem(answers):
        raise InputError(line)


async def _ask(address: str, seen: Seen) -> Answers:
    """Return the answers of all workers of a cluster, which has at least one."""
    from distributed import Client

    use_loader()
    client: Any = None
    try:
        client = Client(address, asynchronous=True, timeout=_CONNECT_SECONDS, set_as_default=False)
        await client
    except Exception as error:  # a protocol raises whatever its library does
        if client is not None:
            await client.close()
        text = " ".join(without_secrets(str(error)).split())
        raise InputError(
            f"scheduler-address {address} does not answer as a Dask scheduler ({text}); start one there, and put the "
            "certificates of tls://, or the login of gateway://, into Dask's configuration"
        ) from error
    try:
        await client.wait_for_workers(1, timeout=WORKER_SECONDS)
        return await ask_workers(client, seen)
    except TimeoutError as error:
        if not client.scheduler_info()["workers"]:
            raise InputError(
                f"scheduler-address {address}: it has no worker after {WORKER_SECONDS:.0f} s; start one with "
                f"`dask worker {address}`"
            ) from error
        raise InputError(
            f"scheduler-address {address}: its workers do not answer; restart workers that are paused or busy"
        ) from error
    finally:
        await client.close()
