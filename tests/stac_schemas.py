"""Validate STAC documents without network: the core by the schemas of pystac, extensions by the rules of their fields.

The rules are those of the specifications of the extensions, written for the fields that cubes have. The schemas of the
extensions are on the network alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string", "minLength": 1}
_NUMBER: Schema = {"type": "number"}


def _list(items: Schema, *lengths: int) -> Schema:
    return {"type": "array", "items": items, "oneOf": [{"minItems": n, "maxItems": n} for n in lengths]}


def _record(required: str, **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": required.split()}


_DIMENSION: Schema = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "axis": {"enum": ["x", "y", "z"]},
        "extent": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": ["number", "string", "null"]}},
        "values": {"type": "array", "minItems": 1, "items": {"type": ["number", "string"]}},
        "step": {"type": ["number", "string", "null"]},
        "reference_system": {"type": ["string", "number", "object"]},
    },
    "allOf": [
        {
            "if": {"properties": {"type": {"const": "spatial"}}},
            "then": {"required": ["axis", "extent"]},
        },
        {
            "if": {"properties": {"type": {"const": "temporal"}}},
            "then": {"required": ["extent"]},
        },
        {
            "if": {"properties": {"type": {"const": "bands"}}},
            "then": {"required": ["values"], "properties": {"values": {"items": {"type": "string"}}}},
        },
    ],
}
_VARIABLE = _record(
    "dimensions type",
    dimensions={"type": "array", "items": _TEXT},
    type={"enum": ["data", "auxiliary"]},
    description=_TEXT,
    unit=_TEXT,
    nodata={"type": ["number", "string"]},
    data_type=_TEXT,
)
_CLASS = _record(
    "value description",
    value={"type": "integer"},
    description=_TEXT,
    name={"type": "string", "pattern": "^[0-9A-Za-z-_]+$"},
)
_FIELDS: dict[str, dict[str, Schema]] = {
    "projection/v2.0.0": {
        "proj:code": {
            "oneOf": [
                {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9]+$"},
                {"type": "array", "minItems": 1, "items": {"type": ["string", "null"]}},  # of a summary
            ]
        },
        "proj:wkt2": {"type": ["string", "null"], "pattern": "^(GEOG|PROJ|BOUND|COMPOUND)[A-Z]*CRS"},
        "proj:bbox": _list(_NUMBER, 4, 6),
        "proj:shape": _list({"type": "integer", "minimum": 1}, 2),
        "proj:transform": _list(_NUMBER, 6, 9),
    },
    "raster/v2.0.0": {
        "raster:scale": _NUMBER,
        "raster:offset": _NUMBER,
        "raster:spatial_resolution": {"type": "number", "exclusiveMinimum": 0},
        "raster:sampling": {"enum": ["area", "point"]},
    },
    "classification/v1.1.0": {"classification:classes": {"type": "array", "minItems": 1, "items": _CLASS}},
    "datacube/v2.2.0": {
        "cube:dimensions": {"type": "object", "minProperties": 1, "additionalProperties": _DIMENSION},
        "cube:variables": {"type": "object", "minProperties": 1, "additionalProperties": _VARIABLE},
    },
    "processing/v1.2.0": {
        "processing:software": {"type": "object", "minProperties": 1, "additionalProperties": _TEXT},
        "processing:level": {"oneOf": [{"enum": ["L3"]}, {"const": ["L3"]}]},
        "processing:lineage": _TEXT,
    },
    "xarray-assets/v1.0.0": {
        "xarray:open_kwargs": {"type": "object"},
        "xarray:storage_options": {"type": "object"},
    },
    "zarr/v1.1.0": {
        "zarr:consolidated": {"type": "boolean"},
        "zarr:node_type": {"enum": ["array", "group"]},
        "zarr:zarr_format": {"enum": [2, 3]},
    },
}


def validate(document: dict[str, Any]) -> None:
    """Validate an Item or a Collection.

    Raises
    ------
    pystac.errors.STACValidationError
        If the core of the document is invalid.
    AssertionError, jsonschema.ValidationError
        If it declares an extension of which it has no field, has a field of one that it does not declare, or a field
        is invalid.
    """
    kind = {"Feature": pystac.STACObjectType.ITEM, "Collection": pystac.STACObjectType.COLLECTION}[document["type"]]
    JsonSchemaSTACValidator().validate_core(document, kind, document["stac_version"])
    address = "https://stac-extensions.github.io/{}/schema.json"
    declared = {name for name in _FIELDS if address.format(name) in document["stac_extensions"]}
    assert len(declared) == len(document["stac_extensions"]), document["stac_extensions"]
    rules = {field: (name, schema) for name, fields in _FIELDS.items() for field, schema in fields.items()}
    used = set()
    for field, value in _fields(document):
        if ":" not in field or field.startswith(("ardcube:", "icechunk:", "stac:")):
            continue
        extension, schema = rules[field]
        jsonschema.validate(value, schema)
        used.add(extension)
    assert used == declared


def validate_folder(folder: Path) -> list[dict[str, Any]]:
    """Return the Collection and the Items of a folder after validation."""
    collection = json.loads((folder / "collection.json").read_text())
    links = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    documents = [collection, *(json.loads((folder / link).read_text()) for link in links)]
    for document in documents:
        validate(document)
    return documents


def _fields(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a document, of its properties or summaries, of its assets and of their bands."""
    for part in (document, document.get("properties", {}), document.get("summaries", {})):
        yield from part.items()
    for asset in [*document.get("assets", {}).values(), *document.get("item_assets", {}).values()]:
        yield from asset.items()
        for band in asset.get("bands", ()):
            yield from band.items()
