"""Servers of which a share of all requests fails at random, in every way that a network has."""

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
"""What becomes of requests for scenes and items; a number is the status of the answer."""
WRITING = ("503", "500", "reset", "lost")
"""What becomes of requests to the store; `lost` ones are applied, and their answer never arrives."""
_CODES = {"503": "SlowDown", "500": "InternalError"}


class Weather:
    """Decides which requests fail, and counts them.

    Parameters
    ----------
    share : float
        Of all requests, 0 to 1.
    kinds : sequence of str
        One of them, each as often.
    seed : int
        The same requests in the same order fail in the same way.
    """

    def __init__(self, share: float, kinds: Sequence[str], seed: int) -> None:
        self.requests = 0
        self.failed: Counter[str] = Counter()
        self._share = share
        self._kinds = kinds
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def next(self) -> str | None:
        """What becomes of the next request: a kind, or None where it is answered."""
        with self._lock:
            self.requests += 1
            if self._random.random() >= self._share:
                return None
            kind = self._random.choice(self._kinds)
            self.failed[kind] += 1
            return kind


class WeatheredProxy(FaultyProxy):
    """Passes requests on to a server as far as the weather allows."""

    def __init__(self, url: str, weather: Weather) -> None:
        super().__init__(url)
        self.weather = weather

    def struck(self, method: str, path: str) -> Strike | None:
        """Find what is to happen to a request."""
        kind = self.weather.next()
        if kind is None:
            return None
        if kind.isdecimal():
            return Strike(kind="status", status=int(kind), code=_CODES.get(kind, "TooManyRequests"))
        return Strike(kind=kind)  # type: ignore[arg-type]


class WeatheredEarthSearch(EarthSearch):
    """A catalogue that answers as far as the weather allows."""

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
