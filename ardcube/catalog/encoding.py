"""Scale, offset, data type and nodata of the reflectance in a file, as items and definitions state them (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np

from ardcube.catalog.bands import candidates, in_one_line, raster_number, raster_value
from ardcube.catalog.malformed import MALFORMED, Item, printable_id
from ardcube.collections.model import Definition
from ardcube.collections.parts import OffsetRule
from ardcube.config.encoding import USUAL_SCALE
from ardcube.errors import SceneError

_APPLIED = "boa_offset_applied"
"""Name of the property that says that the offset was already added to the pixels, after any prefix."""
_DTYPES = ("uint8", "uint16", "int16")
_UNSIGNED_DTYPES = ("uint8", "uint16")
_SIGNED_DTYPES = ("int16",)
_OTHER_DTYPES = (
    "int8", "int32", "int64", "uint32", "uint64", "float16", "float32", "float64", "cint16", "cint32",
    "cfloat32", "cfloat64",
)  # fmt: skip
"""Data types of the STAC raster extension that no reader supports."""
_LARGEST_SCALE = 0.1
"""Smallest scale that is none of reflectance: 0.1 in 8 bits."""
_DIGITS = 7
"""Decimal places of an offset: 0.001 digital numbers. Some catalogues state -0.1 in single precision."""


@dataclass(frozen=True, slots=True)
class ItemEncoding:
    """The documents that describe the encoding of an item's bands: the item, its collection, its definition."""

    item: Item
    collection: Item | None
    definition: Definition | None
    rule: OffsetRule | None
    """Rule of the definition for the offset of this item."""

    @classmethod
    def of(cls, item: Item, collection: Item | None, definition: Definition | None = None) -> Self:
        """Return the encoding of an item."""
        return cls(item, collection, definition, None if definition is None else definition.rule(item))

    def numbers(self, key: str, band: str) -> tuple[float | None, float | None]:
        """Return scale and offset of the reflectance in an asset, each None if it is unknown.

        Each of the two comes from the item, else from its collection's `item_assets`, else from the definition. An
        offset is 0 if asset, item or collection says that it was applied. A rule of the definition that has a reason
        precedes them.

        Parameters
        ----------
        key, band : str
            Key of the asset, and name of the band.
        """
        scale, offset = self._stated(key, band, "scale"), self._stated(key, band, "offset")
        if offset != 0 and _is_applied(self.item, key, band, self.collection):
            offset = 0.0
        if self.definition is not None:
            scale = self.definition.scale(key) if scale is None else scale
            if offset is None or self._is_overridden(key):
                offset = self.definition.offset(key, self.rule)
        return scale, offset

    def reflectance(self, key: str, band: str) -> tuple[float, float]:
        """Return scale and offset of the reflectance in an asset.

        Raises
        ------
        SceneError
            If scale or offset is unknown, implausible, or not supported.
        """
        scale, offset = self.numbers(key, band)
        problem = _problem(band, scale, offset)
        if problem or scale is None or offset is None:
            raise SceneError(f"item {printable_id(self.item)}: {problem}")
        return as_used(scale, offset)

    def contradiction(self, key: str, band: str, used: tuple[float, float]) -> str:
        """Return the difference between the encoding that is used and the one of the definition, or an empty text."""
        if self.definition is None:
            return ""
        dtype, defined = self._dtype(key, band), self.definition.data_type(key)
        if dtype in _DTYPES and defined in _DTYPES and (dtype in _SIGNED_DTYPES) != (defined in _SIGNED_DTYPES):
            return (
                f"band {band} is {dtype} by its items or collection, and definition {self.definition.name} expects "
                f"{defined}; reflectance that {defined} cannot hold may be clipped"
            )
        expected = self.definition.scale(key), self.definition.offset(key, self.rule)
        for name, ours, theirs in zip(("scale", "offset"), used, expected, strict=True):
            if theirs is not None and not math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=10**-_DIGITS):
                return (
                    f"band {band} has the {name} {ours:g} by its items or collection, and definition "
                    f"{self.definition.name} expects {theirs:g}; the items are followed"
                )
        return ""

    def dtype(self, key: str, band: str, *, is_reflectance: bool = True) -> str:
        """Return the data type that the file must have, or an empty text.

        It is the one that the asset states. A signed type may be stated by the collection or the definition as well,
        because the cube's encoding depends on it.

        Parameters
        ----------
        key, band : str
            Key of the asset, and name of the band.
        is_reflectance : bool
            Whether the numbers are reflectance; categories are unsigned.

        Raises
        ------
        SceneError
            If files of this data type cannot be read.
        """
        dtype, supported = self._dtype(key, band), _DTYPES if is_reflectance else _UNSIGNED_DTYPES
        if dtype in (*_DTYPES, *_OTHER_DTYPES) and dtype not in supported:
            raise SceneError(
                f"item {printable_id(self.item)}: band {band} is {dtype}; only {in_one_line(supported)} are supported: "
                "choose another band or collection"
            )
        return stated_dtype(self.item["assets"][key]) or (str(dtype) if dtype in _SIGNED_DTYPES else "")

    def _dtype(self, key: str, band: str) -> str | None:
        """Return the data type from the item, else from its collection, else from the definition, or None.

        Other texts, such as `other` of the raster extension, and numbers state none.
        """
        assets = chain([self.item["assets"][key]], _assets_of(self.collection, key, band))
        stated = next(filter(None, map(stated_dtype, assets)), None)
        return self.definition.data_type(key) if stated is None and self.definition is not None else stated

    def nodata(self, key: str, band: str) -> int | None:
        """Return the digital number of nodata that is stated, also as text; None if no file can hold it.

        A negative number counts if the data type that is stated holds it.

        Raises
        ------
        SceneError
            If the stated value is no number.
        """
        nodata = self._value(key, band, "nodata")
        if nodata is None and self.definition is not None:
            nodata = self.definition.nodata(key)
        if nodata is None:
            return None
        try:
            if isinstance(nodata, bool):
                raise TypeError
            number = float(nodata)
        except (TypeError, ValueError) as error:
            raise SceneError(
                f"item {printable_id(self.item)}: the nodata of band {band} is no number ({nodata!s:.50}); correct the "
                "item or its collection"
            ) from error
        limits = np.iinfo("int16" if self._dtype(key, band) in _SIGNED_DTYPES else "uint16")
        return int(number) if limits.min <= number <= limits.max and number.is_integer() else None

    def _is_overridden(self, key: str) -> bool:
        return (
            self.definition is not None
            and self.rule is not None
            and self.rule.overrides is not None
            and self.definition.uses_rule(key)
        )

    def _stated(self, key: str, band: str, name: str) -> float | None:
        """Return a number from the item, else from its collection, or None."""
        number = raster_number(self.item["assets"][key], name)
        if number is None:
            found = (raster_number(asset, name) for asset in _assets_of(self.collection, key, band))
            number = next((number for number in found if number is not None), None)
        return number

    def _value(self, key: str, band: str, name: str) -> Any:
        """Return a value of the raster extension from the item, else from its collection, or None."""
        value = raster_value(self.item["assets"][key], name)
        if value is None:
            found = (raster_value(asset, name) for asset in _assets_of(self.collection, key, band))
            value = next((value for value in found if value is not None), None)
        return value


def stated_dtype(asset: Mapping[str, Any]) -> str:
    """Return the data type that an asset states, or an empty text if it states none that is known."""
    dtype = raster_value(asset, "data_type")
    return dtype if dtype in (*_DTYPES, *_OTHER_DTYPES) else ""


def stated_encodings(collection: Item | None, band: str) -> list[tuple[float, float, str]]:
    """Return scale, offset and data type of a band, as its collection states them: those that can be used.

    The data type is empty if it is not stated.
    """
    found = []
    for asset in _assets_of(collection, band, band):
        scale, offset = _number(asset, "scale"), _number(asset, "offset")
        if _problem(band, scale, offset) is None and scale is not None and offset is not None:
            found.append((*as_used(scale, offset), stated_dtype(asset)))
    return found


def as_used(scale: float, offset: float) -> tuple[float, float]:
    """Return scale and offset as decimal numbers: some catalogues state them in single precision."""
    if math.isclose(scale, USUAL_SCALE, rel_tol=1e-6):
        return USUAL_SCALE, round(offset, _DIGITS)
    return _decimal(scale), _decimal(offset)


def states_encoding(collection: Item | None, band: str) -> bool:
    """Return whether the collection states a usable scale and offset of a band."""
    return any(
        _problem(band, _number(asset, "scale"), _number(asset, "offset")) is None
        for asset in _assets_of(collection, band, band)
    )


def _assets_of(document: Item | None, key: str, band: str) -> Iterator[Mapping[str, Any]]:
    """Yield what a collection says of an asset, by the key of the item's asset, else by the name of the band."""
    assets = (document or {}).get("item_assets") or {}
    for name in [key] if key in assets else candidates(assets, band):
        yield assets[name]


def _is_applied(item: Item, key: str, band: str, collection: Item | None) -> bool:
    """Return whether the offset was already applied: by the asset, else the item, else its collection.

    Earth Search's `sentinel-2-l2a` items from baseline 04.00 on state the offset -0.1 nevertheless.

    Raises
    ------
    SceneError
        If one of them states several answers, or none that is true or false.
    """
    described = [*_parts(item["assets"][key])], [item.get("properties") or {}]
    of_collection = [part for asset in _assets_of(collection, key, band) for part in _parts(asset)]
    for place, documents in zip(
        ("asset", "properties", "item_assets of its collection", "summaries of its collection"),
        (*described, of_collection, [(collection or {}).get("summaries") or {}]),
        strict=True,
    ):
        stated = {answer for document in documents for answer in _flags(document)}
        if not stated:
            continue
        if stated <= {"true", "false"} and len(stated) == 1:
            return stated == {"true"}
        raise SceneError(
            f"item {printable_id(item)}: its {place} does not say whether the offset was applied ({_APPLIED}: "
            f"{in_one_line(sorted(stated)):.100}); state true or false in the item, or remove it from the catalogue"
        )
    return False


def _parts(asset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield an asset and the descriptions of its first band."""
    yield asset
    yield from (bands[0] for name in ("raster:bands", "bands") if (bands := asset.get(name)))


def _flags(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a document states under each name of the flag, as text; a summary is a list of the values of items."""
    for name, value in document.items():
        if name.rpartition(":")[2] == _APPLIED:
            yield from (str(one).lower() for one in (value if isinstance(value, list) else [value]) if one is not None)


def _problem(band: str, scale: float | None, offset: float | None) -> str | None:
    """Return why an encoding cannot be used and what to do, or None."""
    missing = " and ".join(name for name, value in (("scale", scale), ("offset", offset)) if value is None)
    if missing or scale is None or offset is None:
        return (
            f"band {band} states no {missing}; add scale and offset to raster:bands (STAC 1.0) or as raster:scale and "
            "raster:offset (STAC 1.1) to the item or to item_assets of its collection, name a definition of the "
            "collection with --definition, or choose a reflectance band"
        )
    if not (0 < scale < math.inf):
        return f"band {band} has the scale {scale:g}; a scale is above 0: correct the item or its collection"
    if scale >= _LARGEST_SCALE:
        return (
            f"band {band} has the scale {scale:g}; a scale of reflectance is below {_LARGEST_SCALE}: correct the item "
            "or its collection, or choose a reflectance band"
        )
    if not -1 <= offset <= 1:
        advice = "an offset of reflectance is within -1..1"
        if offset.is_integer():
            advice = f"{advice}: it seems to be BOA_ADD_OFFSET in digital numbers, so state {offset * scale:g}"
        return f"band {band} has the offset {offset:g}; {advice}"
    return None


def _decimal(number: float) -> float:
    """Return the shortest decimal of a number that was stated in single precision, else the number itself."""
    single = np.float32(number)
    return float(str(single)) if float(single) == number else number


def _number(asset: Mapping[str, Any], name: str) -> float | None:
    """Return a number that a collection states, or None if it states nothing usable."""
    try:
        value = raster_number(asset, name)
    except MALFORMED:
        return None
    return value if value is not None and math.isfinite(value) else None
