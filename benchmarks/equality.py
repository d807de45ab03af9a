"""Compare the pixels of a run with the oracle and with the baseline.

The oracle must agree; the baseline is reported only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.archive import RESOLUTION, Archive
from benchmarks.measure import BANDS

_LEAST_EQUAL = 0.9999
"""Share of values that must equal the oracle. The oracle projects every pixel, and ardcube interpolates between nodes:
a difference of a ten-thousandth of a pixel occasionally changes a rounding or a nearest pixel."""
_LIMITS = (1, 2, 5, 10, 50)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of two composites of the same chunk."""

    what: str
    pixels: int
    equal: float
    """Share of equal values, 0 to 1."""
    largest: int
    """Largest difference, in digital numbers."""
    required: bool
    """Whether the run fails if the composites disagree."""
    within: dict[str, float] = field(default_factory=dict)
    """Difference in digital numbers -> share of values with at most this difference."""

    @property
    def holds(self) -> bool:
        """Whether only roundings differ."""
        return self.equal >= _LEAST_EQUAL


def compare_with_oracle(archive: Archive, ours: NDArray[np.uint16], mask: str) -> Agreement:
    """Compare the north-western corner of a chunk with the oracle of the tests.

    A cube that starts at the same corner has the same pixel coordinates to the last bit.
    """
    from tests.oracle.cube import oracle_cube

    *items, collection = archive.documents(str(archive.folder.resolve()))
    west, _, _, north = archive.layout.bbox
    height, width = ours.shape[:2]
    cube = oracle_cube(
        items,
        collection,
        bbox=(west, north - height * RESOLUTION, west + width * RESOLUTION, north),
        start="2023-06-01",
        end="2023-06-30",
        resolution=RESOLUTION,
        bands=BANDS,
        cloud_mask="scl" if mask == "scl" else "none",
    )
    return _compare(f"{mask}: ardcube and the oracle on {height} x {width} px", ours, cube.values[0], required=True)


def compare_with_baseline(ours: NDArray[np.uint16], usual: NDArray[np.uint16], mask: str) -> Iterator[Agreement]:
    """Compare with the baseline, which differs at mask borders and in resampling."""
    both = (ours != 0) & (usual != 0)
    seen = float((both == ((ours != 0) | (usual != 0))).mean())
    what = f"{mask}: ardcube and the baseline where both are valid (validity is equal in {100 * seen:.2f} %)"
    yield _compare(what, ours[both], usual[both], required=False)


def _compare(what: str, left: NDArray[np.uint16], right: NDArray[np.uint16], *, required: bool) -> Agreement:
    difference = np.abs(left.astype(np.int32) - right)
    if not difference.size:
        return Agreement(what, 0, float("nan"), 0, required)
    shares = {} if required else {str(limit): float((difference <= limit).mean()) for limit in _LIMITS}
    equal = float((difference == 0).mean())
    return Agreement(what, int(difference.size), equal, int(difference.max()), required, shares)
