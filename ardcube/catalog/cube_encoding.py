"""Choose the encoding of a cube from what collections and definitions state (pure).

It depends on no single item, so that overlapping cubes of one collection have equal digital numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ardcube.catalog.encoding import as_used, stated_encodings
from ardcube.catalog.malformed import Item
from ardcube.catalog.scene import BandAsset
from ardcube.collections.model import Definition
from ardcube.config.encoding import LEAST, MOST, USUAL_SCALE, CubeEncoding, GivenEncoding, decimal
from ardcube.errors import InputError

_DIGITS = 3
"""Significant digits of a scale that no file has."""
_RANGES = {"uint8": (1, 2**8 - 1), "uint16": (LEAST, MOST), "int16": (1 - 2**15, 2**15 - 1)}
"""Smallest and largest digital number that may mean reflectance, by data type."""


@dataclass(frozen=True, slots=True)
class SourceEncoding:
    """Encoding of a band in the files of a collection, and the digital numbers that mean reflectance."""

    scale: float
    offset: float
    low: int
    high: int
    is_limited: bool = True
    """Whether reflectance ends at `high`. Otherwise the data type ends there, and the cube clips nothing above."""

    @property
    def smallest(self) -> Fraction:
        """Smallest reflectance."""
        return self.low * decimal(self.scale) + decimal(self.offset)

    @property
    def largest(self) -> Fraction:
        """Largest reflectance."""
        return self.high * decimal(self.scale) + decimal(self.offset)

    def largest_needed(self, scale: Fraction) -> Fraction | None:
        """Return the largest reflectance that a cube of a scale has to hold, or None if any will do.

        16 bits of a cube always reach about as far as 16 bits of a file, unless the scale of the cube is finer.
        """
        reaches_as_far = not self.is_limited and self.high == MOST and scale >= decimal(self.scale)
        return None if reaches_as_far else self.largest


USUAL = SourceEncoding(USUAL_SCALE, 0.0, LEAST, MOST)
"""Encoding that a collection of a cube has if nothing else is known of it than that its scenes have the usual scale."""


def source_encodings(
    collection: Item | None, bands: Sequence[str], definitions: Sequence[Definition] = ()
) -> list[SourceEncoding]:
    """Return the encodings of the bands of a cube in one collection, empty if neither it nor a definition states any.

    Scale and offset are those of the collection, else of the definitions. The valid range is that of the definitions,
    else of the data type.

    Parameters
    ----------
    collection : Item or None
        Collection document.
    bands : sequence of str
        Bands of the cube.
    definitions : sequence of Definition
        Definitions of the collection's scenes.
    """
    found = []
    for band in bands:
        known = [definition for definition in definitions if definition.reflectance_encodings(band)]
        limits = [definition.encoding.valid_range for definition in known]
        for scale, offset, dtype in stated_encodings(collection, band):
            low, high = _range(dtype)
            if limits:
                low, high = min(low for low, _ in limits), max(high for _, high in limits)
            found.append(_source(scale, offset, (low, high), dtype or _dtype_of(known, band)))
    if found:
        return found
    return [
        _source(*as_used(scale, offset), definition.encoding.valid_range, definition.data_type(band))
        for definition in definitions
        for band in bands
        for scale, offset in definition.reflectance_encodings(band)
    ]


def encodings_of_scenes(assets: Iterable[Mapping[str, BandAsset]], bands: Sequence[str]) -> list[SourceEncoding]:
    """Return the encodings that scenes state, for collections of which nothing else is known.

    It is empty if they have the usual scale: the offset of their cube is 0, so that it does not depend on the scenes.
    """
    stated = {(asset.scale, asset.offset, asset.dtype) for one in assets for band in bands if (asset := one.get(band))}
    if all(scale == USUAL_SCALE and not _is_signed(dtype) for scale, _, dtype in stated):
        return []
    return [_source(scale, offset, _range(dtype), dtype) for scale, offset, dtype in sorted(stated)]


def choose_encoding(sources: Sequence[SourceEncoding], given: GivenEncoding | None = None) -> CubeEncoding:
    """Return the one encoding of a cube whose files have several.

    It has the finest scale of the files whose 65,535 numbers hold the union of the valid ranges, else a coarser one.
    The numbers of files of this scale are kept, or moved by whole numbers.

    Parameters
    ----------
    sources : sequence of SourceEncoding
        Of all collections of the cube. Without any, the scale is 0.0001 and the offset 0.
    given : GivenEncoding, optional
        Encoding that the user chose.

    Raises
    ------
    InputError
        If the given encoding does not hold the reflectance of the files.
    """
    if given is not None:
        _check_given(sources, given)
        return given.encoding()
    if not sources:
        return CubeEncoding()
    scales = sorted({decimal(source.scale) for source in sources})
    held = (_encoding(sources, scale) for scale in (*scales, _coarser(sources)))
    return next(encoding for encoding in held if encoding is not None)


def _encoding(sources: Sequence[SourceEncoding], scale: Fraction) -> CubeEncoding | None:
    """Return the encoding of a scale, or None if it does not hold the reflectance of all sources."""
    smallest = min(source.smallest for source in sources)
    # Whole numbers below an offset of the files of this scale, so that these are not rounded.
    offsets = [decimal(source.offset) for source in sources if decimal(source.scale) == scale]
    offset = min(offsets, default=smallest - scale)
    offset -= scale * max(0, math.ceil((offset + scale - smallest) / scale))
    needed = [source.largest_needed(scale) for source in sources]
    largest = max((limit for limit in needed if limit is not None), default=Fraction(0))
    high = math.ceil((largest - offset) / scale)
    if high > MOST:
        return None
    low = max(LEAST, math.floor((smallest - offset) / scale))
    is_limited = all(source.is_limited for source in sources)
    return CubeEncoding(float(scale), float(offset), low, max(high, low + 1) if is_limited else MOST)


def _coarser(sources: Sequence[SourceEncoding]) -> Fraction:
    """Return the smallest scale of few digits, coarser than all of the files, that holds their reflectance."""
    limits = [source.largest for source in sources if source.is_limited or source.high < MOST]
    span = max(limits, default=Fraction(0)) - min(source.smallest for source in sources)
    least = max(span / (MOST - LEAST), *(decimal(source.scale) for source in sources))
    unit = Fraction(10) ** (math.floor(math.log10(least)) + 1 - _DIGITS)
    return (math.floor(least / unit) + 1) * unit


def _check_given(sources: Sequence[SourceEncoding], given: GivenEncoding) -> None:
    """Raise InputError if an encoding clips reflectance of the files that the user did not give up."""
    encoding = given.encoding()
    scale, offset = decimal(encoding.scale), decimal(encoding.offset)
    for source in sources:
        largest = source.largest_needed(scale)
        # Number 0 is no data: less than one number is clipped there.
        is_low = given.smallest is None and source.smallest < offset
        is_high = given.largest is None and largest is not None and largest > offset + (MOST + 1) * scale
        if is_low or is_high:
            least, most = encoding.limits
            raise InputError(
                f"encoding {given}: holds reflectance from {least:g} to {most:g}, and the files have "
                f"{float(source.smallest):g} to {float(source.largest):g}; choose another scale or offset, or add "
                f"{'min' if is_low else 'max'}=REFLECTANCE, beyond which it is clipped"
            )


def _source(scale: float, offset: float, valid: tuple[int, int], dtype: str | None) -> SourceEncoding:
    """Return an encoding whose valid range has no numbers that a file of the data type cannot hold, nor its nodata."""
    least, most = _range(dtype)
    return SourceEncoding(scale, offset, max(valid[0], least), min(valid[1], most), is_limited=valid[1] < most)


def _range(dtype: str | None) -> tuple[int, int]:
    """Return the digital numbers that may mean reflectance in a data type."""
    return _RANGES.get(dtype or "", (LEAST, MOST))


def _is_signed(dtype: str) -> bool:
    return _range(dtype)[0] < 0


def _dtype_of(definitions: Sequence[Definition], band: str) -> str | None:
    return next((dtype for definition in definitions if (dtype := definition.data_type(band))), None)
