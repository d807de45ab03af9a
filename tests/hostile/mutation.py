"""Mutate valid documents and bytes with one random generator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

DEEP = 100_000
"""Levels of a nested document: more than the recursion limit of any parser."""
_DEEP_TEXT = "@deep@"

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 255, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400,
    0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), float("-inf"),
    "", " ", "0", "nan", "-1", "\0", "\ud800", "\x1b[2J", "a\nb", "é" * 300, "x" * 3000, "__class__", "{}", "%s%n",
    "..", "../../x", "/etc/passwd", "file:///etc/passwd", "items/../../x", "os:system", "http://[::1", "s3://",
    "2023-13-45T99:99:99Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2023-05-10T00:00:00+23:59",
    "2023-05-10", "20230510T100000", "2023-W20-3", "2023-05-10T10:00:00,5", "now",
    [], {}, [[]], [None], [{}], {"": {}}, {"a": 1}, [1, 2, 3, 4, 5, 6, 7], ["red"], [[[0, 0], [1, 1]]],
    _DEEP_TEXT,
)  # fmt: skip
"""Values that have exposed defects in programs."""
TEXTS: tuple[str, ...] = tuple(value for value in VALUES if isinstance(value, str) and value != _DEEP_TEXT)

Place = tuple[Any, Any]
"""A container, and a key or index of it."""


def mutated(document: Any, random: Random, values: Sequence[Any] = VALUES) -> Any:
    """Return a copy of a JSON document with one to three values replaced, removed, repeated, or swapped."""
    document = json.loads(json.dumps(document))
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            return random.choice(values)
        container, key = random.choice(places)
        match random.randrange(8):
            case 0:
                del container[key]
            case 1:
                container[key] = [container[key]]
            case 2:
                container[key] = {"0": container[key]}
            case 3:
                other, other_key = random.choice(places)
                container[key] = json.loads(json.dumps(other[other_key]))
            case 4 if isinstance(container, list):
                container.extend(json.loads(json.dumps(container[:3] * 3)))
            case 5 if isinstance(container[key], str) and container[key]:
                container[key] = changed_text(container[key], random)
            case 6 if isinstance(container[key], (int, float)) and abs(container[key]) < 1e100:
                container[key] = -container[key] * random.choice((1, 1e3, 1e-9, 1e200, 7))
            case _:
                container[key] = json.loads(json.dumps(random.choice(values)))
    return document


def text_of(document: Any) -> bytes:
    """Return a document as JSON; the placeholder of a deep document becomes nested lists."""
    return json.dumps(document).replace(json.dumps(_DEEP_TEXT), "[" * DEEP + "]" * DEEP).encode()


def parsed(document: Any) -> Any:
    """Return a document as parsed without a limit of levels."""
    if document == _DEEP_TEXT:
        return nested(DEEP)
    if isinstance(document, dict):
        return {name: parsed(value) for name, value in document.items()}
    return [parsed(value) for value in document] if isinstance(document, list) else document


def nested(levels: int) -> Any:
    """Return lists nested in lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def changed_text(text: str, random: Random) -> str:
    """Return a text with a part removed, repeated, or replaced."""
    start = random.randrange(len(text))
    stop = min(len(text), start + random.choice((1, 1, 2, 5, 20)))
    return text[:start] + random.choice(("", text[start:stop] * 2, random.choice(TEXTS))) + text[stop:]


def damaged(content: bytes, random: Random) -> bytes:
    """Return the bytes of a file with flipped, removed, repeated, or overwritten parts, or truncated."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        if not changed:
            return random.randbytes(random.randrange(40))
        at = random.randrange(len(changed))
        length = random.choice((1, 1, 2, 4, 16, 200))
        match random.randrange(7):
            case 0:
                del changed[at:]
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length] * random.choice((1, 3, 50))
            case 3:
                changed[at : at + length] = random.randbytes(length)
            case 4:
                changed[at : at + length] = random.choice((b"\0", b"\xff", b"[", b"9")) * length
            case _:
                changed[at] ^= 1 << random.randrange(8)
    return bytes(changed)


def one_of(random: Random, *ways: Callable[[], Any]) -> Any:
    """Return the result of one of several functions."""
    return random.choice(ways)()


def _places(document: Any) -> Iterator[Place]:
    """Yield the container and key of every value in a document."""
    if not isinstance(document, (dict, list)):
        return
    for key, value in [*(document.items() if isinstance(document, dict) else enumerate(document))]:
        yield document, key
        yield from _places(value)
