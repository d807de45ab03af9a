"""Cloud masks: the protocol, the built-in masks, and the registry by name."""

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
"""Entry-point group in which installed packages register their masks."""

SCL_VEGETATION = 4
SCL_NOT_VEGETATED = 5


@runtime_checkable
class CloudMaskHook(Protocol):
    """Interface of a cloud mask. A mask must be picklable, because it is sent to the workers.

    Make it a frozen dataclass: its fields are its options.
    """

    name: ClassVar[str]
    """Registered name. The name and the options are part of the cube's identity.

    A mask that evaluates each day by itself may set the class variable `independent_days = True`. It then gets a few
    days at a time, which takes less memory. Other masks get all days of a chunk at once.
    """

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that the mask needs, by asset key or common name: raw digital numbers, resampled nearest."""
        ...

    @property
    def halo(self) -> int:
        """Largest distance at which a pixel changes whether another is clear, in pixels."""
        ...

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        """Return which observations are clear.

        Parameters
        ----------
        observations : Observations
            ``observations[band]`` is an array (time, y, x) for each of `bands`, 0 without an observation, with one
            `time` per solar day. It covers the chunk and `halo` pixels around it. ``observations.to_xarray()``
            returns a labelled dataset.

        Returns
        -------
        bool (time, y, x)
        """
        ...


@dataclass(frozen=True, slots=True)
class DefaultCloudMaskHook:
    """No mask: every valid observation is clear."""

    name: ClassVar[str] = "none"
    independent_days: ClassVar[bool] = True

    @property
    def bands(self) -> tuple[str, ...]:
        """No band."""
        return ()

    @property
    def halo(self) -> int:
        """No halo."""
        return 0

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        """Return True everywhere, bool (time, y, x)."""
        return np.ones(observations.shape, bool)


@dataclass(frozen=True, slots=True)
class SCLCloudMaskHook:
    """Sentinel-2 scene classification (SCL): only the allowed classes are clear, after closing and opening.

    Classes are those of the Sentinel-2 L2A product definition: 4 is vegetation, 5 is not vegetated. The mask of all
    other classes is closed, then opened, with disks.
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
        """The scene classification, `scl`."""
        return ("scl",)

    @property
    def halo(self) -> int:
        """Total radius of two dilations and two erosions."""
        return 2 * (self.closing + self.opening)

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        """Return where no disallowed class remains after closing and opening, bool (time, y, x)."""
        classes = observations["scl"]
        bad = np.ones(classes.shape, bool)
        for value in self.allowed_values:
            bad &= classes != value
        return ~close_then_open(bad, self.closing, self.opening)


def cloud_mask_names() -> list[str]:
    """Return the names of all masks, built in and registered by installed packages."""
    return sorted(_registered())


def cloud_mask(name: str, options: Mapping[str, Any] | None = None) -> CloudMaskHook:
    """Return the mask registered under a name.

    Parameters
    ----------
    name : str
        Name registered by installed code; never a path or a module.
    options : mapping
        Values of the mask's fields.

    Raises
    ------
    InputError
        If no installed package registers the name, or the mask has no such field.
    """
    found = _registered().get(name)
    if found is None:
        raise InputError(f"cloud mask {name} is unknown; choose one of {', '.join(cloud_mask_names())}")
    try:
        factory = found if isinstance(found, type) else found.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"cloud mask {name} cannot be loaded: {error}; repair or remove the package that registers it"
        ) from error
    try:
        hook = factory(**(options or {}))
    except TypeError as error:
        known = ", ".join(field.name for field in fields(factory)) if hasattr(factory, "__dataclass_fields__") else ""
        raise InputError(
            f"cloud mask {name} does not accept {dict(options or {})}; its options are {known or 'none'}"
        ) from error
    if not isinstance(hook, CloudMaskHook):
        raise InputError(f"cloud mask {name} is not a CloudMaskHook; it must define name, bands, halo and clear")
    return hook


@lru_cache(maxsize=1)
def _registered() -> dict[str, type | EntryPoint]:
    built_in: dict[str, type | EntryPoint] = {hook.name: hook for hook in (DefaultCloudMaskHook, SCLCloudMaskHook)}
    # Built-in names cannot be taken over by a package.
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)} | built_in
