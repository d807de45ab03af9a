"""The pending chunks of a run: steps that a flow, a retry and the Python API share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ardcube.config.preset import preset_warnings
from ardcube.ledger.last_plan import write_planned
from ardcube.ledger.ledger import Ledger, stored_inputs
from ardcube.ledger.record import ChunkRecord
from ardcube.pixels.masks import CloudMaskHook, scene_masks
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubePlan
from ardcube.prepare.initialize import initialize, remove_cube
from ardcube.prepare.make_plan import FoundScenes, make_plan
from ardcube.prepare.request import Request
from ardcube.storage.place import Place

if TYPE_CHECKING:
    from ardcube.store.transaction import Transaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PendingBuild:
    """The chunks that a run builds, and the cube that they belong to."""

    plan: CubePlan
    place: Place
    """Location of the store."""
    ledger: Ledger
    jobs: Sequence[ChunkJob] = field(repr=False)
    """Chunks to build."""
    chunks: int
    """Chunks of the whole cube."""
    records: Mapping[ChunkKey, ChunkRecord] = field(repr=False)
    """Records from before the run."""
    others: int = 0
    """Chunks that are not done either and that the run does not build."""

    @property
    def not_done(self) -> int:
        """Number of chunks that were not done before the run."""
        return len(self.jobs) + self.others

    @property
    def transaction(self) -> Transaction | None:
        """Changes that no reader sees yet; None for a plain store, or one that is not open for writing."""
        if self.plan.spec.storage_backend == "fsspec":
            return None
        from ardcube.store.transaction import transaction_of  # zarr is slow to import

        return transaction_of(self.place)

    def held_by(self, holder: str) -> PendingBuild:
        """Return the same build; its ledger and workers write only while the lease has this holder."""
        plan = replace(self.plan, spec=replace(self.plan.spec, holder=holder))
        return replace(self, plan=plan, ledger=self.ledger.held_by(holder))


def plan_build(request: Request, scenes: FoundScenes, *, build: bool = True) -> PendingBuild:
    """Plan a cube and select the chunks that the ledger does not record as done.

    Parameters
    ----------
    request : Request
        A checked request.
    scenes : mapping
        Result of `search_scenes`.
    build : bool
        Whether the run holds the lease and writes: with `overwrite`, an existing cube is removed first. Otherwise
        nothing is written.
    """
    run, ledger = request.run, request.ledger
    if run.overwrite and build:
        remove_cube(request)
    plan = make_plan(request, scenes, build=build)
    for line in warnings_of(request, scenes):
        logger.warning("%s", line)
    records = {} if run.overwrite else ledger.records(brief=True)
    jobs = plan.jobs.without(stored_inputs(records, run.skip_bad_scenes))
    return PendingBuild(plan, request.place, ledger, jobs, len(plan.jobs), records)


def warnings_of(request: Request, scenes: FoundScenes) -> list[str]:
    """Return what a user may not expect of the pixels of a request."""
    preset = preset_warnings(request.cube.preset, request.periods[0].start)
    return [*preset, *small_radii(request.mask, scenes)]


def small_radii(mask: CloudMaskHook, scenes: FoundScenes) -> list[str]:
    """Return a warning for each radius of a scene mask that is smaller than a pixel of the classification."""
    lines = []
    for one in scene_masks(mask):
        band = one.bands[0]
        found = (scene.bands[band].pixel_size for some in scenes.values() for scene in some if band in scene.bands)
        pixel = next(found, None)
        lines += [
            f"cloud mask {one.name}: {name} {getattr(one.clean_up, name):g} m is less than a pixel of {band} "
            f"({pixel:g} m) and changes nothing; give metres, because only earlier versions counted pixels"
            for name in ([] if pixel is None else one.clean_up.without_effect(pixel))
        ]
    return lines


def initialize_store(request: Request, pending: PendingBuild) -> None:
    """Create, extend or check the store, and record the plan, so that a retry needs no search.

    The run holds the lease. Manifests of earlier plans are removed.
    """
    from ardcube.ledger.manifest import remove_unplanned  # pyarrow is slow to import

    initialize(request, pending.plan)
    remove_unplanned(pending.ledger.place, set(write_planned(pending.ledger, pending.plan)))
