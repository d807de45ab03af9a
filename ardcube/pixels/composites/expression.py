"""Expressions of bands, such as ``(nir-red)/(nir+red)``: names, numbers, + - * / and parentheses."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import add, mul, sub, truediv
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}
_CHARACTERS = re.compile(r"[A-Za-z0-9_.+\-*/() ]+")
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)")
_DEEPEST = 20
"""Levels of parentheses and operators of an expression at most."""
_LONGEST = 200
"""Characters of an expression at most."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression. Nothing but the four operations can be evaluated."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check an expression.

        Raises
        ------
        ValueError
            If the text is anything else, or names no band.
        """
        if not _CHARACTERS.fullmatch(text) or len(text) > _LONGEST or "**" in text or "//" in text:
            raise ValueError(
                f"{text:.60} is not an expression; use names of bands, numbers, + - * / and ( ), such as "
                "(nir-red)/(nir+red)"
            )
        made = cls("".join(text.split()))
        try:
            bands = made.bands
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(f"{text:.60} is not an expression; write it as (nir-red)/(nir+red)") from error
        if not bands:
            raise ValueError(f"{text:.60} names no band; write an expression of bands, such as nir/red")
        return made

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in the order of the alphabet."""
        found: set[str] = set()
        _check(self._tree(), found, 0, self.text)
        return tuple(sorted(found))

    def evaluate(self, bands: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the values of the expression; not finite where it is not defined, such as after a division by 0.

        Parameters
        ----------
        bands : mapping of float64 arrays
            Reflectance of each band of the expression, arrays of one shape.
        """
        with np.errstate(all="ignore"):
            values: NDArray[np.float64] = _value(self._tree(), bands)
        return values

    def _tree(self) -> ast.expr:
        return ast.parse(self.text, mode="eval").body


def _check(node: ast.expr, found: set[str], depth: int, text: str) -> None:
    """Add the bands of a node; raise SyntaxError for anything but names, numbers and the four operations."""
    if depth > _DEEPEST:
        raise SyntaxError("too deep")
    if isinstance(node, ast.Name):
        found.add(node.id)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        _check(node.left, found, depth + 1, text)
        _check(node.right, found, depth + 1, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        _check(node.operand, found, depth + 1, text)
    elif not (
        isinstance(node, ast.Constant)
        and type(node.value) in (int, float)
        and _NUMBER.fullmatch(text[node.col_offset : node.end_col_offset])
    ):
        raise SyntaxError("neither a name nor a number nor an operation")


def _value(node: ast.expr, bands: Mapping[str, NDArray[np.float64]]) -> Any:
    if isinstance(node, ast.Name):
        return bands[node.id]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, bands), _value(node.right, bands))
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, bands)
    assert isinstance(node, ast.Constant)
    return np.float64(node.value)  # type: ignore[arg-type]
