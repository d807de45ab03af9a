"""Check a request for a filled cube, and list the chunks that are due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ardcube.errors import InputError
from ardcube.extent.window import Window
from ardcube.fingerprint import digest
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.ledger import SUFFIX, Ledger
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.ledger.stored_cube import FILL_IDENTITY, StoredCube, no_cube_error
from ardcube.pixels.gaps import LAYERS, MOST_PERIODS, Method
from ardcube.planning.jobs import ChunkKey
from ardcube.redaction import without_secrets
from ardcube.storage.place import Place
from ardcube.storage.writable import can_write

_METHODS = ("carry", "interpolate")


@dataclass(frozen=True, slots=True)
class Filling:
    """A cube, and the filled cube that is made of it."""

    place: Place
    """Store of the cube that is read: of icechunk its newest state, which the ledger describes."""
    ledger: Ledger
    cube: StoredCube
    output: Place
    """Store of the filled cube."""
    output_ledger: Ledger
    method: Method
    most: int
    """Largest distance of an observed period, in periods."""

    @classmethod
    def of(
        cls, uri: str, output: str | None, method: Method, most: int, storage_options: Mapping[str, Any] | None
    ) -> Filling:
        """Check the request; write nothing.

        Raises
        ------
        InputError
            If there is no cube, an argument is invalid, or the output is another cube or no cube.
        StoreError
            If the description of one of the cubes is damaged.
        """
        if method not in _METHODS:
            raise InputError(f"--method {method!r:.60}: no such method; give one of {', '.join(_METHODS)}")
        if type(most) is not int or not 1 <= most <= MOST_PERIODS:
            raise InputError(f"--max-periods {most!r:.60}: not a number of periods; give 1 to {MOST_PERIODS}")
        place = Place.at(uri, storage_options)
        filled = Place.at(output or filled_uri(place.uri), storage_options)
        ledger, output_ledger = Ledger.of_store(place), Ledger.of_store(filled)
        cube = StoredCube.read(ledger)
        if cube is None:
            raise no_cube_error(place, ledger)
        if FILL_IDENTITY in cube.identity:
            raise InputError(f"{place.uri}: a filled cube; give the cube that it was filled from")
        if taken := {layer.name for layer in LAYERS}.intersection(cube.variables):
            raise InputError(f"{place.uri}: has a variable {min(taken)}, the name of a layer that a filling writes")
        from ardcube.store.versions import for_checking  # zarr is slow to import

        made = cls(for_checking(place, cube.storage_backend), ledger, cube, filled, output_ledger, method, most)
        made._check_output()
        return made

    @property
    def identity(self) -> dict[str, Any]:
        """Identity of the filled cube."""
        return self.cube.identity | {FILL_IDENTITY: {"method": self.method, "max_periods": self.most}}

    @property
    def filled(self) -> StoredCube:
        """The filled cube."""
        identity = self.identity
        return replace(self.cube, identity=identity, fingerprint=digest(identity), filled_from=self.source)

    @property
    def source(self) -> str:
        """Address of the cube, as the filled cube states it."""
        return self.place.path if self.place.is_local else without_secrets(self.place.uri)

    @property
    def middles(self) -> list[int]:
        """Middle of each period, in half days."""
        return [period.start.toordinal() + period.end.toordinal() for period in self.cube.periods]

    def _check_output(self) -> None:
        """Raise InputError if the output is not a place for this filled cube."""
        output = self.output
        if output.fs == self.place.fs and output.path == self.place.path:
            raise InputError(f"--output {output.uri}: the cube itself, whose pixels stay; give another location")
        folders = (f"{self.place.path}/", f"{self.ledger.place.path}/")
        if output.fs == self.place.fs and output.path.startswith(folders):
            raise InputError(f"--output {output.uri}: within the cube, which stays as it is; give another location")
        if output.is_local and not can_write(Path(output.path)):
            raise InputError(f"--output {output.uri}: cannot be written; give a location that you may write to")
        stored = StoredCube.read(self.output_ledger)
        if stored is None:
            if self.output.exists() and self.output.list():
                raise InputError(
                    f"--output {self.output.uri}: holds something that ardcube did not write (there is no "
                    f"{self.output.uri}{SUFFIX}); give another location"
                )
            return
        if stored.identity != self.identity:
            there, here = _described(stored.identity), _described(self.identity)
            other = f"{there} there and {here} here" if there != here else "made of another cube"
            raise InputError(f"--output {self.output.uri}: is {other}; give another location, or remove it")
        if len(stored.periods) > len(self.cube.periods):
            raise InputError(
                f"--output {self.output.uri}: reaches to {stored.periods[-1].label}, the cube to "
                f"{self.cube.periods[-1].label}; give another location, or remove it"
            )


def _described(identity: Mapping[str, Any]) -> str:
    """Return how a cube is filled, from its identity, which may have been edited."""
    how = identity.get(FILL_IDENTITY)
    if not isinstance(how, dict):
        return "not filled"
    return f"filled with --method {how.get('method')!s:.40} --max-periods {how.get('max_periods')!s:.40}"


@dataclass(frozen=True, slots=True)
class FillJob:
    """One chunk to fill."""

    key: ChunkKey
    time_index: int
    window: Window
    readable: frozenset[int]
    """Positions on the time axis within reach at which the tile has observations; and that of the chunk if it is built,
    because layers such as `valid_count` have values without an observation."""
    inputs: str
    """Hash of the method and of the records of the chunks within reach."""
    scenes: tuple[str, ...] = ()
    """Ids of the scenes of the chunk itself, of which its observed pixels are composites."""


def filled_uri(uri: str) -> str:
    """Return the default location of a filled cube: ``cube-filled.zarr`` for ``cube.zarr``."""
    base = uri.removesuffix(".zarr")
    return f"{base}-filled{uri[len(base) :]}"


def due_jobs(filling: Filling, *, allow_missing: bool) -> tuple[list[FillJob], int]:
    """Return the chunks to fill, and the number of all chunks.

    A chunk is due if the filled cube has no record of it with the same inputs: because a chunk within reach was built
    again, because the cube was extended, or because an earlier pass was interrupted.

    Raises
    ------
    InputError
        If a chunk of the cube is missing and `allow_missing` is not set.
    """
    records, tiles = filling.ledger.records(brief=True), planned_chunks(filling.ledger, filling.cube).tiles
    done = {key: one.inputs for key, one in filling.output_ledger.records(brief=True).items() if one.status in DONE}
    periods, middles = filling.cube.periods, filling.middles
    before, after = filling.most, filling.most if filling.method == "interpolate" else 0
    jobs, missing = [], 0
    for tile in tiles:
        found = [_built(records.get(ChunkKey(period.label, tile.row, tile.col))) for period in periods]
        missing += found.count(None)
        for period in periods:
            start, stop = max(0, period.index - before), min(len(periods), period.index + after + 1)
            states = [None if one is None else one.written_as for one in found[start:stop]]
            inputs = digest([filling.identity, period.index - start, middles[start:stop], states])
            key = ChunkKey(period.label, tile.row, tile.col)
            if done.get(key) != inputs:
                readable = frozenset(
                    index
                    for index, one in enumerate(found[start:stop], start)
                    if one and (one.status != "empty" or index == period.index)
                )
                own = found[period.index]
                jobs.append(FillJob(key, period.index, tile.window, readable, inputs, own.scenes if own else ()))
    if missing and not allow_missing:
        raise InputError(
            f"{filling.place.uri}: {missing} of {len(tiles) * len(periods)} chunks are missing; build them first, or "
            "add --allow-missing, which fills them as gaps"
        )
    return jobs, len(tiles) * len(periods)


def _built(record: ChunkRecord | None) -> ChunkRecord | None:
    return record if record is not None and record.has_pixels else None
