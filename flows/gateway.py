"""Questions to a dask-gateway server: the options that it offers, the credentials of a cluster.

Its URL and the user's login are in Dask's configuration (`gateway.address`, `gateway.auth`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Answer = TypeVar("Answer")
_ANSWER_SECONDS = 30.0
"""Seconds that a gateway has to answer."""


def offered_options(arguments: dict[str, Any]) -> set[str]:
    """Return the names of the options that a gateway offers for its clusters.

    Parameters
    ----------
    arguments : dict
        Arguments of `dask_gateway.Gateway`.
    """
    return set(_ask(lambda gateway: gateway.cluster_options(), arguments))


def cluster_security(name: str) -> Any:
    """Return the key and the certificate of a cluster, as `distributed.Security`.

    Raises
    ------
    ValueError
        If the gateway has no running cluster of this name.
    """
    report = _ask(lambda gateway: gateway.get_cluster(name), {})
    if report.security is None:
        raise ValueError(f"cluster {name} is not running")
    return report.security


def _ask(question: Callable[[Any], Awaitable[Answer]], arguments: dict[str, Any]) -> Answer:
    """Ask a gateway in another thread, because Dask may need the answer in a thread whose event loop is running."""
    from dask_gateway import Gateway

    async def ask() -> Answer:
        async with Gateway(asynchronous=True, **arguments) as gateway:
            return await asyncio.wait_for(question(gateway), _ANSWER_SECONDS)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, ask()).result()
