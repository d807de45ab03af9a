"""Ask the workers of a Dask cluster whether they can build chunks of a run."""

import asyncio
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.settings import get_current_settings

from ardcube.config import RunConfig
from ardcube.errors import InputError
from ardcube.ledger.ledger import SUFFIX
from ardcube.redaction import without_secrets
from ardcube.runtime.same_version import installed_version
from ardcube.storage.place import Place
from flows.worker_probe import LOOK_SECONDS, Seen, digest_of, look

_PROBE = ".ardcube-probe-"
"""Start of the names of small files that show whether a worker sees the store."""
_ANSWER_SECONDS = LOOK_SECONDS + 10.0
"""Seconds that all workers have to answer."""

Answers = Mapping[str, str | None]
"""The reason why a worker cannot build chunks, or None, by the worker's address."""


@contextmanager
def seen_by_flow(run: RunConfig, place: Place, catalogues: Sequence[Path]) -> Iterator[Seen]:
    """Yield all that workers must see; it contains a small file that exists during the block.

    Parameters
    ----------
    run : RunConfig
        Names the store.
    place : Place
        Location of the store.
    catalogues : sequence of Path
        Paths of local catalogues.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with _probe(place) as (folder, name):
        yield Seen(
            version=installed_version(),
            store_uri=run.fsspec_uri,
            store_path=place.path,
            storage_options=dict(run.storage_options),
            probe_uri=folder.uri,
            probe=name,
            catalogues={path: digest_of(path) for path in catalogues},
            prefect_api=get_current_settings().api.url,
        )


async def ask_workers(client: Any, seen: Seen, workers: Sequence[str] | None = None) -> Answers:
    """Return the answers of workers.

    Parameters
    ----------
    client : distributed.Client
        An asynchronous client of the cluster.
    seen : Seen
        All that workers must see.
    workers : sequence of str, optional
        Addresses of the workers; by default all.

    Raises
    ------
    TimeoutError
        If a worker does not answer.
    """
    asked = client.run(look, seen, workers=workers, on_error="return")
    answers: Mapping[str, Any] = await asyncio.wait_for(asked, _ANSWER_SECONDS)
    return {
        worker: _of_error(answer) if isinstance(answer, BaseException) else answer for worker, answer in answers.items()
    }


def ask_for_client(client: Any, seen: Seen, workers: Sequence[str] | None = None) -> Answers:
    """Return the answers of workers of a client's cluster, through another client that can give up.

    Raises
    ------
    TimeoutError
        If a worker does not answer.
    """
    from distributed import Client

    async def ask() -> Answers:
        options: dict[str, Any] = {"asynchronous": True, "set_as_default": False, "security": client.security}
        async with Client(client.scheduler.address, **options) as other:
            return await ask_workers(other, seen, workers)

    return asyncio.run(ask())


def first_problem(answers: Answers) -> str | None:
    """Return one line about the first worker with a problem, or None if no worker has one."""
    problems = {worker: problem for worker, problem in answers.items() if problem is not None}
    if not problems:
        return None
    worker, problem = next(iter(problems.items()))
    more = f" ({len(problems)} of {len(answers)} workers have a problem)" if len(answers) > 1 else ""
    return f"worker {worker}: {problem}{more}"


def _of_error(error: BaseException) -> str:
    """Return the line about a worker that could not even run the check."""
    # Dask passes an error of the import on as text.
    text = " ".join(without_secrets(str(error) if type(error) is Exception else repr(error)).split())
    if re.search("ImportError|ModuleNotFoundError|AttributeError", text):
        return f"it cannot import this package ({text}); install ardcube {installed_version()} there, as in the flow"
    return f"it fails ({text}); its log says why"


def remove_probes(ledger: Place) -> None:
    """Remove the probes of runs that were killed meanwhile from the folder of a ledger.

    The run holds the lease. A run that looks at this moment is refused in any case, because of the lease.
    """
    ledger.remove(name for name in ledger.list_files("") if name.startswith(_PROBE))


@contextmanager
def _probe(place: Place) -> Iterator[tuple[Place, str]]:
    """Write a small file where workers must see it, and remove it at the end of the block."""
    name = f"{_PROBE}{uuid.uuid4().hex}"
    folder = place.sibling(SUFFIX)
    if place.is_local:  # a folder is not created before the run is accepted
        nearest = next(at for at in (Path(folder.path), *Path(place.path).parents) if at.is_dir())
        folder = Place(str(nearest), place.fs, str(nearest))
    try:
        folder.write(name, name.encode())
    except Exception as error:  # a filesystem may raise whatever its library does
        text = " ".join(without_secrets(str(error)).split())
        raise InputError(f"fsspec-uri {place.uri} cannot be written ({text}); check address and credentials") from error
    try:
        yield folder, name
    finally:
        folder.remove([name])
