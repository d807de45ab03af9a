"""The STAC Collection of a cube, and the Item of a period."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from ardcube.collections.model import Definition
from ardcube.extent.periods import Period
from ardcube.ledger.stored_cube import StoredCube
from ardcube.stac_output.assets import CubeAssets
from ardcube.stac_output.folder import COLLECTION, STORE
from ardcube.stac_output.footprint import Footprint
from ardcube.stac_output.shares import PeriodShares
from ardcube.stac_output.sources import licence, licence_links, providers, source_links
from ardcube.stac_output.variables import Variable
from ardcube.storage.place import cube_name

if TYPE_CHECKING:
    import pystac

_SCHEMAS = "https://stac-extensions.github.io"
PROJECTION = f"{_SCHEMAS}/projection/v2.0.0/schema.json"
RASTER = f"{_SCHEMAS}/raster/v2.0.0/schema.json"
CLASSIFICATION = f"{_SCHEMAS}/classification/v1.1.0/schema.json"
PROCESSING = f"{_SCHEMAS}/processing/v1.2.0/schema.json"
DATACUBE = f"{_SCHEMAS}/datacube/v2.2.0/schema.json"
XARRAY = f"{_SCHEMAS}/xarray-assets/v1.0.0/schema.json"
ZARR = f"{_SCHEMAS}/zarr/v1.1.0/schema.json"
_FLAGS = "classification:"
"""Prefix of the fields of the extension `classification`."""
_LEVEL = "L3"
"""Level of gridded composites, by the extension `processing`."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Described:
    """All that the documents of a cube are made from."""

    cube: StoredCube
    attributes: Mapping[str, Any]
    """Global attributes of the store."""
    variables: Sequence[Variable]
    footprint: Footprint
    definitions: Sequence[Definition]
    store: str
    """Address of the store in the documents."""
    uri: str
    """Address of the store, for its name."""
    assets: CubeAssets = field(repr=False)

    @property
    def id(self) -> str:
        """Id of the Collection: the name of the cube."""
        return re.sub(r"[^\w.-]+", "-", cube_name(self.uri)) or "cube"

    def item_id(self, period: Period) -> str:
        """Return the id of an Item."""
        return f"{self.id}_{period.label}"

    @property
    def reference_system(self) -> dict[str, str]:
        """The CRS by the extension `projection`: a code, or WKT."""
        crs = self.cube.grid.lattice.crs
        if re.fullmatch(r"[A-Za-z]+:\w+", crs):
            return {"proj:code": crs.upper()}
        return {"proj:wkt2": crs}

    @property
    def processing(self) -> dict[str, Any]:
        """The origin of the pixels."""
        config, identity = self.cube.config, self.cube.identity
        return {
            "processing:level": _LEVEL,
            "processing:software": {"ardcube": str(self.attributes.get("ardcube_version", "unknown"))},
            "processing:lineage": str(self.attributes.get("title", "")),
            "ardcube:composites": list(config.composites),
            "ardcube:cloud_mask": config.cloud_mask,
            "ardcube:cloud_mask_options": identity.get("cloud_mask_options", {}),
            "ardcube:resampling": config.resampling,
            "ardcube:fingerprint": self.cube.fingerprint,
            **self.filling,
        }

    @property
    def filling(self) -> dict[str, Any]:
        """How a filled cube was filled, and from which cube; nothing for other cubes."""
        return {} if self.cube.filling is None else {"ardcube:fill": self.cube.filling}

    @property
    def times(self) -> dict[str, str]:
        """Times of creation and of the last extension, as far as the store states them."""
        pairs = (("created", "date_created"), ("updated", "date_modified"))
        return {name: str(self.attributes[found]) for name, found in pairs if found in self.attributes}


def item_of(described: Described, period: Period, shares: PeriodShares) -> pystac.Item:
    """Return the Item of a period."""
    import pystac

    grid = described.cube.grid
    first, last = days_of(period)
    properties = {
        "title": f"{described.id}, {first:%Y-%m-%d} to {last:%Y-%m-%d}",
        "start_datetime": _text(first),
        "end_datetime": _text(last),
        **described.times,
        **described.reference_system,
        "proj:shape": [grid.height, grid.width],
        "proj:transform": [*grid.transform][:6],
        "proj:bbox": [*grid.bounds],
        **described.processing,
        "ardcube:time_index": period.index,
        **shares.properties,
    }
    item = pystac.Item(
        described.item_id(period),
        described.footprint.geometry,
        [*described.footprint.bbox],
        first,
        properties,
        stac_extensions=[PROJECTION, RASTER, PROCESSING, XARRAY, ZARR],
    )
    item.collection_id = described.id
    for key, asset in described.assets.of_period(period).items():
        item.add_asset(key, asset)
        if CLASSIFICATION not in item.stac_extensions and any(name.startswith(_FLAGS) for name in asset.extra_fields):
            item.stac_extensions.append(CLASSIFICATION)
    up = f"../{COLLECTION}"
    item.add_links([pystac.Link(rel, up, "application/json") for rel in ("root", "parent", "collection")])
    item.add_links(source_links(described.cube))
    return item


def collection_of(described: Described, item_hrefs: Mapping[str, str]) -> pystac.Collection:
    """Return the Collection.

    Parameters
    ----------
    described : Described
        The cube.
    item_hrefs : mapping
        Address of each Item, relative to the Collection, by id.
    """
    import pystac

    cube = described.cube
    span = [days_of(cube.periods[0])[0], max(days_of(period)[1] for period in cube.periods)]
    title = str(described.attributes.get("title") or described.id)
    summaries = {
        "instruments": [one for one in str(described.attributes.get("instrument", "")).split(", ") if one],
        **{name: [value] for name, value in described.reference_system.items()},
        "processing:level": [_LEVEL],
    }
    collection = pystac.Collection(
        described.id,
        f"{title}. Source: {described.attributes.get('source', 'unknown')}. Built with ardcube.",
        pystac.Extent(pystac.SpatialExtent([[*described.footprint.bbox]]), pystac.TemporalExtent([[span[0], span[1]]])),
        title=title,
        stac_extensions=[PROJECTION, DATACUBE, PROCESSING, XARRAY, ZARR],
        license=licence(described.definitions),
        providers=providers(described.definitions) or None,
        summaries=pystac.Summaries({name: values for name, values in summaries.items() if values}),
        assets=described.assets.of_cube(),
        extra_fields={
            STORE: described.store,
            **described.times,
            **described.filling,
            "cube:dimensions": _dimensions(described),
            "cube:variables": {variable.name: variable.summary for variable in described.variables},
        },
    )
    collection.clear_links()
    collection.add_link(pystac.Link("root", f"./{COLLECTION}", "application/json"))
    collection.add_links([*licence_links(described.definitions), *source_links(cube)])
    for name, href in item_hrefs.items():
        collection.add_link(pystac.Link("item", href, "application/geo+json", title=name))
    return collection


def days_of(period: Period) -> tuple[datetime, datetime]:
    """Return the first and the last second of a period, because an interval of STAC includes its end."""
    return _midnight(period.start), _midnight(period.end) - _SECOND


def _dimensions(described: Described) -> dict[str, Any]:
    cube, grid = described.cube, described.cube.grid
    west, south, east, north = grid.bounds
    crs = next(iter(described.reference_system.values()))
    code = crs.rpartition(":")[2]
    system: int | str = int(code) if crs.startswith("EPSG:") and code.isdigit() else crs
    starts = [days_of(period)[0] for period in cube.periods]
    end = max(days_of(period)[1] for period in cube.periods)
    rows, columns = grid.axes
    shared = {"type": "spatial", "reference_system": system}
    found: dict[str, Any] = {
        "time": {"type": "temporal", "extent": [_text(starts[0]), _text(end)], "values": [*map(_text, starts)]},
        rows: {**shared, "axis": "y", "extent": [south, north], "step": grid.lattice.step_y},
        columns: {**shared, "axis": "x", "extent": [west, east], "step": grid.lattice.step_x},
    }
    if any("band" in variable.dimensions for variable in described.variables):
        found["band"] = {"type": "bands", "values": list(cube.config.bands)}
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
