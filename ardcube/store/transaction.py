"""Build a version of a cube on a work branch, and publish it in one step.

Only the holder of the lease commits. Workers write into forks of its session, and return their changes.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ardcube.errors import StoreError
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, flush_filesystem
from ardcube.store.repository import PUBLISHED, WORK, icechunk_errors, open_repository
from ardcube.store.session_place import SessionPlace

TAG = re.compile(r"v(\d+)")
"""Tag of a published version."""
CHUNKS, TAGGED = "chunks", "tag"
"""Metadata of a commit: chunks that it wrote, and the tag of the version that it publishes."""


class Transaction:
    """Changes of a cube that no reader sees before they are published.

    Parameters
    ----------
    place : Place
        Location of the repository.
    repository : icechunk.Repository
        The repository, with both branches.

    Attributes
    ----------
    session : icechunk.Session
        Session with the changes that are not committed.
    """

    def __init__(self, place: Place, repository: Any) -> None:
        self._place = place
        self._uri = place.uri
        self._repository = repository
        self._base: str = repository.lookup_branch(PUBLISHED)
        self._chunks = 0
        self._open()

    @classmethod
    def begin(cls, place: Place) -> Self:
        """Open the repository at a place, or create it; continue the changes of a run that ended early.

        Raises
        ------
        StoreError
            If something else has changed the published branch since these changes began.
        """
        repository = open_repository(place, create=True)
        with icechunk_errors(place.uri):
            published = repository.lookup_branch(PUBLISHED)
            if WORK not in repository.list_branches():
                repository.create_branch(WORK, published)
            elif not _follows(repository, WORK, published):
                if not _follows(repository, PUBLISHED, repository.lookup_branch(WORK)):
                    raise _conflict(place.uri)
                repository.reset_branch(WORK, published)
            tag = next(iter(repository.ancestry(branch=PUBLISHED))).metadata.get(TAGGED)
            if tag and tag not in repository.list_tags():  # the run that published it was killed
                repository.create_tag(tag, published)
            return cls(place, repository)

    @property
    def is_new(self) -> bool:
        """Whether there are committed changes that are not published."""
        return bool(self._repository.lookup_branch(WORK) != self._base)

    @property
    def next_tag(self) -> str:
        """Tag of the next version."""
        numbers = [int(match[1]) for tag in self._repository.list_tags() if (match := TAG.fullmatch(tag))]
        return f"v{max(numbers, default=0) + 1}"

    def fork(self) -> bytes:
        """Return a session for a worker, with all changes that are committed, as a pickle."""
        return self._fork

    def merge(self, changes: bytes, chunks: int) -> None:
        """Add the changes that a worker made in its fork, for a number of chunks."""
        with icechunk_errors(self._uri):
            self.session.merge(pickle.loads(changes))
        self._chunks += chunks

    def commit(self, message: str, **metadata: Any) -> None:
        """Commit the changes to the work branch, where a later run continues."""
        if not self.session.has_uncommitted_changes:
            return
        with icechunk_errors(self._uri):
            self.session.commit(message, metadata={CHUNKS: self._chunks, **metadata})
            self._chunks = 0
            self._open()
        self._flush()

    def discard(self) -> None:
        """Forget the changes since the last commit."""
        self.session.discard_changes()

    def publish(self, message: str, metadata: Mapping[str, Any]) -> str:
        """Commit the changes, let readers see them in one step, and return the tag of the version.

        Raises
        ------
        StoreError
            If something else has changed the published branch. Readers see that change, and these ones are kept.
        """
        import icechunk

        tag = self.next_tag
        self.commit(message, **metadata, **{TAGGED: tag})
        tip = self._repository.lookup_branch(WORK)
        try:
            self._repository.reset_branch(PUBLISHED, tip, from_snapshot_id=self._base)
        except icechunk.IcechunkError as error:
            if self._repository.lookup_branch(PUBLISHED) != self._base:
                raise _conflict(self._uri) from error
            raise
        self._base = tip
        self._repository.create_tag(tag, tip)
        self._flush()
        return tag

    def _flush(self) -> None:
        """Write a commit through to a local disk, because icechunk does not, and records of its chunks follow."""
        if self._place.is_local:
            with explained(self._uri):
                flush_filesystem(Path(self._place.path))

    def _open(self) -> None:
        self.session = self._repository.writable_session(WORK)
        # Of another session, because icechunk forks none with changes.
        self._fork = pickle.dumps(self._repository.writable_session(WORK).fork())


def transaction_of(place: Place) -> Transaction | None:
    """Return the transaction of a place that is open for writing; None for a plain store."""
    source = place.source if isinstance(place, SessionPlace) else None
    return source if isinstance(source, Transaction) else None


def commit(place: Place, message: str) -> None:
    """Commit the changes of a place to its work branch; a plain store has none."""
    if (transaction := transaction_of(place)) is not None:
        transaction.commit(message)


class Fork:
    """The fork of a session in a worker.

    Parameters
    ----------
    content : bytes
        Result of `Transaction.fork`.
    """

    def __init__(self, content: bytes) -> None:
        import icechunk

        icechunk.set_logs_filter("error")
        self.session: Any = pickle.loads(content)

    def changes(self) -> bytes:
        """Return the changes so far, for `Transaction.merge`."""
        return pickle.dumps(self.session)


def _follows(repository: Any, branch: str, snapshot: str) -> bool:
    """Return whether a branch contains a snapshot."""
    return any(found.id == snapshot for found in repository.ancestry(branch=branch))


def _conflict(uri: str) -> StoreError:
    return StoreError(
        f"{uri}: another program has changed the branch {PUBLISHED} while the branch {WORK} holds a build that is not "
        f"published; compare both with icechunk, and delete the branch {WORK} to build its chunks again"
    )
