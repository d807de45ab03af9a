"""Check the response to malformed input: a result, or an ArdcubeError with one line of text."""

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
"""Letters of a message, which may quote its input, but not a whole file."""
CASES: dict[str, Callable[[Random], None]] = {}
"""Hostile tests by name, for `tests.hostile.fuzz`."""


def hostile(examples: int) -> Callable[[Callable[[Random], None]], Callable[..., None]]:
    """Turn a function of a random generator into a test with the same examples in each run."""

    def register(function: Callable[[Random], None]) -> Callable[..., None]:
        CASES[f"{function.__module__.rpartition('test_')[2]}: {function.__name__.removeprefix('test_')}"] = function

        @wraps(function)
        def quiet(random: Random) -> None:
            with warnings.catch_warnings():
                # shapely warns about NaN coordinates depending on the state of the processor.
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
    """Return the result of a call, or the line of its ArdcubeError; any other error fails the test."""
    try:
        return ask()
    except ArdcubeError as error:
        return clear_line(error)


def clear_line(error: BaseException) -> str:
    """Return the message of an error after checking that it is one readable line."""
    line = str(error)
    assert line.strip(), repr(error)
    assert "\n" not in line, line
    assert len(line) < _LONGEST, f"{len(line)}: {line[:300]}"
    assert "Traceback" not in line
    assert "object at 0x" not in line, line
    return line


def of_kinds(value: Any, **kinds: type | tuple[type, ...]) -> None:
    """Check the types of attributes."""
    for name, kind in kinds.items():
        assert isinstance(getattr(value, name), kind), f"{name} is {getattr(value, name)!r:.200}"
