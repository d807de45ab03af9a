"""What all models have in common: how they refuse, and two kinds of fields."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from ardcube.config import form_schema
from ardcube.redaction import CREDENTIAL_IN_ADDRESS

STORED = "would be stored with the run for all to read"
_CREDENTIAL = re.compile(CREDENTIAL_IN_ADDRESS, re.IGNORECASE)


class Model(BaseModel):
    """Frozen, strict about names, and silent about what was given."""

    # Input is hidden in errors, since somebody may have put a secret there; messages say what was given where it helps.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _field: name.replace("_", " ").capitalize(),
        json_schema_extra=form_schema.present,
    )

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        try:
            self.model_dump_json()
        except ValueError:
            raise ValueError("a text holds half a character, which no file can hold; write it anew") from None
        return self


def _as_date(value: Any) -> Any:
    """Accept every form of the command line: a date, or a date with a time that is ignored."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, str):
        for pattern in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"):
            try:
                return datetime.strptime(value.removesuffix("Z"), pattern).date()
            except ValueError:
                continue
        raise ValueError(f"{value!r} is not a date; write it like 2023-01-01")
    return value


MonthDate = Annotated[date, BeforeValidator(_as_date)]


def no_credential(address: str) -> str:
    """Refuse an address that holds a credential, without repeating it."""
    if _CREDENTIAL.search(address):
        raise ValueError(
            f"the address holds a user or a secret parameter, which {STORED}; leave it out and put credentials into "
            "the environment"
        )
    return address


Address = Annotated[str, AfterValidator(no_credential)]
ADDRESS_FORM = form_schema.expects(
    {"not": {"type": "string", "pattern": f"(?i){CREDENTIAL_IN_ADDRESS}"}},
    f"an address without credentials, since they {STORED}; put them into the environment",
)
