"""A claim: its file, its description, and files that somebody has edited."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.lease.claim import Claim
from tests.strategies import MANY

VALUES = {
    "holder": "0a", "who": "anna@far", "pid": 7, "run": "eager-otter", "run_id": "1b",
    "started": "2024-05-01T11:00:00+00:00", "renewed": "2024-05-01T12:00:00+00:00", "expires_seconds": 120.0,
    "released": False,
}  # fmt: skip


def parsed(**changes: Any) -> Claim | None:
    return Claim.parse(json.dumps({**VALUES, **changes}).encode())


def test_a_claim_survives_writing_and_reading() -> None:
    claim = Claim(run="a run", run_id="an id", expires_seconds=120.0)
    assert Claim.parse(claim.to_json()) == claim
    assert Claim.current(claim.to_json()) == claim
    assert Claim.current(claim.renew(released=True).to_json()) is None


def test_a_lease_of_ardcube_0_1_0_is_read() -> None:
    assert parsed(machine="boot pid:[1]", born="1234", released=True) is not None


def test_each_claim_has_an_id_and_each_renewal_writes_another_file() -> None:
    claims = [Claim(run="run", run_id="id", expires_seconds=120.0) for _ in range(5)]
    assert len({claim.holder for claim in claims}) == 5
    assert claims[0].renew().to_json() != claims[0].to_json()
    assert claims[0].renew().holder == claims[0].holder


def test_the_description_names_user_host_process_run_and_times() -> None:
    claim = parsed()
    assert claim is not None
    assert claim.describe() == (
        "anna@far (process 7, flow run eager-otter) since 2024-05-01 11:00:00 UTC, last renewed 2024-05-01 12:00:00 UTC"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"holder": None}, {"holder": ""}, {"holder": "../../etc/passwd"}, {"holder": "0" * 300}, {"who": 5},
        {"pid": "7"}, {"pid": 0}, {"pid": -1}, {"pid": True}, {"pid": 2**40}, {"expires_seconds": 0.0},
        {"expires_seconds": -1.0}, {"expires_seconds": 1e300}, {"expires_seconds": "120"},
        {"expires_seconds": float("nan")}, {"renewed": "yesterday"}, {"renewed": "2024-05-01T12:00:00"},
        {"started": ""}, {"released": "no"},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_with_an_impossible_value_is_damaged(changes: dict[str, Any]) -> None:
    assert parsed() is not None
    assert parsed(**changes) is None


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"5", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_damaged(content: bytes) -> None:
    assert Claim.parse(content) is None


@MANY
@given(st.dictionaries(st.sampled_from(sorted(VALUES)), st.none() | st.text() | st.integers()))
def test_any_edited_file_is_damaged_or_has_a_printable_description(changes: dict[str, Any]) -> None:
    claim = parsed(**changes)
    assert claim is None or claim.describe().isprintable()
