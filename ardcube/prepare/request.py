"""A checked request: the models and all that was derived from them, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict, dataclass, replace
from typing import Any

from ardcube.catalog.source import Source
from ardcube.collections.model import Definition
from ardcube.collections.recognize import in_order
from ardcube.config import CubeConfig, RunConfig
from ardcube.config.variables import MEDIAN
from ardcube.extent.area import Area
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.fingerprint import digest
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import PIXEL_RULES
from ardcube.pixels.composites.protocol import Composite, text_of
from ardcube.pixels.composites.registry import variables
from ardcube.pixels.masks import CloudMaskHook, mask_options
from ardcube.pixels.quality.registry import Quality
from ardcube.prepare.scene_mask import categories_of
from ardcube.storage.place import Place


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was checked against files, the store and the catalogue."""

    cube: CubeConfig
    run: RunConfig
    mask: CloudMaskHook
    composites: tuple[Composite, ...]
    quality: Quality
    area: Area
    grid: Grid
    periods: tuple[Period, ...]
    """The whole time axis."""
    sources: tuple[Source, ...]
    """Collections of the cube."""
    place: Place
    """Location of the store."""
    ledger: Ledger
    stored: dict[str, Any] | None
    """`cube.json` of the existing cube that is continued, or None for a new cube."""

    def for_writing(self) -> Request:
        """Return the request with the store open for writing. The run holds the lease of the cube."""
        from ardcube.store.versions import for_writing  # zarr is slow to import

        if self.run.storage_backend == "fsspec":
            return self
        return replace(self, place=for_writing(self.place, self.run.storage_backend))

    @property
    def most_chunks(self) -> int:
        """Chunks of the cube if all tiles are built."""
        rows, cols = self.grid.tile_counts(self.cube.chunk_size)
        return rows * cols * len(self.periods)

    @property
    def identity(self) -> dict[str, Any]:
        """All that distinguishes this cube: two cubes of equal identity have equal pixels.

        The address of the catalogue is not part of it, because a mirror of a collection has the same scenes.
        """
        cube, options = self.cube, mask_options(self.mask)
        identity = {
            "pixels": PIXEL_RULES,
            "grid": asdict(self.grid),
            "start": self.periods[0].label,
            **_kind_of_periods(cube),
            "chunk_size": cube.chunk_size,
            "shard": cube.shard,
            "bands": list(cube.bands),
            "varname": cube.varname,
            "cloud_mask": cube.cloud_mask,
            "cloud_mask_options": options if options is not None else dict(cube.cloud_mask_options),
            "resampling": cube.resampling,
            "collection": self._collections,
            "months": cube.months,
            "query": list(cube.query),
            "geometry_mask": digest(self.area.mask.wkt) if self.area.mask is not None else None,
        }
        if cube.composites != (MEDIAN,):
            identity["composites"] = [text_of(composite) for composite in self.composites]
        if cube.enough is not None:
            identity["enough"] = cube.enough
        if cube.max_scenes is not None:
            identity["max_scenes"] = cube.max_scenes
        if self.area.clip is not None:
            identity["clip"] = self.area.clip.fingerprint
        if cube.quality:
            identity["quality"] = list(cube.quality)
        if self.quality.sensors:
            identity["sensors"] = list(self.quality.sensors)
        if cube.layout != "flat":
            identity["layout"] = cube.layout
        if self.run.storage_backend != "fsspec":
            identity["storage_backend"] = self.run.storage_backend
        if given := self._given_definitions:
            identity["definitions"] = digest(given)
        as_stored: dict[str, Any] = json.loads(json.dumps(identity))
        return as_stored

    def definitions(self, names: Container[str]) -> list[Definition]:
        """Return the definitions with some names; those that the user gave come first."""
        return in_order([source.definitions for source in self.sources], names)

    @property
    def variables(self) -> list[str]:
        """Variables of the store that hold composites and quality layers."""
        names = [name for name, _ in variables(self.composites, self.cube.varname)]
        return names + [layer.name for layer in self.quality.layers]

    @property
    def _collections(self) -> str | list[str]:
        """The id of the collection, or the ids of several, in an order that the user does not choose."""
        ids = sorted(one.collection for one in self.cube.collections)
        return ids[0] if len(ids) == 1 else ids

    @property
    def _given_definitions(self) -> list[Any]:
        """Fields of the given definitions that decide on pixels; in a cube of several collections, with their ids."""
        names, classes = (*self.cube.bands, *self.mask.bands), categories_of(self.mask).classes
        given = [
            (
                source.address.collection,
                [definition.pixel_fields(names, classes) for definition in source.definitions.given],
            )
            for source in self.sources
        ]
        if len(given) == 1:
            return given[0][1]
        return sorted(([name, fields] for name, fields in given if fields), key=lambda entry: str(entry[0]))

    @property
    def end(self) -> str:
        """First month after the time axis, such as ``2023-04``; first day if periods begin on any day."""
        return self.periods[-1].end_label

    @property
    def listed(self) -> list[list[str]]:
        """Periods of a cube whose periods are listed in a file: first day, and first day after."""
        if self.cube.period_rule.kind != "file":
            return []
        return [[period.start.isoformat(), period.end.isoformat()] for period in self.periods]


def _kind_of_periods(cube: CubeConfig) -> dict[str, Any]:
    """Return the kind of the periods as the identity has it; that of months is the one of earlier versions."""
    if cube.period is None:
        return {"time_frequency_months": cube.time_frequency_months}
    return {"period": cube.period_rule.identity}
