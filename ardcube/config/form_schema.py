"""What Prefect's form shows, and what its server refuses before a run starts, as JSON schema of the models' fields.

The server knows nothing of the models but this schema. Its pages read types, titles, choices and positions, and
nothing of conditions; the server checks the conditions too. It writes its messages itself, so a condition of ours
is one that expects our words: "'bbox or geometry_file, not both' was expected".
"""

from typing import Any

Schema = dict[str, Any]

REFLECTANCE_BANDS = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16", "swir22",
)  # fmt: skip
"""Bands of Sentinel-2 L2A that the form offers, by their names in Earth Search."""
EDGES = ("west", "south", "east", "north")
"""Edges of a bounding box, in the order of a list of four numbers."""

_OTHER_BANDS = 16
_DEPTH = 3
"""Mappings within mappings in which the server looks for secrets; the model looks at all."""
_LAST = ("overwrite", "break_lease", "max_chunks", "yes", "dry_run", "debug", "epsg", "storage_backend")
"""Fields that are rarely touched, or better not."""


def present(schema: Schema, _model: type) -> None:
    """Change the JSON schema of a model in place: optional fields without a null, choices, an order, and conditions."""
    properties: Schema = schema["properties"]
    for field in properties.values():
        _leave_out_null(field)
        if field.get("format") == "date":
            field.update(expects({"pattern": r"^\d{4}-\d{2}-\d{2}"}, "a date like 2023-01-01"))
        if "const" in field:
            field["enum"] = [field["const"]]  # the pages show a choice, not a text that takes one value
    names = sorted(properties, key=lambda name: _LAST.index(name) if name in _LAST else -1)
    for position, name in enumerate(names):
        properties[name]["position"] = position  # PostgreSQL forgets the order of an object's names
    schema["dependentSchemas"] = {
        name: _refused(conditions, {"properties": {name: {"const": expected}}})
        for name, (conditions, expected) in _CONDITIONS.items()
        if name in properties
    }
    if "bbox" in properties:
        schema |= _refused((_missing("bbox"), _missing("geometry_file")), {"const": _NO_AREA})


def expects(condition: Schema, expected: str) -> Schema:
    """Refuse a value that does not meet a condition, in words of ours."""
    return {"if": condition, "else": {"const": expected}}


def bounding_box(field: Schema) -> None:
    """Show four numbers with names; a list of four is as good."""
    label = {"west": "West", "south": "South", "east": "East", "north": "North"}
    bounds = {"west": (-180, 180), "south": (-90, 90), "east": (-180, 540), "north": (-90, 90)}
    numbers = {
        edge: {
            "type": "number", "title": f"{label[edge]} (degrees)",
            "minimum": bounds[edge][0], "maximum": bounds[edge][1], "position": position,
        }
        for position, edge in enumerate(EDGES)
    }  # fmt: skip
    edges = {"type": "object", "properties": numbers, "required": [*EDGES], "additionalProperties": False}
    listed = next(kind for kind in field["anyOf"] if kind["type"] == "array")
    field["anyOf"] = [
        {"title": "Four edges", **edges},
        {"title": "A list", **listed},
        {"title": "None", "type": "null"},
    ]
    # Of a value that is none of the three the server says just that; this names the number that is missing.
    field |= {"if": {"type": "object"}, "then": {"required": [*EDGES]}}


def bands(field: Schema) -> None:
    """Offer the known bands; those of other collections are as good.

    The pages make a multiple choice of `items`, which is, after `prefixItems`, the rule for what comes behind them.
    """
    field["prefixItems"] = [{"type": "string"}] * _OTHER_BANDS
    field["items"] = {"type": "string", "enum": [*REFLECTANCE_BANDS]}
    field["uniqueItems"] = True


def cloud_masks(field: Schema) -> None:
    """Offer the masks that are installed where the deployment is made."""
    from importlib.metadata import entry_points  # slow to import, and only a deployment needs it

    names = {"none", "scl", *(point.name for point in entry_points(group="ardcube.cloud_masks"))}
    field["enum"] = sorted(names)


def secret_block(field: Schema) -> None:
    """Let a block be picked. Its reference, its name and none are as good; the block itself is never in a parameter."""
    del field["anyOf"], field["default"]
    reference = {"properties": {"$ref": {}}, "required": ["$ref"], "additionalProperties": False}
    field |= {"block_type_slug": "secret", "type": ["string", "object", "null"], **reference}


def without_names(pattern: str, expected: str, texts: Schema) -> Schema:
    """Refuse names that match a pattern and texts that miss a schema, in a mapping and in mappings within it."""
    kept = {"propertyNames": expects({"not": {"pattern": pattern}}, expected)}
    schema: Schema = texts
    for _ in range(_DEPTH):
        schema = {**kept, **texts, "additionalProperties": schema, "items": schema}
    return schema


def _leave_out_null(field: Schema) -> None:
    """Show an optional field as what it is when it is given; the server accepts a null there all the same."""
    kinds = field.get("anyOf", [])
    if len(kinds) == 2 and kinds[1] == {"type": "null"} and "default" in field:
        del field["anyOf"], field["default"]
        field.update({name: value for name, value in kinds[0].items() if name not in field})


# When a deployment is made, and not a run, the server drops each `required` that it finds without looking into lists,
# so that parameters may be left for the form. Conditions are nested for that, and one that a name is missing asks for
# nothing then.
def _refused(conditions: tuple[Schema, ...], then: Schema) -> Schema:
    for condition in reversed(conditions):
        then = {"if": condition, "then": then}
    return then


def _given(name: str) -> Schema:
    return {"not": {"properties": {name: {"type": "null"}}}}


def _missing(name: str) -> Schema:
    return {"not": {"required": [name], "properties": {name: {"not": {"type": "null"}}}}}


def _is(name: str, value: Any) -> Schema:
    return {"not": {"properties": {name: {"not": {"const": value}}}}}


def _is_not(name: str, value: Any) -> Schema:
    return {"not": {"required": [name], "properties": {name: {"const": value}}}}


_MONTHS = (
    (0, tuple(str(decade) for decade in range(198, 206))),
    (3, tuple("0123456789")),
    (5, tuple(f"{month:02}" for month in range(1, 13))),
)
"""Where decade, year and month stand in a date, and what they are, in their order; no scenes are of other decades.

The server reads the whole schema for every run that is asked for, so it is kept small.
"""


def _month_before(early: str, late: str) -> Schema:
    """The month of one field lies before that of another: part by part, since JSON schema compares no two values."""
    condition: Schema | None = None
    for start, parts in reversed(_MONTHS):
        below = [
            _parts(start, {late: part, early: "|".join(parts[:place])}) for place, part in enumerate(parts) if place
        ]
        if condition is not None:
            equal = [_parts(start, {late: part, early: part}) for part in parts]
            below.append({"allOf": [{"anyOf": equal}, condition]})
        condition = {"anyOf": below}
    assert condition is not None
    return condition


def _parts(start: int, wanted: dict[str, str]) -> Schema:
    return {"properties": {name: {"pattern": f"^.{{{start}}}({part})"} for name, part in wanted.items()}}


_NO_AREA = "bbox or geometry_file; give one of them"
_CONDITIONS: dict[str, tuple[tuple[Schema, ...], str]] = {
    "end_date": (
        (_given("start_date"), _given("end_date"), _month_before("end_date", "start_date")),
        "the month of start_date or a later one; swap them",
    ),
    "geometry_file": (
        (_given("bbox"), _given("geometry_file")),
        "bbox or geometry_file, not both; give one of them",
    ),
    "use_geometry_mask": (
        (_is("use_geometry_mask", True), _missing("geometry_file")),
        "false, since use_geometry_mask needs geometry_file; give one or leave the mask out",
    ),
    "serverless_backend": (
        (_is("serverless_backend", "dask"), _missing("scheduler_address")),
        "another backend, since dask needs scheduler_address, such as tcp://host:8786",
    ),
    "scheduler_address": (
        (_given("scheduler_address"), _is_not("serverless_backend", "dask")),
        "no address, since only serverless_backend dask has a use for it",
    ),
    "overwrite": (
        (_is("overwrite", True), _is("initialize", False)),
        "false, since overwrite needs initialize",
    ),
}
"""What no field can tell alone: what is refused, and at which field it is told what was expected."""
