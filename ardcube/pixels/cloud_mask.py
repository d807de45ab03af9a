"""The protocol of a cloud mask, as the work on a chunk sees it."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.observations import Observations


@runtime_checkable
class CloudMaskHook(Protocol):
    """What a cloud mask must offer. It must be picklable: it runs on the workers.

    A frozen dataclass whose fields are its parameters fits best; they can then be set by option.
    """

    name: ClassVar[str]
    """As registered; part of the cube's identity together with the parameters.

    A mask that judges each day by itself may say so with a class variable `independent_days = True`; it is then asked
    for a few days at a time, which takes less memory. Without, it sees all days of a chunk at once.
    """

    @property
    def bands(self) -> tuple[str, ...]:
        """Extra bands it needs, by asset key or common name: raw digital numbers, resampled nearest."""
        ...

    @property
    def halo(self) -> int:
        """Pixels beyond a pixel that may change whether it is clear."""
        ...

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        """Tell the clear observations.

        Parameters
        ----------
        observations : Observations
            ``observations[band]`` is an array (time, y, x) for each of `bands`, 0 where nothing was observed; one
            `time` per solar day. It covers the chunk and `halo` pixels around it. ``observations.to_xarray()`` gives
            the same as a labelled dataset.

        Returns
        -------
        bool (time, y, x)
        """
        ...
