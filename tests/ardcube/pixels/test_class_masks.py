"""Masks of named classes, bits and probabilities: options, clear numbers, numbers without data, identity."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any

import numpy as np
import pytest
from affine import Affine

from ardcube.collections.registry import installed_definitions
from ardcube.errors import InputError
from ardcube.pixels.bitmask import unpacked
from ardcube.pixels.class_masks import (
    CloudProbabilityMaskHook,
    FmaskCloudMaskHook,
    QAPixelCloudMaskHook,
    SCLCloudMaskHook,
)
from ardcube.pixels.classification import clear_pixels, sample
from ardcube.pixels.masks import (
    AutoCloudMaskHook,
    CloudMaskHook,
    SceneMaskHook,
    classes_of,
    cloud_mask,
    mask_of,
    mask_options,
    no_data_of,
    scene_masks,
)
from ardcube.raster.header import Blocks, Level
from tests.ardcube.pixels.test_morphology import as_mask

DEFINITIONS = {definition.name: definition for definition in installed_definitions()}


def is_clear(mask: SceneMaskHook, definition: str, numbers: Any) -> list[bool]:
    """Return whether a mask accepts numbers, by way of the definition and the pixels of a raster."""
    tests = DEFINITIONS[definition].class_tests(mask.bands[0], classes_of(mask)) if classes_of(mask) else {}
    stated = {DEFINITIONS[definition].nodata(mask.bands[0])} - {None}
    found = clear_pixels(mask, np.atleast_2d(numbers), no_data_of(mask, stated), (30.0, 30.0), tests)  # type: ignore[arg-type]
    return [bool(value) for value in as_mask(found.clear, found.layout)[0]]


# ---- numbers of real files -----------------------------------------------------------------------


@pytest.mark.parametrize("definition", ["landsat-c2-l2", "landsat-oli-c2-l2-by-file", "landsat-tm-c2-l2-by-file"])
def test_qa_pixel_numbers_of_oli_and_tm(definition: str) -> None:
    """The bit `clear` is set on OLI together with shadow, snow, water and cirrus, and is not set for water on TM."""
    clear = {21824: True, 21952: True, 5440: True, 5504: True, 30048: True}  # land, water; land, water of TM; snow
    cloudy = {22280: False, 55052: False, 23888: False, 23826: False, 24082: False, 5442: False, 5896: False, 1: False}
    numbers = np.array([*clear, *cloudy], np.uint16)
    assert is_clear(cloud_mask("qa_pixel"), definition, numbers) == [*clear.values(), *cloudy.values()]  # type: ignore[arg-type]
    snow = QAPixelCloudMaskHook(masked=("snow", "water"))
    assert is_clear(snow, definition, np.array([21824, 21952, 5504, 30048, 22280], np.uint16)) == [
        True, False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("definition", ["hls-l30", "hls-s30"])
def test_fmask_numbers_of_hls(definition: str) -> None:
    """The two bits of the aerosol level decide nothing, and 0 is a number without any bit."""
    clear = [64, 128, 192, 0, 96, 224, 80, 65]
    cloudy = [66, 130, 194, 68, 72, 202, 254, 255]
    numbers = np.array([*clear, *cloudy], np.uint8)
    assert is_clear(cloud_mask("fmask"), definition, numbers) == [True] * 8 + [False] * 8  # type: ignore[arg-type]
    dry = FmaskCloudMaskHook(masked=("water", "snow", "cirrus"))
    assert is_clear(dry, definition, np.array([64, 66, 96, 80, 65], np.uint8)) == [True, True, False, False, False]


def test_a_probability_of_0_is_clear_although_0_is_stated_as_nodata() -> None:
    mask = CloudProbabilityMaskHook(threshold=12.5)
    assert no_data_of(mask, {0, 255}) == {255}
    found = clear_pixels(
        mask, np.array([[0, 12, 13, 100, 104, 255]], np.uint8), no_data_of(mask, {0, 255}), (20.0, 20.0)
    )
    assert as_mask(found.clear, found.layout)[0].tolist() == [True, True, False, False, False, False]


def test_names_and_numbers_of_scl_are_the_same_mask_of_pixels() -> None:
    numbers = np.arange(12, dtype=np.uint8)
    named = SCLCloudMaskHook(0, 0, allowed_values=("vegetation", "not_vegetated", "cloud", 7))
    by_number = SCLCloudMaskHook(0, 0, allowed_values=(4, 5, 7, 8, 9))
    for definition in ("cdse-sentinel-2-l2a", "planetary-computer-sentinel-2-l2a", "earth-search-sentinel-2-l2a"):
        assert is_clear(named, definition, numbers) == is_clear(by_number, definition, numbers)
    assert sum(is_clear(named, "sentinel-2-c1-l2a", numbers)) == 5


def test_no_definition_has_the_bit_that_means_other_things_on_other_sensors() -> None:
    bits = [band.bits for definition in DEFINITIONS.values() for band in definition.bands.values() if band.bits]
    assert len(bits) == 5
    assert not [names for names in bits if "clear" in names]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clear", "has no class clear; choose from fill, dilated, cirrus, cloud, shadow, snow, water"),
        ("cloud_confidence", "has several bits as cloud_confidence; choose from fill, dilated"),
    ],
)
def test_a_class_that_a_definition_lacks_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DEFINITIONS["landsat-c2-l2"].class_tests("qa_pixel", [name])


def test_every_number_of_a_bit_field_is_compared_alike() -> None:
    """Hundreds of ranges of numbers are looked up in a table, and few are compared: both give the same pixels."""
    rng = np.random.default_rng(7)
    numbers = rng.integers(0, 65536, (70, 131), dtype=np.uint16)
    for masked in (("cloud",), ("fill", "water"), ("snow", "shadow", "cirrus")):
        mask = QAPixelCloudMaskHook(masked=masked)
        tests = DEFINITIONS["landsat-c2-l2"].class_tests("qa_pixel", masked)
        positions = {"fill": 0, "cirrus": 2, "cloud": 3, "shadow": 4, "snow": 5, "water": 7}
        field = sum(1 << positions[name] for name in masked)
        found = clear_pixels(mask, numbers, {1}, (30.0, 30.0), tests)
        np.testing.assert_array_equal(as_mask(found.clear, found.layout), (numbers & field == 0) & (numbers != 1))


def test_bits_of_a_table_are_sampled_like_others() -> None:
    numbers = np.array([[64, 66, 64]], np.uint8)
    mask = FmaskCloudMaskHook()
    found = clear_pixels(mask, numbers, {255}, (30.0, 30.0), DEFINITIONS["hls-l30"].class_tests("fmask", mask.masked))
    blocks = Blocks(Level(0, 1, 3, Affine.identity(), (1, 3)), np.ones((1, 1), bool), 0, 0, 1, 3)
    at = np.array([[[0, 0, 0]], [[0, 1, 2]]], np.uint16)
    assert unpacked(sample(found.clear, found.layout, at, blocks), 3)[0].tolist() == [True, False, True]


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask", [QAPixelCloudMaskHook(), FmaskCloudMaskHook(buffer=30), CloudProbabilityMaskHook(65), SCLCloudMaskHook()]
)
def test_masks_are_scene_masks_and_come_back_from_their_options(mask: CloudMaskHook) -> None:
    assert isinstance(mask, SceneMaskHook)
    assert pickle.loads(pickle.dumps(mask)) == mask
    assert cloud_mask(mask.name, json.loads(json.dumps(mask_options(mask)))) == mask


def test_the_band_is_an_option_and_part_of_the_identity_only_if_it_is_given() -> None:
    assert mask_options(cloud_mask("scl")) == {
        "closing": 155.0, "opening": 155.0, "buffer": 0.0, "allowed_values": (4, 5),
    }  # fmt: skip
    other = cloud_mask("scl", {"band": "my_scl"})
    assert other.bands == ("my_scl",)
    assert (mask_options(other) or {})["band"] == "my_scl"
    assert cloud_mask("qa_pixel").bands == ("qa_pixel",)
    assert cloud_mask("cloud_probability").bands == ("cloud_probability",)


def test_a_list_of_names_needs_no_quotes_on_the_command_line() -> None:
    assert cloud_mask("fmask", {"masked": "[cloud, shadow]"}) == FmaskCloudMaskHook(masked=("cloud", "shadow"))
    assert cloud_mask("fmask", {"masked": "[shadow,cloud,shadow]"}) == FmaskCloudMaskHook(masked=("cloud", "shadow"))
    assert cloud_mask("scl", {"allowed_values": "[vegetation, 6]"}) == SCLCloudMaskHook(
        allowed_values=(6, "vegetation")
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("qa_pixel", {"masked": []}, r"masked \[\] must be a list of names of classes"),
        ("qa_pixel", {"masked": "cloud"}, "masked 'cloud' must be a list of names of classes, such as"),
        ("qa_pixel", {"masked": [3]}, r"masked \[3\] must be a list of names"),
        ("fmask", {"masked": ["a,b"]}, "must be a list of names"),
        ("fmask", {"masked": {"cloud": 1}}, "must be a list of names"),
        ("fmask", {"buffer": 9000}, "buffer 9000 must be a radius in metres, 0 to 5000"),
        ("fmask", {"closing": "1"}, "closing '1' must be a radius in metres"),
        ("fmask", {"band": ""}, "band '' must be the name of one band"),
        ("scl", {"band": 4}, "band 4 must be the name of one band"),
        ("scl", {"allowed_values": ["vegetation", 12]}, "must be a list of classes, 1 to 11, or of their names"),
        ("fmask", {"bits": [1]}, "its options are masked, closing, opening, buffer, band"),
        ("cloud_probability", {"threshold": 0}, "threshold 0 must be a percentage above 0, at most 100"),
        ("cloud_probability", {"threshold": 101}, "threshold 101 must be a percentage"),
        ("cloud_probability", {"threshold": True}, "threshold True must be a percentage"),
        ("cloud_probability", {"masked": ["cloud"]}, "its options are threshold, closing, opening, buffer, band"),
    ],
)
def test_a_bad_option_raises_an_error_of_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        cloud_mask(name, options)
    assert re.match(rf"cloud mask {name}\b", str(caught.value))
    assert "\n" not in str(caught.value)


# ---- one mask for each scene ---------------------------------------------------------------------


def test_each_scene_has_the_mask_whose_band_it_has() -> None:
    auto = cloud_mask("auto", {"masks": ["scl", "fmask"], "buffer": 60})
    assert isinstance(auto, AutoCloudMaskHook)
    assert scene_masks(auto) == (FmaskCloudMaskHook(buffer=60), SCLCloudMaskHook(buffer=60))
    assert mask_of(scene_masks(auto), {"red": 1, "scl": 2}).name == "scl"
    assert mask_of(scene_masks(auto), {"red": 1, "fmask": 2}).name == "fmask"
    assert mask_options(auto) == {mask.name: mask_options(mask) for mask in scene_masks(auto)}
    assert pickle.loads(pickle.dumps(auto)) == auto
    assert scene_masks(cloud_mask("scl")) == (cloud_mask("scl"),)
    assert scene_masks(cloud_mask("none")) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": ["scl", "none"]}, "the scenes have the masks scl, none, and none evaluates whole days"),
        ({"masks": ["scl", "x"]}, "cloud mask x is unknown"),
        ({"masks": "scl"}, "masks 'scl' must be a list of names of masks"),
        ({"masks": ["scl", "fmask"], "masked": ["cloud"]}, "cloud mask scl does not accept"),
    ],
)
def test_masks_that_do_not_fit_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cloud_mask("auto", options)
