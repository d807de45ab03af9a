"""Prepare a copy of a cube in another layout: the same pixels, scenes and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import ValidationError

from ardcube.config import CubeConfig, RunConfig
from ardcube.config.cube import StoreLayout
from ardcube.errors import InputError
from ardcube.fingerprint import digest
from ardcube.ledger.clip_file import NAME as CLIP
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import FILL_IDENTITY, StoredCube, check_pixel_rules, no_cube_error
from ardcube.pixels.masks import cloud_mask
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.levels import last_started, tile_window
from ardcube.prepare.spec import cube_spec
from ardcube.storage.place import Place
from ardcube.store.provenance import FINGERPRINT

_ANY = 10**9
"""Skipped scenes with which a chunk is copied: any number."""


@dataclass(frozen=True, slots=True)
class CubeAt:
    """A cube, and where it is."""

    place: Place
    """Store: of icechunk its newest state, which the ledger describes."""
    ledger: Ledger
    cube: StoredCube

    @classmethod
    def find(cls, uri: str, run: RunConfig) -> Self:
        """Return the cube at a URI.

        Raises
        ------
        InputError
            If there is none, its store is incomplete, or it was built with other pixel rules.
        """
        from ardcube.store.schema import exists  # zarr is slow to import
        from ardcube.store.versions import for_checking

        place = Place.at(uri, run.storage_options)
        ledger = Ledger.of_store(place)
        cube = StoredCube.read(ledger)
        if cube is None:
            raise no_cube_error(place, ledger)
        check_pixel_rules(place, cube.identity)
        patience = run.patience_seconds
        store = for_checking(place.waiting(patience), cube.storage_backend)
        if not exists(store):
            raise InputError(f"{place.uri}: the store is missing or incomplete; run the build again")
        return cls(store, Ledger(ledger.place.waiting(patience)), cube)

    def for_writing(self) -> Self:
        """Return the cube with its store open for writing. The run holds the lease of the cube."""
        from ardcube.store.versions import for_writing, plain  # zarr is slow to import

        return replace(self, place=for_writing(plain(self.place), self.cube.storage_backend))

    def spec(self, run: RunConfig) -> CubeSpec:
        """Return what every chunk of the cube has in common."""
        config = self.cube.config
        mask = cloud_mask(config.cloud_mask, config.cloud_mask_options)
        return cube_spec(self.cube, run, mask, self.place, self.ledger, "unsigned")


@dataclass(frozen=True, slots=True)
class Conversion:
    """A cube and its copy in the other layout."""

    source: CubeAt
    target: CubeAt
    stored: Mapping[str, Any] | None
    """Existing `cube.json` of the copy."""

    @classmethod
    def of(cls, uri: str, output: str, run: RunConfig) -> Self:
        """Check a conversion; nothing is written.

        Raises
        ------
        InputError
            If there is no cube, its bands cannot name arrays, or the output holds something else.
        """
        source = CubeAt.find(uri, run)
        if FILL_IDENTITY in source.cube.identity:
            raise InputError(
                f"{source.place.uri}: a filled cube, which is flat only; copy the cube that it was filled from"
            )
        place = Place.at(output, run.storage_options).waiting(run.patience_seconds)
        ledger = Ledger.of_store(place)
        if place.path == source.place.path:
            raise InputError(f"--output {place.uri}: is the cube itself; choose another location")
        cube, stored = _in_other_layout(source.cube), ledger.read_cube()
        if stored is None and place.exists():
            raise InputError(
                f"--output {place.uri}: holds something that ardcube did not write; choose another location"
            )
        if stored is not None and (stored["identity"] != cube.identity or stored["end"] > cube.periods[-1].end_label):
            raise InputError(f"--output {place.uri}: holds another cube, or a longer one; choose another location")
        return cls(source, CubeAt(place, ledger, cube), stored)

    def prepare(self, run: RunConfig) -> tuple[CubeSpec, CubeAt]:
        """Create or extend the store of the copy, and copy the plan; return its spec, and the copy open for writing.

        The run holds the lease of the copy. Chunks and their records are copied later.
        """
        from ardcube.store import layouts, schema  # zarr is slow to import
        from ardcube.store.transaction import commit

        found, ledger = self.source.ledger.place, self.target.ledger
        cube, spec = self.target.cube, self.target.spec(run)
        for name in [*found.list("items"), CLIP]:
            if (content := found.read(name)) is not None:
                ledger.place.write(name, content)
        described = dict(self.source.ledger.read_cube() or {}) | {
            "identity": cube.identity,
            "fingerprint": cube.fingerprint,
            "config": cube.config.model_dump(mode="json"),
            **layouts.described(spec),
        }
        attributes = layouts.origin_of(self.source.place) | {FINGERPRINT: cube.fingerprint}
        if self.stored is None:
            ledger.write_cube(described)  # before the store, because it marks the location as ardcube's
        target = self.target.for_writing()
        if self.stored is not None and schema.exists(target.place):
            if self.stored["end"] != described["end"]:
                layouts.extend(target.place, spec, cube.periods, attributes)
                commit(target.place, f"extend the time axis to {cube.periods[-1].label}")
            ledger.write_cube(described)
        else:
            ledger.write_cube(described)
            layouts.create(target.place, spec, cube.periods, cube.config.chunk_size, cube.config.shard, attributes)
            commit(target.place, "create the store")
        return spec, target

    def due(self, records: Mapping[ChunkKey, ChunkRecord]) -> list[ChunkJob]:
        """Return the chunks that the copy lacks, or that were built again in the source since.

        A chunk that was built later in the copy remains.

        Parameters
        ----------
        records : mapping
            Records of the source.
        """
        copied = self.target.ledger.records()
        cube = self.source.cube
        size, periods = cube.config.tile_size, {period.label: period for period in cube.periods}
        return [
            ChunkJob(
                key=key,
                time_index=period.index,
                window=tile_window(key, cube.grid, size),
                manifest="",
                inputs=record.inputs,
                scenes=len(record.scenes),
                period=period,
            )
            for key, record in records.items()
            for period in (periods[key.period],)
            if record.is_built(_ANY) and (key not in copied or _is_newer(record, copied[key]))
        ]


def _is_newer(record: ChunkRecord, copied: ChunkRecord) -> bool:
    """Return whether a chunk was built after the chunk in the copy, which may have failed there."""
    return not copied.is_built(_ANY) or last_started(record) > last_started(copied)


def _in_other_layout(cube: StoredCube) -> StoredCube:
    """Return the description of a cube in the other layout.

    Raises
    ------
    InputError
        If its bands cannot name arrays.
    """
    layout: StoreLayout = "geozarr" if cube.config.layout == "flat" else "flat"
    try:
        config = CubeConfig(**cube.config.model_dump() | {"layout": layout})
    except ValidationError as error:
        raise InputError("; ".join(problem["msg"] for problem in error.errors())) from None
    identity = {name: value for name, value in cube.identity.items() if name != "layout"}
    identity |= {} if layout == "flat" else {"layout": layout}
    return replace(cube, config=config, identity=identity, fingerprint=digest(identity))
