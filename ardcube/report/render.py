"""Render the Jinja2 templates of this package; every value is escaped for Markdown or for XML."""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ardcube.config.names import OPTION, title_in_form
from ardcube.redaction import without_secrets
from ardcube.report.wording import count_of, short

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_SYNTAX = re.compile(r"[\\`*|\[\]]")
"""Characters that start Markdown, or end a cell of a table."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Markdown(str):
    """Text that is Markdown already; a template inserts it unchanged."""

    __slots__ = ()


def render_markdown(template: str, **values: Any) -> str:
    """Render a template of Markdown."""
    return _markdown().get_template(template).render(values).strip()


def render_svg(template: str, **values: Any) -> str:
    """Render a template of SVG."""
    return _svg().get_template(template).render(values)


@cache
def _markdown() -> Environment:
    environment = _environment(autoescape=False, finalize=escaped)
    environment.filters |= {
        "bytes": as_bytes,
        "chunks": lambda count: count_of(count, "chunk"),
        "code": _code,
        "data_uri": _data_uri,
        "duration": as_duration,
        "options": _options,
        "python": _python,
        "redact": without_secrets,
        "sentence": lambda text: text[:1].upper() + text[1:],
        "short": short,
    }
    return environment


@cache
def _svg() -> Environment:
    return _environment(autoescape=True)


def _environment(**options: Any) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import

    return Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options
    )


def escaped(value: Any) -> Any:
    """Escape text so that it is shown literally, in one line, in a paragraph, a heading or a table."""
    if not isinstance(value, str) or isinstance(value, Markdown):
        return value
    text = "".join(_ENTITIES.get(letter, letter) for letter in " ".join(value.split()))
    return _SYNTAX.sub(r"\\\g<0>", text)


def _code(text: str, *, table: bool = False) -> Markdown:
    """Return text as code in a line; the fence is longer than any row of backticks in the text."""
    line = " ".join(text.split())
    if table:
        line = line.replace("|", r"\|")  # the only escape in code, and only in a table
    fence = "`" * (1 + max((len(row) for row in re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return Markdown(f"{fence}{pad}{line}{pad}{fence}")


def _options(text: str) -> Markdown:
    """Return text that names each of its options as the command line, the form and Python do."""
    return Markdown(OPTION.sub(_named, escaped(text)))


def _named(option: re.Match[str]) -> str:
    title, argument = title_in_form(option[2]), option[2].replace("-", "_")
    elsewhere = "" if title is None else f" (*{title}* in the form, {_code(argument)} in Python)"
    return f"{_code(option[0])}{elsewhere}"


def _python(value: Any) -> Markdown:
    """Return the literal of a value, for a block of code; a literal has no line break."""
    return Markdown(repr(value))


def _data_uri(svg: str) -> Markdown:
    """Return a picture as an address that contains it, so that no server has to store it."""
    return Markdown(f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}")


def as_duration(seconds: float) -> str:
    """Return seconds as text."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def as_bytes(count: float) -> str:
    """Return a number of bytes as text."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
