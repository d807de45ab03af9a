"""What can go wrong, as one tree.

::

    ArdcubeError
    ├── PermanentError          trying again gives the same answer
    │   ├── InputError          what a person handed in; exit code 2, before anything is written
    │   │   └── LeaseHeldError  another run writes the cube (`ardcube.lease.acquire`)
    │   ├── RunStopsError       no further chunk can be written, whichever it is: the run stops
    │   │   ├── LeaseLostError  the cube is another run's by now (`ardcube.lease.lease`)
    │   │   └── UnwritableError credentials that ran out, no room, no right to write
    │   ├── StoreError          the store cannot be used as asked
    │   ├── SceneError          a scene that cannot be read as its item says
    │   └── ChunksFailedError   a run that left chunks missing (`ardcube.report.summary`)
    └── TransientError          the network, a server or a disk had a bad moment: worth another try
        └── CatalogError        a STAC API that does not answer properly

Every message says what was given, what is wrong with it, and what to do.
"""

from __future__ import annotations


class ArdcubeError(Exception):
    """Anything ardcube raises on purpose."""

    scene: str | None = None
    """Id of the scene that could not be read, where it was one."""


class PermanentError(ArdcubeError):
    """Trying again would give the same answer; never retried."""


class InputError(PermanentError):
    """What a person handed in cannot be used. Raised before anything is written."""


class RunStopsError(PermanentError):
    """No further chunk can be written: the run stops, and what it left is built by a later one."""


class UnwritableError(RunStopsError):
    """The store takes nothing more until a person has done something about it."""


class StoreError(PermanentError):
    """The store at the URI cannot be used as asked."""


class SceneError(PermanentError):
    """A scene's file is missing, forbidden, or not what its item says."""


class TransientError(ArdcubeError):
    """A network, server or disk that may answer on another try; retried with backoff."""


class CatalogError(TransientError):
    """A STAC API failed to answer after every retry of its own."""
