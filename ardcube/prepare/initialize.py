"""Create, extend or remove the store of a request."""

from __future__ import annotations

from importlib.metadata import version

from ardcube.plan.plan import CubePlan
from ardcube.prepare.check import Request
from ardcube.prepare.planning import lengthened_periods

_LEDGER_VERSION = 1


def initialize(request: Request, plan: CubePlan) -> None:
    """Create the store, extend it, or find that it stands ready. Repeating it does no harm.

    The ledger's `cube.json` is written first: from then on the place is ours, whatever happens.
    """
    from ardcube.store import schema

    ledger, place = request.ledger, request.place
    described = {
        "ardcube": version("ardcube"),
        "version": _LEDGER_VERSION,
        "fingerprint": plan.spec.fingerprint,
        "identity": request.identity,
        "end": f"{request.periods[-1].end:%Y-%m}",
        "offset": plan.spec.offset,
        "config": request.cube.model_dump(mode="json"),
    }
    if request.stored is None or not schema.is_there(place):
        ledger.write_cube(described)
        schema.create(place, plan.spec, request.periods, request.cube.chunk_size, request.cube.shard)
        return
    described["lengthened"] = lengthened_periods(request)
    if request.stored["end"] != described["end"]:
        schema.extend(place, request.cube.varname, request.periods)
        ledger.write_cube(described)
    schema.check(place, plan.spec, request.cube.chunk_size, request.cube.shard)


def remove_cube(request: Request) -> None:
    """Remove the cube that stands at the request's place: what ardcube wrote, and nothing else."""
    from ardcube.store import schema

    stored = request.ledger.read_cube()
    if stored is None:
        return
    schema.remove(request.place, str(stored["identity"]["varname"]))
    own = request.ledger.place.list()
    request.ledger.place.remove(
        name for name in own if name.split("/", 1)[0] in ("chunks", "items", "ledger.parquet", "in-hand.json")
    )
    request.ledger.place.remove(["cube.json"])  # last: until then the place is still known as ours
    request.ledger.place.remove_empty_folders()
