"""The versions of a cube that readers can open, and their history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from ardcube.config.store import StorageBackend
from ardcube.errors import InputError
from ardcube.storage.place import Place
from ardcube.store.repository import PUBLISHED, WORK, icechunk_errors, open_repository, repository_exists
from ardcube.store.session_place import SessionPlace
from ardcube.store.transaction import CHUNKS, TAG, TAGGED, Transaction

_PIXEL_DIMENSIONS = 3
"""Dimensions of an array of pixels at least: time, rows, columns. One period is in each of its chunks."""


@dataclass(frozen=True, slots=True)
class Version:
    """A published version of a cube, or the changes that are not published yet."""

    tag: str
    """Tag, such as `v3`; empty for changes that are not published."""
    time: datetime
    """Time of its last commit, in UTC."""
    message: str
    """Message of its last commit."""
    chunks: int
    """Chunks that were written since the version before."""
    commits: int
    """Commits since the version before."""


@dataclass(frozen=True, slots=True)
class _Reading:
    session: Any


def for_reading(place: Place, backend: StorageBackend, at: str | None = None) -> Place:
    """Return a place from which readers read a cube.

    Parameters
    ----------
    place : Place
        Location of the store.
    backend : str
        Storage backend of the cube.
    at : str, optional
        Tag of a version. Default: the newest published one.

    Raises
    ------
    InputError
        If there is no such version, or none at all.
    """
    if backend == "fsspec":
        if at is not None:
            raise InputError(
                f"at {at!r:.100}: {place.uri} keeps no versions; leave it out, or build with storage-backend icechunk"
            )
        return place
    _check_repository(place)
    repository = open_repository(place)
    with icechunk_errors(place.uri):
        tags = sorted((tag for tag in repository.list_tags() if TAG.fullmatch(tag)), key=lambda tag: int(tag[1:]))
        if at is not None and at not in tags:
            raise InputError(
                f"at {at!r:.100}: {place.uri} has no such version; choose one of {', '.join(tags[-10:])}"
                if tags
                else f"at {at!r:.100}: {place.uri} has no published version; run the build until it completes"
            )
        session = repository.readonly_session(branch=PUBLISHED) if at is None else repository.readonly_session(tag=at)
    found = SessionPlace.of(place, _Reading(session))
    if not found.exists():
        raise InputError(f"{place.uri}: no version is published yet; run the build until it completes")
    return found


def for_checking(place: Place, backend: StorageBackend) -> Place:
    """Return a place with the newest state of a cube, published or not, as a later run continues it."""
    if backend == "fsspec" or not repository_exists(place):
        return place
    repository = open_repository(place)
    with icechunk_errors(place.uri):
        branch = WORK if WORK in repository.list_branches() else PUBLISHED
        return SessionPlace.of(place, _Reading(repository.readonly_session(branch=branch)))


def has_unpublished(place: Place, backend: StorageBackend) -> bool:
    """Return whether a cube has changes that no reader sees; a plain store has none."""
    if backend == "fsspec":
        return False
    _check_repository(place)
    repository = open_repository(place)
    with icechunk_errors(place.uri):
        branches = repository.list_branches()
        return WORK in branches and repository.lookup_branch(WORK) != repository.lookup_branch(PUBLISHED)


def plain(place: Place) -> Place:
    """Return the location of a store without its session."""
    return place.sibling("") if isinstance(place, SessionPlace) else place


def for_writing(place: Place, backend: StorageBackend) -> Place:
    """Return a place through which the holder of the lease writes a cube.

    Raises
    ------
    StoreError
        If another program has changed the published version during a build.
    """
    return place if backend == "fsspec" else SessionPlace.of(place, Transaction.begin(place))


def history(place: Place) -> list[Version]:
    """Return the versions of a cube, the newest first; changes that are not published come before them.

    Raises
    ------
    InputError
        If there is no repository.
    """
    _check_repository(place)
    repository = open_repository(place)
    with icechunk_errors(place.uri):
        tags = {repository.lookup_tag(tag): tag for tag in repository.list_tags()}
        branch = WORK if WORK in repository.list_branches() else PUBLISHED
        return list(_versions(list(repository.ancestry(branch=branch))[:-1], tags))


def last_changes(version: SessionPlace, periods: int) -> list[str]:
    """Return, for each period of a version, the id of the version that last wrote one of its chunks.

    Parameters
    ----------
    version : SessionPlace
        A published version, from `for_reading`.
    periods : int
        Number of its periods.
    """
    repository = open_repository(plain(version))
    newest = version.source.session.snapshot_id
    found: dict[int, str] = {}
    with icechunk_errors(version.uri):
        before = list(repository.ancestry(snapshot_id=newest))[1:]
        versions = [newest, *(commit.id for commit in before if TAGGED in commit.metadata)]
        for newer, older in pairwise(versions):
            changes = repository.diff(from_snapshot_id=older, to_snapshot_id=newer)
            if changes.deleted_arrays:  # another cube before an overwrite
                return [found.get(number, newer) for number in range(periods)]
            for chunks in changes.updated_chunks.values():
                for chunk in chunks:
                    if len(chunk) >= _PIXEL_DIMENSIONS:
                        found.setdefault(chunk[0], newer)
            if len(found) == periods:
                break
    return [found.get(number, versions[-1]) for number in range(periods)]


def _versions(commits: list[Any], tags: dict[str, str]) -> Iterator[Version]:
    """Join commits, the newest first, to versions; each version begins at a commit with a tag."""
    starts = [number for number, commit in enumerate(commits) if number == 0 or commit.id in tags]
    for start, end in zip(starts, [*starts[1:], len(commits)], strict=True):
        first, chunks = commits[start], sum(int(one.metadata.get(CHUNKS, 0)) for one in commits[start:end])
        yield Version(tags.get(first.id, ""), first.written_at, first.message, chunks, end - start)


def _check_repository(place: Place) -> None:
    if not repository_exists(place):
        raise InputError(f"{place.uri}: the store is missing or incomplete; run the build again")
