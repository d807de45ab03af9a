"""Cloud masks: the protocol, the built-in masks, and the registry by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.morphology import CleanUp
from ardcube.pixels.observations import Observations

ENTRY_POINTS = "ardcube.cloud_masks"
"""Entry-point group in which installed packages register their masks."""

SCL_VEGETATION = 4
SCL_NOT_VEGETATED = 5
_LARGEST_RADIUS = 5000
"""Metres; a larger radius would read and clean several scenes' worth of pixels around a chunk."""


@runtime_checkable
class CloudMaskHook(Protocol):
    """Properties that all cloud masks have. A mask is a `SceneMaskHook` or a `DayMaskHook`.

    A mask must be picklable, because it is sent to the workers. Make it a frozen dataclass: its fields are its options.
    """

    name: ClassVar[str]
    """Registered name. The name and the options are part of the cube's identity."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that the mask needs, by asset key or common name: raw digital numbers. A scene mask needs one."""
        ...

    @property
    def halo(self) -> int:
        """Largest distance at which a pixel of the cube changes whether another is clear, in pixels.

        0 for a scene mask, which does not see the pixels of the cube.
        """
        ...


@runtime_checkable
class SceneMaskHook(CloudMaskHook, Protocol):
    """Interface of a mask that a band with the class of each pixel decides, for each scene by itself.

    It is evaluated on the grid of that band. The nearest pixel decides whether a pixel of the cube is clear.
    """

    @property
    def clean_up(self) -> CleanUp:
        """Closing, opening and buffer of the pixels that are not clear, in metres."""
        ...

    def is_clear(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which classes are clear.

        Parameters
        ----------
        numbers : uint8 or uint16 (n,)
            All digital numbers of the band's data type. Those that mean no data are neither clear nor cloudy,
            whatever the result.

        Returns
        -------
        bool (n,)
        """
        ...


@runtime_checkable
class DayMaskHook(CloudMaskHook, Protocol):
    """Interface of a mask that evaluates the observations of a chunk, on the pixels of the cube.

    A mask that evaluates each observation by itself may set the class variable `independent_days = True`. It then gets
    a few observations at a time, which takes less memory. Other masks get all observations of a chunk at once.
    """

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        """Return which observations are clear.

        Parameters
        ----------
        observations : Observations
            ``observations[band]`` is an array (time, y, x) for each of `bands`, resampled nearest, 0 without an
            observation, with one `time` for each solar day and sensor. In a cube of several sensors, a solar day may
            come more than once. It covers the chunk and `halo` pixels around it.
            ``observations.to_xarray()`` returns a labelled dataset.

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
    """Sentinel-2 scene classification (SCL): only the allowed classes are clear, after a clean-up of all others.

    Classes are those of the Sentinel-2 L2A product definition: 4 is vegetation, 5 is not vegetated. The mask of all
    other classes is closed, then opened, then buffered, with disks on the grid of the classification.
    """

    name: ClassVar[str] = "scl"
    bands: ClassVar[tuple[str, ...]] = ("scl",)
    halo: ClassVar[int] = 0

    closing: float = 155.0
    """Radius of the closing, in metres."""
    opening: float = 155.0
    """Radius of the opening, in metres."""
    buffer: float = 0.0
    """Radius by which the result grows, in metres."""
    allowed_values: tuple[int, ...] = (SCL_VEGETATION, SCL_NOT_VEGETATED)
    """SCL classes that are clear."""

    def __post_init__(self) -> None:
        for field in ("closing", "opening", "buffer"):
            radius = getattr(self, field)
            if type(radius) not in (int, float) or not 0 <= radius <= _LARGEST_RADIUS:
                raise InputError(
                    f"cloud mask scl: {field} {radius!r} must be a radius in metres, 0 to {_LARGEST_RADIUS}"
                )
            object.__setattr__(self, field, float(radius))
        values = self.allowed_values
        if not isinstance(values, Sequence) or not all(type(value) is int and 1 <= value <= 11 for value in values):
            raise InputError(f"cloud mask scl: allowed_values {values!r} must be a list of classes, 1 to 11")
        object.__setattr__(self, "allowed_values", tuple(sorted(set(values))))

    @classmethod
    def from_options(cls, *, preset: str = "demo", **changes: Any) -> Self:
        """Return the mask of a preset, with changed fields.

        Parameters
        ----------
        preset : str
            `demo`: vegetation and bare soil, closing and opening 155 m. `land-water`: the same clean-up, and water,
            unclassified and snow are clear too. `odc`: all classes but clouds, cloud shadows and defects, opening
            40 m, buffer 100 m.
        changes
            Values of fields that differ from the preset.
        """
        if not isinstance(preset, str) or preset not in _SCL_PRESETS:
            raise InputError(f"cloud mask scl: preset {preset!r} is unknown; choose one of {', '.join(_SCL_PRESETS)}")
        return cls(**{**_SCL_PRESETS[preset], **changes})

    @property
    def clean_up(self) -> CleanUp:
        """Closing, opening and buffer, in metres."""
        return CleanUp(self.closing, self.opening, self.buffer)

    def is_clear(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which classes are allowed, bool (n,)."""
        return np.isin(numbers, self.allowed_values)


_SCL_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "demo": {},
    "land-water": {"allowed_values": (4, 5, 6, 7, 11)},
    "odc": {"allowed_values": (2, 4, 5, 6, 7, 11), "closing": 0, "opening": 40, "buffer": 100},
}
"""Fields that differ from the defaults, by name."""


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
        hook = getattr(factory, "from_options", factory)(**(options or {}))
    except TypeError as error:
        known = ", ".join(field.name for field in fields(factory)) if hasattr(factory, "__dataclass_fields__") else ""
        known = f"preset, {known}" if hasattr(factory, "from_options") else known
        raise InputError(
            f"cloud mask {name} does not accept {dict(options or {})}; its options are {known or 'none'}"
        ) from error
    if not isinstance(hook, (SceneMaskHook, DayMaskHook)):
        raise InputError(
            f"cloud mask {name} is neither a SceneMaskHook nor a DayMaskHook; it must define name, bands, halo, and "
            "clean_up and is_clear, or clear"
        )
    if isinstance(hook, SceneMaskHook) and (len(hook.bands) != 1 or hook.halo):
        raise InputError(f"cloud mask {name} is a SceneMaskHook; it must have exactly one band, and a halo of 0")
    return hook


@lru_cache(maxsize=1)
def _registered() -> dict[str, type | EntryPoint]:
    built_in: dict[str, type | EntryPoint] = {hook.name: hook for hook in (DefaultCloudMaskHook, SCLCloudMaskHook)}
    # Built-in names cannot be taken over by a package.
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)} | built_in
