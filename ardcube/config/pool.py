"""Collections of a cube, each in its catalogue, and definitions that are named for them (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

MOST_COLLECTIONS = 16
"""Collections that a cube has at most."""
_SEPARATOR = "#"
"""Character between the address of a catalogue and the id of a collection."""
_OF = "="
"""Character between the id of a collection and the name of a definition."""


@dataclass(frozen=True, slots=True)
class CollectionAddress:
    """A collection in a catalogue."""

    stac_url: str
    """URL of a STAC API, or path of a local catalogue."""
    collection: str
    """Id of the collection."""

    @classmethod
    def parse(cls, text: str, stac_url: str) -> Self:
        """Parse an id, or a catalogue and an id such as ``https://host/v1#id``; `stac_url` is the catalogue of ids."""
        catalogue, _, name = text.rpartition(_SEPARATOR)
        return cls(catalogue or stac_url, name)

    def __str__(self) -> str:
        return f"{self.stac_url}{_SEPARATOR}{self.collection}"


def one_or_several(value: Any) -> Any:
    """Return one text as it is, a list of one text as this text, and a longer list as a tuple."""
    if isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value):
        if not value:
            raise ValueError("the list is empty; give at least one")
        if len(value) > MOST_COLLECTIONS:
            raise ValueError(f"{len(value)} are given; give at most {MOST_COLLECTIONS}")
        return value[0] if len(value) == 1 else tuple(value)
    if value is not None and not isinstance(value, str):
        raise ValueError("neither a text nor a list of texts; give one of them")
    return value


def as_texts(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one text, several, or none as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def check_collection(text: str) -> None:
    """Raise ValueError if a text names no collection."""
    catalogue, separator, name = text.rpartition(_SEPARATOR)
    if not name or (separator and not catalogue):
        raise ValueError(f"{text!r:.200} has no id; give ID, or CATALOGUE{_SEPARATOR}ID")
    if not separator and text.startswith(("http://", "https://")):
        root, part, found = text.rstrip("/").rpartition("/collections/")
        shown = f"{root}{_SEPARATOR}{found}" if part else f"CATALOGUE{_SEPARATOR}ID"
        raise ValueError(f"{text!r:.200} is an address; write {shown:.200}")


def definitions_by_collection(definition: str | Sequence[str] | None) -> Mapping[str, str]:
    """Return names of definitions by the id of their collection; the name for all collections has an empty id.

    Raises
    ------
    ValueError
        If several texts name a definition for all collections, or two of them one for the same collection.
    """
    found: dict[str, str] = {}
    texts = as_texts(definition)
    for text in texts:
        collection, separator, name = text.rpartition(_OF)
        if not separator and len(texts) > 1:
            raise ValueError(f"{text!r:.100} is one of several; write COLLECTION{_OF}NAME for each of them")
        if not name or (separator and not collection):
            raise ValueError(f"{text!r:.100} has no name; write NAME, or COLLECTION{_OF}NAME")
        if collection in found:
            raise ValueError(f"{collection!r:.100} has two definitions; give one")
        found[collection] = name
    return found
