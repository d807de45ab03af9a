"""Open the icechunk repository of a cube, on local disk or S3, with the credentials of the fsspec driver."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ardcube.errors import InputError, StoreError, TransientError
from ardcube.redaction import without_secrets
from ardcube.storage.place import Place

PUBLISHED = "main"
"""Branch that readers see."""
WORK = "work"
"""Branch of a build that is not complete."""
_OPTIONS = {"key", "secret", "token", "anon", "profile", "endpoint_url", "requester_pays", "client_kwargs.region_name"}
"""Options of s3fs that icechunk can be given."""
_MINUTES = timedelta(minutes=5)
"""Time after which icechunk asks for credentials again."""


def check_backend(place: Place) -> None:
    """Raise InputError if icechunk is not installed, or cannot store a cube at a place."""
    try:
        import icechunk  # noqa: F401
    except ImportError:
        raise InputError(
            "storage-backend icechunk: the package icechunk is not installed; install ardcube[icechunk]"
        ) from None
    if place.is_local:
        return
    from ardcube.storage.object_store import IGNORED, flat, scheme

    if scheme(place.fs) != "s3":
        raise InputError(
            f"fsspec-uri {place.uri}: storage-backend icechunk stores cubes on local disk and S3; choose such a "
            "location, or storage-backend fsspec"
        )
    if unknown := sorted(set(flat(place.fs.storage_options)) - _OPTIONS - IGNORED):
        raise InputError(
            f"storage-options {', '.join(unknown)}: storage-backend icechunk cannot use them; leave them out, or "
            "choose storage-backend fsspec"
        )


def repository_exists(place: Place) -> bool:
    """Return whether a place holds an icechunk repository."""
    check_backend(place)
    import icechunk

    icechunk.set_logs_filter("error")
    with icechunk_errors(place.uri):
        return bool(icechunk.Repository.exists(_storage(place)))


def open_repository(place: Place, *, create: bool = False) -> Any:
    """Open the repository at a place, or create it.

    Raises
    ------
    InputError
        If icechunk cannot store a cube there.
    StoreError, TransientError
        If the repository cannot be opened.
    """
    check_backend(place)
    import icechunk

    # It warns of commits of several processes to a disk; here the holder of the lease alone commits.
    icechunk.set_logs_filter("error")
    with icechunk_errors(place.uri):
        opened = icechunk.Repository.open_or_create if create else icechunk.Repository.open
        return opened(_storage(place))


@contextmanager
def icechunk_errors(uri: str) -> Iterator[None]:
    """Raise the errors of icechunk as those of ardcube, in one line."""
    import icechunk

    try:
        yield
    except icechunk.IcechunkError as error:
        text = without_secrets(" ".join(str(error).split("\n", 1)[0].split())).removeprefix("x ")
        kind = TransientError if "storage" in text or "timeout" in text else StoreError
        raise kind(f"{uri}: {text}; run again") from error


def _storage(place: Place) -> Any:
    import icechunk

    if place.is_local:
        return icechunk.local_filesystem_storage(place.path)
    from ardcube.storage.object_store import region_of

    fs = place.fs
    endpoint = fs.s3.meta.endpoint_url
    is_amazon = "amazonaws.com" in endpoint
    region = fs.client_kwargs.get("region_name") or region_of(fs, place.bucket)
    access: dict[str, Any] = {"get_credentials": _Credentials(fs.storage_options.get("profile"))}
    if fs.anon:
        access = {"anonymous": True}
    elif fs.key:
        access = {"access_key_id": fs.key, "secret_access_key": fs.secret, "session_token": fs.token}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return icechunk.s3_storage(
            bucket=place.bucket,
            prefix=place.path.lstrip("/").partition("/")[2],
            region=region,
            endpoint_url=None if is_amazon else endpoint,
            allow_http=endpoint.startswith("http://"),
            force_path_style=not is_amazon,
            requester_pays=bool(fs.storage_options.get("requester_pays")),
            **access,
        )


@dataclass(frozen=True, slots=True)
class _Credentials:
    """Ask botocore for credentials: environment, profile, SSO, instance role. Sent to workers, which ask for theirs."""

    profile: str | None

    def __call__(self) -> Any:
        import icechunk

        from ardcube.storage.object_store import found_credentials

        now = found_credentials(self.profile).get_frozen_credentials()
        return icechunk.S3StaticCredentials(now.access_key, now.secret_key, now.token, datetime.now(UTC) + _MINUTES)
