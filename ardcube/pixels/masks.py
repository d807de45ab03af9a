"""Cloud masks: the protocol, the built-in masks, and the registry by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.class_masks import (
    OMIT_DEFAULT,
    CloudProbabilityMaskHook,
    FmaskCloudMaskHook,
    QAPixelCloudMaskHook,
    SCLCloudMaskHook,
)
from ardcube.pixels.morphology import CleanUp
from ardcube.pixels.observations import Observations

ENTRY_POINTS = "ardcube.cloud_masks"
"""Entry-point group in which installed packages register their masks."""


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

    A mask may have two more members. `classes`, a property: names of classes or bits in the definition of the
    collection. `is_clear` then has a second argument: whether each number belongs to a class, bool (n,), by name.
    ``no_data(stated)`` returns the digital numbers that mean no data, from those that the file and the item state. By
    default these are no data, and 0.
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
class AutoCloudMaskHook:
    """For each scene, the mask that the definition of its collection names.

    The masks are chosen when a cube is prepared, from the definitions of its first scenes. If all of them name one
    mask, the cube has that mask, as if it had been given by name.
    """

    name: ClassVar[str] = "auto"
    halo: ClassVar[int] = 0

    masks: tuple[SceneMaskHook, ...] = ()
    """One mask for each kind of scenes; empty until they are chosen."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of all masks."""

    @classmethod
    def from_options(cls, *, masks: Sequence[str] = (), **options: Any) -> Self:
        """Return the hook whose masks are known by name, with the options of all of them.

        Raises
        ------
        InputError
            If there is no such mask, one of them does not accept the options, or one of several is no scene mask.
        """
        if isinstance(masks, str) or not isinstance(masks, Sequence):
            raise InputError(f"cloud mask auto: masks {masks!r} must be a list of names of masks")
        hooks = [cloud_mask(name, options) for name in sorted(set(masks))]
        for hook in hooks:
            if not isinstance(hook, SceneMaskHook):
                raise InputError(
                    f"cloud mask auto: the scenes have the masks {', '.join(masks)}, and {hook.name} evaluates whole "
                    "days; choose one mask by name"
                )
        return cls(tuple(hook for hook in hooks if isinstance(hook, SceneMaskHook)), options)

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands of all masks; a scene has one of them."""
        return tuple(mask.bands[0] for mask in self.masks)


BUILT_IN: tuple[type, ...] = (
    AutoCloudMaskHook,
    CloudProbabilityMaskHook,
    DefaultCloudMaskHook,
    FmaskCloudMaskHook,
    QAPixelCloudMaskHook,
    SCLCloudMaskHook,
)


def scene_masks(mask: CloudMaskHook) -> tuple[SceneMaskHook, ...]:
    """Return the scene masks of which each scene uses one; empty for a day mask."""
    if isinstance(mask, AutoCloudMaskHook):
        return mask.masks
    return (mask,) if isinstance(mask, SceneMaskHook) else ()


def mask_of(masks: Sequence[SceneMaskHook], bands: Container[str]) -> SceneMaskHook:
    """Return the mask of a scene: the one whose band the scene has, else the first."""
    return next((mask for mask in masks if mask.bands[0] in bands), masks[0])


def classes_of(mask: CloudMaskHook) -> tuple[str, ...]:
    """Return the names of the classes that a mask needs; empty if it knows the numbers itself."""
    return tuple(getattr(mask, "classes", ()))


def no_data_of(mask: SceneMaskHook, stated: Collection[int]) -> set[int]:
    """Return the numbers that mean no data to a mask, from those that the file and the item state."""
    by_mask: Callable[[Collection[int]], set[int]] | None = getattr(mask, "no_data", None)
    return {0, *stated} if by_mask is None else by_mask(stated)


def mask_options(mask: CloudMaskHook) -> dict[str, Any] | None:
    """Return the options of a mask as they are in the identity of a cube; None if the mask is not a dataclass."""
    if isinstance(mask, AutoCloudMaskHook):
        return {one.name: mask_options(one) for one in mask.masks}
    values: Any = mask
    if not is_dataclass(values):
        return None
    made: Any = values
    omitted = {one.name: one.default for one in fields(values) if OMIT_DEFAULT in one.metadata}
    return {name: value for name, value in asdict(made).items() if name not in omitted or value != omitted[name]}


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
    if not isinstance(hook, (SceneMaskHook, DayMaskHook, AutoCloudMaskHook)):
        raise InputError(
            f"cloud mask {name} is neither a SceneMaskHook nor a DayMaskHook; it must define name, bands, halo, and "
            "clean_up and is_clear, or clear"
        )
    if isinstance(hook, SceneMaskHook) and (len(hook.bands) != 1 or hook.halo):
        raise InputError(f"cloud mask {name} is a SceneMaskHook; it must have exactly one band, and a halo of 0")
    return hook


@lru_cache(maxsize=1)
def _registered() -> dict[str, type | EntryPoint]:
    built_in: dict[str, type | EntryPoint] = {hook.name: hook for hook in BUILT_IN}  # type: ignore[attr-defined]
    # Built-in names cannot be taken over by a package.
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)} | built_in
