"""Coefficients of the cost of a chunk, which `benchmarks.coefficients` measures and writes (pure)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Self

from ardcube.catalog.scene import Scene
from ardcube.planning.cost.figures import Used
from ardcube.planning.cost.work import Work
from ardcube.planning.plan import CubeSpec

FILE = "coefficients.json"
"""Data file of this package."""
BYTES_PER_SECOND = 60e6
"""Bytes that a core is assumed to receive in a second, from an archive in the region of the workers."""
CPU_PER_TASK = 0.035
"""CPU seconds of Prefect in the process of a worker, for each of the first chunks of a run, which are tasks."""
_SECONDS_PER_CPU = 1.2
"""Seconds for which a chunk occupies a thread, per CPU second, if as many chunks as cores are built at once."""
_OTHER_DEFINITION, _OTHER_COMPOSITE = 100.0, 10.0
"""Distances between coefficients in addition to octaves of the resolution."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Cost per unit of work for one collection, composite and resolution."""

    definition: str
    """Name of the definition of the collection."""
    composite: str
    metres: float
    """Side of a pixel of the cube."""
    block: int
    """Pixels a side of a block of a file."""
    cpu_per_process: float
    """CPU seconds, as all `cpu_...`, that the first chunk of a process takes in addition."""
    cpu_per_fetch: float
    """Per read of blocks of a file."""
    cpu_per_mb: float
    """Per 1,000,000 bytes read."""
    cpu_per_mpx: float
    """Per 1,000,000 clear observations of a band, and pixels of the composite."""
    stored_share: float
    """Bytes stored per byte of observed pixels before compression."""

    def predict(self, work: Work) -> Used:
        """Return the figures that work is expected to use."""
        read = work.mask_bytes + work.band_bytes
        received = work.header_bytes + read
        cpu = (
            self.cpu_per_process * work.processes
            + CPU_PER_TASK * work.tasks
            + self.cpu_per_fetch * work.fetches
            + self.cpu_per_mb * read / 1e6
            + self.cpu_per_mpx * (work.clear + work.output / 2) / 1e6
        )
        return Used(
            cpu_seconds=cpu,
            seconds=max(_SECONDS_PER_CPU * cpu, received / BYTES_PER_SECOND),
            requests=work.header_requests + work.requests,
            received=received,
            stored=self.stored_share * work.observed,
            objects=work.arrays,
        )

    def distance(self, definition: str, composite: str, metres: float) -> float:
        """Return how different a cube is from the one that was measured.

        Definitions of one product for other catalogues share words of their names, such as `sentinel-2`.
        """
        words = set(self.definition.split("-"))
        other = len(words - set(definition.split("-"))) / len(words)
        return (
            _OTHER_DEFINITION * other
            + _OTHER_COMPOSITE * (self.composite != composite)
            + abs(math.log2(self.metres / metres))
        )

    @property
    def name(self) -> str:
        """Collection, composite and resolution in one text."""
        return f"{self.definition}, {self.composite}, {self.metres:.3g} m"

    @classmethod
    def from_document(cls, values: Mapping[str, Any]) -> Self:
        """Return the coefficients of a row of the data file."""
        return cls(**values)

    def to_document(self) -> dict[str, Any]:
        """Return the row of the data file, rounded to four digits."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in asdict(self).items()
        }


@cache
def shipped() -> tuple[Coefficients, ...]:
    """Return the coefficients that this package contains."""
    document = json.loads(files(__package__).joinpath(FILE).read_text())
    return tuple(Coefficients.from_document(row) for row in document["rows"])


def coefficients_for(
    spec: CubeSpec, scenes: Iterable[Scene], among: Sequence[Coefficients] | None = None
) -> Coefficients:
    """Return the coefficients of the most similar cube that was measured.

    Further composites of the cube add the difference between their cost and that of the median.
    """
    among = shipped() if among is None else among
    names = Counter(scene.definition for scene in scenes)
    definition = names.most_common(1)[0][0] if names else ""
    metres = spec.grid.metres

    def nearest(composite: str) -> Coefficients:
        return min(among, key=lambda one: one.distance(definition, composite, metres))

    first, *others = (nearest(composite.name) for composite in spec.composites)
    median = nearest("median")
    more = sum(max(0.0, other.cpu_per_mpx - median.cpu_per_mpx) for other in others)
    return replace(first, cpu_per_mpx=first.cpu_per_mpx + more)
