"""Model of a definition: bands, encoding, classes, acquisition and access of one form of a collection (pure)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ardcube.collections.condition import Condition, Item, Source
from ardcube.errors import InputError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.\-]{0,63}$")]
BandName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
DataType = Literal["uint8", "uint16", "int16", "uint32", "int32", "float32"]
Kind = Literal["reflectance", "classes", "bits", "probability", "temperature"]
Bit = Annotated[int, Field(ge=0, le=15)]


class Part(BaseModel):
    """Base of the parts of a definition: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Access(Part):
    """How the files of a catalogue are read."""

    kind: Literal["unsigned", "signed", "requester-pays", "sas", "header"] = "unsigned"
    """`signed` and `requester-pays`: credentials of S3. `sas`: a token in the query. `header`: a header of HTTP."""
    endpoint_url: str | None = None
    """Endpoint of s3:// addresses that are not on AWS."""
    region: str | None = None
    """Region of s3:// addresses."""
    token_url: str | None = None
    """Address that returns a SAS token, with `{account}` and `{container}` of the file."""
    header: str | None = None
    """Name of the header, such as Authorization."""
    value: Annotated[str, StringConstraints(pattern=r"^[^{}]*\{[A-Z][A-Z0-9_]*\}[^{}]*$")] | None = None
    """Value of the header, with the name of an environment variable: `Bearer {EARTHDATA_TOKEN}`."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed = {"sas": ("token_url",), "header": ("header", "value")}
        for kind, names in needed.items():
            given = [name for name in names if getattr(self, name) is not None]
            if kind == self.kind and len(given) < len(names):
                raise ValueError(f"access of the kind {kind} needs {' and '.join(names)}")
            if kind != self.kind and given:
                raise ValueError(f"{given[0]} belongs to access of the kind {kind}, not {self.kind}")
        return self


class Catalogue(Part):
    """A catalogue that has the collection."""

    stac_url: str | None = None
    """Address of its STAC API, if it has one."""
    collection: str
    """Id of the collection there."""
    hosts: tuple[str, ...] = ()
    """Hosts and buckets of its files, as patterns such as `*.blob.core.windows.net` or `s3://usgs-landsat`."""
    access: Access = Access()


class Form(Part):
    """Asset keys and properties by which an item is recognized."""

    assets: tuple[str, ...] = Field(min_length=1)
    """Asset keys that an item has; `B11|B12` means one of several."""
    without: tuple[str, ...] = ()
    """Asset keys that an item does not have."""
    when: tuple[Condition, ...] = ()
    """Conditions of its properties."""

    def fits(self, item: Item) -> bool:
        """Return whether an item has this form."""
        assets = item.get("assets") or {}
        for keys in self._groups:
            if not any(key in assets for key in keys):
                return False
        return not any(key in assets for key in self.without) and all(one.holds(item) for one in self.when)

    @cached_property
    def _groups(self) -> tuple[tuple[str, ...], ...]:
        """Asset keys of which an item has at least one each."""
        return tuple(tuple(keys.split("|")) for keys in self.assets)


class OffsetRule(Part):
    """An offset, for the items that meet conditions."""

    value: Annotated[float, Field(ge=-1, le=1)]
    """Reflectance of the digital number 0."""
    when: tuple[Condition, ...] = ()
    """Conditions of the item's properties; without any, the rule holds for all items."""
    overrides: str | None = None
    """Reason why this offset is right although items state another; without it, items take precedence."""


class Encoding(Part):
    """Encoding of reflectance, if the item states nothing else: `reflectance = number * scale + offset`."""

    scale: Annotated[float, Field(gt=0)]
    offset: float | tuple[OffsetRule, ...]
    """An offset, or rules of which the first that holds is used. If none holds, the offset is unknown."""
    data_type: DataType
    nodata: int | None = None
    """Digital number without data."""
    valid_range: tuple[int, int]
    """Smallest and largest digital number that mean something."""

    @cached_property
    def rules(self) -> tuple[OffsetRule, ...]:
        """Rules of the offset, also of a plain one."""
        return self.offset if isinstance(self.offset, tuple) else (OffsetRule(value=self.offset),)

    @model_validator(mode="after")
    def _range_is_valid(self) -> Self:
        low, high = self.valid_range
        if low >= high:
            raise ValueError(f"valid_range {low}, {high} is empty")
        _ = self.rules  # raises for an offset of a plain number that is not one of reflectance
        return self


class Band(Part):
    """A band: its names, its files, and the meaning of its numbers."""

    assets: tuple[str, ...] = Field(min_length=1)
    """Asset keys of the band's file; the first that an item has is read."""
    common_name: str | None = None
    """Common name of the STAC extension `eo`, by which bands of several sensors are matched."""
    aliases: tuple[BandName, ...] = ()
    """Further names."""
    size: Annotated[float, Field(gt=0)]
    """Side of a pixel of the first asset, in metres."""
    kind: Kind = "reflectance"
    scale: Annotated[float, Field(gt=0)] | None = None
    """Scale that differs from the one of the encoding."""
    offset: float | None = None
    """Offset that differs from the one of the encoding."""
    data_type: DataType | None = None
    nodata: int | None = None
    classes: Mapping[str, int | tuple[int, ...]] = {}
    """Number or numbers of each class, by name."""
    bits: Mapping[str, Bit | tuple[Bit, Bit]] = {}
    """Position of each bit, or first and last bit of each field, by name."""
    overviews: Literal["nearest", "mode", "unknown"] = "unknown"
    """How overviews of categories were made. `unknown` reads categories at full resolution."""

    @model_validator(mode="after")
    def _meaning_fits_the_kind(self) -> Self:
        for name in ("classes", "bits"):
            if bool(getattr(self, name)) != (self.kind == name):
                raise ValueError(f"{name} belong to a band of the kind {name}, and this band is of {self.kind}")
        return self

    def names(self, name: str) -> Iterator[str]:
        """Yield all names of the band: its own, the common one, the aliases."""
        yield from dict.fromkeys((name, *((self.common_name,) if self.common_name else ()), *self.aliases))


class Acquisition(Part):
    """Texts that identify an acquisition, and that order its processings."""

    key: tuple[Source, ...] = Field(min_length=1)
    """Parts of the key; an item that lacks one of them is an acquisition by itself."""
    version: tuple[Source, ...] = ()
    """Sources of the version of the processing, of which the first that an item has is used."""
    generated: tuple[Source, ...] = ()
    """Sources of the time of the processing, of which the first that an item has is used."""


class Definition(Part):
    """One form of a collection."""

    name: Name
    title: str
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

    def smallest_offset(self, name: str) -> float | None:
        """Return the smallest offset that a band can have, or None if it is unknown."""
        band = self._found(name)
        if band is None or band.kind != "reflectance":
            return None
        return band.offset if band.offset is not None else min(rule.value for rule in self.encoding.rules)

    def pixel_fields(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the fields that decide on pixels of some bands, as JSON; titles, aliases and reasons do not."""
        own = {name: self.bands[self._bands_by_name[name]] for name in names if name in self._bands_by_name}
        deciding = {"assets", "kind", "scale", "offset", "data_type", "nodata"}
        return {
            "recognize": [form.model_dump(mode="json") for form in self.recognize],
            "encoding": self.encoding.model_dump(mode="json", include={"scale", "data_type", "nodata"}),
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


def parse_definition(text: str, source: str) -> Definition:
    """Parse the TOML text of a definition.

    Parameters
    ----------
    text : str
        Content of the file.
    source : str
        Name of the file, for messages.

    Raises
    ------
    InputError
        If the text is not TOML, or a field is unknown, missing or not valid: one line with file and field.
    """
    try:
        return Definition.model_validate(tomllib.loads(text))
    except ValidationError as error:
        # A misspelt field is unknown and missing; the unknown name is what its author looks for.
        problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise InputError(f"{source}: {_explain(problems[0])}{more}; docs/collections.md describes each field") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{source}: is not TOML: {error!s:.200}; correct it") from None


def _explain(problem: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown field {field:.100}"
    if problem["type"] == "missing":
        return f"missing field {field:.100}"
    message = " ".join(problem["msg"].removeprefix("Value error, ").split())
    return f"field {field:.100}: {message:.300}" if field else f"{message:.300}"
