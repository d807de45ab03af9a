"""Servers that fail a share of all requests at random."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.servers.earth_search import EarthSearch
from tests.servers.faults import Fault
from tests.servers.faulty_proxy import FaultyProxy, Strike

READING = ("503", "500", "429", "reset", "truncate")
"""Faults of requests for scenes and items; a number is the status of the response."""
WRITING = ("503", "500", "reset", "lost")
"""Faults of requests to the store; a `lost` request is applied, and its response does not arrive."""
_CODES = {"503": "SlowDown", "500": "InternalError"}


class Weather:
    """Selects the requests that fail, and counts them.

    Parameters
    ----------
    share : float
        Share of requests that fail, 0 to 1.
    kinds : sequence of str
        Kinds of faults, with equal probability.
    seed : int
        Seed of the random sequence; equal seeds give equal faults for equal sequences of requests.
    """

    def __init__(self, share: float, kinds: Sequence[str], seed: int) -> None:
        self.requests = 0
        self.failed: Counter[str] = Counter()
        self._share = share
        self._kinds = kinds
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def next(self) -> str | None:
        """Return the fault of the next request, or None if it succeeds."""
        with self._lock:
            self.requests += 1
            if self._random.random() >= self._share:
                return None
            kind = self._random.choice(self._kinds)
            self.failed[kind] += 1
            return kind


class WeatheredProxy(FaultyProxy):
    """Forwards requests to a server, and injects the faults of the weather."""

    def __init__(self, url: str, weather: Weather) -> None:
        super().__init__(url)
        self.weather = weather

    def struck(self, method: str, path: str) -> Strike | None:
        """Return the fault of a request, or None."""
        kind = self.weather.next()
        if kind is None:
            return None
        if kind.isdecimal():
            return Strike(kind="status", status=int(kind), code=_CODES.get(kind, "TooManyRequests"))
        return Strike(kind=kind)  # type: ignore[arg-type]


class WeatheredEarthSearch(EarthSearch):
    """A STAC API with the faults of the weather."""

    def __init__(self, collections: Sequence[Any], items: Sequence[Any], weather: Weather) -> None:
        super().__init__(collections, items)
        self.weather = weather

    def _struck(self, method: str, path: str) -> Fault | None:
        kind = self.weather.next()
        if kind is None:
            return None
        if kind.isdecimal():
            return Fault(kind="status", status=int(kind))
        return Fault(kind=kind)  # type: ignore[arg-type]
