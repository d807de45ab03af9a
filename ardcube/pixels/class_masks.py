"""Built-in masks that a classification, a bit field or a probability of each scene decides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.morphology import CleanUp

SCL_VEGETATION = 4
SCL_NOT_VEGETATED = 5
OMIT_DEFAULT = "omit_default"
"""Metadata of a field that cubes of earlier versions do not have: its default is not part of the identity."""
_LARGEST_RADIUS = 5000
"""Metres; a larger radius would read and clean several scenes' worth of pixels around a chunk."""
_STEPS = ("closing", "opening", "buffer")

Members = Mapping[str, NDArray[np.bool_]]
"""Whether each number belongs to a class, bool (n,), by name of the class."""


def _band(name: str) -> Any:
    """Return the field of the name of a mask's band."""
    return field(default=name, metadata={OMIT_DEFAULT: True}, kw_only=True)


@dataclass(frozen=True, slots=True)
class SCLCloudMaskHook:
    """Sentinel-2 scene classification (SCL): only the allowed classes are clear, after a clean-up of all others.

    Classes are those of the Sentinel-2 L2A product definition: 4 is vegetation, 5 is not vegetated. The mask of all
    other classes is closed, then opened, then buffered, with disks on the grid of the classification.
    """

    name: ClassVar[str] = "scl"
    halo: ClassVar[int] = 0

    closing: float = 155.0
    """Radius of the closing, in metres."""
    opening: float = 155.0
    """Radius of the opening, in metres."""
    buffer: float = 0.0
    """Radius by which the result grows, in metres."""
    allowed_values: tuple[int | str, ...] = (SCL_VEGETATION, SCL_NOT_VEGETATED)
    """SCL classes that are clear: numbers, or names of the definition of the collection."""
    band: str = _band("scl")
    """Band that is read: a name of the definition, or an asset key."""

    def __post_init__(self) -> None:
        _check_radii(self)
        _check_band(self)
        values = _listed(self.allowed_values)
        if not isinstance(values, Sequence) or isinstance(values, str) or not all(map(_is_scl_class, values)):
            raise InputError(
                f"cloud mask scl: allowed_values {self.allowed_values!r} must be a list of classes, 1 to 11, or of "
                "their names"
            )
        in_order = sorted(set(values), key=lambda value: (isinstance(value, str), value))
        object.__setattr__(self, "allowed_values", tuple(in_order))

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
    def bands(self) -> tuple[str, ...]:
        """The classification."""
        return (self.band,)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes that are clear."""
        return tuple(value for value in self.allowed_values if isinstance(value, str))

    @property
    def clean_up(self) -> CleanUp:
        """Closing, opening and buffer, in metres."""
        return CleanUp(self.closing, self.opening, self.buffer)

    def is_clear(self, numbers: NDArray[Any], members: Members | None = None) -> NDArray[np.bool_]:
        """Return which classes are allowed, bool (n,)."""
        clear = np.isin(numbers, [value for value in self.allowed_values if isinstance(value, int)])
        for name in self.classes:
            clear |= (members or {})[name]
        return clear


@dataclass(frozen=True, slots=True)
class _NamedClassesHook:
    """Base of the masks whose numbers a definition explains: pixels of the masked classes are not clear."""

    name: ClassVar[str]
    halo: ClassVar[int] = 0

    masked: tuple[str, ...]
    """Classes that are not clear, by their names in the definition of the collection."""
    closing: float = 0.0
    """Radius of the closing, in metres."""
    opening: float = 0.0
    """Radius of the opening, in metres."""
    buffer: float = 0.0
    """Radius by which the result grows, in metres."""

    band: str = _band("")

    def __post_init__(self) -> None:
        _check_radii(self)
        _check_band(self)
        values = _listed(self.masked)
        if not isinstance(values, Sequence) or isinstance(values, str) or not all(map(_is_name, values)) or not values:
            raise InputError(
                f"cloud mask {self.name}: masked {self.masked!r} must be a list of names of classes, such as "
                "[cloud, shadow]"
            )
        object.__setattr__(self, "masked", tuple(sorted(set(values))))

    @property
    def bands(self) -> tuple[str, ...]:
        """The bit field or classification."""
        return (self.band,)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that are not clear."""
        return self.masked

    @property
    def clean_up(self) -> CleanUp:
        """Closing, opening and buffer, in metres."""
        return CleanUp(self.closing, self.opening, self.buffer)

    def no_data(self, stated: Collection[int]) -> set[int]:
        """Return the numbers that mean no data: those that are stated, because 0 is a number without any bit."""
        return set(stated)

    def is_clear(self, numbers: NDArray[Any], members: Members) -> NDArray[np.bool_]:
        """Return which numbers belong to none of the masked classes, bool (n,)."""
        clear = np.ones(numbers.shape, bool)
        for name in self.masked:
            clear &= ~members[name]
        return clear


@dataclass(frozen=True, slots=True)
class QAPixelCloudMaskHook(_NamedClassesHook):
    """Landsat Collection 2 pixel quality (QA_PIXEL): pixels of the masked classes are not clear.

    Classes are those of the definition: fill, dilated, cirrus, cloud, shadow, snow, water. The bit `clear` is not one
    of them, because it is set together with other classes on OLI, and is not set for water on TM and ETM+.
    """

    name: ClassVar[str] = "qa_pixel"

    masked: tuple[str, ...] = ("cirrus", "cloud", "dilated", "fill", "shadow")
    band: str = _band("qa_pixel")
    """Band that is read: a name of the definition, or an asset key."""


@dataclass(frozen=True, slots=True)
class FmaskCloudMaskHook(_NamedClassesHook):
    """Fmask of the Harmonized Landsat Sentinel-2 products: pixels of the masked classes are not clear.

    Classes are those of the definition: cloud, dilated (next to clouds and shadows), shadow, snow, water, cirrus, which
    version 2.0 does not use.
    """

    name: ClassVar[str] = "fmask"

    masked: tuple[str, ...] = ("cloud", "dilated", "shadow")
    band: str = _band("fmask")
    """Band that is read: a name of the definition, or an asset key."""


@dataclass(frozen=True, slots=True)
class CloudProbabilityMaskHook:
    """Cloud probability in percent, such as that of Sentinel-2 Level-2A: pixels from a threshold on are not clear.

    0 is a probability and never no data, whatever an item or a file states, because clear sky has the probability 0.
    """

    name: ClassVar[str] = "cloud_probability"
    halo: ClassVar[int] = 0

    threshold: float = 40.0
    """Smallest probability of a cloud, in percent: above 0, at most 100."""
    closing: float = 0.0
    """Radius of the closing, in metres."""
    opening: float = 0.0
    """Radius of the opening, in metres."""
    buffer: float = 0.0
    """Radius by which the result grows, in metres."""
    band: str = _band("cloud_probability")
    """Band that is read: a name of the definition, or an asset key."""

    def __post_init__(self) -> None:
        _check_radii(self)
        _check_band(self)
        if type(self.threshold) not in (int, float) or not 0 < self.threshold <= 100:
            raise InputError(
                f"cloud mask {self.name}: threshold {self.threshold!r} must be a percentage above 0, at most 100"
            )
        object.__setattr__(self, "threshold", float(self.threshold))

    @property
    def bands(self) -> tuple[str, ...]:
        """The probability."""
        return (self.band,)

    @property
    def clean_up(self) -> CleanUp:
        """Closing, opening and buffer, in metres."""
        return CleanUp(self.closing, self.opening, self.buffer)

    def no_data(self, stated: Collection[int]) -> set[int]:
        """Return the numbers that mean no data: those that are stated, without the probabilities 0 to 100."""
        return {number for number in stated if not 0 <= number <= 100}

    def is_clear(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which probabilities are below the threshold, bool (n,)."""
        return np.asarray(numbers < self.threshold)


_SCL_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "demo": {},
    "land-water": {"allowed_values": (4, 5, 6, 7, 11)},
    "odc": {"allowed_values": (2, 4, 5, 6, 7, 11), "closing": 0, "opening": 40, "buffer": 100},
}
"""Fields that differ from the defaults, by name."""


def _check_radii(mask: Any) -> None:
    """Raise InputError if a radius is not one; store all radii as float."""
    for step in _STEPS:
        radius = getattr(mask, step)
        if type(radius) not in (int, float) or not 0 <= radius <= _LARGEST_RADIUS:
            raise InputError(
                f"cloud mask {mask.name}: {step} {radius!r} must be a radius in metres, 0 to {_LARGEST_RADIUS}"
            )
        object.__setattr__(mask, step, float(radius))


def _check_band(mask: Any) -> None:
    if not _is_name(mask.band):
        raise InputError(f"cloud mask {mask.name}: band {mask.band!r} must be the name of one band")


def _listed(value: Any) -> Any:
    """Return the list of a text such as `[cloud, shadow]`, which is not JSON; other values as they are."""
    text = value.strip() if isinstance(value, str) else ""
    if not (text.startswith("[") and text.endswith("]")):
        return value
    parts = (part.strip().strip("'\"") for part in text[1:-1].split(","))
    return [int(part) if part.isdecimal() else part for part in parts]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "," not in value


def _is_scl_class(value: Any) -> bool:
    return _is_name(value) or (type(value) is int and 1 <= value <= 11)
