"""A definition: the bands, encoding, classes, acquisition and access of one form of a collection (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from ardcube.collections.condition import Item
from ardcube.collections.parts import Acquisition, Band, BandName, Catalogue, Encoding, Form, OffsetRule, Part, Provider

_WHOLE_RANGE = (1, 65535)
"""Valid range that clips nothing in uint16. Identities of cubes do not contain it."""
_ALL_BITS = 0xFFFF
"""Mask of a test that compares whole numbers of up to 16 bits."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.\-]{0,63}$")]


class Definition(Part):
    """One form of a collection."""

    name: Name
    title: str
    product: str = ""
    """Short name of the product, for titles of cubes, such as `Sentinel-2 L2A`."""
    credit: str = ""
    """Attribution that cubes carry; `{years}` becomes their years."""
    license: str = ""
    """Licence as an SPDX identifier; empty if there is none for it."""
    license_url: str = ""
    """Address of the terms."""
    providers: tuple[Provider, ...] = ()
    sensors: Mapping[str, tuple[str, ...]] = Field(min_length=1)
    """Names of the property `platform`, by sensor."""
    catalogues: tuple[Catalogue, ...] = ()
    recognize: tuple[Form, ...] = ()
    """Forms of items; an item is recognized if it has one of them."""
    encoding: Encoding
    bands: Mapping[BandName, Band] = Field(min_length=1)
    mask: str | None = None
    """Name of the cloud mask that suits the collection."""
    acquisition: Acquisition | None = None
    """Without it, the properties of Sentinel-2 products identify an acquisition."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        owner: dict[str, str] = {}
        for own, band in self.bands.items():
            for name in band.names(own):
                if name in owner:
                    raise ValueError(f"bands {owner[name]} and {own} both have the name {name}")
                owner[name] = own
        return self

    def recognizes(self, item: Item) -> bool:
        """Return whether an item has one of the forms of this definition."""
        return any(form.fits(item) for form in self.recognize)

    def band(self, name: str) -> str | None:
        """Return the band of this definition that has a name, alias, common name or asset key."""
        return self._bands_by_name.get(name)

    def asset_key(self, item: Item, name: str) -> str | None:
        """Return the asset key of a band in an item, or None if the definition or the item lacks the band."""
        own = self._bands_by_name.get(name)
        assets = item.get("assets") or {}
        return None if own is None else next((key for key in self.bands[own].assets if key in assets), None)

    def scale(self, name: str) -> float | None:
        """Return the scale of a band, or None if the numbers are categories or the band is unknown."""
        band = self._found(name)
        if band is None or band.kind == "reflectance":
            return None if band is None else band.scale or self.encoding.scale
        return band.scale

    def rule(self, item: Item) -> OffsetRule | None:
        """Return the rule of the reflectance's offset that holds for an item, or None if its offset is unknown."""
        return next((rule for rule in self.encoding.rules if all(one.holds(item) for one in rule.when)), None)

    def uses_rule(self, name: str) -> bool:
        """Return whether the rule of an item gives the offset of a band: of reflectance without an own offset."""
        band = self._found(name)
        return band is not None and band.kind == "reflectance" and band.offset is None

    def offset(self, name: str, rule: OffsetRule | None) -> float | None:
        """Return the offset of a band in an item whose rule is given, or None if it is unknown."""
        if self.uses_rule(name):
            return None if rule is None else rule.value
        band = self._found(name)
        return None if band is None else band.offset

    def reflectance_encoding(self, item: Item, name: str) -> tuple[float, float] | None:
        """Return scale and offset of a band as this definition has them, or None if one of them is unknown."""
        scale, offset = self.scale(name), self.offset(name, self.rule(item))
        return None if scale is None or offset is None else (scale, offset)

    def nodata(self, name: str) -> int | None:
        """Return the digital number of nodata of a band, or None if there is none."""
        band = self._found(name)
        if band is None or band.nodata is not None or band.kind != "reflectance":
            return None if band is None else band.nodata
        return self.encoding.nodata

    def data_type(self, name: str) -> str | None:
        """Return the data type of a band, or None if it is unknown."""
        band = self._found(name)
        if band is None or band.data_type is not None or band.kind != "reflectance":
            return None if band is None else band.data_type
        return self.encoding.data_type

    def overviews(self, name: str) -> str:
        """Return how overviews of a categorical band were made, such as `mode`, or an empty text if it is unknown."""
        band = self._found(name)
        return "" if band is None or band.overviews == "unknown" else band.overviews

    def class_tests(self, name: str, classes: Iterable[str]) -> dict[str, list[list[int]]]:
        """Return tests of the numbers of some classes of a band, by class: pairs of a mask and a value.

        A number that meets one of the tests, `number & mask == value`, belongs to the class.

        Raises
        ------
        ValueError
            If the band has no classes and bits, or not all of these.
        """
        band = self._found(name)
        if band is None or not (band.bits or band.classes):
            raise ValueError(f"definition {self.name} has no classes of band {name}; add them, or choose another mask")
        tests = {}
        for one in classes:
            numbers = (band.bits or band.classes).get(one)
            if numbers is None or (band.bits and isinstance(numbers, tuple)):
                known = [key for key, value in band.bits.items() if isinstance(value, int)] or list(band.classes)
                problem = "no class" if numbers is None else "several bits as"
                raise ValueError(
                    f"band {name} of definition {self.name} has {problem} {one:.60}; choose from {', '.join(known)}"
                )
            several = numbers if isinstance(numbers, tuple) else (numbers,)
            tests[one] = [[1 << number, 1 << number] if band.bits else [_ALL_BITS, number] for number in several]
        return tests

    def reflectance_encodings(self, name: str) -> list[tuple[float, float]]:
        """Return the scales and offsets that a band of reflectance can have, one for each rule of the offset."""
        band = self._found(name)
        if band is None or band.kind != "reflectance":
            return []
        scale = band.scale or self.encoding.scale
        if band.offset is not None:
            return [(scale, band.offset)]
        return [(scale, rule.value) for rule in self.encoding.rules]

    def pixel_fields(self, names: Iterable[str], classes: Mapping[str, Iterable[str]] | None = None) -> dict[str, Any]:
        """Return the fields that decide on pixels of some bands, as JSON; titles, aliases and reasons do not.

        Parameters
        ----------
        names : iterable of str
            Names of bands.
        classes : mapping, optional
            Names of the classes that decide, by band.
        """
        own = {name: self.bands[self._bands_by_name[name]] for name in names if name in self._bands_by_name}
        deciding = {"assets", "kind", "scale", "offset", "data_type", "nodata", "overviews"}
        encoding = {"scale", "data_type", "nodata"}
        if self.encoding.valid_range != _WHOLE_RANGE:
            encoding.add("valid_range")
        by_name = {
            name: {one: (band.bits or band.classes).get(one) for one in named}
            for name, named in (classes or {}).items()
            if named and (band := self._found(name)) is not None
        }
        found = {"classes": by_name} if by_name else {}
        return found | {
            "recognize": [form.model_dump(mode="json") for form in self.recognize],
            "encoding": self.encoding.model_dump(mode="json", include=encoding),
            "offset": [
                [rule.value, [condition.model_dump(mode="json") for condition in rule.when], rule.overrides is not None]
                for rule in self.encoding.rules
            ],
            "bands": {name: band.model_dump(mode="json", include=deciding) for name, band in own.items()},
            "acquisition": None if self.acquisition is None else self.acquisition.model_dump(mode="json"),
        }

    def sensor(self, item: Item) -> str:
        """Return the sensor of an item, or an empty text if it states a platform that is not known."""
        if len(self.sensors) == 1:
            return next(iter(self.sensors))
        return self.sensor_of_platform(item)

    def sensor_of_platform(self, item: Item) -> str:
        """Return the sensor of the platform that an item states, or an empty text if it is not known."""
        properties = item.get("properties") or {}
        platform = re.sub("[ _]", "-", str(properties.get("platform") or properties.get("eo:platform") or "")).lower()
        return next((sensor for sensor, platforms in self.sensors.items() if platform in platforms), "")

    def _found(self, name: str) -> Band | None:
        own = self._bands_by_name.get(name)
        return None if own is None else self.bands[own]

    @cached_property
    def _bands_by_name(self) -> dict[str, str]:
        """Bands by asset key, then, with precedence, by name."""
        by_key = {key: own for own, band in reversed(list(self.bands.items())) for key in band.assets}
        return by_key | {name: own for own, band in self.bands.items() for name in band.names(own)}
