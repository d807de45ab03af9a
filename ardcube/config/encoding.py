"""The encoding of reflectance in a cube: digital numbers of 16 bits, of which 0 is no data (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

USUAL_SCALE = 0.0001
"""Reflectance of one digital number of a cube that states no other scale."""
LEAST, MOST = 1, 65535
"""Smallest and largest digital number that a cube may store for reflectance."""
LARGEST_OFFSET = 10_000.0
"""Magnitude that no offset of a cube has: int16 numbers with a scale of 0.1 need 3,277."""
_NAMES = ("scale", "offset", "min", "max")


@dataclass(frozen=True, slots=True)
class CubeEncoding:
    """Reflectance is the digital number * `scale` + `offset`; 0 is no data."""

    scale: float = USUAL_SCALE
    """Reflectance of one digital number."""
    offset: float = 0.0
    """Reflectance of the digital number 0."""
    low: int = LEAST
    """Smallest digital number of reflectance; smaller reflectance is clipped."""
    high: int = MOST
    """Largest digital number of reflectance; larger reflectance is clipped."""

    def __post_init__(self) -> None:
        is_linear = 0 < self.scale < math.inf and abs(self.offset) < LARGEST_OFFSET
        if not (is_linear and LEAST <= self.low < self.high <= MOST):
            raise ValueError(f"no encoding of reflectance: {self.scale!r}, {self.offset!r}, {self.low}, {self.high}")

    @property
    def is_usual(self) -> bool:
        """Whether scale and valid range are those of all cubes before the encoding became an option."""
        return (self.scale, self.low, self.high) == (USUAL_SCALE, LEAST, MOST)

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest reflectance."""
        scale, offset = decimal(self.scale), decimal(self.offset)
        return float(self.low * scale + offset), float(self.high * scale + offset)

    def __str__(self) -> str:
        clipped = "" if (self.low, self.high) == (LEAST, MOST) else ", clipped to {:g} .. {:g}".format(*self.limits)
        sign = "-" if self.offset < 0 else "+"
        shift = f" {sign} {abs(self.offset):g}" if self.offset else ""
        return f"number * {self.scale:g}{shift}{clipped}"

    @property
    def fields(self) -> dict[str, Any]:
        """Scale, offset and valid range, as JSON."""
        return {"scale": self.scale, "offset": self.offset, "valid_range": [self.low, self.high]}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Return the encoding with given `fields`.

        Raises
        ------
        ValueError, KeyError, TypeError
            If they are not those of an encoding.
        """
        low, high = fields["valid_range"]
        if type(low) is not int or type(high) is not int:
            raise ValueError(f"a valid range of {low!r:.50}, {high!r:.50}")
        return cls(float(fields["scale"]), float(fields["offset"]), low, high)


@dataclass(frozen=True, slots=True)
class GivenEncoding:
    """An encoding that the user gave, such as ``scale=0.0001,offset=-0.2``."""

    scale: float
    offset: float
    smallest: float | None = None
    """Reflectance below it is clipped; None if all reflectance must be held."""
    largest: float | None = None
    """Reflectance above it is clipped, likewise."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a scale, an offset and, if they are given, the smallest and the largest reflectance.

        Raises
        ------
        ValueError
            If the text is no encoding, or its numbers do not hold the reflectance that it names.
        """
        given: dict[str, float] = {}
        for part in text.split(","):
            name, _, number = (piece.strip() for piece in part.partition("="))
            if name not in _NAMES or name in given:
                raise ValueError(f"{text!r:.100} is no list of NAME=NUMBER; write one such as scale=0.0001,offset=-0.2")
            try:
                given[name] = float(number)
            except ValueError:
                raise ValueError(
                    f"{text!r:.100}: the {name} is no number; write numbers, such as scale=0.0001,offset=-0.2"
                ) from None
        if not {"scale", "offset"} <= given.keys():
            raise ValueError(f"{text!r:.100} has no scale or no offset; write both, such as scale=0.0001,offset=-0.2")
        found = cls(given["scale"], given["offset"], given.get("min"), given.get("max"))
        if not 0 < found.scale < 1:
            raise ValueError(f"the scale {found.scale:g} is not the reflectance of one number; give one such as 0.0001")
        if not abs(found.offset) <= 1 + MOST * found.scale:
            raise ValueError(f"the offset {found.offset:g} is none of reflectance; give one such as -0.1")
        found.encoding()
        return found

    def encoding(self) -> CubeEncoding:
        """Return the encoding of the cube.

        Raises
        ------
        ValueError
            If its numbers do not hold the reflectance from `smallest` to `largest`.
        """
        scale, offset = decimal(self.scale), decimal(self.offset)
        low, high = LEAST, MOST
        if self.smallest is not None and math.isfinite(self.smallest):
            low = math.ceil((decimal(self.smallest) - offset) / scale)
        if self.largest is not None and math.isfinite(self.largest):
            high = math.floor((decimal(self.largest) - offset) / scale)
        held = CubeEncoding(self.scale, self.offset)
        # Number 0 is no data, so that a smallest reflectance of the offset itself becomes number 1.
        low = LEAST if low == 0 else low
        infinite = [limit for limit in (self.smallest, self.largest) if limit is not None and not math.isfinite(limit)]
        if infinite or not LEAST <= low < high <= MOST:
            least, most = held.limits
            raise ValueError(
                f"{self}: its numbers hold reflectance from {least:g} to {most:g}; choose min and max in it, or "
                "another scale or offset"
            )
        return CubeEncoding(self.scale, self.offset, low, high)

    def __str__(self) -> str:
        limits = {"min": self.smallest, "max": self.largest}
        given = {"scale": self.scale, "offset": self.offset, **{k: v for k, v in limits.items() if v is not None}}
        return ",".join(f"{name}={float(value)!r}" for name, value in given.items())


def decimal(number: float) -> Fraction:
    """Return the shortest decimal number that a floating-point number means, exactly: 0.0001 is 1/10000."""
    return Fraction(repr(float(number)))
