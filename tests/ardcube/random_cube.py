"""Replace the pixels of a cube by random ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import zarr

from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place


def ledger_of(uri: Path | str) -> Ledger:
    return Ledger.of_store(Place.at(str(uri)))


def rewrite(uri: Path, number: int) -> None:
    """Replace the pixels of a cube by random ones with gaps, as if each chunk had been built with them."""
    random, group = np.random.default_rng(number), zarr.open_group(uri, mode="r+")
    count = group["observation_count"]
    counts = random.integers(0, 3, count.shape).astype(np.uint16)
    count[...] = counts
    for name, array in group.arrays():
        if array.ndim == 4:
            fill = int(array.fill_value)
            values = random.integers(1, 65535, array.shape).astype(np.uint16)
            values[random.random(array.shape) < 0.05] = fill  # a band without a value where others have one
            group[name][...] = np.where(counts[..., None] > 0, values, fill)
    ledger = ledger_of(uri)
    for record in ledger.records().values():
        ledger.write(dataclasses.replace(record, status="written"))
