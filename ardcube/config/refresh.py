"""End of a growing cube, relative to the day of the run."""

from datetime import date

from pydantic import Field, field_validator

from ardcube.config.base import Day, Model

_FIRST_YEAR = 2015
"""Sentinel-2A was launched in June."""


class RefreshConfig(Model):
    """Periods of a growing cube that a run builds; resolved when the run begins."""

    delay_days: int = Field(
        default=5,
        ge=0,
        le=366,
        description="Days after the end of a period until the period is built, so that late scenes are included.",
    )
    retry_hours: float = Field(
        default=12.0,
        ge=0,
        le=168,
        description=(
            "Hours for which a run tries again while its catalogue or its store is unreachable. The first attempt "
            "follows after a minute, later ones after half an hour at most."
        ),
    )
    as_of: Day | None = Field(
        default=None,
        description=(
            "Day that the run uses as today, to repeat the run of that day. "
            "Default: the day on which the run begins, in UTC. Never set it in a schedule."
        ),
    )

    @field_validator("as_of")
    @classmethod
    def _day_has_scenes(cls, value: date | None) -> date | None:
        if value is not None and value.year < _FIRST_YEAR:
            raise ValueError(f"{value}: before the first scenes; choose a day from {_FIRST_YEAR} on, or none")
        return value
