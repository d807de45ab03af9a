"""Quality layers by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ardcube.config.variables import RESERVED_NAMES, QualityName
from ardcube.errors import InputError
from ardcube.pixels.composites.protocol import ChoiceComposite, Composite, Layer
from ardcube.pixels.composites.registry import named_layers
from ardcube.pixels.masks import CloudMaskHook, DefaultCloudMaskHook
from ardcube.pixels.quality.layers import (
    OTHER_SENSORS,
    ChosenDate,
    ClearShare,
    CountedLayer,
    FirstDate,
    LastDate,
    MedianDate,
    SensorShare,
    Spread,
    ValidCount,
)

_OF_VALID: tuple[QualityName, ...] = ("valid_count", "clear_share")
_COUNTED: dict[QualityName, CountedLayer] = {
    "valid_count": ValidCount(),
    "first_date": FirstDate(),
    "last_date": LastDate(),
    "clear_share": ClearShare(),
}


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality layers of a cube."""

    composites: tuple[Composite, ...] = ()
    """Layers that are computed from the stack of observations, as composites are."""
    counted: tuple[CountedLayer, ...] = ()
    """Layers that follow from the clear and valid observations of a pixel."""
    sensors: tuple[str, ...] = ()
    """Sensors whose shares are layers."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Variables of the layers, in the order of `composites`, then `counted`."""
        return (*(layer for one in self.composites for layer in one.layers), *(one.layer for one in self.counted))

    @property
    def needs_valid(self) -> bool:
        """Whether a layer needs the observations that are valid and not clear."""
        return any(isinstance(one, (ValidCount, ClearShare)) for one in self.counted)


NO_QUALITY = Quality()


def quality_of(
    names: Sequence[QualityName],
    composites: Sequence[Composite],
    varname: str,
    mask: CloudMaskHook,
    sensors: Sequence[str],
) -> Quality:
    """Return the quality layers of a cube.

    Parameters
    ----------
    names : sequence of str
        Names of the layers.
    composites : sequence of Composite
        Composites of the cube. `date` is the day of the observation that they choose, or else the median day.
    varname : str
        Name of the variable if there is one composite.
    mask : CloudMaskHook
        Cloud mask of the cube.
    sensors : sequence of str
        Names of the sensors that scenes may have, for `sensor_share`.

    Raises
    ------
    InputError
        If the mask does not say where a pixel is valid, there is one sensor, or two variables have one name.
    """
    reducing: list[Composite] = []
    counted: list[CountedLayer] = []
    for name in names:
        if name in _OF_VALID:
            _check_validity(name, mask)
        if name == "spread":
            reducing.append(Spread())
        elif name == "sensor_share":
            counted.extend(_sensor_shares(tuple(sensors)))
        elif name == "date":
            chosen = _chosen_dates(composites, varname)
            reducing.extend(chosen)
            counted.extend([] if chosen else [MedianDate()])
        else:
            counted.append(_COUNTED[name])
    quality = Quality(tuple(reducing), tuple(counted), tuple(sensors) if "sensor_share" in names else ())
    taken = {layer.name for _, layers in named_layers(composites, varname) for layer in layers} | RESERVED_NAMES
    for layer in quality.layers:
        if layer.name in taken:
            raise InputError(
                f"quality {layer.name}: another variable has this name; choose another composite or varname, or leave "
                "the layer out"
            )
        taken.add(layer.name)
    return quality


def _chosen_dates(composites: Sequence[Composite], varname: str) -> list[ChosenDate]:
    """Return the layers of the composites that choose: `date` of one, ``<variable>_date`` of each of several."""
    named = named_layers(composites, varname)
    choices = [(one, layers[0].name) for one, layers in named if isinstance(one, ChoiceComposite)]
    return [ChosenDate(one, "date" if len(choices) == 1 else f"{variable}_date") for one, variable in choices]


def _sensor_shares(sensors: tuple[str, ...]) -> list[SensorShare]:
    if len(sensors) == 1:
        raise InputError(f"quality sensor_share: all scenes have the sensor {sensors[0]}; leave the layer out")
    return [SensorShare(sensor, sensors) for sensor in (*sensors, OTHER_SENSORS)]


def _check_validity(name: QualityName, mask: CloudMaskHook) -> None:
    if not mask.bands and not isinstance(mask, DefaultCloudMaskHook):
        raise InputError(
            f"quality {name}: the cloud mask {mask.name} reads no band, so that nothing says where a pixel that is not "
            "clear is valid; choose another mask, or leave the layer out"
        )
