"""Connection pools of obstore for HTTP servers, with the time-outs and retries of every request."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from obstore.store import HTTPStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CLIENT: ClientConfig = {"connect_timeout": "10s", "read_timeout": "20s", "timeout": "600s", "allow_http": True}
"""A request lasts as long as bytes arrive, because a large range over a slow connection takes minutes."""
RETRY: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=90)}
"""A server that accepts requests and never answers fails after two minutes at the latest."""


@lru_cache(maxsize=256)
def http_store(root: str, headers: tuple[tuple[str, str], ...] = ()) -> HTTPStore:
    """Return the connection pool of a host, a query and headers (0.1 MB), which is kept per process.

    Parameters
    ----------
    root : str
        Scheme and host, with the query of every request if there is one: `https://host/?query`.
    headers : tuple of (str, str)
        Names and values of headers of every request. The library removes `Authorization`, and no other header, if a
        redirect leads to another host.
    """
    client: ClientConfig = {**CLIENT, "default_headers": dict(headers)} if headers else CLIENT
    return HTTPStore.from_url(root, client_options=client, retry_config=RETRY)
