"""Look from a Dask worker: at the package, the store, the catalogue and the Prefect server.

The flow sends `look` to each worker before it writes anything. A worker that cannot import this module answers with the
error of its import.
"""

import asyncio
import hashlib
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ardcube.redaction import without_secrets
from ardcube.runtime.same_version import other_version
from ardcube.storage.place import Place

LOOK_SECONDS = 20.0
"""Seconds that a worker has to look at everything."""
_SERVER_SECONDS = 10.0
"""Seconds that the Prefect server has to answer."""
_ENTRIES = 1000
"""Names of a catalogue's folder that are compared."""
_FIRST_BYTES = 65_536
"""Bytes of a catalogue's file that are compared."""


@dataclass(frozen=True)
class Seen:
    """All that a worker must see as the flow sees it."""

    version: str
    """Version of this package."""
    store_uri: str
    """URI of the store as the run was given it, because workers get it in this form."""
    store_path: str
    """Path of the store in its filesystem, which a relative URI leaves to the folder of the process."""
    storage_options: Mapping[str, Any]
    probe_uri: str
    """Folder of the probe."""
    probe: str
    """Name of a file that the flow has written; its content is its name."""
    catalogues: Mapping[Path, str]
    """Digests of local catalogues, by path."""
    prefect_api: str | None
    """URL of the API of Prefect's server."""


async def look(seen: Seen) -> str | None:
    """Return the reason why this worker cannot build chunks of the run, or None."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(_look, seen), LOOK_SECONDS)
    except TimeoutError:
        return f"store, catalogue or Prefect's server did not answer it within {LOOK_SECONDS:.0f} s"


def _look(seen: Seen) -> str | None:
    return other_version(seen.version) or _look_at_store(seen) or _look_at_catalogue(seen) or _look_at_server(seen)


def _look_at_store(seen: Seen) -> str | None:
    """Read the flow's probe, and write and remove another one."""
    remedy = "give a store that all workers can reach"
    try:
        if (path := Place.at(seen.store_uri, seen.storage_options).path) != seen.store_path:
            return f"fsspec-uri {seen.store_uri} is {path} there; give an absolute path"
        place = Place.at(seen.probe_uri, seen.storage_options)
        if place.read_now(seen.probe) != seen.probe.encode():
            return f"it does not see fsspec-uri {seen.store_uri}, which may be on the disk of the flow; {remedy}"
        reply = f"{seen.probe}-{uuid.uuid4().hex}"
        place.write(reply, b"")
        place.remove([reply])
    except Exception as error:  # noqa: BLE001  (a filesystem may raise whatever its library does)
        return (
            f"it cannot write fsspec-uri {seen.store_uri} ({_described(error)}); check the worker's credentials and "
            "permissions"
        )
    return None


def _look_at_catalogue(seen: Seen) -> str | None:
    unlike = next((path for path, digest in seen.catalogues.items() if digest_of(path) != digest), None)
    if unlike is None:
        return None
    return f"it does not see stac-url {unlike} as the flow does; put the catalogue where all workers see it"


def digest_of(catalogue: Path) -> str:
    """Return a digest of the names in a folder, or of the first bytes of a file; empty if the path cannot be read."""
    with suppress(OSError):
        if catalogue.is_dir():
            content = "\n".join(sorted(entry.name for entry in catalogue.iterdir())[:_ENTRIES]).encode()
        else:
            with catalogue.open("rb") as file:
                content = file.read(_FIRST_BYTES)
        return hashlib.sha256(content).hexdigest()
    return ""


def _look_at_server(seen: Seen) -> str | None:
    """Send a request; any answer shows that the server can be reached."""
    if seen.prefect_api is None:
        return None
    unverified = ssl.create_default_context()  # Prefect has its options for certificates
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(
            f"{seen.prefect_api.rstrip('/')}/health", timeout=_SERVER_SECONDS, context=unverified
        ).close()
    except urllib.error.HTTPError:
        return None  # it refuses a request without a key
    except (OSError, ValueError) as error:
        return (
            f"it does not reach the Prefect server {seen.prefect_api} ({_described(error)}); set PREFECT_API_URL to an "
            "address that workers reach"
        )
    return None


def _described(error: BaseException) -> str:
    return " ".join(without_secrets(f"{type(error).__name__}: {error}").split())
