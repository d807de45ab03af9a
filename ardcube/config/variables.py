"""Names of a store's variables (pure)."""

from __future__ import annotations

import re
from typing import Literal, get_args

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
RESERVED_NAMES = frozenset(
    {"time", "latitude", "longitude", "y", "x", "band", "time_bnds", "complete", "spatial_ref", "observation_count"}
)
"""Names that the store uses itself."""
QualityName = Literal["valid_count", "date", "first_date", "last_date", "spread", "clear_share", "sensor_share"]
"""Name of a quality layer."""
QUALITY_NAMES: tuple[QualityName, ...] = get_args(QualityName)
"""Names of the quality layers, in the order of their variables."""
MEDIAN = "median"
"""Name of the default composite."""
MEDIAN_VARIABLE = "rgb_median"
"""Variable of a cube that has the median alone."""
_OPERATORS = {"+": " plus ", "-": " minus ", "*": " times ", "/": " over "}


def variable_name(composite: str) -> str:
    """Return the variable of a composite: ``percentile_25`` for ``percentile:25``.

    Operators become words: ``max_nir_over_red`` for ``max:nir/red``.
    """
    name, _, parameters = composite.partition(":")
    for sign, word in _OPERATORS.items():
        parameters = parameters.replace(sign, word)
    return re.sub(r"[^A-Za-z0-9]+", "_", f"{name} {parameters}").strip("_")


def default_variable(composites: tuple[str, ...]) -> str:
    """Return the name of the first variable, if the user gives none."""
    return MEDIAN_VARIABLE if composites == (MEDIAN,) else variable_name(composites[0])
