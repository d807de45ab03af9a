"""Up to when a cube that grows is built."""

from datetime import date

from pydantic import Field, field_validator

from ardcube.config.base import Model, MonthDate

_FIRST_YEAR = 2015
"""Sentinel-2A was launched in June."""


class RefreshConfig(Model):
    """Up to when a growing cube is built; resolved when a run begins."""

    delay_days: int = Field(
        default=5,
        ge=0,
        le=366,
        description="Days after the end of a month until it is built, so that scenes that are processed late are in.",
    )
    as_of: MonthDate | None = Field(
        default=None,
        description=(
            "Day that the run takes for today, to build what a run of that day would have built. "
            "Default: the day on which the run begins, in UTC. Never set it in a schedule."
        ),
    )

    @field_validator("as_of")
    @classmethod
    def _day_has_scenes(cls, value: date | None) -> date | None:
        if value is not None and value.year < _FIRST_YEAR:
            raise ValueError(f"{value} lies before the first scenes; choose a day from {_FIRST_YEAR} on, or none")
        return value
