"""Adapt the JSON schema of the models to Prefect: titles, order and choices of its form, and refusals by its server.

Prefect draws the form of a deployment from this schema. Its server validates parameters with it before a run exists.
Rules about two fields are not part of the schema; the models check them when the run starts.
"""

import os
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

REFLECTANCE_BANDS = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16", "swir22",
)  # fmt: skip
"""Bands of Sentinel-2 L2A that the form offers, by their names in Earth Search."""
CLOUD_MASKS = ("auto", "cloud_probability", "fmask", "none", "qa_pixel", "scl")
"""Built-in cloud masks, which are defined in a package that this one does not import."""
_DEGREES = {"west": (-180, 180), "south": (-90, 90), "east": (-180, 540), "north": (-90, 90)}
EDGES = tuple(_DEGREES)
"""Edges of a bounding box, in the order of a list of four numbers."""
_OTHER_BANDS = 16
COMPOSITES = (
    "median", "mean", "min", "max", "std", "geomedian", "mads", "medoid", "nearest-to-median", "max-ndvi", "first",
    "last", "best-pixel", "least-cloudy",
)  # fmt: skip
"""Built-in composites that need no parameters."""
MOST_COMPOSITES = 16
"""Composites that a cube may have."""
CLUSTER_CLASSES = (
    "dask_gateway.GatewayCluster", "dask_kubernetes.operator.KubeCluster", "dask_jobqueue.SLURMCluster",
    "distributed.SSHCluster", "distributed.LocalCluster",
)  # fmt: skip
"""Classes of Dask clusters that a run may create."""
CLASSES_VARIABLE = "ARDCUBE_CLUSTER_CLASSES"
"""Variable of the environment with further classes, separated by commas."""
_DEPTH = 3
"""Levels of nested mappings in which the server searches for secrets; the model searches all levels."""
_BLOCK_ID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
"""Regular expression for the id of a block."""
BLOCK = "$ref"
"""Name of a reference to a block of the server, in parameters."""
NO_BLOCK = "options without a block; name a Secret block with credentials in the field credentials block"
_LAST = ("overwrite", "break_lease", "max_chunks", "yes", "dry_run", "debug", "epsg", "storage_backend")
"""Fields at the end of the form, because they are dangerous or rarely needed."""


def adapt(schema: Schema, _model: type) -> None:
    """Change the schema of a model in place: show optional fields without null, single values as choices, an order."""
    fields: dict[str, Schema] = schema["properties"]
    names = sorted(fields, key=lambda name: _LAST.index(name) if name in _LAST else -1)
    for position, field in enumerate(fields[name] for name in names):
        field["position"] = position  # PostgreSQL does not keep the order of an object's names
        kinds = field.get("anyOf", [])
        is_optional = len(kinds) == 2 and kinds[1] == {"type": "null"} and "default" in field
        if is_optional:
            del field["anyOf"], field["default"]  # the server accepts null for an optional field anyway
            field.update({name: value for name, value in kinds[0].items() if name not in field})
        if "const" in field:  # shown as a choice instead of a text field
            field["enum"] = [field.pop("const"), None] if is_optional else [field["const"]]


def expects(condition: Schema, expected: str) -> Schema:
    """Refuse a value that does not meet a condition.

    JSON schema has no messages, and its errors quote the value, which may be a secret. The server reports this
    condition as "'<expected>' was expected".
    """
    return {"if": condition, "else": {"const": expected}}


def bounding_box(field: Schema) -> None:
    """Show four labelled numbers; accept a list of four numbers as well."""
    numbers = {
        edge: {
            "type": "number", "title": f"{edge.capitalize()} (degrees)",
            "minimum": low, "maximum": high, "position": position,
        }
        for position, (edge, (low, high)) in enumerate(_DEGREES.items())
    }  # fmt: skip
    edges = {"type": "object", "properties": numbers, "required": [*EDGES], "additionalProperties": False}
    numbers_in_order = next(kind for kind in field["anyOf"] if kind["type"] == "array")
    field["anyOf"] = [
        {"title": "Four edges", **edges},
        {"title": "A list", **numbers_in_order},
        {"title": "None", "type": "null"},
    ]


def without(pattern: str, expected: str, *, lists: bool) -> Schema:
    """Refuse a text that matches a pattern, and with `lists` a list that contains such a text."""
    text = {"type": "string", "pattern": pattern}
    return expects({"not": {"anyOf": [text, {"type": "array", "contains": text}]} if lists else text}, expected)


def one_or_several(noun: str, conditions: Schema) -> Callable[[Schema], None]:
    """Return a function that shows a text or a list of texts; conditions hold for both."""

    def show(field: Schema) -> None:
        several = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
        kinds = [{"title": f"One {noun}", "type": "string"}, {"title": f"Several {noun}s", **several}]
        if {"type": "null"} in field["anyOf"]:
            kinds.append({"title": "None", "type": "null"})
        field.update({"anyOf": kinds, **conditions})

    return show


def bands(field: Schema) -> None:
    """Offer the known bands as a multiple choice; accept other names in the first `_OTHER_BANDS` positions.

    The form shows `items` as choices. For the server, `items` applies only to the positions after `prefixItems`.
    """
    field["prefixItems"] = [
        {"type": "string", **expects({"pattern": "^[^,]*$"}, "one name without comma")}
    ] * _OTHER_BANDS
    field["items"] = {"type": "string", "enum": [*REFLECTANCE_BANDS]}
    field["uniqueItems"] = True


def composites(field: Schema) -> None:
    """Offer the composites without parameters as a multiple choice; accept parameters and other names as well."""
    written = {"pattern": "^[a-z][a-z0-9-]*(:.+)?$"}
    field["prefixItems"] = [{"type": "string", **expects(written, "NAME or NAME:PARAMETERS")}] * MOST_COMPOSITES
    field["items"] = {"type": "string", "enum": [*COMPOSITES]}
    field["uniqueItems"] = True


def cloud_masks(field: Schema) -> None:
    """Offer the masks that are installed where the deployment is created."""
    from importlib.metadata import entry_points  # slow to import, and only a deployment needs it

    names = {*CLOUD_MASKS, *(point.name for point in entry_points(group="ardcube.cloud_masks"))}
    field["enum"] = sorted(names)


def allowed_clusters() -> list[str]:
    """Return the classes of clusters that a run may create, with those that the environment of this process allows."""
    more = (name.strip() for name in os.environ.get(CLASSES_VARIABLE, "").split(","))
    return [*CLUSTER_CLASSES, *(name for name in more if name and name not in CLUSTER_CLASSES)]


def cluster_classes(field: Schema) -> None:
    """Offer the classes of clusters that are allowed where the deployment is created."""
    field["enum"] = [*allowed_clusters(), None]


def two_counts(field: Schema) -> None:
    """Show a list of two numbers of workers."""
    count = {"type": "integer", "minimum": 0, "maximum": 10_000}
    del field["anyOf"], field["default"]
    field |= {"type": "array", "items": count, "minItems": 2, "maxItems": 2}


def secret_block(field: Schema) -> None:
    """Offer the Secret blocks of the server; accept a reference or a name, because a parameter never has the secret."""
    del field["anyOf"], field["default"]
    block_id = {"type": "string", "pattern": _BLOCK_ID}
    block = {"type": "object", "properties": {"block_document_id": block_id}, "required": ["block_document_id"]}
    known = expects({"anyOf": [block_id, block]}, "the id of a block, as `COLUMNS=200 prefect block ls` shows it")
    reference = {"properties": {BLOCK: known}, "required": [BLOCK], "additionalProperties": False}
    field |= {"block_type_slug": "secret", "type": ["string", "object", "null"], **reference}


def without_secrets(names: str, expected: str, texts: Schema) -> Schema:
    """Refuse names that match a pattern, blocks, and other texts than a schema has, in a mapping of `_DEPTH` levels."""
    schema: Schema = texts
    allowed = [expects({"not": {"pattern": names}}, expected), expects({"not": {"const": BLOCK}}, NO_BLOCK)]
    for _ in range(_DEPTH):
        level = {"propertyNames": {"allOf": allowed}, **texts}
        schema = {**level, "additionalProperties": schema, "items": schema}
    return schema
