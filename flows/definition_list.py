"""Show definitions of collections on the terminal, in lines of at most 100 columns."""

from collections.abc import Collection, Iterable, Iterator
from textwrap import wrap

from ardcube.collections.model import Definition
from ardcube.collections.parts import Band, Catalogue

_WIDTH = 100
_INDENT = 14


def definition_lines(definitions: Iterable[Definition], masks: Collection[str]) -> Iterator[str]:
    """Yield the lines that describe definitions, with an empty line between two.

    Parameters
    ----------
    definitions : iterable of Definition
        Definitions.
    masks : collection of str
        Names of the installed cloud masks.
    """
    for number, definition in enumerate(definitions):
        if number:
            yield ""
        yield from wrap(f"{definition.name}: {definition.title}", _WIDTH, subsequent_indent="  ")
        yield from _row("sensors", [", ".join(definition.sensors)])
        yield from _row("catalogues", [_catalogue(catalogue) for catalogue in definition.catalogues])
        yield from _row("bands", [", ".join(_names(*band) for band in definition.bands.items())])
        yield from _row("masks", [", ".join(_masks(definition, masks))])


def _row(name: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a row; its name is in the first of them."""
    start = f"  {name}"
    for text in texts:
        for line in wrap(text, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False):
            yield f"{start:{_INDENT}}{line}"
            start = ""


def _masks(definition: Definition, masks: Collection[str]) -> Iterator[str]:
    """Yield the installed masks that a collection has the band of, the one of `auto` first."""
    first = definition.mask if definition.mask in masks else None
    if first is not None:
        yield first
    yield from (name for name in definition.bands if name in masks and name != first)


def _names(name: str, band: Band) -> str:
    others = dict.fromkeys((*list(band.names(name))[1:], *band.assets))
    others.pop(name, None)
    return f"{name} ({' '.join(others)})" if others else name


def _catalogue(catalogue: Catalogue) -> str:
    access = "" if catalogue.access.kind == "unsigned" else f", {catalogue.access.kind}"
    return f"{catalogue.collection} at {catalogue.stac_url or 'files'}{access}"
