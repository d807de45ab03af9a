"""Parse the TOML text of a definition; an error names file and field in one line (pure)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ardcube.collections.model import Definition
from ardcube.errors import InputError


def parse_definition(text: str, source: str) -> Definition:
    """Parse the TOML text of a definition.

    Parameters
    ----------
    text : str
        Content of the file.
    source : str
        Name of the file, for messages.

    Raises
    ------
    InputError
        If the text is not TOML, or a field is unknown, missing or not valid: one line with file and field.
    """
    try:
        return Definition.model_validate(tomllib.loads(text))
    except ValidationError as error:
        # A misspelt field is unknown and missing; the unknown name is what its author looks for.
        problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise InputError(f"{source}: {_explain(problems[0])}{more}; docs/collections.md describes each field") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{source}: is not TOML: {error!s:.200}; correct it") from None


def _explain(problem: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown field {field:.100}"
    if problem["type"] == "missing":
        return f"missing field {field:.100}"
    message = " ".join(problem["msg"].removeprefix("Value error, ").split())
    return f"field {field:.100}: {message:.300}" if field else f"{message:.300}"
