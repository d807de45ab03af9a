"""Attribute the bytes that a chunk fetches to causes (pure): headers, blocks at borders, masked pixels, gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

FEW = 0.05
"""Share of the pixels of a block below which few of them are used."""
USED, BORDER, UNUSED, GAP, AGAIN, HEADER = "used", "border", "not clear", "gaps", "again", "headers"
CAUSES = (HEADER, USED, BORDER, UNUSED, GAP, AGAIN)
"""Headers; bytes of used pixels; of pixels outside of the chunk; of pixels inside that are not used, because they are
not clear; between needed blocks; of blocks that were read before."""


@dataclass(frozen=True, slots=True)
class Block:
    """A needed block of a file, and the share of its pixels that the chunk uses."""

    start: int
    """First byte."""
    size: int
    """Bytes."""
    inside: float
    """Share of its pixels inside of the chunk, 0 to 1."""
    used: float
    """Share of its pixels that are used, 0 to `inside`."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of a file that one request fetched."""

    start: int
    size: int


@dataclass(slots=True)
class Sums:
    """Requests and bytes of one kind of files, such as the classification."""

    requests: int = 0
    bytes: Counter[str] = field(default_factory=Counter)
    """By cause."""
    in_poor_blocks: int = 0
    """Bytes of blocks of which less than `FEW` of the pixels are used."""

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.bytes.values())

    def __add__(self, other: Sums) -> Sums:
        """Return the sums of both."""
        return Sums(
            self.requests + other.requests, self.bytes + other.bytes, self.in_poor_blocks + other.in_poor_blocks
        )


def attribute(requests: Iterable[Range], header_end: int, blocks: Sequence[Block]) -> Iterator[Sums]:
    """Yield requests and bytes of one file: those of its header, then those of its blocks.

    Parameters
    ----------
    requests : iterable of Range
        All requests for the file.
    header_end : int
        First byte of the file that belongs to a block.
    blocks : sequence of Block
        Needed blocks, each once.
    """
    headers, pixels, seen = Sums(), Sums(), set[int]()
    for request in requests:
        if request.start < header_end:
            headers.requests += 1
            headers.bytes[HEADER] += request.size
            continue
        pixels.requests += 1
        end, known = request.start + request.size, 0
        for block in blocks:
            fetched = min(end, block.start + block.size) - max(request.start, block.start)
            if fetched <= 0:
                continue
            known += fetched
            if block.start in seen:
                pixels.bytes[AGAIN] += fetched
                continue
            seen.add(block.start)
            pixels.bytes += _of_block(block, fetched)
            pixels.in_poor_blocks += fetched if block.used < FEW else 0
        pixels.bytes[GAP] += request.size - known
    yield headers
    yield pixels


def _of_block(block: Block, fetched: int) -> Counter[str]:
    """Return the bytes of a block by cause; if a part of it was fetched, bytes outside of the chunk count as saved."""
    used = min(fetched, round(block.size * block.used))
    unused = min(fetched - used, round(block.size * (block.inside - block.used)))
    return Counter({USED: used, UNUSED: unused, BORDER: fetched - used - unused})


def table(name: str, sums: Mapping[str, Sums]) -> str:
    """Return requests and MB by cause as a Markdown table, a line for each kind of request and one for all."""
    lines = [
        f"| {name} | requests | MB | {' | '.join(CAUSES)} | in blocks with few |",
        "|---|" + "---|" * (len(CAUSES) + 3),
    ]
    for kind, one in {**sums, "all": sum(sums.values(), Sums())}.items():
        figures = " | ".join(f"{one.bytes[cause] / 1e6:.1f}" for cause in CAUSES)
        poor = one.in_poor_blocks / 1e6
        lines.append(f"| {kind} | {one.requests} | {one.total / 1e6:.1f} | {figures} | {poor:.1f} |")
    return "\n".join(lines)
