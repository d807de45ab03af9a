"""Every hostile test with thousands of new inputs; it takes minutes, so it is not run by default."""

from __future__ import annotations

import time
import warnings

import pytest

from tests.hostile.fuzz import fuzz
from tests.hostile.fuzz import load as load_cases

SECONDS = 60.0
CASES = (
    "items: an_item", "items: a_folder", "items: an_api", "ledger: a_damaged", "ledger: an_edited_cube",
    "ledger: a_record", "ledger: an_edited_lease", "store: edited", "store: damaged", "models",
    "geometry: a_document", "geometry: a_damaged",
    "cli",
)  # fmt: skip


@pytest.mark.deep
@pytest.mark.parametrize("part", CASES)
def test_a_minute_of_new_inputs_has_no_failure(part: str) -> None:
    ((name, case),) = load_cases(part).items()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tried, found = fuzz(case, SECONDS, time.time_ns() % 2**40)
    assert tried > 10, name
    assert found == {}


def test_the_deep_run_includes_every_hostile_test() -> None:
    assert sorted(name for part in CASES for name in load_cases(part)) == sorted(load_cases())
