"""Names of options in messages: on the command line, in the form, in Python (pure)."""

from __future__ import annotations

import re

from ardcube.config.base import title_of
from ardcube.config.cube import CubeConfig
from ardcube.config.run import RunConfig

OPTION = re.compile(r"(?<![\w-])--(no-)?([a-z]+(?:-[a-z]+)*)( \d+\b)?")
"""An option in a message, such as ``--max-chunks 5``; the second group is its name."""


def title_in_form(option: str) -> str | None:
    """Return the title of the field of an option, such as ``max-chunks``; None if no field has this name."""
    name = option.replace("-", "_")
    field = RunConfig.model_fields.get(name) or CubeConfig.model_fields.get(name)
    return None if field is None else field.title or title_of(name)
