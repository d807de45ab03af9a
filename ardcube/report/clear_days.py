"""Colours of a map of clear days (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NONE = (190, 190, 190)
"""Colour of pixels without a clear day."""
RAMP = ((255, 237, 160), (65, 182, 196), (8, 64, 129))
"""Colours of no, half and all of the largest number; between them colours are mixed. Readers without red or green see
the order too."""
_SHADES = 5
"""Numbers that a legend shows at most, without 0."""


def shaded(days: NDArray[np.float32], most: float) -> NDArray[np.uint8]:
    """Colour numbers of clear days.

    Parameters
    ----------
    days : float32 (y, x)
        Mean numbers of days; NaN where nothing was built.
    most : float
        Largest number of all maps.

    Returns
    -------
    uint8 (4, y, x)
        Grey without a clear day, yellow to blue with few to many, transparent where nothing was built.
    """
    share, stops = np.clip(np.nan_to_num(days) / most, 0, 1), np.linspace(0, 1, len(RAMP))
    colour = np.rint(np.stack([np.interp(share, stops, parts) for parts in zip(*RAMP, strict=True)], axis=-1))
    colour = np.where(days[..., None] == 0, np.array(_NONE), colour)
    alpha = np.where(np.isnan(days), 0, 255)[..., None]
    rgba = np.concatenate([np.where(alpha > 0, colour, 0), alpha], axis=-1)
    return rgba.astype(np.uint8).transpose(2, 0, 1)


def shades(most: float) -> list[tuple[str, str]]:
    """Return colour and text of some numbers of days, for a legend."""
    numbers = np.unique(np.rint(np.linspace(0, most, min(_SHADES, round(most)) + 1)).astype(int))
    colours = shaded(numbers.astype(np.float32)[None], most)[:3, 0].T.tolist()
    return [
        (f"rgb{tuple(colour)}", f"{number} clear day{'' if number == 1 else 's'}")
        for number, colour in zip(numbers, colours, strict=True)
    ]
