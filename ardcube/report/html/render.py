"""Render the template of the report page: every value is escaped, and the browser refuses all other scripts."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ardcube.report.render import as_bytes, as_duration
from ardcube.report.wording import count_of, short

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
GENERATOR = '<meta name="generator" content="ardcube report">'
"""Element by which a report page is recognized."""


def render_html(template: str, **values: Any) -> str:
    """Render a template with the style and the script of the page, and with a policy that permits nothing else.

    The policy (Content-Security-Policy) names the digests of both. A browser then loads nothing from the network, and
    runs no script that a hostile name or error might bring.
    """
    style, script = (_TEMPLATES.joinpath(name).read_text() for name in ("report.css", "report.js"))
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    return _environment().get_template(template).render(
        values, generator=GENERATOR, style=style, script=script, policy=policy
    )  # fmt: skip


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.filters |= {"bytes": as_bytes, "duration": as_duration, "of": count_of, "short": short}
    return environment


def _digest(text: str) -> str:
    """Return the source of a policy that permits exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
