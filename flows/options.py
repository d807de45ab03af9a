"""Command-line options, made from the fields of the models."""

import json
import re
import reprlib
import types
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

import click

from ardcube.errors import InputError

if TYPE_CHECKING:  # pydantic takes longer to import than everything else that `ardcube --help` needs
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

M = TypeVar("M", bound="BaseModel")

_SINGULAR = {
    "storage_options": "--storage-option",
    "cloud_mask_options": "--cloud-mask-option",
    "cluster_options": "--cluster-option",
    "composites": "--composite",
}
"""Options that take one `key=value` or one composite, and can be given several times."""


class WholeNumbers(click.IntRange):
    """Whole numbers of a range, so that a refusal says `is not a valid integer`."""

    name = "integer"


class Numbers(click.FloatRange):
    """Numbers of a range, so that a refusal says `is not a valid float`."""

    name = "float"


_SIMILAR = 0.75
"""Similarity of two options from which on one is suggested for the other."""
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 200


class ModelCommand(click.Command):
    """A command with one option per field of some models, imported on first use.

    Parameters
    ----------
    models : callable
        Import and return the models.
    without : collection of str
        Fields that get no option.
    """

    def __init__(
        self,
        *args: Any,
        models: "Callable[[], Sequence[type[BaseModel]]]",
        without: Collection[str] = (),
        **more: Any,
    ) -> None:
        self._models = models
        self._without = without
        self._declared: list[click.Parameter] = []
        self._options: list[click.Parameter] | None = None
        super().__init__(*args, **more)

    @property
    def params(self) -> list[click.Parameter]:
        """Return the declared parameters, then the options of the fields."""
        if self._options is None:
            self._options = self._declared + [
                click.Option(_declare(name, field), **_settings(name, field))
                for model in self._models()
                for name, field in model.model_fields.items()
                if name not in self._without
            ]
        return self._options

    @params.setter
    def params(self, declared: list[click.Parameter]) -> None:
        """Set the parameters that are declared in addition to the fields."""
        self._declared = declared


def explain_unknown(error: click.NoSuchOption) -> str:
    """Return the line about an option that a command does not have."""
    near = get_close_matches(error.option_name, error.possibilities or (), 1, _SIMILAR)
    meant = f"did you mean {near[0]}? " if near else ""
    command = error.ctx.command_path if error.ctx is not None else "ardcube"
    return f"No such option {error.option_name} of `{command}`; {meant}`{command} --help` lists its options"


def option_name(field: str) -> str:
    """Return the option of a field: ``--start-date`` for ``start_date``."""
    return _SINGULAR.get(field, "--" + field.replace("_", "-"))


def build_model(model: type[M], values: dict[str, Any]) -> M:
    """Return a model made of the options that were given.

    Raises
    ------
    InputError
        If a value is missing or invalid; one line, with the names of the options.
    """
    from pydantic import ValidationError

    given = {name: values[name] for name in model.model_fields if values.get(name) not in (None, (), {})}
    try:
        return model(**given)
    except ValidationError as error:
        raise InputError("; ".join(_explain(model, problem) for problem in error.errors())) from None


def _declare(name: str, field: "FieldInfo") -> tuple[str, ...]:
    flag = option_name(name)
    return (f"{flag}/--no-{flag[2:]}" if field.default is True else flag), name


def _settings(name: str, field: "FieldInfo") -> dict[str, Any]:
    """Return the arguments of `click.option`; the help only shows the default."""
    kind = _without_none(field.annotation)
    settings: dict[str, Any] = {"help": _help(name, field), "default": None}
    origin = get_origin(kind)
    if kind is bool:
        settings["is_flag"] = True
    elif origin is Literal:
        settings["type"] = _choice(kind)
    elif origin is dict:
        settings |= {"multiple": True, "metavar": "KEY=VALUE", "callback": key_values}
    elif origin is tuple and Ellipsis in get_args(kind):
        one = get_args(kind)[0]
        settings |= {
            "multiple": True,
            **({"type": _choice(one)} if get_origin(one) is Literal else {"metavar": "NAME"}),
        }
    elif origin is tuple:
        settings |= _several_numbers(name, len(get_args(kind)))
    elif kind in (int, float):
        settings["type"] = _range(kind, field)
    elif "date" in name:
        settings["metavar"] = "YYYY-MM[-DD]"
    else:
        settings["metavar"] = "TEXT"
    return settings


def _help(name: str, field: "FieldInfo") -> str:
    text = field.description or ""
    if field.is_required():
        return f"{text}  [required]"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default in (None, False, {}, ()):
        return text
    shown = ", ".join(default) if isinstance(default, tuple) else default
    if default is True:
        shown = name
    return f"{text}  [default: {shown}]"


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return next((kind for kind in kinds if Ellipsis in get_args(kind)), kinds[0])
    return annotation


def _choice(kind: Any) -> click.Choice[str]:
    return click.Choice([str(choice) for choice in get_args(kind)])


def _several_numbers(name: str, count: int) -> dict[str, Any]:
    if name == "adapt":
        return {"nargs": count, "type": int, "metavar": "MIN MAX"}
    return {"nargs": count, "type": float, "metavar": "<FLOAT FLOAT FLOAT FLOAT>"}


def _range(kind: type[int] | type[float], field: "FieldInfo") -> click.ParamType[Any]:
    from annotated_types import Ge, Gt, Le

    low = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    above = next((bound.gt for bound in field.metadata if isinstance(bound, Gt)), None)
    high = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    ranged: Any = WholeNumbers if kind is int else Numbers
    if low is None and above is None and high is None:
        return click.INT if kind is int else click.FLOAT
    chosen: click.ParamType[Any] = ranged(min=low if above is None else above, max=high, min_open=above is not None)
    return chosen


def key_values(_context: click.Context, option: click.Parameter, pairs: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` pairs; a value that is JSON keeps its type."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE; write it with an equals sign", param=option)
        values[key] = _value(text)
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _explain(model: "type[BaseModel]", problem: Any) -> str:
    """Return a validation error as a clause that names the option, not the field."""
    names = sorted(model.model_fields, key=len, reverse=True)
    message = re.sub("^Value error, ", "", problem["msg"])
    named = rf"(?<!-)\b(no-)?({'|'.join(names)})\b"
    message = re.sub(named, lambda match: f"--{match[0]}" if match[1] else option_name(match[2]), message)
    field = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "missing":
        return f"{option_name(field)} is missing; {model.model_fields[field].description}"
    if not field:
        return message
    if problem["type"] == "value_error":
        return f"{option_name(field)}: {message}"
    if problem["type"] == "string_pattern_mismatch":
        message = f"has another form; {model.model_fields[field].description}"
    return f"{option_name(field)} {_BRIEF.repr(problem['input'])}: {message}"
