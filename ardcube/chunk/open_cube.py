"""A cube that a worker process has opened: its ledger and its store, opened once and passed on."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from threading import Lock

from ardcube.catalog.spatial_index import SceneIndex
from ardcube.extent.clip_grid import GridClip
from ardcube.ledger.clip_file import read_clip
from ardcube.ledger.header_files import HeaderFiles
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.manifest import read_manifest
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubeSpec
from ardcube.raster.bad_files import forget_bad_files
from ardcube.storage.place import Place
from ardcube.store.level_reader import LevelReader
from ardcube.store.stored_counts import StoredCounts
from ardcube.store.writer import CubeStore

_MOST_OPEN = 4
"""Cubes that a process keeps open, because a worker may serve several runs."""


class OpenCube:
    """A cube that chunks are built for.

    Parameters
    ----------
    spec : CubeSpec
        What every chunk of the cube has in common.
    """

    def __init__(self, spec: CubeSpec) -> None:
        self.spec = spec
        ledger = Ledger(Place.at(spec.ledger_uri, spec.storage_options).waiting(spec.patience))
        self.ledger = (ledger.held_by(spec.holder) if spec.holder else ledger).of_level(spec.level)
        """Ledger of the cube, or of the level. Writes only while the run holds the lease."""
        self._store: Place | None = None

    def stored_in(self, store: Place, ledger: Ledger) -> OpenCube:
        """Return the same cube with another place of its store, and another ledger."""
        cube = copy(self)
        cube.ledger, cube._store = ledger, store
        for name in ("store", "counts", "below"):
            cube.__dict__.pop(name, None)
        return cube

    @cached_property
    def store(self) -> CubeStore:
        """The store's arrays, opened at the first use, so that an error is recorded for the chunk that met it."""
        return CubeStore.open(self.spec, self.ledger.fence, self._store)

    @cached_property
    def counts(self) -> StoredCounts:
        """The counts of the store, open for reading at the first chunk that is built again."""
        return StoredCounts(self.spec, self._store)

    @cached_property
    def clip(self) -> GridClip | None:
        """The geometries that clip the cube, read at the first use; None if it is not clipped."""
        if not self.spec.clip:
            return None
        return GridClip(read_clip(self.ledger.place, self.spec.clip), self.spec.grid)

    @cached_property
    def headers(self) -> HeaderFiles:
        """The headers of the scenes' files that are stored in the ledger."""
        return HeaderFiles(self.ledger.place)

    @cached_property
    def below(self) -> LevelReader:
        """The arrays of the level below."""
        return LevelReader.open(self.spec, self.spec.level - 1, self._store)

    def scenes(self, job: ChunkJob) -> SceneIndex:
        """Return the scenes of the job's period, from its manifest."""
        spec = self.spec
        return read_manifest(spec.ledger_uri, job.manifest, spec.storage_options, spec.patience)


_open: list[OpenCube] = []
"""The cube used last comes last."""
_lock = Lock()


def open_cube(spec: CubeSpec) -> OpenCube:
    """Return the cube of a spec; this process opens it once."""
    with _lock:
        cube = next((known for known in _open if known.spec == spec), None)
        if cube is None:
            cube = OpenCube(spec)
            forget_bad_files()  # a new run tries them again
        else:
            _open.remove(cube)
        _open.append(cube)
        del _open[:-_MOST_OPEN]
        return cube
