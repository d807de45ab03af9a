"""Create or extend the store of a filled cube: that of the cube, with the layers of the filling."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from ardcube.filling.request import Filling
from ardcube.ledger.complete import complete_shares
from ardcube.ledger.last_plan import copy_planned, planned_chunks
from ardcube.ledger.stored_cube import FILL_IDENTITY, FILLED_FROM, filling_text
from ardcube.planning.plan import CubeSpec
from ardcube.storage.failures import explained
from ardcube.storage.place import Place
from ardcube.store import layouts
from ardcube.store.provenance import FINGERPRINT, continued
from ardcube.store.schema import COUNT, exists
from ardcube.store.transaction import commit
from ardcube.store.validate import damage_as_store_error, read_layouts
from ardcube.store.versions import for_writing


def prepare_output(filling: Filling, spec: CubeSpec) -> Place:
    """Create the store of the filled cube, or extend its time axis to that of the cube; idempotent.

    `cube.json` is written first, because it marks the location as ardcube's. The run holds the lease of both cubes.

    Parameters
    ----------
    filling : Filling
        Both cubes.
    spec : CubeSpec
        Spec of the filled cube.

    Returns
    -------
    Place
        The store, open for writing.
    """
    filled, ledger = filling.filled, filling.output_ledger
    described = dict(filling.ledger.read_cube() or {}) | layouts.described(spec)
    changed = {"identity": filled.identity, "fingerprint": filled.fingerprint, FILLED_FROM: filling.source}
    ledger.write_cube(described | changed)
    copy_planned(filling.ledger, ledger)
    sizes = filled.config.chunk_size, filled.config.shard
    with explained(filling.output.uri):
        output = for_writing(filling.output, filled.storage_backend)
        if not exists(output):
            layouts.create(output, spec, filled.periods, *sizes, _attributes(filling))
            commit(output, "create the store")
        elif _stored_periods(output) < len(filled.periods):
            layouts.extend(output, spec, filled.periods, _attributes(filling))
            commit(output, f"extend the time axis to {filled.periods[-1].label}")
        layouts.check(output, spec, *sizes)
    return output


def write_shares(filling: Filling, output: Place) -> None:
    """Write the share of tiles of each period that are finished both in the cube and in the filled one."""
    cube, ledger = filling.cube, filling.output_ledger
    built = {key for key, record in filling.ledger.records(brief=True).items() if record.has_pixels}
    filled = [record for key, record in ledger.records(brief=True).items() if key in built]
    shares = complete_shares([period.label for period in cube.periods], planned_chunks(ledger, cube).tiles, filled)
    layouts.write_complete(output, cube.grid, cube.config.layout, shares)


def _stored_periods(output: Place) -> int:
    with damage_as_store_error(output.uri):
        return read_layouts(layouts.base_group(output))[COUNT].shape[0]


def _attributes(filling: Filling) -> dict[str, Any]:
    """Return the global attributes of the cube, with the filling. The title states it, because plots show the title."""
    # Without the reference to STAC documents, which describe the cube and are not copied.
    before = layouts.origin_of(filling.place)
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    how = filling.identity[FILL_IDENTITY]
    line = f"{moment} ardcube {version('ardcube')}: {filling_text(how)}, from {filling.source}"
    changed = continued(before, {"history": line, "date_modified": moment})
    changed["title"] = f"{before.get('title') or 'Data cube'}, {filling_text(how)}"
    described = how | {"source": filling.source}
    changed[FINGERPRINT] = filling.filled.fingerprint
    return before | changed | {f"{FILL_IDENTITY}_{name}": value for name, value in described.items()}
