"""Word counts, lists and errors in one line (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from ardcube.redaction import without_secrets

_LONGEST = 300
"""Characters of an error at most."""


def count_of(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural if the count is not 1."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def first_of(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """Join the first texts, and count the others."""
    more = len(texts) - most
    return separator.join([*texts[:most], *([f"and {more:,} more"] if more > 0 else [])])


def short(error: str) -> str:
    """Return an error as one line without secrets and control characters, of bounded length."""
    line = " ".join(without_secrets(error).split())
    text = "".join(letter for letter in line if letter.isprintable())  # a terminal obeys the others
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
