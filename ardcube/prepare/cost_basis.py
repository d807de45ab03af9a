"""Find chunks whose cost was counted: those of a similar cube, in its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ardcube.catalog.scene import Scene
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.ledger.last_plan import read_planned
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.ledger.run_costs import used_by
from ardcube.ledger.stored_cube import StoredCube, no_cube_error
from ardcube.pixels.masks import cloud_mask
from ardcube.planning.cost.coefficients import Coefficients, coefficients_for
from ardcube.planning.cost.estimate import Measured, Samples, with_scenes, works_of
from ardcube.planning.cost.figures import Basis
from ardcube.planning.cost.work import WorkModel, evenly
from ardcube.planning.plan import CubePlan, CubeSpec
from ardcube.prepare.sample_headers import sample_headers
from ardcube.prepare.spec import cube_spec
from ardcube.storage.place import Place

_MOST_CHUNKS = 200
"""Chunks of a ledger that are compared with the model."""
_FEWEST_CHUNKS = 3
"""Chunks of the cube itself from which on its ledger is used without being asked for."""


def measured_by(
    plan: CubePlan,
    records: Sequence[ChunkRecord],
    coefficients: Coefficients,
    samples: Samples,
    origin: tuple[Basis, str, int],
    before: Sequence[ChunkRecord] = (),
) -> Measured:
    """Return the counted figures of chunks of a plan, with their work.

    Parameters
    ----------
    plan : CubePlan
        Plan of the chunks.
    records : sequence of ChunkRecord
        Records of these chunks.
    coefficients : Coefficients
        State the size of blocks.
    samples : Samples
        Scenes whose headers were read.
    origin : (Basis, str, int)
        Basis, origin for people, and worker processes whose first chunk is one of these chunks.
    before : sequence of ChunkRecord
        Chunks that the process built before, so that it knows the headers of their files.
    """
    size = plan.jobs.tiles.size
    return _measured(plan.spec, plan.scenes, size, records, (coefficients, samples), origin, before)


def measured_in_ledger(uri: str, run: RunConfig, like: CubePlan, cube: CubeConfig, samples: Samples) -> Measured:
    """Return the counted figures of a similar cube.

    Parameters
    ----------
    uri : str
        Store of the cube.
    run : RunConfig
        Says how the store is accessed.
    like : CubePlan
        Plan of the cube whose cost is estimated.
    cube : CubeConfig
        Its configuration.
    samples : Samples
        Scenes of the plan whose headers were read.

    Raises
    ------
    InputError
        If there is no cube, it is not similar, or its records count nothing.
    """
    place = Place.at(uri, run.storage_options)
    ledger = Ledger.of_store(place)
    stored = StoredCube.read(ledger)
    if stored is None:
        raise no_cube_error(place, ledger)
    different = _differences(stored.config, cube)
    if different:
        raise InputError(f"like-cube {place.uri}: has {different}; name a cube of the same kind, or omit it")
    found = _in_ledger(place, ledger, stored, run, like, samples)
    if found is None:
        raise InputError(
            f"like-cube {place.uri}: no chunk of its ledger has counted CPU seconds, because an earlier version built "
            "it; name another cube, or give --calibrate"
        )
    return found


def measured_in_own_ledger(uri: str, run: RunConfig, like: CubePlan, samples: Samples) -> Measured | None:
    """Return the counted figures of the cube itself, if a run has built some of its chunks."""
    place = Place.at(uri, run.storage_options)
    ledger = Ledger.of_store(place)
    stored = StoredCube.read(ledger)
    found = None if stored is None else _in_ledger(place, ledger, stored, run, like, samples)
    return found if found is not None and len(found.used) >= _FEWEST_CHUNKS else None


def _differences(stored: CubeConfig, cube: CubeConfig) -> str:
    """Return in which respects a cube is not similar; nothing if it is."""
    named = {
        "collection": ([one.collection for one in stored.collections], [one.collection for one in cube.collections]),
        "composites": (list(stored.composites), list(cube.composites)),
        "cloud mask": (stored.cloud_mask, cube.cloud_mask),
    }
    return "; ".join(f"{name} {there} instead of {here}" for name, (there, here) in named.items() if there != here)


def _in_ledger(
    place: Place, ledger: Ledger, cube: StoredCube, run: RunConfig, like: CubePlan, samples: Samples
) -> Measured | None:
    from ardcube.ledger.manifest import read_manifest  # pyarrow is slow to import

    planned = read_planned(ledger, cube.grid, cube.config.tile_size)
    counted = [
        record
        for record in ledger.records().values()
        if record.status in DONE and used_by(record).cpu_seconds is not None
    ]
    counted = [record for record in counted if planned is not None and record.key.period in planned.manifests]
    if planned is None or not counted:
        return None
    records = [counted[int(position)] for position in evenly(len(counted), _MOST_CHUNKS)]
    labels = sorted({record.key.period for record in records})
    scenes = {
        label: read_manifest(ledger.place.uri, planned.manifests[label], run.storage_options).scenes for label in labels
    }
    mask = cloud_mask(cube.config.cloud_mask, cube.config.cloud_mask_options)
    spec = cube_spec(cube, run, like.spec.mask if mask.name == like.spec.mask.name else mask, place, ledger, "unsigned")
    if samples.scenes and spec.store_uri != like.spec.store_uri:
        others = sample_headers(like.spec, [scene for some in scenes.values() for scene in some])
        # The blocks of both cubes must be known, or those of neither.
        both = Samples([*others.scenes, *samples.scenes], samples.about)
        samples = (
            both if others.scenes else Samples(about="assumed blocks, because no header of that cube could be read")
        )
    coefficients = coefficients_for(like.spec, [scene for some in like.scenes.values() for scene in some])
    about = f"{len(records)} chunks in the ledger of {place.uri}"
    return _measured(spec, scenes, cube.config.tile_size, records, (coefficients, samples), ("ledger", about, 1))


def _measured(
    spec: CubeSpec,
    scenes: Mapping[str, Sequence[Scene]],
    size: int,
    records: Sequence[ChunkRecord],
    model: tuple[Coefficients, Samples],
    origin: tuple[Basis, str, int],
    before: Sequence[ChunkRecord] = (),
) -> Measured:
    """Return the figures of records with their work; see `measured_by`."""
    coefficients, samples = model
    basis, about, processes = origin
    every = [scene for some in scenes.values() for scene in some]

    def met(some: Sequence[ChunkRecord]) -> list[tuple[Window, Sequence[Scene]]]:
        windows = [(record.key.period, _window(spec.grid, size, record)) for record in some]
        return list(with_scenes(spec, scenes, windows))

    chunks, earlier = met(records), met(before)
    works = works_of(spec, coefficients, every, chunks, samples.scenes)
    likely = WorkModel.of(spec, every, "likely", coefficients.block)
    opened, known = (likely.files_of(scene for _, of in some for scene in of) for some in (chunks + earlier, earlier))
    used = [used_by(record) for record in records]
    return Measured(basis, about, works, used, opened - known, processes, samples)


def _window(grid: Grid, size: int, record: ChunkRecord) -> Window:
    row, column = record.key.row * size, record.key.col * size
    return Window(row, min(row + size, grid.height), column, min(column + size, grid.width))
