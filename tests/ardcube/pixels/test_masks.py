"""Cloud masks: the registry by name, the options, and the clear observations."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.masks import (
    CloudMaskHook,
    DayMaskHook,
    DefaultCloudMaskHook,
    SceneMaskHook,
    SCLCloudMaskHook,
    cloud_mask,
    cloud_mask_names,
)
from ardcube.pixels.morphology import CleanUp
from ardcube.pixels.observations import Observations

Classes = NDArray[np.uint8]


def observed(scl: Classes) -> Observations:
    days, height, width = scl.shape
    time = np.arange(days).astype("datetime64[D]").astype("datetime64[ns]")
    return Observations({"scl": scl}, time, np.arange(height, 0.0, -1), np.arange(float(width)))


# ---- registry ------------------------------------------------------------------------------------


def test_built_in_masks_are_found_by_name() -> None:
    assert cloud_mask("none") == DefaultCloudMaskHook()
    assert cloud_mask("scl") == SCLCloudMaskHook(closing=155, opening=155, buffer=0, allowed_values=(4, 5))
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
    assert isinstance(hook, SceneMaskHook) != isinstance(hook, DayMaskHook)
    assert pickle.loads(pickle.dumps(hook)) == hook


# ---- options -------------------------------------------------------------------------------------


def test_options_set_the_fields_of_a_mask() -> None:
    options = {"closing": 60, "opening": 0, "buffer": 12.5, "allowed_values": [5, 4, 6, 4]}
    assert cloud_mask("scl", options) == SCLCloudMaskHook(60, 0, 12.5, (4, 5, 6))
    assert cloud_mask("scl", {}) == cloud_mask("scl", None)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"preset": "demo"}, {}),
        ({"preset": "land-water"}, {"allowed_values": (4, 5, 6, 7, 11)}),
        ({"preset": "odc"}, {"closing": 0, "opening": 40, "buffer": 100, "allowed_values": (2, 4, 5, 6, 7, 11)}),
        ({"preset": "odc", "buffer": 0}, {"closing": 0, "opening": 40, "allowed_values": (2, 4, 5, 6, 7, 11)}),
        ({"preset": "demo", "allowed_values": [4]}, {"allowed_values": (4,)}),
    ],
)
def test_a_preset_is_the_same_mask_as_its_values(options: dict[str, Any], fields: dict[str, Any]) -> None:
    """The identity of a cube is made of the fields, so that both ways to ask for a mask continue the same cube."""
    found, expected = cloud_mask("scl", options), SCLCloudMaskHook(**fields)
    assert found == expected
    assert json.dumps(asdict(found)) == json.dumps(asdict(expected))  # type: ignore[call-overload]
    assert cloud_mask("scl", json.loads(json.dumps(asdict(found)))) == found  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scl", {"dilate": 3}, "its options are preset, closing, opening, buffer, allowed_values"),
        ("none", {"closing": 3}, "its options are none"),
        ("scl", {"closing": -1}, "closing -1 must be a radius in metres, 0 to 5000"),
        ("scl", {"opening": 5001}, "opening 5001 must be a radius in metres"),
        ("scl", {"buffer": float("nan")}, "buffer nan must be a radius in metres"),
        ("scl", {"closing": "3"}, "closing '3' must be a radius in metres"),
        ("scl", {"closing": True}, "closing True must be a radius in metres"),
        ("scl", {"preset": "all"}, "preset 'all' is unknown; choose one of demo, land-water, odc"),
        ("scl", {"preset": ["odc"]}, r"preset \['odc'\] is unknown"),
        ("scl", {"allowed_values": [4, 12]}, r"allowed_values \[4, 12\] must be a list of classes, 1 to 11"),
        ("scl", {"allowed_values": [0]}, "must be a list of classes"),
        ("scl", {"allowed_values": "45"}, "must be a list of classes"),
        ("scl", {"allowed_values": 4}, "must be a list of classes"),
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


def test_only_the_allowed_classes_are_clear() -> None:
    numbers = np.arange(256, dtype=np.uint8)
    assert numbers[SCLCloudMaskHook().is_clear(numbers)].tolist() == [4, 5]
    assert numbers[SCLCloudMaskHook(allowed_values=(4, 6, 11)).is_clear(numbers)].tolist() == [4, 6, 11]


def test_radii_of_a_mask_are_those_of_its_options() -> None:
    assert SCLCloudMaskHook(60, 0, 12.5).clean_up == CleanUp(60.0, 0.0, 12.5)
    assert SCLCloudMaskHook().clean_up.reach == 620.0
