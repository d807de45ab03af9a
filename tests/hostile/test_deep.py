"""Every hostile test on thousands of inputs, others each time: minutes, so not by default."""

from __future__ import annotations

import time
import warnings

import pytest

from tests.hostile.fuzz import fuzz
from tests.hostile.fuzz import load as load_cases

SECONDS = 60.0
CASES = (
    "items: an_item", "items: a_folder", "items: an_api", "ledger: a_spoiled", "ledger: an_edited_cube",
    "ledger: a_record", "ledger: an_edited_lease", "store: edited", "store: spoiled", "models",
    "geometry: a_document", "geometry: a_damaged",
    "cli",
)  # fmt: skip


@pytest.mark.deep
@pytest.mark.parametrize("part", CASES)
def test_no_input_of_a_minute_is_answered_otherwise(part: str) -> None:
    ((name, case),) = load_cases(part).items()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tried, found = fuzz(case, SECONDS, time.time_ns() % 2**40)
    assert tried > 10, name
    assert found == {}


def test_the_deep_run_leaves_no_hostile_test_out() -> None:
    assert sorted(name for part in CASES for name in load_cases(part)) == sorted(load_cases())
