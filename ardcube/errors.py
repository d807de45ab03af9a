"""Tree of the errors that ardcube raises.

::

    ArdcubeError
    ├── PermanentError          a retry would fail in the same way
    │   ├── InputError          invalid options or input files; exit code 2, before anything is written
    │   │   ├── LeaseHeldError  another run writes the cube (`ardcube.lease.acquire`)
    │   │   └── UnreachableError  a catalogue or store does not answer when the run begins
    │   ├── RunStopsError       no chunk can be built any more: the run stops
    │   │   ├── LeaseLostError  another run has taken over the cube (`ardcube.lease.fence`)
    │   │   ├── UnwritableError expired credentials, exceeded quota, missing permission
    │   │   └── AccessError     the archive of the scenes refuses access (401, 403)
    │   ├── StoreError          the store cannot be used for the request
    │   ├── LossError           a rebuilt chunk has far fewer clear pixels than the stored one
    │   ├── SceneError          a scene is missing, damaged, or differs from its item
    │   └── ChunksFailedError   the run left chunks missing (`ardcube.report.summary`)
    └── TransientError          an error of network, server or disk that a retry may avoid
        ├── CatalogError        a STAC API does not answer, or not completely
        ├── ReplacedError       a file was replaced after its header was read
        └── OutageError         a service did not answer for as long as the run waits (`--patience`)

Every message has the form `<given value>: <problem>; <what to do>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class ArdcubeError(Exception):
    """Base of all errors that ardcube raises."""

    scene: str | None = None
    """Id of the scene that caused the error, or None."""
    scenes: Mapping[str, str] = MappingProxyType({})
    """Problem by id of the scenes that caused the error together; empty if there is at most one."""

    @property
    def bad_scenes(self) -> dict[str, str]:
        """Problem by id of each scene that caused the error."""
        return dict(self.scenes) or ({} if self.scene is None else {self.scene: str(self)})


class PermanentError(ArdcubeError):
    """An error that a retry would repeat; it is never retried."""


class InputError(PermanentError):
    """Invalid options or input files. Raised before anything is written."""


class UnreachableError(InputError):
    """The catalogue or the store does not answer when the run begins: a wrong address, or an outage."""


class RunStopsError(PermanentError):
    """No chunk can be built any more: the run stops, and a later run builds the missing chunks."""


class UnwritableError(RunStopsError):
    """The store refuses writes until the operator fixes credentials, quota or permissions."""


class AccessError(RunStopsError):
    """An archive of scenes refuses access until the operator sets credentials or fetches new addresses."""

    may_be_missing: bool = False
    """Whether the file may be missing instead, because this process has read no other file of its host so far."""


class StoreError(PermanentError):
    """The store at the URI cannot be used for the request."""


class LossError(PermanentError):
    """A rebuilt chunk has far fewer clear pixels than the stored one, which is kept."""


class SceneError(PermanentError):
    """The file of a scene is missing, damaged, or differs from its item."""


class TransientError(ArdcubeError):
    """An error of network, server or disk; it is retried with backoff."""


class ReplacedError(TransientError):
    """A file was replaced after its header was read."""


class OutageError(TransientError):
    """A service did not answer for as long as the run waits for it."""


class CatalogError(TransientError):
    """A STAC API failed after all retries of a request."""
