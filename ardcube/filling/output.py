"""Create or extend the store of a filled cube: the arrays of the cube, and the layers of the filling."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import zarr
import zarr_cm.stac

from ardcube.errors import InputError, StoreError
from ardcube.extent.grid import Grid
from ardcube.filling.request import Filling
from ardcube.fingerprint import digest
from ardcube.ledger.complete import complete_shares
from ardcube.ledger.last_plan import copy_planned, planned_chunks
from ardcube.ledger.stored_cube import FILL_IDENTITY, FILLED_FROM, filling_text
from ardcube.pixels.gaps import EMPTY, FILLED, NO_DISTANCE, OBSERVED
from ardcube.storage.failures import explained
from ardcube.storage.place import Place
from ardcube.store import conventions
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.provenance import FINGERPRINT, continued
from ardcube.store.schema import (
    COUNT,
    DISTANCE,
    FLAGS,
    compressor,
    consolidate,
    exists,
    read_attributes,
    write_complete,
)
from ardcube.store.validate import METADATA, damage_as_store_error, read_layouts

REFLECTANCE = "surface_bidirectional_reflectance"
"""Standard name of the variables that are filled."""
_LAYERS: dict[str, tuple[int, dict[str, Any]]] = {
    FLAGS: (
        EMPTY,
        {
            "long_name": "origin of the pixel: no value, observed in the period, or filled from other periods",
            "standard_name": "status_flag",
            "flag_values": [EMPTY, OBSERVED, FILLED],
            "flag_meanings": "empty observed filled",
        },
    ),
    DISTANCE: (
        NO_DISTANCE,
        {
            "long_name": "periods between the pixel and the farthest period that it was filled from",
            "_FillValue": NO_DISTANCE,
        },
    ),
}
"""Value of pixels that are not written, and attributes, of the layers of a filling."""


_ON_THE_GRID = {"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}
"""Attributes of every variable of pixels: xarray makes the grid mapping a coordinate."""


def pixel_variables(filling: Filling) -> list[str]:
    """Return the variables of the cube that have pixels, with the count last.

    Raises
    ------
    StoreError
        If the store is incomplete, or not that of its ledger.
    InputError
        If a variable has the name of a layer of the filling.
    """
    place, grid = filling.place, filling.cube.grid
    if not exists(place):
        raise StoreError(f"{place.uri}: the store is missing or incomplete; run the build again")
    shape = (len(filling.cube.periods), grid.height, grid.width)
    found = {name for name, layout in read_layouts(place).items() if layout.shape[:3] == shape}
    if COUNT not in found:
        raise StoreError(f"{place.uri}: no {COUNT} of {shape} pixels; run the build again")
    if taken := found.intersection(_LAYERS):
        raise InputError(f"{place.uri}: has a variable {min(taken)}, the name of a layer that a filling writes")
    return [*sorted(found - {COUNT}), COUNT]


def prepare_output(filling: Filling, variables: Collection[str]) -> None:
    """Create the store of the filled cube, or extend its time axis to that of the cube; idempotent.

    `cube.json` is written first, because it marks the location as ardcube's. The run holds the lease of both cubes.
    """
    output, ledger = filling.output, filling.output_ledger
    described = dict(filling.ledger.read_cube() or {})
    changed = {"identity": filling.identity, "fingerprint": digest(filling.identity), FILLED_FROM: filling.source}
    ledger.write_cube(described | changed)
    copy_planned(filling.ledger, ledger)
    if _is_prepared(filling):
        return
    with explained(output.uri), damage_as_store_error(filling.place.uri):
        _copy_arrays(filling.place, output, variables)
        group = zarr.open_group(zarr_store(output), mode="a", zarr_format=3, use_consolidated=False)
        for name in variables:
            array = array_of(group, name)
            if is_filled(array):
                before = array.attrs.get("ancillary_variables", COUNT)
                array.attrs.update({"ancillary_variables": " ".join([str(before), *_LAYERS])})
        _create_layers(group, filling.cube.grid)
        group.attrs.update(_attributes(filling))
        write_shares(filling)  # those of the cube were copied
        consolidate(output)


def write_shares(filling: Filling) -> None:
    """Write the share of tiles of each period that are finished both in the cube and in the filled one."""
    cube, ledger = filling.cube, filling.output_ledger
    built = {key for key, record in filling.ledger.records(brief=True).items() if record.has_pixels}
    filled = [record for key, record in ledger.records(brief=True).items() if key in built]
    shares = complete_shares([period.label for period in cube.periods], planned_chunks(ledger, cube).tiles, filled)
    write_complete(filling.output, shares)


def is_filled(array: zarr.Array[Any]) -> bool:
    """Return whether the gaps of a variable are filled: those of reflectance are."""
    return array.attrs.get("standard_name") == REFLECTANCE


def layer_names(variables: Sequence[str]) -> list[str]:
    """Return the arrays of a filled cube that have pixels, with the count last."""
    return [*variables[:-1], *_LAYERS, COUNT]


def _is_prepared(filling: Filling) -> bool:
    output = filling.output
    return exists(output) and read_layouts(output)[FLAGS].shape == read_layouts(filling.place)[COUNT].shape


def _copy_arrays(source: Place, output: Place, variables: Collection[str]) -> None:
    """Copy the metadata of arrays of pixels, and all objects of the other arrays, which are coordinates."""
    for name in read_layouts(source):
        names = [f"{name}/{METADATA}"] if name in variables else source.list(name)
        for file, content in source.read_many(names).items():
            output.write(file, content)


def _create_layers(group: zarr.Group, grid: Grid) -> None:
    count = array_of(group, COUNT)
    for name, (fill, attributes) in _LAYERS.items():
        if name in group:
            array_of(group, name).resize(count.shape)
            continue
        group.create_array(
            name,
            shape=count.shape,
            chunks=count.chunks,
            shards=count.shards,
            dimension_names=getattr(count.metadata, "dimension_names", None),
            attributes=attributes | _ON_THE_GRID | conventions.of_array(grid),
            dtype="uint8",
            fill_value=fill,
            compressors=compressor(),
        )


def _attributes(filling: Filling) -> dict[str, Any]:
    """Return the global attributes of the cube, with the filling. The title states it, because plots show the title."""
    # Without the reference to STAC documents, which describe the cube and are not copied.
    before, _ = zarr_cm.stac.extract(read_attributes(filling.place))
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    how = filling.identity[FILL_IDENTITY]
    line = f"{moment} ardcube {version('ardcube')}: {filling_text(how)}, from {filling.source}"
    changed = continued(before, {"history": line, "date_modified": moment})
    changed["title"] = f"{before.get('title') or 'Data cube'}, {filling_text(how)}"
    described = how | {"source": filling.source}
    changed[FINGERPRINT] = digest(filling.identity)
    return before | changed | {f"{FILL_IDENTITY}_{name}": value for name, value in described.items()}
