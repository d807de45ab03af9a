"""Check the location of the store of a request, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ardcube.config import RunConfig
from ardcube.config.store import StorageBackend
from ardcube.errors import InputError, StoreError, UnreachableError, UnwritableError
from ardcube.ledger.ledger import SUFFIX, Ledger
from ardcube.ledger.stored_cube import backend_of
from ardcube.storage.failures import explain
from ardcube.storage.place import Place
from ardcube.storage.writable import can_write


def check_place(place: Place, ledger: Ledger, run: RunConfig) -> None:
    """Raise InputError if the store's location holds something else, or is not in the state that the run needs."""
    backend = run.storage_backend
    if backend != "fsspec":
        from ardcube.store.repository import check_backend  # zarr is slow to import

        check_backend(place)
    try:
        stored = ledger.read_cube()
        has_cube = stored is not None
        if stored is not None:
            _check_same_backend(place, backend, stored)
        exists = place.exists()
        complete = (has_cube or not run.initialize) and _is_complete(place, backend)
    except (StoreError, InputError) as error:
        raise InputError(str(error)) from error
    except Exception as error:  # a filesystem may raise whatever its library does
        kind = InputError if isinstance(explain(error, place.uri), UnwritableError) else UnreachableError
        raise kind(
            f"fsspec-uri {place.uri} cannot be reached: {' '.join(str(error).split())}; check the address and "
            "the credentials"
        ) from error
    if not has_cube and exists and not (place.is_local and _is_empty_folder(place)):
        raise InputError(
            f"fsspec-uri {place.uri} holds something that ardcube did not write (there is no {place.uri}{SUFFIX}); "
            "choose another location"
        )
    if place.is_local and not can_write(Path(place.path)):
        raise InputError(f"fsspec-uri {place.uri} cannot be written; choose a folder that you may write to")
    if not run.initialize and not complete:
        raise InputError(f"fsspec-uri {place.uri} holds no cube; drop --no-initialize to create one")
    has_records = has_cube and ledger.place.list("chunks") + ledger.place.list("ledger.parquet")
    if has_records and not complete and not run.overwrite:
        raise InputError(
            f"fsspec-uri {place.uri} is missing, but {place.uri}{SUFFIX} lists chunks of it; restore it, or "
            "build it again with --overwrite"
        )


def _check_same_backend(place: Place, backend: StorageBackend, stored: dict[str, Any]) -> None:
    """Raise InputError if an existing cube has another storage backend, which even `overwrite` does not change."""
    existing = backend_of(stored["identity"])
    if existing != backend:
        raise InputError(
            f"fsspec-uri {place.uri}: storage-backend is {existing} there and {backend} here; choose another "
            "location, or the same storage-backend"
        )


def _is_complete(place: Place, backend: StorageBackend) -> bool:
    from ardcube.store.schema import exists  # zarr is slow to import
    from ardcube.store.versions import for_checking

    return exists(for_checking(place, backend))


def _is_empty_folder(place: Place) -> bool:
    return bool(place.fs.isdir(place.path)) and not place.fs.ls(place.path)
