"""The promise to bad input, as a test: a result, or an error of ours that a person reads in one clear line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ardcube.errors import ArdcubeError

T = TypeVar("T")
_LONGEST = 20_000
"""A message may quote what was given, and not all of a file."""
CASES: dict[str, Callable[[Random], None]] = {}
"""Every hostile test by its name, for `tests.hostile.fuzz`."""


def hostile(examples: int) -> Callable[[Callable[[Random], None]], Callable[..., None]]:
    """Make a test of a function that draws its input from a random generator; the same examples every time."""

    def register(function: Callable[[Random], None]) -> Callable[..., None]:
        CASES[f"{function.__module__.rpartition('test_')[2]}: {function.__name__.removeprefix('test_')}"] = function

        @wraps(function)
        def quiet(random: Random) -> None:
            with warnings.catch_warnings():
                # shapely warns of coordinates that are no numbers, or does not, by what the processor did before.
                warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
                function(random)

        return settings(  # type: ignore[no-any-return]
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )(given(random=st.integers(0, 2**64).map(Random))(quiet))

    return register


def answer(ask: Callable[[], T]) -> T | str:
    """What a call gives, or the line that it refuses with; any other error fails the test."""
    try:
        return ask()
    except ArdcubeError as error:
        return clear_line(error)


def clear_line(error: BaseException) -> str:
    """The message of an error, once it was found to be one line for a person."""
    line = str(error)
    assert line.strip(), repr(error)
    assert "\n" not in line, line
    assert len(line) < _LONGEST, f"{len(line)}: {line[:300]}"
    assert "Traceback" not in line
    assert "object at 0x" not in line, line
    return line


def of_kinds(value: Any, **kinds: type | tuple[type, ...]) -> None:
    """Attributes of a value are of the types that its class promises."""
    for name, kind in kinds.items():
        assert isinstance(getattr(value, name), kind), f"{name} is {getattr(value, name)!r:.200}"
