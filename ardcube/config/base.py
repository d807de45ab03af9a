"""Base of the models: strict validation, and the types of dates and addresses."""

import re
from calendar import monthrange
from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from ardcube.config import form_schema
from ardcube.redaction import CREDENTIAL_IN_ADDRESS

STORED = "would be stored with the run, where others can read it"
_TEMPLATE = "{{"
"""Start of a template. Prefect fills them in when a deployment is created, and not when a run is."""
_CREDENTIAL = re.compile(CREDENTIAL_IN_ADDRESS, re.IGNORECASE)


def title_of(name: str) -> str:
    """Return the title in the form of a field that has no other title."""
    return name.replace("_", " ").capitalize()


class Model(BaseModel):
    """Base model: frozen, without unknown fields, and with errors that do not quote the input."""

    # Errors hide the input because it may be a secret; messages of validators quote it where it is safe.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _field: title_of(name),
        json_schema_extra=form_schema.adapt,
    )

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        try:
            self.model_dump_json()
        except ValueError:
            raise ValueError(
                "a text contains half of a surrogate pair, which cannot be stored; enter the text again"
            ) from None
        return self


_MONTH = re.compile(r"\s*(\d{4})-(\d{1,2})Z?\s*", re.ASCII)
_DAY_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


def _as_day(value: Any) -> Any:
    """Accept a date, or a date with a time, which is ignored."""
    return _parsed(value, _DAY_FORMATS, "2023-01-01")


def _as_month(value: Any) -> Any:
    """Accept a month as well, which becomes its first day."""
    return _parsed(value, (*_DAY_FORMATS, "%Y-%m"), "2023-01-01 or 2023-01")


def _parsed(value: Any, formats: Iterable[str], shown: str) -> Any:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, str):
        for pattern in formats:
            try:
                return datetime.strptime(value.strip().removesuffix("Z"), pattern).date()
            except ValueError:
                continue
        raise ValueError(f"{value!r} is not a date; use the format {shown}")
    return value


def _as_last_month(value: Any) -> Any:
    """Accept a month as well, which becomes its last day."""
    if isinstance(value, str) and (match := _MONTH.fullmatch(value)):
        year, month = int(match[1]), int(match[2])
        if year and 1 <= month <= 12:
            return date(year, month, monthrange(year, month)[1])
    return _as_month(value)


Day = Annotated[date, BeforeValidator(_as_day)]
Month = Annotated[date, BeforeValidator(_as_month)]
"""A month, given as such or by any of its days. Periods of days begin on the day."""
LastMonth = Annotated[date, BeforeValidator(_as_last_month)]
"""As `Month`, with the last day of a month that is given as such."""


def check_address(address: str) -> str:
    """Return an address; raise ValueError, without quoting it, if it contains credentials or a template."""
    if _CREDENTIAL.search(address):
        raise ValueError(
            f"the address contains a user or a secret parameter, which {STORED}; remove it and put credentials into "
            "the environment"
        )
    if _TEMPLATE in address:
        raise ValueError(
            "contains a template {{ ... }}, but only prefect.yaml may have templates; write the value itself"
        )
    return address


Address = Annotated[str, AfterValidator(check_address)]
_REFUSED = (
    (
        f"(?i){CREDENTIAL_IN_ADDRESS}",
        f"an address without credentials, because they {STORED}; put them into the environment",
    ),
    (re.escape(_TEMPLATE), "a value without a template {{ ... }}, because only prefect.yaml may have templates"),
)
"""Regular expressions that no address may match, and what the form expects instead."""
ADDRESS_FORM: form_schema.Schema = {
    "allOf": [form_schema.without(pattern, expected, lists=False) for pattern, expected in _REFUSED]
}
ADDRESSES_FORM: form_schema.Schema = {
    # One inside the other, because the form would show the members of `allOf` instead of a text or a list.
    **form_schema.without(*_REFUSED[0], lists=True),
    "then": form_schema.without(*_REFUSED[1], lists=True),
}
