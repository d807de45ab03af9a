"""Composites by name: built in, and registered by installed packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from ardcube.config.variables import RESERVED_NAMES, VARIABLE_NAME, variable_name
from ardcube.errors import InputError
from ardcube.pixels.composites.best_pixel import BestPixel, LeastCloudy
from ardcube.pixels.composites.choice import (
    First,
    Last,
    MaximumOrIndex,
    MaxNDVI,
    Medoid,
    MinimumOrIndex,
    NearestToMedian,
)
from ardcube.pixels.composites.figures import MOST_CLOUD_METRES, needs_of
from ardcube.pixels.composites.geomedian import Geomedian, MedianDeviations
from ardcube.pixels.composites.per_band import Mean, Median, Percentile, StandardDeviation
from ardcube.pixels.composites.protocol import (
    ENTRY_POINTS,
    BandComposite,
    Composite,
    Layer,
    ObservationComposite,
    text_of,
)

_BUILT_IN: tuple[Any, ...] = (
    Median, Mean, MinimumOrIndex, MaximumOrIndex, StandardDeviation, Percentile, Geomedian, MedianDeviations, Medoid,
    NearestToMedian, MaxNDVI, First, Last, BestPixel, LeastCloudy,
)  # fmt: skip


def composite_names() -> list[str]:
    """Return the names of all composites, built in and registered by installed packages."""
    return sorted(_registered())


def composite(text: str) -> Composite:
    """Return the composite of a text ``NAME`` or ``NAME:PARAMETERS``.

    Raises
    ------
    InputError
        If no installed package registers the name, or the composite refuses the parameters.
    """
    name, _, parameters = text.partition(":")
    found = _registered().get(name)
    if found is None:
        raise InputError(f"composite {name} is unknown; choose one of {', '.join(composite_names())}")
    try:
        factory: Any = found if isinstance(found, type) else found.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"composite {name} cannot be loaded: {error}; repair or remove the package that registers it"
        ) from error
    parse = getattr(factory, "parse", None)
    if parse is None and parameters:
        raise InputError(f"composite {text}: {name} takes no parameters; give {name}")
    try:
        made = factory() if parse is None else parse(parameters)
    except (TypeError, ValueError) as error:
        raise InputError(f"composite {text}: {error}") from error
    if not isinstance(made, (BandComposite, ObservationComposite)) or not made.layers:
        raise InputError(
            f"composite {name} is neither a BandComposite nor an ObservationComposite; it must define name, "
            "parameters, bands, layers, and reduce_band or reduce"
        )
    if isinstance(made, BandComposite) and not (len(made.layers) == 1 and made.layers[0].banded):
        raise InputError(f"composite {name} is a BandComposite; it must have exactly one layer, which has bands")
    metres = needs_of((made,)).cloud_metres
    if not 0 <= metres <= MOST_CLOUD_METRES:
        raise InputError(f"composite {name} needs distances to cloud up to {metres} m; at most {MOST_CLOUD_METRES} m")
    return made


def composites_of(texts: Sequence[str], varname: str, bands: Sequence[str]) -> tuple[Composite, ...]:
    """Return the composites of a cube.

    Parameters
    ----------
    texts : sequence of str
        Each ``NAME`` or ``NAME:PARAMETERS``.
    varname : str
        Name of the variable if there is one composite.
    bands : sequence of str
        Bands of the cube.

    Raises
    ------
    InputError
        If a composite is unknown, given twice, or needs a band that the cube does not have; or if two variables have
        one name.
    """
    made = tuple(composite(text) for text in texts)
    names: dict[str, str] = {}
    known: set[str] = set()
    for one in made:
        text = text_of(one)
        if text in known:
            raise InputError(f"composite {text}: it is given more than once; give it once")
        known.add(text)
        lacking = [band for band in one.bands if band not in bands]
        if lacking:
            raise InputError(
                f"composite {text}: it needs the band {lacking[0]}, and the cube has {', '.join(bands)}; add it with "
                f"--bands {lacking[0]}"
            )
    for one in made:
        for other in getattr(one, "along_with", ()):
            if other not in known:
                raise InputError(f"composite {text_of(one)}: it needs {other} too; add --composite {other}")
    for name, text in variables(made, varname):
        if name in RESERVED_NAMES or not VARIABLE_NAME.fullmatch(name):
            raise InputError(f"composite {text}: the store has no variable {name}; choose another composite")
        if name in names:
            raise InputError(f"composites {names[name]} and {text}: both have the variable {name}; give one of them")
        names[name] = text
    return made


def variables(composites: Sequence[Composite], varname: str) -> list[tuple[str, str]]:
    """Return the names of the variables of a cube and the text of the composite of each."""
    return [(layer.name, text_of(one)) for one, layers in named_layers(composites, varname) for layer in layers]


def named_layers(composites: Sequence[Composite], varname: str) -> list[tuple[Composite, tuple[Layer, ...]]]:
    """Return composites and their layers, which have the names of their variables.

    Parameters
    ----------
    composites : sequence of Composite
        Composites of a cube.
    varname : str
        Name of the variable if there is one composite. Several composites use their names.
    """
    found = []
    for one in composites:
        own = varname if len(composites) == 1 else variable_name(text_of(one))
        found.append((one, tuple(replace(layer, name=layer.name or own) for layer in one.layers)))
    return found


@lru_cache(maxsize=1)
def _registered() -> dict[str, Any]:
    built_in: dict[str, Any] = {kind.name: kind for kind in _BUILT_IN}
    # Built-in names cannot be taken over by a package.
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)} | built_in
