"""The variables of a store as STAC describes them, from the metadata of the store alone (pure).

Bands, data types, scales, flags and their meanings come from the CF attributes. A variable that a later version adds is
therefore described too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BASE_GROUP = "0"
"""Group of the full resolution in a store with several resolutions."""
_DATA_TYPES = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}


@dataclass(frozen=True, slots=True)
class Variable:
    """An array of pixels."""

    name: str
    path: str
    """Path of the array, relative to the store."""
    dimensions: tuple[str, ...]
    data_type: str
    fill: Any
    attributes: Mapping[str, Any]

    @property
    def nodata(self) -> float | str | None:
        """Number of nodata in the encoding of STAC; None if every number is a value."""
        found = self.attributes.get("_FillValue")
        if type(found) in (int, float):
            return found
        return "nan" if self.data_type.startswith("float") else None

    def fields(self, bands: Sequence[str]) -> dict[str, Any]:
        """Return the fields of an asset for this variable.

        Parameters
        ----------
        bands : sequence of str
            Names of the bands of a variable that has the dimension `band`.
        """
        found: dict[str, Any] = {"data_type": self.data_type if self.data_type in _DATA_TYPES else "other"}
        if self.nodata is not None:
            found["nodata"] = self.nodata
        for field, attribute in (("raster:scale", "scale_factor"), ("raster:offset", "add_offset")):
            if type(self.attributes.get(attribute)) in (int, float):
                found[field] = self.attributes[attribute]
        if "band" in self.dimensions:
            found["bands"] = [{"name": band} for band in bands]
        return found | _classes(self.attributes)

    @property
    def summary(self) -> dict[str, Any]:
        """The variable in the encoding of the datacube extension."""
        is_data = "flag_meanings" not in self.attributes and "scale_factor" in self.attributes
        found = {"dimensions": list(self.dimensions), "type": "data" if is_data else "auxiliary"}
        found |= {"description": self.title, "data_type": self.fields(())["data_type"]}
        return found if self.nodata is None else found | {"nodata": self.nodata}

    @property
    def title(self) -> str:
        """The long name, or the name of the array."""
        return str(self.attributes.get("long_name") or self.name)


def variables_of(metadata: Mapping[str, Any]) -> list[Variable]:
    """Return the arrays (time, y, x) and (time, y, x, band) of a store, of the full resolution only.

    Parameters
    ----------
    metadata : mapping
        The document of the group, with consolidated metadata.

    Raises
    ------
    KeyError, TypeError, AttributeError
        If the document is damaged.
    """
    found = []
    for path, array in sorted(metadata["consolidated_metadata"]["metadata"].items()):
        group, _, name = path.rpartition("/")
        dimensions = tuple(array.get("dimension_names") or ())
        if group in ("", BASE_GROUP) and len(dimensions) >= 3 and dimensions[0] == "time":
            attributes = dict(array.get("attributes") or {})
            found.append(Variable(name, path, dimensions, str(array["data_type"]), array["fill_value"], attributes))
    return found


def _classes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes of CF flags: numbers, or single bits."""
    names = str(attributes.get("flag_meanings") or "").split()
    values, masks = attributes.get("flag_values"), attributes.get("flag_masks")
    if names and isinstance(values, list) and masks is None and len(values) == len(names):
        return {"classification:classes": [_class(*pair) for pair in zip(values, names, strict=True)]}
    if names and isinstance(masks, list) and values is None and len(masks) == len(names):
        return {"classification:bitfields": [_bit(mask, name) for mask, name in zip(masks, names, strict=True)]}
    return {}


def _bit(mask: int, name: str) -> dict[str, Any]:
    classes = [_class(0, f"no_{name}"), _class(1, name)]
    return {"name": name, "offset": (mask & -mask).bit_length() - 1, "length": 1, "classes": classes}


def _class(value: int, name: str) -> dict[str, Any]:
    return {"value": value, "name": name, "description": name.replace("_", " ")}
