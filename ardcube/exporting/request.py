"""Check a request for an export, and list its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, get_args

from ardcube.errors import InputError, StoreError
from ardcube.exporting.selection import file_name, select_periods, select_window
from ardcube.exporting.source import SourceVariable, open_variables
from ardcube.extent.periods import Period
from ardcube.extent.window import Window
from ardcube.fingerprint import digest
from ardcube.lease.holder import Holder
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import FILL_IDENTITY, StoredCube, no_cube_error
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, cube_name
from ardcube.store.layouts import base_group
from ardcube.store.provenance import FINGERPRINT
from ardcube.store.schema import COUNT, DISTANCE, FLAGS, exists, read_attributes
from ardcube.store.session_place import SessionPlace
from ardcube.store.validate import read_layouts
from ardcube.store.versions import for_checking, for_reading, last_changes

Format = Literal["cog", "netcdf"]
TEMPLATES: dict[Format, str] = {"cog": "{varname}_{period}.tif", "netcdf": "{cube}.nc"}
"""Default template of file names by format."""
_OF_ONE_CUBE = ("date_created", FINGERPRINT)
"""Attributes that only another cube changes. Two cubes may be created within a second, and one may be built again."""
_VERSION = 1
"""Raised when files of the same cube get other content."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options that determine the files of an export."""

    format: Format = "cog"
    periods: Sequence[str] = ()
    variables: Sequence[str] = ()
    bbox: Sequence[float] | None = None
    template: str | None = None
    allow_missing: bool = False
    at: str | None = None
    """Version of a cube of icechunk. Default: the newest published one."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file, and the part of the cube in it."""

    name: str
    """Relative to the folder of the export."""
    variables: tuple[SourceVariable, ...]
    periods: tuple[Period, ...]
    inputs: str
    """Hash of the options, and of the records of the chunks in the file, or of the versions that wrote them."""


@dataclass(frozen=True, slots=True)
class Export:
    """A cube, and the files to write."""

    place: Place
    """Store of the cube."""
    cube: StoredCube
    window: Window
    format: Format
    files: tuple[ExportFile, ...]
    attributes: Mapping[str, Any]
    """Global attributes of the cube."""


def plan_export(uri: str, wanted: Wanted, storage_options: Mapping[str, Any] | None) -> Export:
    """Check a request and list its files; write nothing.

    Raises
    ------
    InputError
        If there is no cube, another run writes it, chunks are missing, or an option is invalid.
    StoreError
        If the cube is damaged.
    """
    if wanted.format not in get_args(Format):
        raise InputError(f"--format {wanted.format!r:.60}: no such format; give one of {', '.join(get_args(Format))}")
    if wanted.format == "netcdf" and find_spec("netCDF4") is None:
        raise InputError("--format netcdf: the package netCDF4 is not installed; install ardcube[netcdf]")
    place = Place.at(uri, storage_options)
    ledger = Ledger.of_store(place)
    cube = StoredCube.read(ledger)
    if cube is None:
        raise no_cube_error(place, ledger)
    newest = for_checking(place, cube.storage_backend)
    place = for_reading(place, cube.storage_backend, wanted.at)
    if not exists(place):
        raise StoreError(f"{place.uri}: the store is missing or incomplete; run the build again")
    if isinstance(place, SessionPlace):
        _check_same_cube(place, newest, wanted.at)
    else:
        _check_no_run(place, ledger)
    periods = select_periods(_stored_periods(place, cube, wanted.at), wanted.periods)
    window = select_window(cube.grid, wanted.bbox)
    variables = open_variables(place, cube, wanted.variables or _usual_variables(cube, wanted.format))
    if isinstance(place, SessionPlace):  # a version is complete; the ledger may be ahead of it
        changes = last_changes(place, 1 + max(period.index for period in periods))
        states = {period.label: changes[period.index] for period in periods}
    else:
        states = _states(ledger, cube, window, periods, allow_missing=wanted.allow_missing)
    template = wanted.template or TEMPLATES[wanted.format]
    groups: dict[str, list[tuple[SourceVariable, Period]]] = {}
    for variable in variables:
        for period in periods:
            name = file_name(template, cube_name(place.uri), variable.name, period.label)
            groups.setdefault(name, []).append((variable, period))
    files = tuple(_file(name, parts, cube, window, wanted.format, states) for name, parts in groups.items())
    return Export(place, cube, window, wanted.format, files, read_attributes(place))


def _check_no_run(place: Place, ledger: Ledger) -> None:
    """Raise InputError if a run writes the cube, or may do so."""
    with explained(ledger.place.uri):
        holder = Holder.read(ledger.place)
    if holder is not None and holder.is_alive is not False:
        raise InputError(f"{place.uri}: another run writes this cube: {holder}; wait until it ends")


def _check_same_cube(place: Place, newest: Place, at: str | None) -> None:
    """Raise InputError if the cube of a version was replaced: grid and bands of the newest one need not be its own."""
    of_version, of_newest = read_attributes(place), read_attributes(newest)
    if any(of_version.get(name) != of_newest.get(name) for name in _OF_ONE_CUBE):
        if at is None:
            raise InputError(f"{place.uri}: a build that replaces the cube is not published; run it until it completes")
        raise InputError(f"at {at!r}: {place.uri} was another cube then, before an overwrite; open it with icechunk")


def _stored_periods(place: Place, cube: StoredCube, at: str | None) -> Sequence[Period]:
    """Return the periods of a version; of the newest one all periods of the cube, or raise InputError."""
    if cube.storage_backend == "fsspec":
        return cube.periods
    stored = cube.periods[: read_layouts(base_group(place))[COUNT].shape[0]]
    if at is None and len(stored) < len(cube.periods):
        raise InputError(f"{place.uri}: a build with more periods is not published; run the build until it completes")
    return stored


def _usual_variables(cube: StoredCube, form: Format) -> list[str]:
    """Return the variables that are exported without a choice: all, with the count if they share a file."""
    names = [*cube.variables, *((FLAGS, DISTANCE) if FILL_IDENTITY in cube.identity else ())]
    return list(dict.fromkeys([*names, *((COUNT,) if form == "netcdf" else ())]))


def _file(
    name: str,
    parts: Sequence[tuple[SourceVariable, Period]],
    cube: StoredCube,
    window: Window,
    form: Format,
    states: Mapping[str, Any],
) -> ExportFile:
    variables = {variable.name: variable for variable, _ in parts}
    periods = {period.label: period for _, period in parts}
    if form == "cog" and len(parts) > 1:
        raise InputError(
            f"--template: {name} would hold {len(variables)} variables of {len(periods)} periods, and a GeoTIFF holds "
            "one variable of one period; use {varname} and {period}"
        )
    described = [_VERSION, cube.fingerprint, form, *window.slices, list(variables)]
    inputs = digest([*map(str, described), [(label, str(one.end), states[label]) for label, one in periods.items()]])
    return ExportFile(name, tuple(variables.values()), tuple(periods.values()), inputs)


def _states(
    ledger: Ledger, cube: StoredCube, window: Window, periods: Sequence[Period], *, allow_missing: bool
) -> dict[str, str]:
    """Return, by period, a hash that changes when a chunk in the window is written.

    Raises
    ------
    InputError
        If one of these chunks is missing and `allow_missing` is not set.
    """
    records, tiles = ledger.records(brief=True), planned_chunks(ledger, cube).tiles
    inside = [tile for tile in tiles if _meets(tile.window, window)]
    states, missing = {}, 0
    for period in periods:
        found = [records.get(ChunkKey(period.label, tile.row, tile.col)) for tile in inside]
        done = [one if one is not None and one.has_pixels else None for one in found]
        missing += done.count(None)
        states[period.label] = digest([None if one is None else one.written_as for one in done])
    if missing and not allow_missing:
        raise InputError(
            f"{ledger.place.uri}: {missing} of {len(inside) * len(periods)} chunks are missing; build them first, or "
            "add --allow-missing, which exports them as nodata"
        )
    return states


def _meets(one: Window, other: Window) -> bool:
    return one.y0 < other.y1 and other.y0 < one.y1 and one.x0 < other.x1 and other.x0 < one.x1
