"""The folder of a cube's STAC documents: whose documents it holds, and their names."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ardcube.errors import InputError
from ardcube.redaction import without_secrets
from ardcube.storage.place import Options, Place
from ardcube.storage.writable import can_write

NONE, INSIDE = "none", "inside"
"""Values of the option `stac` that are no folder."""
COLLECTION = "collection.json"
ITEMS = "items"
STORE = "ardcube:store"
"""Field of a Collection with the address of its cube, by which a later run recognizes its documents."""
WITHIN = "."
"""Address of the cube in documents that are part of its store."""
_OTHER_CATALOGUE = "catalog.json"
_ITEM_LINK = re.compile(rf"\./({ITEMS}/[\w.-]+\.json)")


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of the documents of one cube."""

    place: Place
    store: str
    """Address of the store in the documents: absolute, or `.` within the store."""

    @classmethod
    def of(cls, store: Place, output: str, options: Options | None = None) -> Folder:
        """Return the folder that an option names.

        Parameters
        ----------
        store : Place
            Location of the store.
        output : str
            `inside`, or the path or URI of a folder.
        options : mapping, optional
            Options of the store's filesystem, which a folder on the same filesystem uses too.
        """
        if output == INSIDE:
            return cls(store, WITHIN)
        same = store.uri.partition("://")[0] == output.partition("://")[0]
        place = Place.at(output, options if same else None).waiting(store.patience)
        if place.path == store.path:
            return cls(store, WITHIN)
        return cls(place, store.path if store.is_local else without_secrets(store.uri))

    @property
    def is_inside(self) -> bool:
        """Whether the documents are part of the store."""
        return self.store == WITHIN

    def check(self) -> None:
        """Raise InputError if the folder holds another catalogue, or cannot be written."""
        place = self.place
        if place.is_local and not can_write(Path(place.path)):
            raise InputError(f"stac {place.uri}: cannot be written; choose a folder that you may write to")
        found = self.collection()
        if found is not None and found.get(STORE) != self.store:
            raise InputError(
                f"stac {place.uri}: holds the STAC Collection {str(found.get('id'))!r:.100} of another cube; "
                "choose an empty folder"
            )
        if not self.is_inside and place.exists(_OTHER_CATALOGUE):
            raise InputError(f"stac {place.uri}: holds another catalogue ({_OTHER_CATALOGUE}); choose an empty folder")
        if found is None and any(name.endswith(".json") for name in place.list_files(ITEMS)):
            raise InputError(f"stac {place.uri}: holds STAC Items of another program ({ITEMS}); choose an empty folder")

    def collection(self) -> dict[str, Any] | None:
        """Return the Collection in the folder; None if there is none, an empty document for something else."""
        content = self.place.read(COLLECTION)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def items(self) -> list[str]:
        """Return the names of the Items that the Collection of this cube links to."""
        found = self.collection() or {}
        links = found.get("links") if found.get(STORE) == self.store else None
        hrefs = [link.get("href") for link in links if isinstance(link, dict)] if isinstance(links, list) else []
        matches = [_ITEM_LINK.fullmatch(href) for href in hrefs if isinstance(href, str)]
        return [match[1] for match in matches if match]

    def remove(self) -> None:
        """Delete the documents of this cube, and no other file."""
        items = self.items()
        if (self.collection() or {}).get(STORE) == self.store:
            self.place.remove([*items, COLLECTION])


def part_of(output: str, name: str) -> str:
    """Return the value of the option `stac` for one of several cubes: a folder of its name in the folder of all."""
    return output if output in (NONE, INSIDE) else f"{output.rstrip('/')}/{name}"


def check_output(store: Place, output: str, options: Options | None = None) -> None:
    """Raise InputError if the documents of a cube cannot be written to where an option says."""
    if output != NONE:
        Folder.of(store, output, options).check()
