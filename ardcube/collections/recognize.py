"""Find the definition that describes an item, by what the item contains (pure)."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from ardcube.collections.condition import Item
from ardcube.collections.model import Definition
from ardcube.errors import InputError


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions by which items are recognized."""

    known: Sequence[Definition] = ()
    """Installed definitions."""
    own: Sequence[Definition] = ()
    """Definitions of a file of the user, which take precedence."""
    chosen: Definition | None = None
    """The definition of all items, if the user named it."""

    @property
    def given(self) -> list[Definition]:
        """Definitions that the user gave by name or as a file. They belong to the identity of a cube."""
        return [*([] if self.chosen is None else [self.chosen]), *(one for one in self.own if one != self.chosen)]

    def of(self, item: Item) -> Definition | None:
        """Return the definition of an item, or None if no definition recognizes it.

        Asset keys and properties decide. Ids of collections do not, because several catalogues use the same id for
        different encodings, and neither do hosts, because a local copy has none.

        Raises
        ------
        InputError
            If several definitions recognize the item.
        """
        if self.chosen is not None:
            return self.chosen
        for definitions in (self.own, self.known):
            found = [definition for definition in definitions if definition.recognizes(item)]
            if len(found) > 1:
                names = ", ".join(definition.name for definition in found)
                raise InputError(
                    f"item {item.get('id')!s:.200}: several definitions recognize it: {names}; choose one with "
                    "--definition NAME"
                )
            if found:
                return found[0]
        return None

    def sensor(self, item: Item, definition: Definition | None) -> str:
        """Return the sensor of an item by its definition, else by its platform; an empty text if it is unknown.

        An item may have no definition although other items of its collection have one, such as an older processing.
        """
        if definition is not None:
            return definition.sensor(item)
        found = (one.sensor_of_platform(item) for one in (*self.own, *self.known))
        return next(filter(None, found), "")

    def in_order(self, names: Container[str] | None = None) -> list[Definition]:
        """Return the definitions with some names, by default all: those that the user gave come first."""
        return in_order([self], names)

    def of_collection(self, collection: str) -> list[Definition]:
        """Return the definitions that collections of an id may have, for a collection without a scene."""
        if self.chosen is not None:
            return [self.chosen]
        known = (*self.own, *self.known)
        return [one for one in known if any(found.collection == collection for found in one.catalogues)]

    def named(self, names: Container[str]) -> list[Definition]:
        """Return the definitions that have one of some names."""
        return [definition for definition in (*self.known, *self.own) if definition.name in names]


def in_order(several: Sequence[Definitions], names: Container[str] | None = None) -> list[Definition]:
    """Return the definitions of several collections with some names, by default all: those that the user gave first."""
    given = (definition for one in several for definition in one.given)
    known = (definition for one in several for definition in one.known)
    by_name: dict[str, Definition] = {}
    for definition in (*given, *known):
        by_name.setdefault(definition.name, definition)
    return [definition for name, definition in by_name.items() if names is None or name in names]


NO_DEFINITIONS = Definitions()
"""Recognizes no item."""
