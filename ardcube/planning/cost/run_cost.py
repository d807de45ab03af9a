"""The counted cost of a run next to its estimate (pure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ardcube.planning.cost.estimate import CostEstimate
from ardcube.planning.cost.figures import QUANTITIES, Prices, Quantity, Range, Used, total_of


@dataclass(slots=True)
class UsedSum:
    """Sums of counted figures; a sum is unknown if a part is."""

    sums: dict[Quantity, float] = field(default_factory=dict)
    unknown: Counter[Quantity] = field(default_factory=Counter)
    """Chunks that did not count a figure."""

    def add(self, used: Used) -> None:
        """Add the figures of a chunk."""
        for quantity in QUANTITIES:
            figure = used.get(quantity)
            if figure is None:
                self.unknown[quantity] += 1
            else:
                self.sums[quantity] = self.sums.get(quantity, 0.0) + figure

    def total(self) -> Used:
        """Return the sums; unknown ones are None."""
        return Used(**{name: None if self.unknown[name] else self.sums.get(name, 0.0) for name in QUANTITIES})


@dataclass(frozen=True, slots=True)
class RunCost:
    """The counted cost of a run, and the estimate that was made at its beginning.

    Levels of a pyramid, attempts that failed, and the start of processes are not counted.
    """

    chunks: int
    """Chunks that were built."""
    square_km: float
    """Area of these chunks, each period counted."""
    megapixels: float
    """Pixels of these chunks, bands not counted."""
    seconds: float
    """Duration of the run."""
    used: Used
    expected: Mapping[Quantity, Range] = field(default_factory=dict)
    """Estimate by quantity; nothing if there was none."""
    basis: str = ""
    """Basis of the estimate."""
    prices: Prices = field(default_factory=Prices)

    @classmethod
    def of(
        cls, used: Used, chunks: int, megapixels: float, seconds: float, estimate: CostEstimate, prices: Prices
    ) -> Self:
        """Return the cost of a run that built some of the chunks that were estimated.

        The estimate is reduced to the share of the chunks that were built.
        """
        share = chunks / estimate.chunks if estimate.chunks else 0.0
        expected: dict[Quantity, Range] = {
            "cpu_seconds": estimate.cpu_seconds, "seconds": estimate.core_seconds, "requests": estimate.requests,
            "received": estimate.bytes_to_read, "stored": estimate.cube_bytes, "objects": estimate.cube_objects,
        }  # fmt: skip
        return cls(
            chunks=chunks,
            square_km=estimate.square_km * share,
            megapixels=megapixels,
            seconds=seconds,
            used=used,
            expected={name: figure.times(share) for name, figure in expected.items()},
            basis=f"{estimate.basis}: {estimate.about}",
            prices=prices,
        )

    @property
    def square_km_per_minute(self) -> float:
        """Square kilometres per minute of the run."""
        return 60 * self.square_km / self.seconds if self.seconds > 0 else 0.0

    @property
    def megapixels_per_second(self) -> float:
        """Megapixels per second of the run."""
        return self.megapixels / self.seconds if self.seconds > 0 else 0.0

    @property
    def money(self) -> float | None:
        """Money of the prices that are known; None if one of their quantities is unknown, or without prices."""
        found = total_of(self._money({name: _exactly(self.used.get(name)) for name in QUANTITIES}))
        return None if found is None else found.likely

    @property
    def expected_money(self) -> Range | None:
        """Money that was expected."""
        return total_of(self._money({name: self.expected.get(name) for name in QUANTITIES}))

    @property
    def money_per_1000_square_km(self) -> float | None:
        """Money per 1,000 square kilometres."""
        return None if self.money is None or not self.square_km else 1000 * self.money / self.square_km

    def _money(self, figures: Mapping[Quantity, Range | None]) -> dict[str, Range | None]:
        seconds = figures["seconds"]
        core_hours = None if seconds is None else seconds.times(1 / 3600)
        return self.prices.parts(core_hours, figures["received"], figures["requests"])

    def to_document(self) -> dict[str, Any]:
        """Return the cost for a ledger."""
        numbers = {name: getattr(self, name) for name in ("chunks", "square_km", "megapixels", "seconds")}
        expected = {name: [one.low, one.likely, one.high] for name, one in self.expected.items()}
        return {
            **numbers, "used": asdict(self.used), "expected": expected, "basis": self.basis,
            "prices": asdict(self.prices),
        }  # fmt: skip

    @classmethod
    def from_document(cls, values: Mapping[str, Any]) -> Self:
        """Return the cost in a ledger.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is damaged.
        """
        numbers = [float(values[name]) for name in ("chunks", "square_km", "megapixels", "seconds")]
        used, prices = Used(**values["used"]), Prices(**values["prices"])
        expected = {name: Range(*map(float, values["expected"][name])) for name in QUANTITIES if values["expected"]}
        numbers += [value for one in (used, prices) for value in asdict(one).values() if value is not None]
        numbers += [value for one in expected.values() for value in asdict(one).values()]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("a number is not finite")
        _, square_km, megapixels, seconds = numbers[:4]
        return cls(int(values["chunks"]), square_km, megapixels, seconds, used, expected, str(values["basis"]), prices)


def _exactly(figure: float | None) -> Range | None:
    return None if figure is None else Range.exactly(figure)
