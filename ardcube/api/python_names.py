"""Name options in error messages as Python's keyword arguments do.

Messages name the options of the command line, because most people read them there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from ardcube.config import CubeConfig, RunConfig
from ardcube.config.names import OPTION
from ardcube.errors import ArdcubeError

P = ParamSpec("P")
T = TypeVar("T")


def python_names(call: Callable[P, T]) -> Callable[P, T]:
    """Return the same function, whose errors name its keyword arguments instead of options."""
    own = {name: one.default for name, one in signature(call).parameters.items()}

    @wraps(call)
    def named(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except ArdcubeError as error:
            error.args = (in_python(str(error), own),)
            raise

    return named


def in_python(message: str, own: Mapping[str, Any] | None = None) -> str:
    """Replace options such as ``--max-chunks 5`` by ``max_chunks=5``, and ``fsspec-uri`` by ``uri``.

    Parameters
    ----------
    message : str
        Message of an error.
    own : mapping, optional
        Parameters of the call that are no fields of the models, each with its default.
    """
    defaults = own or {}
    return _names().sub(lambda name: _argument(name[0]), OPTION.sub(lambda option: _keyword(option, defaults), message))


def _keyword(option: re.Match[str], own: Mapping[str, Any]) -> str:
    no, dashed, value = option.groups()
    name = dashed.replace("-", "_")
    name = f"{name}s" if f"{name}s" in own else name  # an option that is given once for each value
    field = RunConfig.model_fields.get(name) or CubeConfig.model_fields.get(name)
    if field is None and name not in own:
        return option[0]
    if (own[name] is False) if field is None else field.annotation is bool:
        return f"{name}={not no}{value or ''}"
    return f"{_argument(name)}{'=' + value.strip() if value else ''}"


def _argument(name: str) -> str:
    return "uri" if name in ("fsspec-uri", "fsspec_uri") else name.replace("-", "_")


@cache
def _names() -> re.Pattern[str]:
    """Return the names of fields with a dash, where they are not a part of a path."""
    fields = sorted({*RunConfig.model_fields, *CubeConfig.model_fields})
    dashed = "|".join(name.replace("_", "-") for name in fields if "_" in name)
    return re.compile(rf"(?<![\w/.-])(?:{dashed})(?![\w/.-])")
