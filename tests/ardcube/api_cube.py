"""The cube that the tests of `import ardcube` build from the sample archive."""

from __future__ import annotations

from pathlib import Path

import ardcube

BOUNDS = (11.93, 46.84, 12.07, 46.9)


def cube_of(archive: Path, **changes: object) -> ardcube.CubeConfig:
    """Two months of 4 x 8 tiles of 50 pixels a side, without a mask unless it is asked for."""
    values: dict[str, object] = {
        "stac_url": str(archive),
        "bbox": BOUNDS,
        "start_date": "2023-05-01",
        "end_date": "2023-06-30",
        "resolution": 0.0005,
        "chunk_size": 100,
        "bands": ("red", "nir"),
    }
    return ardcube.CubeConfig(**values | changes)
