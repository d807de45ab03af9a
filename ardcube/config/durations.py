"""Durations as text: `15 minutes`, `90 s`, `1.5h`, or a number of seconds."""

import re

_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_DURATION = re.compile(r"\s*(\d{1,9}(?:\.\d+)?)\s*([a-z]*?)s?\s*", re.IGNORECASE)


def to_seconds(text: str) -> float:
    """Return the seconds of a duration.

    Raises
    ------
    ValueError
        If the text is no duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or (match[2].lower() or "s") not in _UNITS:
        raise ValueError(f"{text!r:.40} is not a duration; give a number with a unit, such as 90 s, 15 minutes or 2 h")
    return float(match[1]) * _UNITS[match[2].lower() or "s"]
