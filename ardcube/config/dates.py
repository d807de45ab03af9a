"""Dates and periods of a cube, as options."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from ardcube.config import form_schema
from ardcube.config.base import LastMonth, Model, Month, check_address
from ardcube.config.period import FORM_PATTERN, MOST_MONTHS, PeriodRule
from ardcube.config.selection import parse_months, written_months

_LAST_YEAR = 9998


class TimeOptions(Model):
    """Dates and periods of a cube; the end may be open."""

    start_date: Month = Field(
        description="First month of the cube, such as 2023-01. A day counts for periods of days only.",
    )
    end_date: LastMonth | None = Field(
        default=None,
        description=(
            "Last month that the cube may have, included. A day counts for periods of days only. Default: no end; "
            "the cube grows with each run."
        ),
    )
    months: str | None = Field(
        default=None,
        title="Months of the year",
        description="Months to keep of every year, such as 5-9, 11-2 or 3,6-8. Default: all.",
    )
    period: str | None = Field(
        default=None,
        max_length=1000,
        json_schema_extra=form_schema.expects(
            {"pattern": FORM_PATTERN}, "1M, 10D, season, year, or the path of a .csv file"
        ),
        description=(
            "Periods: 1M to 24M, 1D to 183D (counted from January 1st), 'season' (DJF, MAM, JJA, SON), 'year', or a "
            "CSV file of first and last days, which may overlap. Default: 1M."
        ),
    )
    time_frequency_months: int | None = Field(
        default=None,
        ge=1,
        le=MOST_MONTHS,
        title="Time frequency (months)",
        description="Length of one period, in months: another way to give the period.",
    )

    @property
    def kept_months(self) -> frozenset[int]:
        """Months of the year that are kept, 1 to 12; empty for all."""
        return frozenset() if self.months is None else parse_months(self.months)

    @property
    def period_rule(self) -> PeriodRule:
        """Kind of the periods."""
        if self.period is not None:
            return PeriodRule.parse(self.period)
        return PeriodRule("months", self.time_frequency_months or 1)

    @model_validator(mode="before")
    @classmethod
    def _months_become_time_frequency(cls, values: Any) -> Any:
        """Store whole months in one way, which cubes of earlier versions have too."""
        if not isinstance(values, dict):
            return values
        period, months = values.get("period"), values.get("time_frequency_months")
        try:
            rule = PeriodRule.parse(period) if isinstance(period, str) else PeriodRule("months", 1)
        except ValueError:
            return values  # the validator of the field reports it
        if period is None:
            return values if months is not None else {**values, "time_frequency_months": 1}
        if not isinstance(period, str):
            return values
        if months is not None and (rule.kind != "months" or str(months).strip() != str(rule.length)):
            raise ValueError(
                f"period {rule!s:.100} and time_frequency_months {months!r:.20}: both are given and differ; give one"
            )
        is_months = rule.kind == "months"
        return {
            **values,
            "period": None if is_months else str(rule),
            "time_frequency_months": rule.length if is_months else None,
        }

    @field_validator("period")
    @classmethod
    def _period_is_known(cls, value: str | None) -> str | None:
        return None if value is None else str(PeriodRule.parse(check_address(value)))

    @field_validator("months")
    @classmethod
    def _months_are_in_order(cls, value: str | None) -> str | None:
        return None if value is None else written_months(parse_months(value))

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> Self:
        if self.end_date is None:
            return self
        if self.end_date.year > _LAST_YEAR:
            raise ValueError(
                f"end_date {self.end_date}: after the last year of the calendar; choose one before {_LAST_YEAR + 1}"
            )
        shown = "%Y-%m-%d" if self.period_rule.has_days else "%Y-%m"
        start, end = self.start_date.strftime(shown), self.end_date.strftime(shown)
        if end < start:
            raise ValueError(f"end_date {end}: before start_date {start}; swap them")
        return self
