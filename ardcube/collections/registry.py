"""The installed definitions: TOML files of this package and of installed packages, and a file of the user."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ardcube.collections.model import Definition
from ardcube.collections.parse import parse_definition
from ardcube.collections.recognize import Definitions
from ardcube.errors import InputError

ENTRY_POINTS = "ardcube.collections"
"""Entry-point group of definitions: a TOML text, a path, or a function that returns one of them."""
_LARGEST_FILE = 1_000_000
"""Bytes of a file of the user."""


def load_definitions(name: str | None = None, collection_file: str | Sequence[str] | None = None) -> Definitions:
    """Return the definitions by which the items of a cube are recognized.

    Parameters
    ----------
    name : str, optional
        Definition of all items. By default each item is recognized by what it contains.
    collection_file : str or sequence of str, optional
        Paths of TOML files with further definitions.

    Raises
    ------
    InputError
        If a file cannot be used, or no definition has the name.
    """
    known = installed_definitions()
    by_name, own = {definition.name: definition for definition in known}, dict[str, Definition]()
    for file in (collection_file,) if isinstance(collection_file, str) else collection_file or ():
        definition = read_definition(file)
        if definition.name in by_name or definition.name in own:
            whose = "another file" if definition.name in own else "an installed definition"
            raise InputError(
                f"collection-file {file}: the name {definition.name} is one of {whose}; choose another name"
            )
        own[definition.name] = definition
    by_name |= own
    if name is not None and name not in by_name:
        raise InputError(f"definition {name}: unknown; choose from {', '.join(sorted(by_name))}")
    in_any_order = tuple(own[one] for one in sorted(own))
    return Definitions(known, in_any_order, None if name is None else by_name[name])


def list_definitions(names: Collection[str] = (), collection_file: str | None = None) -> list[Definition]:
    """Return the definitions with some names, by default all; with a file only the definition in it.

    Raises
    ------
    InputError
        If the file cannot be used, or no definition has one of the names.
    """
    if collection_file is not None and not names:
        names = (read_definition(collection_file).name,)
    for name in names:
        load_definitions(name, collection_file)  # raises for an unknown name
    definitions = load_definitions(None, collection_file)
    return definitions.named(names) if names else list(definitions.known)


def read_definition(collection_file: str) -> Definition:
    """Read a definition from a TOML file of the user.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a definition.
    """
    path = Path(collection_file)
    source = f"collection-file {collection_file}"
    try:
        if path.is_file() and path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{source}: has more than {_LARGEST_FILE} bytes; give the TOML file of a definition")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({os.strerror(error.errno or 0)}); correct the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{source}: is not UTF-8; give the TOML file of a definition") from None
    return parse_definition(text, source)


@cache
def installed_definitions() -> tuple[Definition, ...]:
    """Return the definitions of this package and of installed packages, ordered by name.

    Raises
    ------
    InputError
        If an installed package registers something else, or a name that exists already.
    """
    found: dict[str, Definition] = {}
    for source, text in (*_built_in(), *_registered()):
        definition = parse_definition(text, source)
        if definition.name in found:
            raise InputError(f"{source}: the name {definition.name} exists already; remove one of the packages")
        found[definition.name] = definition
    return tuple(found[name] for name in sorted(found))


def _built_in() -> Iterator[tuple[str, str]]:
    for file in sorted(files(__package__).joinpath("definitions").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            yield file.name, file.read_text(encoding="utf-8")


def _registered() -> Iterator[tuple[str, str]]:
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        yield f"entry point {point.value}", _text_of(point)


def _text_of(point: EntryPoint) -> str:
    try:
        loaded: Any = point.load()
        loaded = loaded() if callable(loaded) else loaded
        return loaded.read_text(encoding="utf-8") if isinstance(loaded, (Path, Traversable)) else _checked(loaded)
    except (ImportError, AttributeError, OSError, TypeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"definition {point.name} of {point.value} cannot be loaded: {reason:.200}; repair or remove the package"
        ) from error


def _checked(loaded: Any) -> str:
    if not isinstance(loaded, str):
        raise TypeError(f"it is a {type(loaded).__name__}, and neither TOML text nor a path")
    return loaded
