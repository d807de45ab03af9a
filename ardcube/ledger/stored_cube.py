"""The configuration, grid and periods of an existing cube, from its ledger alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from pydantic import ValidationError

from ardcube.config import CubeConfig
from ardcube.config.encoding import CubeEncoding
from ardcube.config.store import StorageBackend
from ardcube.config.variables import MEDIAN
from ardcube.errors import InputError, StoreError
from ardcube.extent.grid import Grid
from ardcube.extent.lattice import DEGREES, METRES_PER_DEGREE, Lattice, crs_of
from ardcube.extent.periods import Period, Span, periods_of
from ardcube.ledger.ledger import SUFFIX, Ledger
from ardcube.storage.place import Place

PIXEL_RULES = 2
"""Version of the rules that make a cube's pixels from its scenes. Cubes without it were built with version 1."""
FILL_IDENTITY = "fill"
"""Part of the identity of a filled cube: method and largest distance. Other cubes do not have it."""
FILLED_FROM = "filled_from"
"""Part of `cube.json` of a filled cube, outside of its identity: address of the cube that it was filled from."""
_MOST_NAMED = 20
"""Cubes in a folder that an error names."""
_LARGEST_DEGREES = 540.0
"""Degrees that a coordinate of a grid may have at most, beyond 180 for grids across the antimeridian."""


@dataclass(frozen=True, slots=True)
class StoredCube:
    """Content of `cube.json` in a ledger."""

    config: CubeConfig
    """Configuration of the last build."""
    identity: dict[str, Any]
    fingerprint: str
    encoding: CubeEncoding
    """Encoding of reflectance."""
    grid: Grid
    periods: tuple[Period, ...]
    variables: tuple[str, ...] = ()
    """Variables of the store that hold composites and quality layers."""
    filled_from: str | None = None
    """Address of the cube that a filled cube was filled from, if it is known."""

    @property
    def storage_backend(self) -> StorageBackend:
        """Library that accesses the store."""
        return backend_of(self.identity)

    @property
    def filling(self) -> dict[str, Any] | None:
        """How a filled cube was filled: `method`, `max_periods`, and `source` if it is known; None for other cubes."""
        how = self.identity.get(FILL_IDENTITY)
        if not isinstance(how, dict):
            return None
        source = {} if self.filled_from is None else {"source": self.filled_from}
        return {"method": how.get("method"), "max_periods": how.get("max_periods")} | source

    @classmethod
    def read(cls, ledger: Ledger) -> Self | None:
        """Read `cube.json`, or return None if there is no cube.

        Raises
        ------
        StoreError
            If the file is damaged, or written by a later version.
        """
        found = ledger.read_cube()
        if found is None:
            return None
        try:
            config = CubeConfig(**found["config"])
            _check_agreement(config, found["identity"])
            periods = periods_of(
                config.period_rule, config.start_date, config.end_date, config.kept_months, _listed(found)
            )
            if periods[0].label != found["identity"]["start"]:
                start = found["identity"]["start"]
                raise ValueError(f"the start is {periods[0].label} in config and {start!r:.100} in identity")
            return cls(
                config=config,
                identity=found["identity"],
                fingerprint=str(found["fingerprint"]),
                encoding=stored_encoding(found),
                variables=tuple(found.get("variables", [config.varname])),
                filled_from=str(found[FILLED_FROM]) if FILLED_FROM in found else None,
                grid=_grid(found["identity"]["grid"]),
                periods=periods,
            )
        except (ValidationError, ValueError, KeyError, TypeError, ArithmeticError) as error:
            reason = " ".join(str(error).split())[:500]
            raise StoreError(f"{ledger.place.uri}/cube.json cannot be used: {reason}; build the cube again") from error


def filling_text(filling: Mapping[str, Any]) -> str:
    """Return how a cube was filled, as the title of the filled cube says it.

    Parameters
    ----------
    filling : mapping
        `method` and `max_periods`, as in `StoredCube.filling`. They may have been edited.
    """
    most = filling.get("max_periods")
    return f"gaps filled by {filling.get('method')!s:.40} within {most!s:.40} period{'' if most == 1 else 's'}"


def stored_encoding(found: Mapping[str, Any]) -> CubeEncoding:
    """Return the encoding in the content of `cube.json`. Its identity has it only if it is not the usual one.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is none.
    """
    fields = found["identity"].get("encoding")
    return CubeEncoding(offset=float(found["offset"])) if fields is None else CubeEncoding.of(fields)


def with_encoding(identity: Mapping[str, Any], encoding: CubeEncoding, *, given: bool) -> dict[str, Any]:
    """Return an identity with the encoding of its cube.

    The usual encoding is left out, because cubes of earlier versions do not have it. Its offset is that of the
    collection.

    Parameters
    ----------
    identity : mapping
        The other parts.
    encoding : CubeEncoding
        Encoding of the cube.
    given : bool
        Whether the user chose it. It is then part of the identity in any case.
    """
    return {**identity, "encoding": encoding.fields} if given or not encoding.is_usual else dict(identity)


def backend_of(identity: Mapping[str, Any]) -> StorageBackend:
    """Return the storage backend in an identity, which states none but icechunk."""
    return "icechunk" if identity.get("storage_backend") == "icechunk" else "fsspec"


def stored_backend(ledger: Ledger) -> StorageBackend:
    """Return the storage backend of the cube of a ledger; a store without a ledger has fsspec."""
    found = ledger.read_cube()
    return "fsspec" if found is None else backend_of(found["identity"])


def check_pixel_rules(store: Place, identity: dict[str, Any]) -> None:
    """Raise InputError if a cube was built with other pixel rules, because new chunks would not match the others."""
    found = identity.get("pixels", 1)
    if found != PIXEL_RULES:
        raise InputError(
            f"fsspec-uri {store.uri}: was built with the pixel rules of {_age(found)} version of ardcube "
            f"({found!s:.20} there, {PIXEL_RULES} here); choose another location, or build it again with --overwrite"
        )


def _age(rules: Any) -> str:
    return "a later" if type(rules) is int and rules > PIXEL_RULES else "an earlier"


def no_cube_error(store: Place, ledger: Ledger) -> InputError:
    """Return the error for a location without a cube, which may be a folder of cubes."""
    names = sorted(name.removesuffix(SUFFIX) for name in store.folders() if name.endswith(SUFFIX))
    if names:
        more = len(names) - _MOST_NAMED
        listed = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        return InputError(
            f"{store.uri}: a folder of cubes ({listed}); give one of them, such as {store.uri}/{names[0]}"
        )
    return InputError(f"{store.uri}: no cube of ardcube (there is no {ledger.place.uri}/cube.json); build it first")


def _check_agreement(config: CubeConfig, identity: dict[str, Any]) -> None:
    """Raise ValueError if configuration and identity differ, because one of the two was edited."""
    usual = {"shard": 1, "composites": [MEDIAN], "layout": "flat"}  # an identity may state none
    names = (
        "bands", "composites", "varname", "chunk_size", "shard", "time_frequency_months", "cloud_mask", "resampling",
        "layout",
    )  # fmt: skip
    for name in names:
        configured, built = getattr(config, name), identity.get(name, usual.get(name))
        if (list(configured) if isinstance(configured, tuple) else configured) != built:
            raise ValueError(f"{name} is {configured!r} in config and {built!r:.100} in identity")
    for name in ("max_scenes", "enough"):
        if getattr(config, name) != identity.get(name):
            stated = identity.get(name)
            raise ValueError(f"{name} is {getattr(config, name)} in config and {stated!r:.100} in identity")
    if config.clip != ("clip" in identity):
        raise ValueError(f"clip is {config.clip} in config and {identity.get('clip')!r:.100} in identity")
    if list(config.quality) != identity.get("quality", []):
        raise ValueError(f"quality is {config.quality} in config and {identity.get('quality')!r:.100} in identity")
    sensors = identity.get("sensors", [])
    if not isinstance(sensors, list) or not all(isinstance(sensor, str) for sensor in sensors):
        raise ValueError(f"the sensors are {sensors!r:.100}")
    kind = None if config.period is None else config.period_rule.identity
    if kind != identity.get("period"):
        raise ValueError(f"the period is {kind} in config and {identity.get('period')!r:.100} in identity")


def _listed(found: Mapping[str, Any]) -> list[Span]:
    """Return the periods of a cube whose periods are those of a file; the file may have changed since."""
    return [(date.fromisoformat(start), date.fromisoformat(end)) for start, end in found.get("periods", [])]


def _grid(stored: dict[str, Any]) -> Grid:
    """Return the grid of an identity.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is not a grid on Earth.
    """
    lengths = (stored["height"], stored["width"])
    if not all(type(length) is int and 0 < length < 2**31 for length in lengths):
        raise ValueError(f"a grid of {lengths!r:.100} pixels")
    if "lattice" not in stored:  # of version 0.1: in degrees
        west, north, step = (_number(stored[name]) for name in ("west", "north", "resolution"))
        return Grid(Lattice(DEGREES, 0.0, 0.0, step, -step), -round(north / step), round(west / step), *lengths)
    lattice = Lattice(**stored["lattice"])
    for number in (lattice.x0, lattice.y0, lattice.step_x, lattice.step_y):
        _number(number)
    if not (lattice.step_x > 0 > lattice.step_y) or type(lattice.crs) is not str:
        raise ValueError("a grid that is not north up")
    crs_of(lattice.crs)
    grid = Grid(lattice, stored["row"], stored["column"], *lengths)
    if not all(type(index) is int and abs(index) < 2**53 for index in (grid.row, grid.column)):
        raise ValueError("a grid whose position is not a whole number")
    limit = _LARGEST_DEGREES * (1 if lattice.is_geographic else METRES_PER_DEGREE)
    if max(map(abs, grid.bounds)) > limit:
        raise ValueError("a grid outside the world")
    return grid


def _number(value: Any) -> float:
    """Return a finite number; raise ValueError for anything else."""
    if type(value) is not float or not math.isfinite(value):
        raise ValueError(f"{value!r:.100} is not a number of a grid")
    return value
