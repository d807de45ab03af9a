"""Cloud masks: which observations are clear. The protocol, the two built in, and the registry by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.morphology import close_then_open
from ardcube.pixels.observations import Observations

ENTRY_POINTS = "ardcube.cloud_masks"
"""Entry-point group in which installed packages name their masks."""

SCL_VEGETATION = 4
SCL_NOT_VEGETATED = 5


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


@dataclass(frozen=True, slots=True)
class DefaultCloudMaskHook:
    """No mask: every valid observation counts."""

    name: ClassVar[str] = "none"
    independent_days: ClassVar[bool] = True

    @property
    def bands(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def halo(self) -> int:
        """None."""
        return 0

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        """Everything is clear: bool (time, y, x)."""
        return np.ones(observations.shape, bool)


@dataclass(frozen=True, slots=True)
class SCLCloudMaskHook:
    """Sentinel-2 scene classification: only the allowed classes are clear, after clean-up.

    Classes are those of the Sentinel-2 L2A product definition: 4 is vegetation, 5 not vegetated. What is not allowed
    is closed, then opened, with disks.
    """

    name: ClassVar[str] = "scl"
    independent_days: ClassVar[bool] = True

    closing: int = 5
    """Radius of the closing, in pixels."""
    opening: int = 5
    """Radius of the opening, in pixels."""
    allowed_values: tuple[int, ...] = (SCL_VEGETATION, SCL_NOT_VEGETATED)
    """SCL classes that are clear."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed_values", tuple(self.allowed_values))
        if not all(type(radius) is int and 0 <= radius <= 100 for radius in (self.closing, self.opening)):
            raise InputError(
                f"cloud mask scl: closing {self.closing!r} and opening {self.opening!r} must be pixels, 0 to 100"
            )
        if not all(type(value) is int and 1 <= value <= 11 for value in self.allowed_values):
            raise InputError(f"cloud mask scl: allowed_values {self.allowed_values} must be classes, 1 to 11")

    @property
    def bands(self) -> tuple[str, ...]:
        """The scene classification."""
        return ("scl",)

    @property
    def halo(self) -> int:
        """Two dilations and two erosions see so far."""
        return 2 * (self.closing + self.opening)

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        """Allowed classes, cleaned up: bool (time, y, x)."""
        classes = observations["scl"]
        bad = np.ones(classes.shape, bool)
        for value in self.allowed_values:
            bad &= classes != value
        return ~close_then_open(bad, self.closing, self.opening)


def cloud_mask_names() -> list[str]:
    """Names of all masks: built in, and added by installed packages."""
    return sorted(_registered())


def cloud_mask(name: str, options: Mapping[str, Any] | None = None) -> CloudMaskHook:
    """Make the mask of a name.

    Parameters
    ----------
    name : str
        Registered by installed code; never a path or a module.
    options : mapping
        Fields of the mask to set.

    Raises
    ------
    InputError
        If no installed package names it, or it has no such field.
    """
    found = _registered().get(name)
    if found is None:
        raise InputError(f"cloud mask {name} is unknown; there are {', '.join(cloud_mask_names())}")
    try:
        factory = found if isinstance(found, type) else found.load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"cloud mask {name} cannot be loaded: {error}; mend the package that adds it") from error
    try:
        hook = factory(**(options or {}))
    except TypeError as error:
        known = ", ".join(field.name for field in fields(factory)) if hasattr(factory, "__dataclass_fields__") else ""
        raise InputError(
            f"cloud mask {name} cannot take {dict(options or {})}: its options are {known or 'none'}"
        ) from error
    if not isinstance(hook, CloudMaskHook):
        raise InputError(f"cloud mask {name} is not a CloudMaskHook: it needs name, bands, halo and clear")
    return hook


@lru_cache(maxsize=1)
def _registered() -> dict[str, type | EntryPoint]:
    built_in: dict[str, type | EntryPoint] = {hook.name: hook for hook in (DefaultCloudMaskHook, SCLCloudMaskHook)}
    # Built-in names cannot be taken over by a package.
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)} | built_in
