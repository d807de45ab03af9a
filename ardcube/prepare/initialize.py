"""Create, extend or remove the store of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.search import local_path
from ardcube.ledger.clip_file import NAME as CLIP
from ardcube.ledger.clip_file import write_clip
from ardcube.ledger.cube_file import FORMAT
from ardcube.ledger.in_flight import NAME as IN_FLIGHT
from ardcube.ledger.ledger import LEVELS, REPORT
from ardcube.ledger.run_costs import NAME as COSTS
from ardcube.ledger.stored_cube import backend_of, with_encoding
from ardcube.planning.plan import CubePlan
from ardcube.prepare.make_plan import lengthened_periods
from ardcube.prepare.request import Request
from ardcube.stac_output.folder import INSIDE, Folder
from ardcube.store.provenance import FINGERPRINT, Origin, continued, provenance

_OWN = ("chunks", "items", LEVELS, "ledger.parquet", IN_FLIGHT, CLIP, REPORT, COSTS)
"""Files and folders of a ledger, without `cube.json`."""


def initialize(request: Request, plan: CubePlan) -> None:
    """Create the store, extend its time axis, or check it; idempotent.

    `cube.json` is written before the store, because it marks the location as ardcube's.

    Raises
    ------
    StoreError
        If the store's layout is not the one it was created with.
    """
    from ardcube.store import layouts, schema  # zarr is slow to import
    from ardcube.store.transaction import commit

    ledger, place = request.ledger, request.place
    if request.area.clip is not None:
        write_clip(ledger.place, request.area.clip)
    options, made_of = request.identity["cloud_mask_options"], _made_of(request, plan)
    origin = provenance(
        request.cube, _origin(request, made_of), options, request.periods, version("ardcube"), datetime.now(UTC)
    )
    origin |= {FINGERPRINT: plan.spec.fingerprint}
    described = {
        "ardcube": version("ardcube"),
        "version": FORMAT,
        "fingerprint": plan.spec.fingerprint,
        "identity": with_encoding(request.identity, plan.spec.encoding, given=request.cube.given_encoding is not None),
        "end": request.end,
        "offset": plan.spec.encoding.offset,
        "config": request.cube.model_dump(mode="json"),
        **made_of,
    }
    if request.listed:
        described["periods"] = request.listed
    if request.variables != [request.cube.varname]:
        described["variables"] = request.variables
    if plan.spec.layout != "flat":
        described |= layouts.described(plan.spec)
    if request.stored is None or not schema.exists(place):
        ledger.write_cube(described)
        sizes = request.cube.chunk_size, request.cube.shard
        place.outlast(lambda: layouts.create(place, plan.spec, request.periods, *sizes, origin))
        commit(place, "create the store")
        return
    described["lengthened"] = lengthened_periods(request)
    if request.stored["end"] != described["end"]:
        origin = continued(schema.read_attributes(place), origin)
        place.outlast(lambda: layouts.extend(place, plan.spec, request.periods, origin))
        commit(place, f"extend the time axis to {request.periods[-1].label}")
        ledger.write_cube(described)
    place.outlast(lambda: layouts.check(place, plan.spec, request.cube.chunk_size, request.cube.shard))


def _made_of(request: Request, plan: CubePlan) -> dict[str, list[str]]:
    """Return names of the definitions and sensors of all scenes, also of those that earlier builds found."""
    scenes = [scene for found in plan.scenes.values() for scene in found]
    found = {"definitions": {scene.definition for scene in scenes}, "sensors": {scene.sensor for scene in scenes}}
    stored = request.stored or {}
    return {
        name: sorted({one for one in (*names, *stored.get(name, ())) if isinstance(one, str) and one})
        for name, names in found.items()
    }


def _origin(request: Request, made_of: Mapping[str, Sequence[str]]) -> Origin:
    """Return the data that the cube is made of."""
    urls = dict.fromkeys(one.stac_url for one in request.cube.collections)
    named = request.definitions(made_of["definitions"])
    return Origin(
        [url if is_remote(url) else str(local_path(url)) for url in urls],
        sorted({definition.product for definition in named if definition.product}),
        sorted({definition.credit for definition in named if definition.credit}),
        made_of["sensors"],
    )


def remove_cube(request: Request) -> None:
    """Remove the cube at the request's location: what ardcube wrote, and nothing else.

    With icechunk, readers see it until the new one is published, and earlier versions remain.
    """
    from ardcube.store import layouts  # zarr is slow to import
    from ardcube.store.versions import plain

    stored = request.ledger.read_cube()
    if stored is None:
        return
    Folder.of(plain(request.place), INSIDE).remove()
    # Cubes of one composite may state no variables, and flat ones no arrays.
    names = stored.get("arrays") or stored.get("variables", [stored["identity"]["varname"]])
    layouts.remove(request.place, list(map(str, names)), stored.get("levels", 0))
    own = request.ledger.place.list()
    request.ledger.place.remove(name for name in own if name.split("/", 1)[0] in _OWN)
    if backend_of(stored["identity"]) != "fsspec":
        return  # `cube.json` marks the versions as ardcube's until it is replaced
    request.ledger.place.remove(["cube.json"])  # last, because it marks the location as ardcube's
    request.ledger.place.remove_empty_folders()
