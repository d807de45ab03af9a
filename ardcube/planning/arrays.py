"""The arrays that hold the variables of a cube, in each layout of its store (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ardcube.config.cube import StoreLayout
from ardcube.pixels.composites.protocol import Layer


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One array of a store."""

    name: str
    layer: Layer
    """Variable whose values it holds."""
    band: str = ""
    """Band of the values; empty if the array has all bands, or the variable has none."""
    position: int | None = None
    """Position of the band in the cube; None as for `band`."""

    @property
    def has_bands(self) -> bool:
        """Whether the array has the dimension `band`."""
        return self.layer.banded and self.position is None

    def part_of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values of the array from those of its variable, (y, x, band) or (y, x)."""
        return values if self.position is None else values[..., self.position]


def stored_arrays(layers: Sequence[Layer], bands: Sequence[str], layout: StoreLayout) -> tuple[StoredArray, ...]:
    """Return the arrays of variables, in the order of the variables, then of the bands.

    In the layout `geozarr`, a variable with bands is an array per band: ``red`` if it is the only one with bands, else
    ``median_red``.
    """
    if layout == "flat":
        return tuple(StoredArray(layer.name, layer) for layer in layers)
    alone = sum(layer.banded for layer in layers) == 1
    arrays: list[StoredArray] = []
    for layer in layers:
        if not layer.banded:
            arrays.append(StoredArray(layer.name, layer))
            continue
        for position, band in enumerate(bands):
            name = band if alone else f"{layer.name}_{band}"
            arrays.append(StoredArray(name, layer, band, position))
    return tuple(arrays)
