"""Build some chunks of a plan in a scratch folder, to measure what a build costs."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ardcube.api.thread_pool import call_in_threads
from ardcube.chunk.batch import process_batch
from ardcube.errors import InputError
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.cost.coefficients import coefficients_for
from ardcube.planning.cost.estimate import NO_SAMPLES, Measured, Samples
from ardcube.planning.estimate import within_memory
from ardcube.planning.jobs import ChunkJob
from ardcube.prepare.cost_basis import measured_by
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import FoundScenes, make_plan
from ardcube.prepare.request import Request
from ardcube.storage.place import Place

_SEED = 20230601
"""Equal plans are calibrated with the same chunks."""


def calibrate(request: Request, scenes: FoundScenes, count: int, samples: Samples = NO_SAMPLES) -> Measured:
    """Build chunks that are chosen at random, and return their counted figures.

    One more chunk is built first and not counted, because the first chunk of a process also loads compiled code. The
    store is a scratch folder of this machine, which is removed at the end.

    Parameters
    ----------
    request : Request
        A checked request.
    scenes : mapping
        Result of `search_scenes`.
    count : int
        Chunks to measure; all of them if there are fewer.
    samples : Samples
        Scenes whose headers were read.

    Raises
    ------
    InputError
        If no chunk has a scene.
    PermanentError, TransientError
        If a chunk cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="ardcube-calibrate-") as folder:
        place = Place.at(str(Path(folder) / "cube.zarr"))
        local = {"fsspec_uri": place.uri, "storage_backend": "fsspec", "storage_options": {}, "overwrite": False}
        run = request.run.model_copy(update=local)
        own = replace(request, run=run, place=place, ledger=Ledger.of_store(place), stored=None)
        plan = make_plan(own, scenes)
        plan = within_memory(plan, run.memory_bytes, run.local_threads)
        chosen = _chosen(np.flatnonzero(plan.jobs.scenes.ravel()).tolist(), count + 1)
        if not chosen:
            raise InputError("calibrate: no chunk has a scene; choose another area or other dates")
        initialize(own, plan)
        jobs = [plan.jobs[position] for position in chosen]

        def build(job: ChunkJob) -> ChunkRecord:
            return process_batch(plan.spec, [job], last=True)[0]

        records, before = [build(jobs[0])], list[ChunkRecord]()
        if len(jobs) > 1:
            before, records = records, list(call_in_threads(build, jobs[1:], request.run.local_threads, lambda: None))
        coefficients = coefficients_for(plan.spec, [scene for some in scenes.values() for scene in some])
        about = f"{len(records)} chunks built at random"
        return measured_by(plan, records, coefficients, samples, ("calibration", about, int(not before)), before)


def _chosen(positions: list[int], count: int) -> list[int]:
    """Return positions at random, equal for equal plans."""
    return random.Random(_SEED).sample(positions, min(count, len(positions)))
