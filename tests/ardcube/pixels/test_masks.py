"""Cloud masks: the registry by name, the options, and the clear observations."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.masks import CloudMaskHook, DefaultCloudMaskHook, SCLCloudMaskHook, cloud_mask, cloud_mask_names
from ardcube.pixels.observations import Observations
from tests.oracle.cube import clean_mask
from tests.strategies import FEW

Classes = NDArray[np.uint8]


def observed(scl: Classes) -> Observations:
    days, height, width = scl.shape
    time = np.arange(days).astype("datetime64[D]").astype("datetime64[ns]")
    return Observations({"scl": scl}, time, np.arange(height, 0.0, -1), np.arange(float(width)))


# ---- registry ------------------------------------------------------------------------------------


def test_built_in_masks_are_found_by_name() -> None:
    assert cloud_mask("none") == DefaultCloudMaskHook()
    assert cloud_mask("scl") == SCLCloudMaskHook(closing=5, opening=5, allowed_values=(4, 5))
    assert {"none", "scl"} <= set(cloud_mask_names())
    assert cloud_mask_names() == sorted(cloud_mask_names())


def test_the_error_for_an_unknown_name_lists_all_names() -> None:
    with pytest.raises(InputError, match=r"cloud mask s2cloudless is unknown; choose one of .*none.*scl"):
        cloud_mask("s2cloudless")


@pytest.mark.parametrize("name", ["hooks.cloud_masks:SCLCloudMaskHook", "./mask.py", "os:system", ""])
def test_names_come_from_installed_code_only(name: str) -> None:
    with pytest.raises(InputError, match="is unknown"):
        cloud_mask(name)


@pytest.mark.parametrize("hook", [DefaultCloudMaskHook(), SCLCloudMaskHook(closing=1)])
def test_built_in_masks_implement_the_protocol_and_are_picklable(hook: CloudMaskHook) -> None:
    assert isinstance(hook, CloudMaskHook)
    assert pickle.loads(pickle.dumps(hook)) == hook


# ---- options -------------------------------------------------------------------------------------


def test_options_set_the_fields_of_a_mask() -> None:
    options = {"closing": 3, "opening": 0, "allowed_values": [4, 5, 6]}
    assert cloud_mask("scl", options) == SCLCloudMaskHook(3, 0, (4, 5, 6))
    assert cloud_mask("scl", {}) == cloud_mask("scl", None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scl", {"dilate": 3}, "its options are closing, opening, allowed_values"),
        ("none", {"closing": 3}, "its options are none"),
        ("scl", {"closing": -1}, "closing -1 and opening 5 must be pixels, 0 to 100"),
        ("scl", {"opening": 101}, "must be pixels, 0 to 100"),
        ("scl", {"closing": 2.5}, "must be pixels"),
        ("scl", {"closing": "3"}, "must be pixels"),
        ("scl", {"allowed_values": [4, 12]}, r"allowed_values \(4, 12\) must be classes, 1 to 11"),
        ("scl", {"allowed_values": [0]}, "must be classes, 1 to 11"),
        ("scl", {"allowed_values": "45"}, "must be classes"),
        ("scl", {"allowed_values": 4}, "its options are|must be classes"),
    ],
)
def test_a_bad_option_raises_an_error_of_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        cloud_mask(name, options)
    assert re.match(rf"cloud mask {name}\b", str(caught.value))
    assert "\n" not in str(caught.value)


# ---- clear observations --------------------------------------------------------------------------


def test_without_a_mask_everything_is_clear_and_nothing_is_read() -> None:
    hook = DefaultCloudMaskHook()
    assert hook.bands == ()
    assert hook.halo == 0
    clear = hook.clear(replace(observed(np.zeros((2, 3, 4), np.uint8)), bands={}))
    assert clear.shape == (2, 3, 4)
    assert clear.dtype == bool
    assert clear.all()


def test_without_closing_and_opening_only_the_allowed_classes_are_clear() -> None:
    scl = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    clear = SCLCloudMaskHook(0, 0).clear(observed(scl))
    assert scl[clear].tolist() == [4, 5]
    clear = SCLCloudMaskHook(0, 0, (4, 6, 11)).clear(observed(scl))
    assert scl[clear].tolist() == [4, 6, 11]


def test_classes_that_no_product_defines_are_not_clear() -> None:
    scl = np.array([[[12, 255, 4]]], np.uint8)
    assert SCLCloudMaskHook(0, 0).clear(observed(scl)).tolist() == [[[False, False, True]]]


@FEW
@given(seed=st.integers(0, 2**32 - 1), days=st.integers(0, 3), share=st.sampled_from([0.02, 0.3, 0.9]))
def test_the_mask_equals_the_oracle_within_its_halo(seed: int, days: int, share: float) -> None:
    """Closing and opening of all other classes, each day by itself."""
    hook = SCLCloudMaskHook()
    assert hook.halo == 20
    rng = np.random.default_rng(seed)
    scl = np.where(rng.random((days, 60, 55)) < share, 9, 4).astype(np.uint8)
    wide = np.pad(scl, ((0, 0), (20, 20), (20, 20)))  # not observed beyond: class 0, which is not clear
    clear = hook.clear(observed(wide))
    assert clear.dtype == bool
    inner = clear[:, 20:-20, 20:-20]
    expected = [~clean_mask(day == 9) for day in scl]
    np.testing.assert_array_equal(inner, np.array(expected, bool).reshape(inner.shape))


def test_opening_drops_a_speck_of_cloud_and_closing_fills_a_gap() -> None:
    scl = np.full((1, 80, 80), 4, np.uint8)
    scl[0, 20, 20] = 9
    scl[0, 40:70, 40:70] = 9
    scl[0, 55, 55] = 4
    clear = SCLCloudMaskHook().clear(observed(scl))[0]
    assert clear[20, 20]
    assert not clear[55, 55]
