"""Parts of a definition: access, forms of items, encoding, bands, acquisition (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ardcube.collections.condition import Condition, Item, Source

BandName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
DataType = Literal["uint8", "uint16", "int16", "uint32", "int32", "float32"]
Kind = Literal["reflectance", "classes", "bits", "probability", "temperature"]
Bit = Annotated[int, Field(ge=0, le=15)]

_LOCAL = r"localhost|127\.\d+\.\d+\.\d+"
_NAME = r"[a-z0-9_-]+"
_HOST = re.compile(rf"(({_LOCAL})|(\*\.)?{_NAME}(\.{_NAME})+)(:\d{{1,5}})?")
"""Hosts that may get a secret: `*` is only for names below a domain."""
_HOST_OR_BUCKET = re.compile(rf"{_HOST.pattern}|s3://[a-z0-9.*?_-]+")
_TOKEN_URL = re.compile(rf"(https://[^@\s/]+|http://({_LOCAL})(:\d{{1,5}})?)(/[^@\s#]*)?")
_ENDPOINT = re.compile(r"https?://[^/?#@\s]+/?")


class Part(BaseModel):
    """Base of the parts of a definition: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Provider(Part):
    """An organization that made, licenses or hosts a collection, as in STAC."""

    name: str
    roles: tuple[Literal["licensor", "producer", "processor", "host"], ...] = ("producer",)
    url: str = ""


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

    @model_validator(mode="after")
    def _keeps_secrets(self) -> Self:
        if self.header is not None and self.header.lower() != "authorization":
            raise ValueError("header is another than Authorization, which libraries would send to other hosts as well")
        if self.token_url is not None and not _TOKEN_URL.fullmatch(self.token_url):
            raise ValueError("token_url is no https:// address without a user; give the one of the token service")
        if self.endpoint_url is not None and not _ENDPOINT.fullmatch(self.endpoint_url):
            raise ValueError("endpoint_url is no address of a server; give one such as https://s3.example.org")
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
    login_hosts: tuple[str, ...] = ()
    """Hosts where a person must log in. Of an asset there, an alternate address at `hosts` is read instead."""

    @model_validator(mode="after")
    def _hosts_suit_the_access(self) -> Self:
        secret = self.access.kind in ("sas", "header")
        if self.access.kind != "unsigned" and not self.hosts:
            raise ValueError(f"access of the kind {self.access.kind} needs hosts")
        if wrong := [host for host in self.login_hosts if not _HOST.fullmatch(host)]:
            raise ValueError(f"login_hosts: {wrong[0]!r:.100} is none such as www.example.org")
        for host in self.hosts:
            if not (_HOST if secret else _HOST_OR_BUCKET).fullmatch(host):
                bucket = "" if secret else " or s3://bucket"
                raise ValueError(f"hosts: {host!r:.100} is none such as data.example.org, *.example.org{bucket}")
        return self


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
